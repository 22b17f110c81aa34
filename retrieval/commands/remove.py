"""`retrieval remove`: items out of an index, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from retrieval.commands.options import IndexOption, JsonOption
from retrieval.commands.progress import say

SCHEMA = "retrieval.remove/1"
LISTED = 20


def command(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Files of the corpus, folders, or globs: a path relative to the corpus.",
        ),
    ] = None,
    index_option: IndexOption = None,
    ids: Annotated[list[int] | None, typer.Option("--id", help="An item by its id.")] = None,
    where: Annotated[
        str | None, typer.Option(help="A filter, as `query` takes it: \"label = 'dog'\".")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take items out of an index: no query returns them from then on, no update brings them back.

    The files stay where they are. `update --restore` takes them in again; `compact` frees the
    space. What any of the choices names is removed.
    """
    from indexer.update import chosen_ids, remove_items
    from retrieval import rendering
    from retrieval.errors import QueryError
    from retrieval.locate import find_index

    if not (patterns or ids or where):
        raise QueryError("nothing chosen: give a path or glob, --id or --where")
    index_dir = find_index(index_option)
    chosen = chosen_ids(index_dir, patterns=patterns or (), ids=ids or (), where=where).tolist()
    names = _names(index_dir, chosen)
    if chosen and not dry_run:
        remove_items(index_dir, chosen)
    if as_json:
        found = {"schema": SCHEMA, "index": str(index_dir), "dry_run": dry_run}
        typer.echo(rendering.as_json(found | {"ids": chosen, "paths": names}))
        return
    for name in names[:LISTED]:
        typer.echo(rendering.printable(name))
    if len(names) > LISTED:
        say(f"and {len(names) - LISTED} more; --json lists all")
    verb = "would be removed" if dry_run else "removed"
    what = "1 item" if len(chosen) == 1 else f"{len(chosen)} items"
    say(f"{what} {verb}" if chosen else "nothing in the index is named so")


def _names(index_dir: object, ids: list[int]) -> list[str]:
    """Return the picture of each item, or its sound."""
    from pathlib import Path

    from indexer.catalogue import Catalogue
    from indexer.lookup import item_rows

    with Catalogue.open(Path(str(index_dir))) as catalogue, catalogue.reading() as connection:
        rows = item_rows(connection, ids)
    return [rows[item].image or rows[item].audio or str(item) for item in ids]
