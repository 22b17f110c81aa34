"""Import: labels, boxes and metadata that people edited, back into an index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from indexer.annotation_rows import SUFFIXES, AnnotationRow, RefusedRow, read_annotations
from indexer.annotations import (
    AnnotatedItem,
    Annotations,
    ItemsByFile,
    annotated_items,
    replace_annotations,
)
from indexer.blocks import Ids
from indexer.catalogue import Catalogue
from indexer.errors import AnnotationsError
from indexer.exporting import FACTS
from indexer.locking import only_writer
from indexer.paths import shown
from indexer.reader import IndexReader

AT_ONCE = 2000
"""Lines of a transaction."""
MAX_REFUSED = 1000
"""Lines whose reasons are kept; the rest is counted."""
SAME_S = 0.0015
"""Seconds that a person may have rounded away."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    n_changed, n_unchanged : items that say something new, and those that said the same before.
    refused : the first lines that were not applied.
    """

    index_dir: Path
    file: Path
    n_changed: int
    n_unchanged: int
    n_refused: int
    refused: tuple[RefusedRow, ...]
    dry_run: bool


def import_annotations(reader: IndexReader, given: Path, *, dry_run: bool = False) -> ImportReport:
    """Have items be what a table says of them; a line that cannot be applied stops no other.

    A line names its item by id, by files and seconds, or by both, which then must agree. What holds
    from then on does so for every reader at once. The items stay as they are when the corpus is
    built again, until one of their files or their row of the manifest changes.

    Parameters
    ----------
    given : a .jsonl or .csv file, or the folder that `retrieval export` wrote one to.
    dry_run : look only; also where another process writes, or nobody may.

    Raises
    ------
    AnnotationsError : there is no such table, or it says nothing of items.
    IndexLocked : another process is writing.
    """
    file = _table_in(given)
    if dry_run:
        with Catalogue.open(reader.path) as catalogue:
            return _Import(reader.path, reader.ids, catalogue, dry_run).run(file)
    with (
        only_writer(reader.path),
        Catalogue.create(reader.path, corpus=str(reader.corpus)) as catalogue,
    ):
        return _Import(reader.path, reader.ids, catalogue, dry_run).run(file)


def _table_in(given: Path) -> Path:
    """Return the file that is meant; raises AnnotationsError."""
    if not given.is_dir():
        return given
    tables = [path for suffix in SUFFIXES if (path := given / f"items{suffix}").is_file()]
    if len(tables) == 1:
        return tables[0]
    if tables:
        raise AnnotationsError(f"{given}: two tables of items; name the one to import")
    if _is_of_vectors(given / FACTS):
        raise AnnotationsError(
            f"{given}: an export of vectors. An index also needs the maps and h that conditional "
            "search looks through: build it from the corpus, or merge indexes"
        )
    raise AnnotationsError(f"{given}: no items.jsonl or items.csv in it; name a file")


def _is_of_vectors(facts: Path) -> bool:
    try:
        found = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("form") == "npy"


class _Import:
    """One run over one index, under the writer's lock unless it only looks."""

    def __init__(self, index_dir: Path, ids: Ids, catalogue: Catalogue, dry_run: bool) -> None:
        self.index_dir, self.ids, self.catalogue = index_dir, ids, catalogue
        self.dry_run = dry_run
        self.n_changed = self.n_unchanged = self.n_refused = 0
        self.refused: list[RefusedRow] = []
        self.seen: set[int] = set()
        self.by_file: ItemsByFile | None = None

    def run(self, file: Path) -> ImportReport:
        for lines in _batches(read_annotations(file)):
            with self._connection() as connection:
                self._apply(connection, lines)
        return ImportReport(
            index_dir=self.index_dir,
            file=file,
            n_changed=self.n_changed,
            n_unchanged=self.n_unchanged,
            n_refused=self.n_refused,
            refused=tuple(self.refused),
            dry_run=self.dry_run,
        )

    def _connection(self) -> AbstractContextManager[Connection]:
        return self.catalogue.reading() if self.dry_run else self.catalogue.writing()

    def _apply(self, connection: Connection, lines: Sequence[AnnotationRow | RefusedRow]) -> None:
        rows = [line for line in lines if isinstance(line, AnnotationRow)]
        look_up = _LookUp(connection, rows, self.ids, self._by_path(connection, rows))
        changes: dict[int, Annotations] = {}
        for line in lines:
            found = look_up.item(line) if isinstance(line, AnnotationRow) else line
            if isinstance(found, AnnotatedItem) and isinstance(line, AnnotationRow):
                reason = self._said(found, line.said, changes)
                found = RefusedRow(number=line.number, reason=reason) if reason else found
            if isinstance(found, RefusedRow):
                self._refuse(found)
        if not self.dry_run:
            replace_annotations(connection, changes)

    def _by_path(
        self, connection: Connection, rows: Sequence[AnnotationRow]
    ) -> dict[str, list[int]]:
        """Return the items of those files that stand for an id."""
        named = {path for row in rows if row.id is None for path in (row.image, row.audio) if path}
        if not named:
            return {}
        if self.by_file is None:
            self.by_file = ItemsByFile(connection)
        return self.by_file.of_paths(connection, named)

    def _said(self, item: AnnotatedItem, said: Annotations, changes: dict[int, Annotations]) -> str:
        """Note what a line changes of its item; return why that cannot be, empty where it can."""
        if item.id in self.seen:
            return f"item {item.id} has a line before it"
        if said.boxes and item.image is None:
            return f"item {item.id} has no picture for boxes"
        self.seen.add(item.id)
        new = _news(item, said)
        if new == Annotations():
            self.n_unchanged += 1
        else:
            self.n_changed += 1
            changes[item.id] = new
        return ""

    def _refuse(self, row: RefusedRow) -> None:
        self.n_refused += 1
        if len(self.refused) < MAX_REFUSED:
            self.refused.append(row)


