"""`retrieval info`: what an index holds, who built it, what could not be read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import CheckpointOption, IndexArgument, IndexOption, JsonOption
from retrieval.commands.progress import say

if TYPE_CHECKING:
    from indexer.reader import IndexReader


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    checkpoint: CheckpointOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="List each file that could not be used.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an index holds and who built it."""
    from indexer.reader import IndexReader
    from retrieval.locate import find_index

    with IndexReader.open(find_index(index or index_option)) as reader:
        if failures:
            _print_failures(reader, as_json)
        else:
            _print_facts(reader, checkpoint, as_json)


def _print_failures(reader: IndexReader, as_json: bool) -> None:
    from retrieval import rendering

    found = reader.failures()
    if as_json:
        rows = [asdict(one) for one in found]
        typer.echo(rendering.as_json({"schema": "retrieval.failures/1", "failures": rows}))
        return
    for one in found:
        typer.echo(rendering.printable(one.message))
    if not found:
        say("no failures")


def _print_facts(reader: IndexReader, checkpoint: Path | None, as_json: bool) -> None:
    from retrieval import rendering
    from retrieval.encoders import licence_of

    known = reader.info()
    known["encoder"] = known["encoder"] | {"licence": licence_of(reader, checkpoint)}
    if as_json:
        typer.echo(rendering.as_json({"schema": "retrieval.info/1"} | known))
        return
    for line in rendering.facts(_lines(known)):
        typer.echo(line)
    if known["n_failures"]:
        say(f"each failed file: {rendering.command_line('failures', reader.path)}")


def _lines(known: dict[str, Any]) -> list[tuple[str, str]]:
    from retrieval.commands.maps_shown import effort_facts, map_facts, vector_facts
    from retrieval.rendering import byte_size

    encoder, grid = known["encoder"], known["grid"]
    licence = encoder["licence"] or "unknown: give its folder with --checkpoint"
    return [
        ("index", known["path"]),
        ("corpus", known["corpus"]),
        ("generation", str(known["generation"])),
        ("items", f"{known['n_items']} ({known['n_frames']} frames, {known['n_sounds']} sounds)"),
        ("failures", str(known["n_failures"])),
        *((f"  {code}", str(n)) for code, n in known["failures_by_code"].items()),
        ("encoder", encoder["name"]),
        ("fingerprint", encoder["fingerprint"]),
        ("licence", licence),
        ("map cells", f"{grid[0]} × {grid[1]}"),
        *map_facts(known["maps"]),
        *vector_facts(known["vectors"]),
        *effort_facts(known["conditional"]),
        ("segments", str(known["n_segments"])),
        ("on disk", byte_size(known["bytes"])),
    ]
