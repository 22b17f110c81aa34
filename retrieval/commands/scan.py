"""`retrieval scan`: what a corpus holds, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import (
    Corpus,
    ExcludeOption,
    FollowOption,
    IncludeOption,
    IndexOption,
    JsonOption,
    ManifestOption,
)
from retrieval.commands.progress import say, shown_progress

if TYPE_CHECKING:
    from indexer.inspection.corpus import Inspection
    from indexer.inspection.near import NearDuplicates
    from indexer.options import BuildOptions
    from indexer.reader import IndexReader
    from indexer.scan import ScanReport

ALL = "all"


def command(
    corpus: Corpus,
    manifest: ManifestOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    follow_symlinks: FollowOption = False,
    inspect: Annotated[
        bool,
        typer.Option(
            "--inspect",
            help="Decode every file once and say what is broken, silent, clipped, still, black, "
            "tiny or there twice. --list, --report and --jsonl do that, too.",
        ),
    ] = False,
    listed: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="KIND",
            help="Name each file of a kind of finding, or of `all`; may be given several times.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all items with a column `findings`, as a manifest (.csv or .jsonl).",
        ),
    ] = None,
    index: IndexOption = None,
    window_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds of a long sound or video per item.")
    ] = 10.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files decoded at a time. Default: one per core.")
    ] = None,
    as_json: JsonOption = False,
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per finding and line.")
    ] = False,
) -> None:
    """Show what a build would index, from headers alone; --inspect looks inside the files.

    Kinds of findings: broken, one-sided, not-finite, silent, cancelling, clipped, too-short,
    still, black, one-colour, tiny, duplicate, near-duplicate. Near duplicates need an index:
    --index, or the one beside the corpus. docs/scanning.md has the limits.

    Findings are no failure. Exit codes: 0 with them, too; 4 the corpus is missing or nothing in it
    can be used; 5 no such index; 8 the report cannot be written.
    """
    from indexer.options import BuildOptions, n_cores
    from indexer.scan import scan
    from retrieval.commands.scan_shown import Shown

    kinds = _kinds(listed or ())
    _check_report(report)
    options = BuildOptions(
        window_s=window_s,
        workers=workers or n_cores(),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        follow_symlinks=follow_symlinks,
    )
    found = scan(corpus, manifest=manifest, index_dir=index, options=options)
    inspection = near = None
    if inspect or listed or report or as_lines:
        inspection, near = _inspect(found, options, index)
        if report is not None:
            _write(report, found, inspection)
    shown = Shown(found, inspection, near)
    for line in shown.json_lines() if as_lines else shown.json() if as_json else shown.text(kinds):
        typer.echo(line)
    given = _arguments(corpus, manifest, options)
    _say_next(given, inspection is not None, report)


def _inspect(
    found: ScanReport, options: BuildOptions, index: Path | None
) -> tuple[Inspection, NearDuplicates | None]:
    from indexer.inspection.corpus import inspect_corpus

    with _opened(found, index) as reader:
        with shown_progress() as show:
            inspection = inspect_corpus(found, options=options, on_progress=show)
        if reader is None:
            return inspection, None
        say("comparing what the index keeps of pictures and sounds")
        return _with_near(found, inspection, reader)


def _with_near(
    found: ScanReport, inspection: Inspection, reader: IndexReader
) -> tuple[Inspection, NearDuplicates]:
    from dataclasses import replace

    from indexer.inspection.corpus import in_order_of_kinds
    from indexer.inspection.findings import Thresholds
    from indexer.inspection.near import near_duplicates

    known = {(one.path, one.same_as) for one in inspection.findings if one.same_as}
    near = near_duplicates(reader, found.items, Thresholds(), known)
    together = in_order_of_kinds([*inspection.findings, *near.findings])
    return replace(inspection, findings=together), near


@contextmanager
def _opened(found: ScanReport, index: Path | None) -> Iterator[IndexReader | None]:
    """Open the index that was given, or the one beside the corpus where there is one that opens.

    Before files are decoded, since that takes minutes.
    """
    from indexer.errors import IndexCorrupt, IndexMissing
    from retrieval.errors import QueryError
    from retrieval.locate import INDEX_FOLDER, find_index, is_index

    beside = found.corpus / INDEX_FOLDER
    if index is None and not is_index(beside):
        yield None
        return
    from indexer.reader import IndexReader

    try:
        reader = IndexReader.open(find_index(index or beside))
    except (IndexMissing, IndexCorrupt) as error:
        if index is not None:
            raise
        say(f"near duplicates are not looked for: {error}")
        yield None
        return
    with reader:
        if reader.corpus.resolve() != found.corpus:
            raise QueryError(
                f"--index {index}: it is of {reader.corpus}; scan that, or leave it out"
            )
        yield reader


def _kinds(listed: Sequence[str]) -> set[str]:
    """Return the kinds to list. Raises QueryError for one that there is not."""
    from indexer.inspection.findings import KINDS
    from retrieval.errors import QueryError

    unknown = set(listed) - {*KINDS, ALL}
    if unknown:
        raise QueryError(f"--list {min(unknown)}: give one of {', '.join(KINDS)}, {ALL}")
    return set(KINDS) if ALL in listed else set(listed)


def _check_report(report: Path | None) -> None:
    """Complain before minutes are spent."""
    if report is None:
        return
    from indexer.inspection.table import SUFFIXES
    from retrieval.errors import OutputExists, QueryError

    if report.suffix.lower() not in SUFFIXES:
        raise QueryError(f"--report {report}: give a .csv or .jsonl file")
    if report.exists():
        raise OutputExists(f"{report}: is there already; give --report another name")


def _write(report: Path, found: ScanReport, inspection: Inspection) -> None:
    from indexer.inspection.table import write_table

    n_left_out = write_table(report, found.items, inspection.of_items())
    say(f"report: {report}")
    if n_left_out:
        say(f"{n_left_out} items are not in it: their names are no UTF-8, which manifests need")


def _arguments(
    corpus: Path, manifest: Path | None, options: BuildOptions
) -> tuple[str | Path, ...]:
    """Return what another command needs to look at what was scanned."""
    given: list[str | Path] = [corpus]
    if manifest is not None:
        given += ["--manifest", manifest]
    for name, patterns in (("--include", options.include), ("--exclude", options.exclude)):
        for pattern in patterns:
            given += [name, pattern]
    return tuple([*given, "--follow-symlinks"] if options.follow_symlinks else given)


def _say_next(given: tuple[str | Path, ...], is_inspected: bool, report: Path | None) -> None:
    from retrieval import rendering

    if not is_inspected:
        say(f"look inside the files: {rendering.command_line('scan', *given, '--inspect')}")
    if report is not None:
        given = (given[0], "--manifest", report)
    say(f"next: {rendering.command_line('build-index', *given)}")
