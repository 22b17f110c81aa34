"""An index brought up to date with its corpus, and what a person takes out of it.

What is gone from the corpus stays until it is pruned, since a disk may only be away. What was
removed stays out, though its file is there, until it is restored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from encoder.embedder import Embedder
from indexer.blocks import Ids
from indexer.build import BuildReport, build_index
from indexer.built_with import remembered
from indexer.catalogue import Catalogue, chunked, items, sources
from indexer.changes import Changes, Lost, find_changes
from indexer.errors import BuildUnknown, IndexMissing
from indexer.history import is_published, known_outcomes
from indexer.ledger import delete_items, forget_outcomes, replace_plans
from indexer.locking import only_writer
from indexer.lookup import Generation, hidden_ids, latest_generation, matching_ids
from indexer.options import BuildOptions
from indexer.parts import WIDTHS, plan_of
from indexer.paths import found_corpus, from_text, shown
from indexer.progress import OnProgress
from indexer.publish import has_garbage
from indexer.scan import ScanReport, scan

FindEncoder = Callable[[], Embedder]


@dataclass(frozen=True, kw_only=True)
class Pending:
    """What an update would do.

    Attributes
    ----------
    manifest, options : those of the last build, and what was asked for beside them.
    missing : paths of files that are not there any more.
    is_unfinished : a run was killed before it showed what it had committed, or had swept.
    """

    index_dir: Path
    manifest: Path | None
    options: BuildOptions
    found: ScanReport
    changes: Changes
    missing: list[str]
    is_unfinished: bool


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What an update did; `build` is None where nothing had to be embedded or published."""

    pending: Pending
    n_pruned: int
    build: BuildReport | None


def plan_update(
    index_dir: Path,
    *,
    options: BuildOptions | None = None,
    manifest: Path | None = None,
) -> Pending:
    """Compare an index with its corpus, without changing anything.

    Parameters
    ----------
    options : what decides which items there are is taken from the last build.
    manifest : default the one of the last build.

    Raises
    ------
    IndexMissing, IndexCorrupt : the index.
    CorpusMissing, ManifestError, NothingUsable : the corpus.
    """
    options = options or BuildOptions()
    index_dir = index_dir.absolute()
    with Catalogue.open(index_dir) as catalogue:
        with catalogue.reading() as connection:
            generation = _published(connection, index_dir)
            built = remembered(connection)
        corpus = found_corpus(generation.corpus, index_dir)
        if built is None and manifest is None:
            raise BuildUnknown(index_dir, corpus)
        if built is not None:
            options, manifest = built.again(options), manifest or built.manifest_in(corpus)
        options = _as_measured(options, generation)
        found = scan(corpus, manifest=manifest, index_dir=index_dir, options=options)
        with catalogue.reading() as connection:
            changes = find_changes(
                connection,
                generation.edition.id,
                found.items,
                found.corpus,
                restore=options.restore,
                retry=options.retry_failed,
            )
            return Pending(
                index_dir=index_dir,
                manifest=manifest,
                options=options,
                found=found,
                changes=changes,
                missing=sorted({path for one in _sure(changes, found) for path in one.gone}),
                is_unfinished=not is_published(connection, generation.edition.id)
                or has_garbage(index_dir, catalogue),
            )


def update_index(
    index_dir: Path,
    find_encoder: FindEncoder,
    *,
    options: BuildOptions | None = None,
    manifest: Path | None = None,
    prune: bool = False,
    on_progress: OnProgress | None = None,
) -> Updated:
    """Bring an index up to date with its corpus.

    Parameters
    ----------
    find_encoder : asked only where something must be embedded or published.
    prune : take out what the corpus no longer has.

    Raises
    ------
    As `plan_update` and `indexer.build.build_index`.
    """
    pending = plan_update(index_dir, options=options, manifest=manifest)
    index_dir = pending.index_dir
    build = None
    changes = pending.changes
    _replace(index_dir, changes.replaced)
    if changes.to_embed or changes.moved or changes.replaced or pending.is_unfinished:
        build = build_index(
            pending.found.corpus,
            embedder=find_encoder(),
            index_dir=index_dir,
            manifest=pending.manifest,
            options=pending.options,
            on_progress=on_progress,
        )
    n_pruned = _prune(index_dir, _sure(changes, pending.found)) if prune else 0
    return Updated(pending=pending, n_pruned=n_pruned, build=build)


