"""`retrieval merge`: one index out of several of the same encoder; nothing is encoded again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import CheckpointOption, DeviceOption, JsonOption, MinRecallOption
from retrieval.commands.progress import say, shown_progress

if TYPE_CHECKING:
    from indexer.merge import MergeReport


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new index: no such folder yet.")],
    indexes: Annotated[
        list[Path], typer.Argument(metavar="INDEX...", help="Indexes, or corpora that hold one.")
    ],
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the paths of all are relative to. Default: what the indexes say, "
            "or the folder that holds all of their corpora."
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    min_recall: MinRecallOption = 0.98,
    as_json: JsonOption = False,
) -> None:
    """Make one index of several, as of the shards of a corpus.

    The indexes stay as they are. An item that two of them have is taken from the first; deleted
    items are left out.
    """
    from encoder.embedder import Embedder
    from indexer.merge import merge
    from retrieval.locate import find_index

    found = [find_index(index) for index in indexes]
    embedder = Embedder.load(checkpoint, device=device)
    with shown_progress() as show:
        report = merge(
            out,
            found,
            embedder=embedder,
            corpus=corpus,
            min_recall=min_recall,
            on_progress=show,
        )
    _print(report, as_json)


def _print(report: MergeReport, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        typer.echo(rendering.as_json(merge_json(report)))
        return
    for line in rendering.facts(_facts(report)):
        typer.echo(line)
    for one in report.merged:
        if one.n_duplicates:
            say(f"left out: {one.n_duplicates} items of {one.path} that one before it has")
    say(f"next: {rendering.command_line('verify', report.index_dir)}")


def _facts(report: MergeReport) -> list[tuple[str, str]]:
    from retrieval.commands.maps_shown import effort_facts

    return [
        ("items", str(report.n_items)),
        *((f"  {one.path}", str(one.n_items)) for one in report.merged),
        ("duplicates", str(report.n_duplicates)),
        ("failed", str(report.n_failed)),
        *effort_facts(report.conditional, report.min_recall),
        ("seconds", f"{report.seconds:.1f}"),
        ("corpus", str(report.corpus)),
        ("index", f"{report.index_dir} (generation {report.generation})"),
    ]


def merge_json(report: MergeReport) -> dict[str, Any]:
    """Return the object that `merge --json` prints."""
    computed = {
        "index_dir": str(report.index_dir),
        "corpus": str(report.corpus),
        "merged": [asdict(one) | {"path": str(one.path)} for one in report.merged],
        "n_duplicates": report.n_duplicates,
        "seconds": report.seconds,
    }
    return {"schema": "retrieval.merge/1"} | asdict(report) | computed
