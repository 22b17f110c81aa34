"""Merge: one new index out of several of the same encoder, with nothing encoded again.

The new index is made beside its place under a temporary name and renamed when it is whole; the
others are read and left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from encoder.embedder import Embedder
from indexer.built_with import of_all, remember, remembered
from indexer.catalogue import Catalogue
from indexer.compact.writing import compact_segments
from indexer.copying import copied_names, copy_bases, copy_segment
from indexer.errors import IndexCorrupt, MergeError, StorageError, storing
from indexer.history import Edition, next_id
from indexer.kept_maps import form_of_all
from indexer.ledger import add_edition, commit_copied
from indexer.locking import HOLDER, LOCK, only_writer
from indexer.lookup import failure_rows, latest_generation
from indexer.merge_reading import OpenIndex, check_alike, opened
from indexer.merge_rows import ItemToCopy, RowCopy, items_to_copy, known_keys, lost_outcomes
from indexer.moved_paths import Moved, common_corpus, moves
from indexer.options import MIN_RECALL
from indexer.paths import stored_corpus
from indexer.progress import OnProgress, Progress
from indexer.publish import publish_generation
from indexer.row_copies import Renumbered, segment_ids
from indexer.storage import TEMPORARY, put_in_place, sweep, sync_folder, temporary
from indexer.store import segment_folder


@dataclass(frozen=True, kw_only=True)
class MergedIndex:
    """What became of one of the indexes.

    Attributes
    ----------
    n_items : that were taken over.
    n_duplicates : that an index before it has, too: the same files and the same seconds.
    """

    path: Path
    n_items: int
    n_duplicates: int


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """What a merge made.

    Attributes
    ----------
    corpus : the folder that paths are relative to from here on.
    n_failed : files that have failed, wholly or in part.
    conditional : by side, how it is searched, as in `indexer.build.BuildReport`.
    """

    index_dir: Path
    corpus: Path
    generation: int
    n_items: int
    n_failed: int
    merged: tuple[MergedIndex, ...]
    seconds_by_phase: dict[str, float]
    conditional: dict[str, Any]
    min_recall: float

    @property
    def n_duplicates(self) -> int:
        return sum(one.n_duplicates for one in self.merged)

    @property
    def seconds(self) -> float:
        return sum(self.seconds_by_phase.values())


def merge(
    out: Path,
    indexes: Sequence[Path],
    *,
    embedder: Embedder,
    corpus: Path | None = None,
    min_recall: float = MIN_RECALL,
    on_progress: OnProgress | None = None,
) -> MergeReport:
    """Make one index of several.

    Items get new ids. One that two indexes have is taken from the first. Deleted items and those
    that a newer one stands in for are left out. Paths stay where all have the same corpus;
    otherwise they are told from the folder that holds all of them.

    Parameters
    ----------
    out : a folder that is not there yet, or empty.
    embedder : the one that built the indexes; it measures, it encodes nothing.
    corpus : the corpus of all, wherever they say it is.

    Raises
    ------
    MergeError : they are of different encoders, have no folder in common, or hold no item.
    EncoderMismatch : `embedder` is another one.
    IndexMissing, IndexCorrupt : one of them.
    IndexLocked : one of them changes, or another process makes the same `out`.
    StorageError : `out` is there, or cannot be written.
    """
    out, progress = out.absolute(), Progress(on_progress)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out}: there is something already; delete it or give another folder")
    with ExitStack() as stack:
        found = [stack.enter_context(opened(path.absolute())) for path in indexes]
        check_alike(found, embedder)
        common = common_corpus([one.corpus for one in found], corpus)
        seen = moves([one.corpus for one in found], common, corpus)
        draft = out.with_name(TEMPORARY + out.name)
        with storing(out):
            draft.mkdir(parents=True, exist_ok=True)
        with only_writer(draft):
            try:
                _clear(draft)  # what a merge that was killed left
                with Catalogue.create(draft, corpus=stored_corpus(common, out)) as catalogue:
                    together = list(zip(found, seen, strict=True))
                    report = _Merge(draft, catalogue, embedder, together, progress).run(min_recall)
            except BaseException:
                _clear(draft)
                raise
    with storing(out):
        sync_folder(draft)
        draft.replace(out)
        sync_folder(out.parent)
    return replace(report, index_dir=out, corpus=common)


def _clear(draft: Path) -> None:
    """Delete what is in the draft of an index, but for the lock that is held."""
    with storing(draft):
        sweep(draft, {LOCK, HOLDER})


class _Merge:
    """One run into an empty index, under its lock."""

    def __init__(
        self,
        index_dir: Path,
        catalogue: Catalogue,
        embedder: Embedder,
        found: Sequence[tuple[OpenIndex, Moved]],
        progress: Progress,
    ) -> None:
        self.index_dir, self.catalogue, self.embedder = index_dir, catalogue, embedder
        self.found, self.progress = found, progress
        every = [one.generation.segments for one, _ in found]
        self.form = form_of_all(dict(enumerate(n for files in every for n in files.values())))

    def run(self, min_recall: float) -> MergeReport:
        self.progress.total = sum(one.generation.n_items for one, _ in self.found)
        self.progress.enter("copy")
        edition = self._edition()
        merged = [self._items(edition, one, moved) for one, moved in self.found]
        if not any(one.n_items for one in merged):
            raise MergeError("no item is left in the indexes, so there is nothing to merge")
        for one, moved in self.found:
            self._lost(edition, one, moved)
        self.progress.enter("index")
        compact_segments(self.index_dir, self.catalogue, edition, self.form)
        generation = publish_generation(
            self.index_dir, self.catalogue, edition, self.embedder, min_recall=min_recall
        )
        self.progress.end()
        with self.catalogue.reading() as connection:
            published = latest_generation(connection)
            failed = {failure.path for failure in failure_rows(connection, edition.id)}
        assert published is not None
        return MergeReport(
            index_dir=self.index_dir,
            corpus=self.index_dir,
            generation=generation,
            n_items=published.n_items,
            n_failed=len(failed),
            merged=tuple(merged),
            seconds_by_phase=self.progress.seconds,
            conditional=published.efforts,
            min_recall=min_recall,
        )

    def _edition(self) -> Edition:
        first = self.found[0][0].generation.edition
        is_moved = any(moved.prefix for _, moved in self.found)
        built = of_all([remembered(one.connection) for one, _ in self.found], is_moved=is_moved)
        with self.catalogue.writing() as connection:
            if built is not None:
                remember(connection, built)
            return add_edition(
                connection,
                fingerprint=first.encoder_fingerprint,
                name=first.encoder_name,
                grid=first.grid,
            )

    def _items(self, edition: Edition, one: OpenIndex, moved: Moved) -> MergedIndex:
        """Copy what an index has and those before it have not."""
        editions = (one.generation.edition.id, edition.id)
        with self.catalogue.writing() as write:
            copy = RowCopy(read=one.connection, write=write, editions=editions, moved=moved)
            sets = copy.label_sets()
        n_items = n_duplicates = 0
        try:
            bases = copy_bases(one, self.index_dir, self.catalogue, edition, self.form)
            for number, files in one.generation.segments.items():
                ids = segment_ids(segment_folder(one.path, number), files)
                ids = np.setdiff1d(ids, one.hidden, assume_unique=True)
                there = items_to_copy(one.connection, editions[0], ids.tolist(), moved)
                chosen = self._new(edition, there)
                if chosen:
                    self._segment(one, number, chosen, bases, moved, sets, editions)
                n_items += len(chosen)
                n_duplicates += len(there) - len(chosen)
                self.progress.done += len(chosen)
                self.progress.skipped += len(there) - len(chosen)
                self.progress.tell()
        except IndexCorrupt as error:
            raise one.damage(error) from error
        return MergedIndex(path=one.path, n_items=n_items, n_duplicates=n_duplicates)

    def _new(self, edition: Edition, there: Sequence[ItemToCopy]) -> list[ItemToCopy]:
        with self.catalogue.reading() as connection:
            known = known_keys(connection, edition.id, [one.moved for one in there])
        chosen = {one.moved: one for one in reversed(there) if one.moved not in known}
        return sorted(chosen.values(), key=lambda one: one.id)

    def _segment(
        self,
        one: OpenIndex,
        number: int,
        chosen: Sequence[ItemToCopy],
        bases: dict[int, int],
        moved: Moved,
        sets: dict[int, int],
        editions: tuple[int, int],
    ) -> None:
        """Copy a segment's files and rows: the transaction at the end makes them exist."""
        with self.catalogue.reading() as connection:
            segment, first = next_id(connection, "segment"), next_id(connection, "item")
        numbers = Renumbered(np.array([item.id for item in chosen], np.int64), first)
        files = one.generation.segments[number]
        folder = segment_folder(self.index_dir, segment)
        with storing(self.index_dir):
            draft = temporary(folder)
            records = copy_segment(
                segment_folder(one.path, number), files, draft, copied_names(files, bases), numbers
            )
            put_in_place(draft, folder)
        with self.catalogue.writing() as write:
            copy = RowCopy(read=one.connection, write=write, editions=editions, moved=moved)
            copy.items(chosen, numbers.new)
            copy.pseudo_labels(sets, [item.id for item in chosen], numbers.new)
            commit_copied(
                write,
                segment=segment,
                edition=editions[1],
                files=records,
                items=range(first, first + len(chosen)),
            )

    def _lost(self, edition: Edition, one: OpenIndex, moved: Moved) -> None:
        """Copy what failed or was deleted, after all that was not: another index may have it."""
        editions = (one.generation.edition.id, edition.id)
        for page in lost_outcomes(one.connection, editions[0]):
            with self.catalogue.writing() as write:
                copy = RowCopy(read=one.connection, write=write, editions=editions, moved=moved)
                copy.lost(page)
