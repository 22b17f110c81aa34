"""The reader's side of labels: which sets there are, what they say, what is left to be labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, select

from indexer.blocks import Ids
from indexer.catalogue import chunked, items, label_failures, label_sets, pseudo_labels, sources
from indexer.errors import IndexCorrupt
from indexer.labels.provider import Answer, Side
from indexer.plan import FailureRow, FramePart, SoundPart, Source
from indexer.pseudo_labels import (
    MODALITIES,
    N_LABELS,
    NO_LABEL,
    LabelSet,
    Modality,
    Origin,
    PseudoLabels,
    TopLabels,
)

ROWS_AT_ONCE = 50_000
"""Rows on their way from the database to numpy: a row object takes 200 bytes, its numbers 24."""


@dataclass(frozen=True, kw_only=True)
class SetRow:
    """A set of labels as the catalogue knows it."""

    id: int
    provider: str
    version: str
    origin: Origin
    vocabulary: str
    names: tuple[str, ...]
    created: str

    @property
    def name(self) -> str:
        return f"{self.provider} (version {self.version})"


def set_rows(connection: Connection) -> list[SetRow]:
    """Return every set, the newest last."""
    return [
        SetRow(**(row._asdict() | {"names": tuple(row.names)}))
        for row in connection.execute(select(label_sets).order_by(label_sets.c.id))
    ]


def sets_of(connection: Connection, provider: str, version: str | None = None) -> list[SetRow]:
    """Return the sets of a provider, or the one of a version, the newest last."""
    return [
        row
        for row in set_rows(connection)
        if row.provider == provider and version in (None, row.version)
    ]


def described(connection: Connection, row: SetRow, shown: Ids) -> LabelSet:
    """Return a set with its counts over the items that may be shown."""
    counts = {
        modality: _n_among(_labelled(connection, row.id, modality), shown)
        for modality in MODALITIES
    }
    failed = select(label_failures.c.item).where(label_failures.c.label_set == row.id)
    return LabelSet(
        provider=row.provider,
        version=row.version,
        origin=row.origin,
        vocabulary=row.vocabulary,
        n_names=len(row.names),
        created=row.created,
        n_frames=counts["image"],
        n_sounds=counts["audio"],
        n_failures=_n_among(_ids(connection, failed), shown),
    )


def labels_of(connection: Connection, row: SetRow, shown: Ids, path: Path) -> PseudoLabels:
    """Return what a set says of the items that may be shown.

    Raises
    ------
    IndexCorrupt : a row names a label that the vocabulary does not hold.
    """
    image, audio = (_top_labels(connection, row, modality, shown, path) for modality in MODALITIES)
    return PseudoLabels(
        provider=row.provider,
        version=row.version,
        vocabulary=row.vocabulary,
        names=row.names,
        image=image,
        audio=audio,
    )


def labelled_items(connection: Connection, label_set: int, modality: Modality) -> Ids:
    """Return the items (n,), ascending, that were labelled, with or without anything recognised."""
    statement = _first_rows(label_set, modality)
    return _ids(connection, statement)


def answers_of(connection: Connection, label_set: int, wanted: Sequence[Side]) -> list[Answer]:
    """Return what the set says of sides that were labelled, each of one item."""
    said: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for part in chunked(sorted({side.items[0] for side in wanted})):
        statement = (
            select(pseudo_labels)
            .where(pseudo_labels.c.label_set == label_set, pseudo_labels.c.item.in_(part))
            .order_by(pseudo_labels.c.rank)
        )
        for row in connection.execute(statement):
            pairs = said.setdefault((row.modality, row.item), [])
            if row.label is not None:
                pairs.append((row.label, row.score))
    return [_answer(side, said[side.modality, side.items[0]]) for side in wanted]


def failures_of(connection: Connection, label_set: int, shown: Ids) -> list[FailureRow]:
    """Return each failing file of items that may be shown, once per code, by path."""
    statement = select(label_failures).where(label_failures.c.label_set == label_set)
    rows = connection.execute(statement).all()
    kept = np.isin([row.item for row in rows], shown)
    by_file = {
        (row.path, row.code): FailureRow(path=row.path, code=row.code, message=row.message)
        for row, keep in zip(rows, kept, strict=True)
        if keep
    }
    return [by_file[key] for key in sorted(by_file)]


def sides(connection: Connection) -> list[Side]:
    """Return the frame and the sound of every item, those of hidden items, too, item by item."""
    found = [*_frames(connection), *_sounds(connection)]
    return sorted(found, key=lambda side: side.items)


def _frames(connection: Connection) -> Iterator[Side]:
    statement = select(items.c.id, items.c.frame_time_s, sources).join(
        sources, sources.c.id == items.c.frame_source
    )
    for row in connection.execute(statement):
        # Not by the source's kind: one file may be the video of one item and the sound of another.
        still = row.frame_time_s is None
        part = FramePart(
            source=_source(row, "image" if still else "video"), time_s=row.frame_time_s or 0.0
        )
        yield Side(modality="image", part=part, items=(row[0],))


def _sounds(connection: Connection) -> Iterator[Side]:
    statement = select(items.c.id, items.c.t0, items.c.t1, sources).join(
        sources, sources.c.id == items.c.sound_source
    )
    for row in connection.execute(statement):
        part = SoundPart(source=_source(row, "audio"), t0_s=row.t0 or 0.0, t1_s=row.t1)
        yield Side(modality="audio", part=part, items=(row[0],))


def _answer(side: Side, pairs: Sequence[tuple[int, float]]) -> Answer:
    return Answer(
        side=side,
        labels=np.array([label for label, _ in pairs], np.int32),
        scores=np.array([score for _, score in pairs], np.float32),
    )


def _source(row: Any, kind: Any) -> Source:
    return Source(path=row.path, kind=kind, size=row.size, mtime_ns=row.mtime_ns)


def _first_rows(label_set: int, modality: Modality) -> Select[Any]:
    return select(pseudo_labels.c.item).where(
        pseudo_labels.c.label_set == label_set,
        pseudo_labels.c.modality == modality,
        pseudo_labels.c.rank == 0,
    )


def _labelled(connection: Connection, label_set: int, modality: Modality) -> Ids:
    recognised = pseudo_labels.c.label.is_not(None)
    return _ids(connection, _first_rows(label_set, modality).where(recognised))


def _ids(connection: Connection, statement: Select[Any]) -> Ids:
    found = connection.execute(statement.order_by(statement.selected_columns.item)).scalars()
    return np.fromiter(found, dtype=np.int64)


def _n_among(ids: Ids, shown: Ids) -> int:
    return int(np.isin(ids, shown).sum())


def _top_labels(
    connection: Connection, row: SetRow, modality: Modality, shown: Ids, path: Path
) -> TopLabels | None:
    found, ranks, labels, scores = _columns(connection, row.id, modality)
    kept = np.isin(found, shown)
    if not kept.any():
        return None
    if labels[kept].max() >= len(row.names) or ranks[kept].max() >= N_LABELS:
        remedy = f"run `retrieval label --delete {row.provider}`, then make them anew"
        raise IndexCorrupt(path, f"the labels by {row.provider} are damaged", remedy)
    ids, places = np.unique(found[kept], return_inverse=True)
    top = TopLabels(
        ids=ids,
        labels=np.full((len(ids), N_LABELS), NO_LABEL, np.int32),
        scores=np.zeros((len(ids), N_LABELS), np.float32),
    )
    top.labels[places, ranks[kept]] = labels[kept]
    top.scores[places, ranks[kept]] = scores[kept]
    return top


def _columns(
    connection: Connection, label_set: int, modality: Modality
) -> tuple[Ids, Ids, Ids, NDArray[np.float64]]:
    """Return item, rank, label and score of every row that names a label, each (n,)."""
    statement = (
        select(*(pseudo_labels.c[name] for name in ("item", "rank", "label", "score")))
        .where(
            pseudo_labels.c.label_set == label_set,
            pseudo_labels.c.modality == modality,
            pseudo_labels.c.label.is_not(None),
        )
        .order_by(pseudo_labels.c.item, pseudo_labels.c.rank)
    )
    parts = [np.empty((0, 4))]
    streamed = statement.execution_options(yield_per=ROWS_AT_ONCE)
    for rows in connection.execute(streamed).partitions():
        numbers = np.fromiter(chain.from_iterable(rows), np.float64, 4 * len(rows))
        parts.append(numbers.reshape(-1, 4))
    found = np.concatenate(parts)
    item, rank, label = (found[:, n].astype(np.int64) for n in range(3))
    return item, rank, label, found[:, 3]
