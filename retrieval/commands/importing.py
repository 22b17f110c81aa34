"""`retrieval import`: labels, boxes and metadata from a table, edited elsewhere, into an index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import IndexOption, JsonOption
from retrieval.commands.progress import say
from retrieval.exit_codes import ExitCode

if TYPE_CHECKING:
    from indexer.importing import ImportReport

SHOWN = 20


def command(
    given: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .jsonl or .csv file, or the folder that export wrote one to."
        ),
    ],
    index: IndexOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look only, change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have items be what a table says of them: labels, boxes, metadata.

    A line names its item by id or by files and seconds, as `retrieval export` writes them. An empty
    cell takes back what was said; a column that is absent changes nothing.

    Exit codes: 0 every line was applied; 4 some were refused, each named with its line number, and
    the others applied; or there is no such table.
    """
    from indexer.importing import import_annotations
    from indexer.reader import IndexReader
    from retrieval.locate import find_index

    with IndexReader.open(find_index(index)) as reader:
        report = import_annotations(reader, given, dry_run=dry_run)
    _print(report, as_json)
    if report.n_refused:
        raise typer.Exit(ExitCode.CORPUS)


def _print(report: ImportReport, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        paths = {"index_dir": str(report.index_dir), "file": str(report.file)}
        typer.echo(rendering.as_json({"schema": "retrieval.import/1"} | asdict(report) | paths))
        return
    lines = [
        ("would change" if report.dry_run else "changed", str(report.n_changed)),
        ("unchanged", str(report.n_unchanged)),
        ("refused", str(report.n_refused)),
    ]
    for line in rendering.facts(lines):
        typer.echo(line)
    for row in report.refused[:SHOWN]:
        say(rendering.printable(f"{report.file} line {row.number}: {row.reason}"))
    if report.n_refused > SHOWN:
        say(f"and {report.n_refused - SHOWN} lines more; --json names them")