class _LookUp:
    """The items that some lines may mean."""

    def __init__(
        self,
        connection: Connection,
        rows: Sequence[AnnotationRow],
        shown_ids: Ids,
        by_path: dict[str, list[int]],
    ) -> None:
        self.by_path = by_path
        wanted = [row.id for row in rows if row.id is not None and row.id < 2**63]
        wanted += [item for ids in self.by_path.values() for item in ids]
        there = _common(np.unique(np.array(wanted, np.int64)), shown_ids)
        self.items = annotated_items(connection, there.tolist())

    def item(self, row: AnnotationRow) -> AnnotatedItem | RefusedRow:
        """Return the one item that a line means, or why there is none."""
        if row.id is not None:
            found = [self.items[row.id]] if row.id in self.items else []
        else:
            path = row.image or row.audio or ""
            near = self.by_path.get(shown(path), [])
            found = [self.items[item] for item in dict.fromkeys(near) if item in self.items]
        fitting = [item for item in found if _fits(item, row)]
        if len(fitting) == 1:
            return fitting[0]
        return RefusedRow(number=row.number, reason=_why_not_one(row, found, fitting))


def _common(wanted: Ids, shown_ids: Ids) -> Ids:
    """Return which ids (k,) are among many (n,), both ascending; the many are not gone through."""
    if not len(shown_ids):
        return shown_ids
    places = np.searchsorted(shown_ids, wanted)
    common: Ids = wanted[np.take(shown_ids, places, mode="clip") == wanted]
    return common


def _fits(item: AnnotatedItem, row: AnnotationRow) -> bool:
    """Say whether an item is what a line says of its files and seconds."""
    files = [(row.image, item.image), (row.audio, item.audio)]
    if any(said and shown(said) != shown(there or "") for said, there in files):
        return False
    times = [(row.frame_time_s, item.frame_time_s), (row.t0, item.t0), (row.t1, item.t1)]
    return all(
        said is None or (there is not None and abs(said - there) <= SAME_S) for said, there in times
    )


def _why_not_one(
    row: AnnotationRow, found: Sequence[AnnotatedItem], fitting: Sequence[AnnotatedItem]
) -> str:
    if len(fitting) > 1:
        return f"{len(fitting)} items have these files and seconds; give the id of one"
    if row.id is None:
        return f"no item of {row.image or row.audio} has these files and seconds"
    if not found:
        return f"the index has no item {row.id}; leave the id out to go by files and seconds"
    files = " and ".join(path for path in (found[0].image, found[0].audio) if path)
    return f"item {row.id} is {files} at other seconds or another file; is it the same index?"


def _news(item: AnnotatedItem, said: Annotations) -> Annotations:
    """Return what is said that was not so before."""
    new = said
    if said.label == item.label:
        new = replace(new, label=None)
    if said.boxes == item.boxes:
        new = replace(new, boxes=None)
    if said.metadata == item.metadata:
        new = replace(new, metadata=None)
    return new


def _batches(
    lines: Iterator[AnnotationRow | RefusedRow],
) -> Iterator[list[AnnotationRow | RefusedRow]]:
    while batch := list(islice(lines, AT_ONCE)):
        yield batch
