"""`retrieval update`: an index brought up to date with its corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import (
    CheckpointOption,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
    ManifestOption,
)
from retrieval.commands.progress import say, shown_progress

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from indexer.update import Pending, Updated

SCHEMA = "retrieval.update/1"
LISTED = 20
"""Files of each kind that a person is shown; --json has all."""


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    manifest: ManifestOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take out what the corpus no longer has.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Take in again what was removed.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Bring an index up to date with its corpus, as it was scanned when it was built.

    New and changed files are embedded. Files that were renamed, or only touched, are known by what
    they hold: their items keep ids, labels and boxes, and nothing is embedded. Files that are gone
    stay in the index until --prune, since a disk may only be away.
    """
    from indexer.options import BuildOptions
    from indexer.update import plan_update, update_index
    from retrieval import rendering
    from retrieval.locate import find_index

    index_dir = find_index(index or index_option)
    options = BuildOptions(restore=restore, retry_failed=retry_failed)
    if dry_run:
        pending = plan_update(index_dir, options=options, manifest=manifest)
        if as_json:
            typer.echo(rendering.as_json(update_json(pending, None)))
        else:
            _print(pending, None, prune)
        return

    def encoder() -> Embedder:
        from encoder.allocator import keep_freed_memory
        from encoder.embedder import Embedder

        keep_freed_memory()
        return Embedder.load(checkpoint, device=device)

    try:
        with shown_progress() as show:
            done = update_index(
                index_dir,
                encoder,
                options=options,
                manifest=manifest,
                prune=prune,
                on_progress=show,
            )
    except KeyboardInterrupt:
        say("retrieval: interrupted; what was finished is kept: run the same command to go on")
        raise
    if as_json:
        typer.echo(rendering.as_json(update_json(done.pending, done)))
    else:
        _print(done.pending, done, prune)


def _print(pending: Pending, done: Updated | None, prune: bool) -> None:
    from retrieval import rendering

    named = _named(pending)
    for line in rendering.facts(_facts(pending, done, named)):
        typer.echo(line)
    if done is None:
        for name, paths in named.items():
            for path in paths[:LISTED]:
                typer.echo(f"{name}  {rendering.printable(path)}")
            if len(paths) > LISTED:
                say(f"and {len(paths) - LISTED} more that are {name}; --json lists all")
    if pending.missing and not prune:
        say("files that are missing stay in the index; --prune takes them out")


def _facts(
    pending: Pending, done: Updated | None, named: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    facts = [("index", str(pending.index_dir))]
    facts += [(name, str(len(paths))) for name, paths in named.items()]
    facts.append(("unchanged", str(pending.changes.n_unchanged)))
    if pending.changes.n_removed:
        facts.append(("removed, left out", str(pending.changes.n_removed)))
    if pending.is_unfinished and done is None:
        facts.append(("unfinished", "what an earlier run began is still to be published"))
    if done is not None:
        facts.append(("pruned", str(done.n_pruned)))
    if done is not None and done.build is not None:
        facts += [
            ("embedded", str(done.build.n_new)),
            ("failed", str(done.build.n_failed)),
            ("items", str(done.build.n_items - done.n_pruned)),
        ]
    return facts


def _named(pending: Pending) -> dict[str, list[str]]:
    """Return what there is to do, by kind: paths, for a rename with both."""
    changes = pending.changes
    renamed = [move for move in changes.moved if move.is_renamed]
    return {
        "new": _once(_path(item) for item in changes.new),
        "changed": _once(_path(item) for item in changes.changed),
        "renamed": _once(f"{_path(move.former)} → {_path(move.item)}" for move in renamed),
        "touched": _once(_path(move.item) for move in changes.moved if not move.is_renamed),
        "replaced": _once(one.key for one in changes.replaced),
        "missing": pending.missing,
    }


def _once(names: Iterable[str]) -> list[str]:
    """Return names in their order, those of several items once."""
    return list(dict.fromkeys(names))


def _path(item: Any) -> str:
    """Return the picture of a planned item, or its sound; of one that has neither, its key."""
    return str(item.parts[0].source.path if item.parts else item.key)


def update_json(pending: Pending, done: Updated | None) -> dict[str, Any]:
    """Return the object that `update --json` prints."""
    build = None if done is None or done.build is None else done.build
    return {
        "schema": SCHEMA,
        "index": str(pending.index_dir),
        "dry_run": done is None,
        **_named(pending),
        "unfinished": pending.is_unfinished,
        "n_unchanged": pending.changes.n_unchanged,
        "n_removed": pending.changes.n_removed,
        "n_pruned": 0 if done is None else done.n_pruned,
        "n_embedded": 0 if build is None else build.n_new,
        "n_failed": 0 if build is None else build.n_failed,
        "generation": None if build is None else build.generation,
    }
