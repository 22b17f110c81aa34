"""Which items are evaluated, in an order that depends on what they hold and not on their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Ids
from indexer.evaluation.contents import Content, contents_of
from indexer.evaluation.errors import NothingToEvaluate
from indexer.evaluation.options import RetrievalOptions
from indexer.lookup import ItemRow
from indexer.reader import IndexReader

NONE = -1
Positions = NDArray[np.int64]
"""Places in the database, or in one of its lists of distinct frames and sounds."""
RECORDED = "recorded"
"""Metadata key by which a manifest says that picture and sound were recorded together."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """The n items under evaluation.

    They are ordered by content, then label: everything drawn at random is drawn from this order, so
    that the figures of a collection do not depend on the order in which it was indexed.

    Attributes
    ----------
    kind : `pairs` or `all`, see `RetrievalOptions.database`.
    ids : (n,) item ids.
    labels : (n,) index into `label_names`, NONE where an item has no label.
    frames, sounds : (n,) number of the distinct frame and sound; NONE where there is none.
    frame_items, sound_items : (F,) and (S,) position of the item that holds each distinct one.
    recorded : (n,) whether frame and sound are one recording: of one file, or said so by metadata.
    exclusions : items left out by reason, see `RetrievalFigures`.
    """

    kind: Literal["pairs", "all"]
    ids: Ids
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]
    frames: Positions
    sounds: Positions
    frame_items: Positions
    sound_items: Positions
    recorded: NDArray[np.bool_]
    exclusions: dict[str, int]

    @property
    def with_frame(self) -> Positions:
        """Positions of the items that have a frame."""
        return np.flatnonzero(self.frames != NONE)

    @property
    def with_sound(self) -> Positions:
        """Positions of the items that have a sound."""
        return np.flatnonzero(self.sounds != NONE)

    @property
    def pairs(self) -> Positions:
        """Positions of the items that have both."""
        return np.flatnonzero((self.frames != NONE) & (self.sounds != NONE))


@dataclass(frozen=True)
class _Candidate:
    row: ItemRow
    content: Content

    @property
    def is_pair(self) -> bool:
        return self.content.frame is not None and self.content.sound is not None

    @property
    def key(self) -> tuple[object, ...]:
        """What the canonical order goes by; ids decide only between items equal in all of it."""
        frame, sound = self.content.frame or ("", 0.0), self.content.sound or ("", 0.0, 0.0)
        return (*frame, *sound, self.row.label or "", self.is_recorded, self.row.id)

    @property
    def is_recorded(self) -> bool:
        said = str(self.row.metadata.get(RECORDED, "")).strip().lower() in ("true", "yes", "1")
        return self.is_pair and (self.content.one_file or said)


def read_database(reader: IndexReader, options: RetrievalOptions) -> Database:
    """Read what the catalogue knows of the items that `options.where` lets through.

    Raises
    ------
    FilterError : `where` does not parse.
    NothingToEvaluate : fewer than two items on one of the two sides.
    """
    allowed = reader.allowed(options.where)
    ids = reader.ids if allowed is None else allowed
    found = [
        _Candidate(row, content)
        for row, content in zip(reader.rows(ids), contents_of(reader, ids), strict=True)
    ]
    n_pairs = sum(candidate.is_pair for candidate in found)
    kind = options.database or ("pairs" if n_pairs > 1 else "all")
    kept = [one for one in found if one.is_pair or kind == "all"]
    left_out = Counter(
        "no sound" if one.content.sound is None else "no frame"
        for one in found
        if kind == "pairs" and not one.is_pair
    )
    kept.sort(key=lambda candidate: candidate.key)
    return _checked(_database(kind, kept, left_out), reader, options)


def _database(
    kind: Literal["pairs", "all"], kept: Sequence[_Candidate], left_out: Counter[str]
) -> Database:
    names = sorted({one.row.label for one in kept if one.row.label is not None})
    number = {name: n for n, name in enumerate(names)}
    labels = [NONE if one.row.label is None else number[one.row.label] for one in kept]
    frames, frame_items = _numbered([one.content.frame for one in kept])
    sounds, sound_items = _numbered([one.content.sound for one in kept])
    members = Counter(labels)
    left_out["no label"] = members.pop(NONE, 0)
    left_out["one-member class"] = sum(n == 1 for n in members.values())
    recorded = np.array([one.is_recorded for one in kept], np.bool_)
    left_out["not a recording"] = int((~recorded).sum())
    return Database(
        kind=kind,
        ids=np.array([one.row.id for one in kept], np.int64),
        labels=np.array(labels, np.int64),
        label_names=tuple(names),
        frames=frames,
        sounds=sounds,
        frame_items=frame_items,
        sound_items=sound_items,
        recorded=recorded,
        exclusions={reason: n for reason, n in sorted(left_out.items()) if n},
    )


def _numbered(
    contents: Sequence[tuple[str, float] | tuple[str, float, float] | None],
) -> tuple[Positions, Positions]:
    """Number distinct contents in order of first appearance; say where each first appears."""
    numbers: dict[tuple[str, float] | tuple[str, float, float], int] = {}
    first: list[int] = []
    of_item = []
    for position, content in enumerate(contents):
        if content is None:
            of_item.append(NONE)
            continue
        if content not in numbers:
            numbers[content] = len(first)
            first.append(position)
        of_item.append(numbers[content])
    return np.array(of_item, np.int64), np.array(first, np.int64)


def _checked(database: Database, reader: IndexReader, options: RetrievalOptions) -> Database:
    n_frames, n_sounds = len(database.with_frame), len(database.with_sound)
    if min(n_frames, n_sounds) < 2:
        of = f" where {options.where}" if options.where else ""
        kind = " of items with both" if database.kind == "pairs" else ""
        raise NothingToEvaluate(
            f"{reader.path}: {n_frames} frames and {n_sounds} sounds{kind}{of}; "
            "ranking needs two of each: index more, or widen --where"
        )
    return database