def remove_items(index_dir: Path, ids: Sequence[int]) -> int:
    """Take items out of an index, at once and for good; return how many were there.

    Raises
    ------
    IndexLocked : another process is writing.
    """
    index_dir = index_dir.absolute()
    Catalogue.open(index_dir).close()
    with (
        only_writer(index_dir),
        Catalogue.create(index_dir, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        return delete_items(connection, ids)


def chosen_ids(
    index_dir: Path,
    *,
    patterns: Sequence[str] = (),
    ids: Sequence[int] = (),
    where: str | None = None,
) -> Ids:
    """Return the ids (n,), ascending, of shown items that any of the choices names.

    Parameters
    ----------
    patterns : paths of a picture, sound or video relative to the corpus, or globs of them; `*`
        spans folders, and the name of a folder means all that is in it.
    where : a filter, as `indexer.where` has it.

    Raises
    ------
    FilterError : `where` does not parse.
    """
    with Catalogue.open(index_dir.absolute()) as catalogue, catalogue.reading() as connection:
        generation = _published(connection, index_dir)
        found = [np.array(ids, dtype=np.int64), _named(connection, patterns)]
        if where is not None:
            found.append(matching_ids(connection, where))
        chosen = np.unique(np.concatenate(found)).tolist()
        there = [
            item
            for part in chunked(chosen)
            for item in connection.scalars(select(items.c.id).where(items.c.id.in_(part)))
        ]
        hidden = hidden_ids(connection, generation.id)
    return np.setdiff1d(np.array(there, dtype=np.int64), hidden)


def _named(connection: Connection, patterns: Sequence[str]) -> Ids:
    if not patterns:
        return np.empty(0, np.int64)
    wanted = [shown(os.path.normpath(pattern)) for pattern in patterns]
    files = [
        row.id
        for row in connection.execute(select(sources.c.id, sources.c.path))
        if any(_is_named(shown(from_text(row.path)), pattern) for pattern in wanted)
    ]
    named = set(files)
    statement = select(items.c.id, items.c.frame_source, items.c.sound_source)
    found = [
        row.id
        for row in connection.execute(statement)
        if row.frame_source in named or row.sound_source in named
    ]
    return np.array(found, dtype=np.int64)


def _is_named(path: str, pattern: str) -> bool:
    return path == pattern or path.startswith(f"{pattern}/") or fnmatchcase(path, pattern)


def _published(connection: Connection, index_dir: Path) -> Generation:
    generation = latest_generation(connection)
    if generation is None:
        raise IndexMissing(index_dir, "the index was never finished")
    return generation


def _as_measured(options: BuildOptions, generation: Generation) -> BuildOptions:
    """Return options with the memory and the recall that the index was made for."""
    plan = plan_of(generation.parts[0])
    if plan is None:
        return options
    limit = plan.max_memory_bytes
    memory = None if limit is None else limit * len(WIDTHS)
    return replace(options, min_recall=plan.min_recall, max_memory=memory)


def _sure(changes: Changes, found: ScanReport) -> list[Lost]:
    """Return what is missing for certain: what could not be read may be there."""
    failed = {failure.path for failure in found.failures}
    return [
        one
        for one in changes.missing
        if not any(path in failed or path.startswith(found.unread) for path in one.gone)
    ]


def _replace(index_dir: Path, replaced: Sequence[Lost]) -> None:
    if not replaced:
        return
    with (
        only_writer(index_dir),
        Catalogue.create(index_dir, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        edition = _published(connection, index_dir).edition.id
        replace_plans(connection, edition, [one.key for one in replaced])


def _prune(index_dir: Path, missing: Sequence[Lost]) -> int:
    """Take out missing items, and forget that their files were ever there."""
    if not missing:
        return 0
    with (
        only_writer(index_dir),
        Catalogue.create(index_dir, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        edition = _published(connection, index_dir).edition.id
        known = known_outcomes(connection, edition, [one.key for one in missing])
        # What came back, or stands elsewhere by now, is not pruned.
        still = [one for one in missing if one.key in known and known[one.key].item == one.item_id]
        n_deleted = delete_items(connection, [one.item_id for one in still if one.item_id])
        forget_outcomes(connection, [one.key for one in still])
        return n_deleted
