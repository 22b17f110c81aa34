"""Which items are evaluated, in an order that depends on what they hold and not on their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Ids
from indexer.evaluation.contents import Content, contents_of
from indexer.evaluation.digests import WholeDigests, whole_digests
from indexer.evaluation.errors import NothingToEvaluate
from indexer.evaluation.options import RetrievalOptions
from indexer.lookup import ItemRow
from indexer.reader import IndexReader
from indexer.rules import NONE as NONE
from indexer.rules import numbered

Positions = NDArray[np.int64]
"""Places in the database, or in one of its lists of distinct frames and sounds."""
RECORDED = "recorded"
"""Metadata key by which a manifest says that picture and sound were recorded together."""
ROWS = 4096
"""Rows of the catalogue that are read at once."""


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
    n_unread : files that samples alone make equal to another; see `WholeDigests`.
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
    n_unread: int = 0

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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What is kept of an item while the database is put in order."""

    id: int
    label: str | None
    content: Content
    is_recorded: bool

    @property
    def key(self) -> tuple[object, ...]:
        """What the canonical order goes by; ids decide only between items equal in all of it."""
        return (*self.content.order, self.label or "", self.is_recorded, self.id)


def read_database(reader: IndexReader, options: RetrievalOptions) -> Database:
    """Read what the catalogue knows of the items that `options.where` lets through.

    Raises
    ------
    FilterError : `where` does not parse.
    NothingToEvaluate : fewer than two items on one of the two sides.
    """
    allowed = reader.allowed(options.where)
    ids = reader.ids if allowed is None else allowed
    whole = whole_digests(reader, ids)
    found = list(_candidates(reader, ids, whole))
    n_pairs = sum(one.content.is_pair for one in found)
    kind = options.database or ("pairs" if n_pairs > 1 else "all")
    kept = [one for one in found if one.content.is_pair or kind == "all"]
    left_out = Counter(
        "no sound" if one.content.sound is None else "no frame"
        for one in found
        if kind == "pairs" and not one.content.is_pair
    )
    kept.sort(key=lambda candidate: candidate.key)
    database = replace(_database(kind, kept, left_out), n_unread=whole.n_unread)
    return _checked(database, reader, options)


def _candidates(reader: IndexReader, ids: Ids, whole: WholeDigests) -> Iterator[_Candidate]:
    """Read the catalogue some rows at a time: metadata may be large."""
    names: dict[str | None, str | None] = {}
    for start in range(0, len(ids), ROWS):
        part = ids[start : start + ROWS]
        for row, content in zip(reader.rows(part), contents_of(reader, part, whole), strict=True):
            label = names.setdefault(row.label, row.label)
            yield _Candidate(row.id, label, content, _is_recorded(row, content))


def _is_recorded(row: ItemRow, content: Content) -> bool:
    said = str(row.metadata.get(RECORDED, "")).strip().lower() in ("true", "yes", "1")
    return content.is_pair and (content.one_file or said)


def _database(
    kind: Literal["pairs", "all"], kept: Sequence[_Candidate], left_out: Counter[str]
) -> Database:
    names = sorted({one.label for one in kept if one.label is not None})
    number = {name: n for n, name in enumerate(names)}
    labels = [NONE if one.label is None else number[one.label] for one in kept]
    frames, frame_items = numbered([one.content.frame for one in kept])
    sounds, sound_items = numbered([one.content.sound for one in kept])
    members = Counter(labels)
    left_out["no label"] = members.pop(NONE, 0)
    left_out["one-member class"] = sum(n == 1 for n in members.values())
    recorded = np.array([one.is_recorded for one in kept], np.bool_)
    left_out["not a recording"] = int((~recorded).sum())
    return Database(
        kind=kind,
        ids=np.array([one.id for one in kept], np.int64),
        labels=np.array(labels, np.int64),
        label_names=tuple(names),
        frames=frames,
        sounds=sounds,
        frame_items=frame_items,
        sound_items=sound_items,
        recorded=recorded,
        exclusions={reason: n for reason, n in sorted(left_out.items()) if n},
    )


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
