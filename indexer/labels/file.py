"""Any table of labels as a provider: each row checked, then matched with the items it speaks of."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexer.labels.column import beyond_the_tenth
from indexer.labels.errors import LabelFileError, VocabulariesMixed
from indexer.labels.file_rows import FileRow, read_label_file
from indexer.labels.known import KnownLabels
from indexer.labels.provider import Excluded
from indexer.labels.ranked import LabelRows, Numbers, sorted_vocabulary
from indexer.labels.tables import WAY_OUT, file_version
from indexer.lookup import ItemRow
from indexer.paths import shown
from indexer.pseudo_labels import MODALITIES, Modality, PseudoLabels

if TYPE_CHECKING:
    from indexer.reader import IndexReader

UNKNOWN = "rows of no item of the index"
NO_SIDE = {"image": "rows of an item without a frame", "audio": "rows of an item without a sound"}


def file_labels(reader: IndexReader, path: Path, *, name: str | None = None) -> KnownLabels:
    """Return a file of labels as a provider.

    A row names one item by `id`, or by `path` every item with that picture or sound (relative to
    the corpus). Rows that speak of no item of the index are excluded and counted. The order is the
    file's `rank` where it has one, else score descending, then label ascending.

    Parameters
    ----------
    name : of the provider; default the file's stem.

    Raises
    ------
    LabelFileError : the file, or a row of it, which the message names: no number as score, a label
        given twice to one side of an item, ranks that contradict the scores, or no row that speaks
        of an item of the index.
    VocabulariesMixed : its `vocabulary` column has two values.
    """
    found = _Reading(reader, path)
    for row in read_label_file(path):
        found.take(row)
    return found.labels(name or path.stem)


class _Reading:
    """A file on its way in: what was read, and what had to be left out."""

    def __init__(self, reader: IndexReader, path: Path) -> None:
        self.path = path
        rows = reader.rows(reader.ids)
        self.items = {row.id: row for row in rows}
        self.places = {modality: _by_path(rows, modality) for modality in MODALITIES}
        self.sides = {modality: LabelRows() for modality in MODALITIES}
        self.numbers: dict[str, int] = {}
        self.first: FileRow | None = None
        self.left_out: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.n_rows = 0

    def take(self, row: FileRow) -> None:
        """Check a row against those before it, and match it with the items it speaks of."""
        self.n_rows += 1
        self.first = self.first or row
        if row.vocabulary != self.first.vocabulary:
            raise VocabulariesMixed(
                f"{self.path}: row {row.number} ({row.speaks_of}) is of vocabulary "
                f"{row.vocabulary!r}, row {self.first.number} of {self.first.vocabulary!r}; "
                "labels of two vocabularies cannot be compared: give one file for each"
            )
        if (row.rank is None) != (self.first.rank is None):
            raise self.error(row.number, f"{row.speaks_of}: some rows have a rank and some none")
        label = self.numbers.setdefault(row.label, len(self.numbers))
        for item in self._items(row):
            self.sides[row.modality].add(item, label, row.score, rank=row.rank or 0, row=row.number)

    def labels(self, name: str) -> KnownLabels:
        """Return all that was read as a provider."""
        if self.first is None:
            raise LabelFileError(f"{self.path}: no rows; {WAY_OUT}")
        if not any(len(rows) for rows in self.sides.values()):
            raise LabelFileError(
                f"{self.path}: none of its {self.n_rows} rows speaks of an item of the index, such "
                f"as {next(iter(self.examples.values()))}; paths are relative to the corpus"
            )
        for rows in self.sides.values():
            self._check(rows)
        names, places = sorted_vocabulary(list(self.numbers))
        (image, n_frames), (audio, n_sounds) = (
            self.sides[modality].ranked(places) for modality in MODALITIES
        )
        labels = PseudoLabels(
            provider=name,
            version=file_version(self.path),
            vocabulary=self.first.vocabulary or name,
            names=names,
            image=image,
            audio=audio,
        )
        excluded = [
            Excluded(reason=reason, n=n, example=self.examples[reason])
            for reason, n in self.left_out.items()
        ]
        return KnownLabels(
            labels, origin="file", excluded=[*excluded, *beyond_the_tenth(n_frames + n_sounds)]
        )

    def error(self, number: int, reason: str) -> LabelFileError:
        return LabelFileError(f"{self.path}: row {number}: {reason}; mend the file")

    def _items(self, row: FileRow) -> list[int]:
        """Return the items that a row speaks of; none after an exclusion was counted."""
        if row.item is None:
            found = self.places[row.modality].get(shown(posixpath.normpath(row.path or "")), [])
            return found or self._exclude(UNKNOWN, row)
        item = self.items.get(row.item)
        if item is None:
            return self._exclude(UNKNOWN, row)
        if _file_of(item, row.modality) is None:
            return self._exclude(NO_SIDE[row.modality], row)
        self._check_path(item, row)
        return [item.id]

    def _check_path(self, item: ItemRow, row: FileRow) -> None:
        """Ids of another index would label the wrong files: a path beside the id must agree."""
        its_own = {shown(name) for name in (item.image, item.audio) if name}
        if row.path is not None and shown(posixpath.normpath(row.path)) not in its_own:
            raise self.error(
                row.number,
                f"item {item.id} is {' and '.join(sorted(its_own))}, not {row.path!r}: the ids are "
                "of another index",
            )

    def _exclude(self, reason: str, row: FileRow) -> list[int]:
        self.left_out[reason] += 1
        self.examples.setdefault(reason, f"{row.speaks_of} in row {row.number}")
        return []

    def _check(self, rows: LabelRows) -> None:
        """Raise LabelFileError for what one side of an item has twice, and for contrary ranks."""
        if not len(rows):
            return
        names = list(self.numbers)
        self._check_once(rows, rows.labels, lambda label: f"label {names[label]!r}")
        if self.first is not None and self.first.rank is not None:
            self._check_once(rows, rows.ranks, lambda rank: f"rank {rank}")
            self._check_ranks(rows)

    def _check_once(self, rows: LabelRows, values: Numbers, named: Callable[[int], str]) -> None:
        order = np.lexsort((rows.rows, values, rows.items))
        items, ordered = rows.items[order], values[order]
        again = np.flatnonzero((items[1:] == items[:-1]) & (ordered[1:] == ordered[:-1]))
        if len(again):
            before, row = order[again[0]], order[again[0] + 1]
            raise self.error(
                int(rows.rows[row]),
                f"item {rows.items[row]} has {named(int(values[row]))} a second time, after row "
                f"{rows.rows[before]}",
            )

    def _check_ranks(self, rows: LabelRows) -> None:
        order = np.lexsort((rows.ranks, rows.items))
        items, scores = rows.items[order], rows.scores[order]
        rising = np.flatnonzero((items[1:] == items[:-1]) & (scores[1:] > scores[:-1])) + 1
        if len(rising):
            row = order[rising[0]]
            raise self.error(
                int(rows.rows[row]),
                f"item {rows.items[row]}: rank {rows.ranks[row]} has a higher score than the rank "
                "before it",
            )


def _file_of(row: ItemRow, modality: Modality) -> str | None:
    return row.image if modality == "image" else row.audio


def _by_path(rows: list[ItemRow], modality: Modality) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        path = _file_of(row, modality)
        if path is not None:
            found.setdefault(shown(path), []).append(row.id)
    return found
