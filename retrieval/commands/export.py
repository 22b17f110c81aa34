"""`retrieval export`: what an index holds, in files that other programs read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import JsonOption

if TYPE_CHECKING:
    from indexer.exporting import ExportReport


def command(
    index: Annotated[Path, typer.Argument(help="An index, or a corpus that holds one.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to: no such folder yet.")],
    form: Annotated[
        Literal["npy", "jsonl", "csv"],
        typer.Option(
            "--format",
            help="Vectors as npy with Parquet beside them, or items as JSON lines or CSV.",
        ),
    ] = "jsonl",
    rows_per_file: Annotated[
        int, typer.Option(min=1, help="With npy: vectors per file, 4 KB each.")
    ] = 65_536,
    as_json: JsonOption = False,
) -> None:
    """Write items or vectors of an index to a new folder.

    npy is the layout of clip-retrieval, embedding-reader and autofaiss. Items can be edited and
    read back with `retrieval import`.
    """
    from indexer.exporting import export
    from indexer.reader import IndexReader
    from retrieval.locate import find_index

    with IndexReader.open(find_index(index)) as reader:
        report = export(reader, folder, form, rows_per_file=rows_per_file)
    _print(report, as_json)


def _print(report: ExportReport, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        values = {"schema": "retrieval.export/1"} | asdict(report) | {"folder": str(report.folder)}
        typer.echo(rendering.as_json(values))
        return
    lines = [
        *((name, f"{n} rows") for name, n in report.n_rows.items()),
        ("files", str(report.n_files)),
        ("size", rendering.byte_size(report.bytes)),
        ("folder", str(report.folder)),
    ]
    for line in rendering.facts(lines):
        typer.echo(line)
