"""`retrieval failures`: each file that could not be used, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.commands.options import IndexArgument, IndexOption, JsonOption
from retrieval.commands.progress import say
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from indexer.plan import FailureRow
    from indexer.reader import IndexReader


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    code: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Only failures of this code. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List each file that could not be used, by code, with its way out.

    A file that is mended is taken in by the next build-index; what failed for a passing reason is
    tried again by build-index --retry-failed.
    """
    from indexer.reader import IndexReader
    from retrieval.locate import find_index

    with IndexReader.open(find_index(index or index_option)) as reader:
        found = _chosen(reader.failures(), code or [])
        if as_json:
            _print_json(reader, found)
        else:
            _print(reader, found)


def _chosen(found: Sequence[FailureRow], codes: Sequence[str]) -> list[FailureRow]:
    """Return the failures of some codes, all where none is given; raises QueryError."""
    from encoder.errors import MEDIA_CODES
    from indexer.plan import OWN_CODES

    known = {*MEDIA_CODES, *OWN_CODES, *(one.code for one in found)}
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise QueryError(f"--code {unknown[0]}: no such code; there are {', '.join(sorted(known))}")
    return [one for one in found if not codes or one.code in codes]


def _print_json(reader: IndexReader, found: Sequence[FailureRow]) -> None:
    from indexer.ways_out import way_out
    from retrieval import rendering

    rows = [asdict(one) | {"way_out": way_out(one.code)} for one in found]
    values = {"schema": "retrieval.failures/1", "index": str(reader.path), "failures": rows}
    typer.echo(rendering.as_json(values))


def _print(reader: IndexReader, found: Sequence[FailureRow]) -> None:
    from indexer.ways_out import way_out
    from retrieval import rendering

    for code in sorted({one.code for one in found}):
        messages = [one.message for one in found if one.code == code]
        typer.echo(f"{code}: {len(messages)} file{'s' * (len(messages) != 1)}; {way_out(code)}")
        for message in messages:
            typer.echo(f"  {rendering.printable(message)}")
    if not found:
        say("no failures")
        return
    again = rendering.command_line("build-index", reader.corpus, "--retry-failed")
    say(f"to try them again, with the options of the first build: {again}")
