"""`retrieval label`: what labellers, a column or a file say of the items, kept beside the index."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer.labels.errors import (
    LabelColumnError,
    LabelError,
    LabelFileError,
    LabellerBroken,
    LabelsMissing,
    NothingLabelled,
    VocabulariesMixed,
)
from retrieval.commands.options import (
    Device,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
)
from retrieval.commands.progress import say, shown_progress
from retrieval.errors import QueryError
from retrieval.exit_codes import Codes, ExitCode

if TYPE_CHECKING:
    from encoder.labellers import LabellerPair
    from indexer.labels.labelling import LabelReport
    from indexer.labels.provider import LabelProvider
    from indexer.pseudo_labels import LabelSet
    from indexer.reader import IndexReader

CODES: Codes = (
    (LabelColumnError, ExitCode.USAGE),
    (VocabulariesMixed, ExitCode.USAGE),
    (LabelFileError, ExitCode.CORPUS),
    (NothingLabelled, ExitCode.CORPUS),
    (LabelsMissing, ExitCode.INDEX),
    (LabellerBroken, ExitCode.ENCODER),
    (LabelError, ExitCode.FAILED),
)
"""Exit codes of labels. `indexer.labels.errors` holds these classes and no more: help does not wait
for it."""
SHOWN_FAILURES = 10


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    provider: Annotated[
        str,
        typer.Option(
            metavar="shipped|paper|column|FILE",
            help="The shipped labellers; VGG-16 and SoundNet; a column of the manifest; a table of "
            "labels (.parquet, .csv, .json, .jsonl); or a folder of trained labellers.",
        ),
    ] = "shipped",
    column: Annotated[
        str | None,
        typer.Option(help="With --provider column: which. Default: label.", metavar="NAME"),
    ] = None,
    image_weights: Annotated[
        Path | None, typer.Option(help="With --provider paper: VGG-16's weight file.")
    ] = None,
    audio_weights: Annotated[
        Path | None, typer.Option(help="With --provider paper: SoundNet's converted weight file.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name to keep the labels under. Default: the provider's.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode. Default: one per core.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Frames and sounds per pass of a labeller.")
    ] = 32,
    device: DeviceOption = "auto",
    listing: Annotated[
        bool, typer.Option("--list", help="Show which labels there are, and make none.")
    ] = False,
    delete: Annotated[
        str | None, typer.Option(metavar="NAME", help="Delete the labels of that name.")
    ] = None,
    only_version: Annotated[
        str | None, typer.Option(help="With --delete: this version, no other.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Label the frames and sounds of an index, or go on with it.

    `retrieval evaluate --labels` judges by them. What is labelled already is left alone; a provider
    of another version makes another set.
    """
    from indexer.reader import IndexReader
    from retrieval.locate import find_index

    asked = Asked(
        provider=provider,
        column=column,
        image_weights=image_weights,
        audio_weights=audio_weights,
        name=name,
        workers=workers,
        batch_size=batch_size,
        device=device,
    )
    _check_options(asked, listing, delete, only_version)
    with IndexReader.open(find_index(index or index_option)) as reader:
        if listing:
            _print_sets(reader, as_json)
        elif delete is not None:
            _delete(reader, delete, only_version, as_json)
        else:
            _label(reader, _provider(reader, asked), as_json)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which labels are asked for, as the command line says it."""

    provider: str
    column: str | None
    image_weights: Path | None
    audio_weights: Path | None
    name: str | None
    workers: int | None
    batch_size: int
    device: Device


def _check_options(
    asked: Asked, listing: bool, delete: str | None, only_version: str | None
) -> None:
    """Raise QueryError for options that do not go together."""
    if listing and delete is not None:
        raise QueryError("--list and --delete exclude each other; give one")
    if only_version is not None and delete is None:
        raise QueryError("--only-version says what --delete deletes; give both")
    if asked.column is not None and asked.provider != "column":
        raise QueryError("--column names a column of the manifest; add --provider column")
    weights = asked.image_weights or asked.audio_weights
    if weights is not None and asked.provider != "paper":
        raise QueryError("weight files are for the paper's pair; add --provider paper")


def _provider(reader: IndexReader, asked: Asked) -> LabelProvider:
    """Open the provider that is asked for."""
    from indexer.labels.tables import is_label_file

    if asked.provider == "column":
        from indexer.labels.column import OWN_LABEL, column_labels

        return column_labels(reader, asked.column or OWN_LABEL, name=asked.name)
    if is_label_file(asked.provider):
        from indexer.labels.file import file_labels

        return file_labels(reader, Path(asked.provider), name=asked.name)
    from indexer.labels.models import LabelOptions, ModelLabels
    from indexer.options import n_cores

    options = LabelOptions(workers=asked.workers or n_cores(), batch_size=asked.batch_size)
    return ModelLabels(_labellers(asked), reader.corpus, name=asked.name, options=options)


def _labellers(asked: Asked) -> LabellerPair:
    from encoder.labellers import load_labellers

    if asked.provider == "shipped":
        return load_labellers("shipped", device=asked.device)
    if asked.provider == "paper":
        return load_labellers(
            "paper",
            image_weights=asked.image_weights,
            audio_weights=asked.audio_weights,
            device=asked.device,
        )
    if not Path(asked.provider).is_dir():
        raise QueryError(
            f"--provider {asked.provider}: neither shipped, paper nor column, nor a .parquet, "
            ".csv, .json or .jsonl file, nor a folder of labellers"
        )
    return load_labellers(Path(asked.provider), device=asked.device)


def _label(reader: IndexReader, provider: LabelProvider, as_json: bool) -> None:
    from indexer.labels.labelling import label_items

    try:
        with shown_progress() as show:
            report = label_items(reader, provider, on_progress=show)
    except KeyboardInterrupt:
        say("retrieval: interrupted; what was finished is kept: run the same command to go on")
        raise
    _print_report(reader, report, as_json)


def _print_report(reader: IndexReader, report: LabelReport, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        typer.echo(rendering.as_json(report_json(report)))
        return
    for line in rendering.facts(_facts(reader, report)):
        typer.echo(line)
    for left_out in report.excluded:
        such_as = f", such as {left_out.example}" if left_out.example else ""
        say(rendering.printable(f"left out: {left_out.reason}: {left_out.n}{such_as}"))
    for failure in report.failures[:SHOWN_FAILURES]:
        say(rendering.printable(failure.message))
    if len(report.failures) > SHOWN_FAILURES:
        say(f"and {len(report.failures) - SHOWN_FAILURES} files more; --json names each")
    judging = rendering.command_line(
        "evaluate", report.index_dir, "--labels", report.labels.provider
    )
    say(f"next: {judging}")


def _facts(reader: IndexReader, report: LabelReport) -> list[tuple[str, str]]:
    labels, known = report.labels, reader.info()
    return [
        ("labels", f"{labels.provider} (version {labels.version})"),
        ("vocabulary", f"{labels.vocabulary}, {labels.n_names} names"),
        ("frames", f"{labels.n_frames} of {known['n_frames']}"),
        ("sounds", f"{labels.n_sounds} of {known['n_sounds']}"),
        ("new", f"{report.n_new}, {report.n_computed} of them looked at"),
        ("unchanged", str(report.n_skipped)),
        ("without a label", str(report.n_unknown)),
        ("left out", str(sum(one.n for one in report.excluded))),
        ("failed", str(report.n_failed)),
        *(
            (f"  {code}", f"{n} file{'s' * (n != 1)}")
            for code, n in sorted(report.failures_by_code.items())
        ),
        ("seconds", f"{report.seconds:.1f}"),
    ]


def report_json(report: LabelReport) -> dict[str, Any]:
    """Return the object that `label --json` prints."""
    computed = {"index_dir": str(report.index_dir), "failures_by_code": report.failures_by_code}
    return {"schema": "retrieval.label/1"} | asdict(report) | computed


def _print_sets(reader: IndexReader, as_json: bool) -> None:
    from retrieval import rendering

    found = reader.label_sets()
    if as_json:
        rows = [asdict(one) for one in found]
        typer.echo(rendering.as_json({"schema": "retrieval.labels/1", "labels": rows}))
        return
    if not found:
        say(f"no labels; make some: {rendering.command_line('label', reader.path)}")
        return
    for line in rendering.columns(
        ["name", "version", "from", "vocabulary", "names", "frames", "sounds", "failed", "made"],
        [_cells(one) for one in found],
    ):
        typer.echo(line)


def _cells(one: LabelSet) -> list[str]:
    counts = (one.n_names, one.n_frames, one.n_sounds, one.n_failures)
    made = (one.provider, one.version, one.origin, one.vocabulary)
    return [*made, *map(str, counts), one.created]


def _delete(reader: IndexReader, name: str, version: str | None, as_json: bool) -> None:
    from indexer.labels.labelling import drop_labels
    from retrieval import rendering

    dropped = drop_labels(reader, name, version)
    if as_json:
        rows = [{"provider": row.provider, "version": row.version} for row in dropped]
        typer.echo(rendering.as_json({"schema": "retrieval.labels-deleted/1", "deleted": rows}))
        return
    for row in dropped:
        typer.echo(f"deleted  {row.provider} (version {row.version})")
