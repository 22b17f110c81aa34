"""The reader's side of the catalogue: generations, rows of items, which of them may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from indexer.blocks import Ids
from indexer.catalogue import (
    bases,
    boxes,
    chunked,
    editions,
    efforts,
    failures,
    generations,
    items,
    labels,
    meta,
    parts,
    segments,
    sources,
)
from indexer.history import Edition
from indexer.ledger import Calibration
from indexer.plan import Box, FailureRow, ItemKind, Metadata
from indexer.storage import FileRecord
from indexer.where import parse


@dataclass(frozen=True, kw_only=True)
class Part:
    """Vectors derived from some segments: the files of one folder.

    Attributes
    ----------
    facts : by space, what `indexer.vectors` says of its file.
    """

    id: int
    segments: tuple[int, ...]
    files: dict[str, FileRecord]
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What readers see: segments, the vectors derived from them, and the encoder of both.

    Attributes
    ----------
    parts : the largest first; every segment is in one of them.
    efforts : by side, how it is searched; a side that is absent is scored in full.
    is_measured : False where that was never measured, or for maps that are no longer those.
    """

    id: int
    edition: Edition
    corpus: str
    n_items: int
    segments: dict[int, dict[str, FileRecord]]
    parts: tuple[Part, ...]
    calibration: Calibration
    efforts: dict[str, Any]
    is_measured: bool


@dataclass(frozen=True, kw_only=True)
class BasisRow:
    """A basis of compact maps: its file, and what is known of how it was fitted."""

    id: int
    edition: int
    file: FileRecord
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item as the catalogue knows it.

    Attributes
    ----------
    image, audio : relative to the corpus, POSIX; None where the item has no such side. For a video
        both name it. `IndexReader.locate` opens names that are no UTF-8, too.
    frame_time_s : where in a video the frame stands; None for a still.
    t0, t1 : seconds of `audio` that the sound spans; the moment of a mute video's frame, twice.
    """

    id: int
    kind: ItemKind
    image: str | None
    audio: str | None
    frame_time_s: float | None
    t0: float | None
    t1: float | None
    label: str | None
    metadata: Metadata

    @property
    def has_frame(self) -> bool:
        return self.image is not None

    @property
    def has_sound(self) -> bool:
        return self.audio is not None


def latest_generation(connection: Connection) -> Generation | None:
    """Return the generation to open, None where no build was ever finished."""
    statement = (
        select(generations, editions, meta.c.value.label("corpus"))
        .join(editions, editions.c.id == generations.c.edition)
        .join(meta, meta.c.key == "corpus")
        .order_by(generations.c.id.desc())
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    known = _efforts(connection, row.id)
    edition = Edition(
        id=row.edition,
        encoder_fingerprint=row.encoder_fingerprint,
        encoder_name=row.encoder_name,
        grid=(row.grid_rows, row.grid_columns),
    )
    return Generation(
        id=row.id,
        edition=edition,
        corpus=row.corpus,
        n_items=row.n_items,
        segments=_segments(connection, row.segments),
        parts=_parts(connection, row.parts),
        calibration=row.calibration,
        efforts=known or {},
        is_measured=known is not None,
    )


def basis_rows(connection: Connection) -> dict[int, BasisRow]:
    """Return every basis by number, ascending."""
    return {
        row.id: BasisRow(
            id=row.id,
            edition=row.edition,
            file=FileRecord.from_json(row.file),
            facts=row.facts,
        )
        for row in connection.execute(select(bases).order_by(bases.c.id))
    }


def hidden_ids(connection: Connection, generation: int) -> Ids:
    """Return ids (n,), ascending, that a reader of this generation must not show."""
    # Two statements: either has an index, both with `or` read every row.
    conditions = (items.c.deleted, items.c.superseded_in <= generation)
    found = [connection.scalars(select(items.c.id).where(condition)) for condition in conditions]
    return np.unique(np.array([item for rows in found for item in rows], dtype=np.int64))


def unknown_ids(connection: Connection, ids: Ids) -> Ids:
    """Return those of ids (n,) that the catalogue does not know, ascending."""
    known = np.fromiter(connection.scalars(select(items.c.id)), dtype=np.int64)
    return np.setdiff1d(ids, known)


def matching_ids(connection: Connection, where: str) -> Ids:
    """Return ids (n,), ascending, that a filter text lets through. Raises FilterError."""
    return _ids(connection, select(items.c.id).where(parse(where)))


def item_rows(connection: Connection, ids: Sequence[int]) -> dict[int, ItemRow]:
    """Return the rows of these items by id."""
    frame, sound = sources.alias(), sources.alias()
    label = select(func.min(labels.c.name)).where(labels.c.item == items.c.id).scalar_subquery()
    statement = (
        select(
            items, frame.c.path.label("image"), sound.c.path.label("audio"), label.label("label")
        )
        .outerjoin(frame, frame.c.id == items.c.frame_source)
        .outerjoin(sound, sound.c.id == items.c.sound_source)
    )
    rows = {}
    for part in chunked([int(item) for item in ids]):
        for row in connection.execute(statement.where(items.c.id.in_(part))):
            rows[row.id] = _item_row(row)
    return rows


def item_boxes(connection: Connection, item: int) -> list[Box]:
    """Return what people drew into the frame of an item."""
    statement = select(boxes).where(boxes.c.item == item).order_by(boxes.c.id)
    return [
        Box(
            x0=row.x0,
            y0=row.y0,
            x1=row.x1,
            y1=row.y1,
            annotator=row.annotator,
            kind=row.kind,
            tag=row.tag,
        )
        for row in connection.execute(statement)
    ]


def failure_rows(connection: Connection, edition: int) -> list[FailureRow]:
    """Return each failing file once per code, by path."""
    statement = (
        select(failures.c.path, failures.c.code, func.min(failures.c.message).label("message"))
        .where(failures.c.edition == edition)
        .group_by(failures.c.path, failures.c.code)
        .order_by(failures.c.path, failures.c.code)
    )
    return [
        FailureRow(path=row.path, code=row.code, message=row.message)
        for row in connection.execute(statement)
    ]


def _ids(connection: Connection, statement: Any) -> Ids:
    found = connection.execute(statement.order_by(items.c.id)).scalars()
    return np.fromiter(found, dtype=np.int64)


def _segments(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, FileRecord]]:
    found = connection.execute(select(segments.c.id, segments.c.files))
    files = {row.id: _records(row.files) for row in found}
    return {segment: files[segment] for segment in ids}


def _parts(connection: Connection, ids: Sequence[int]) -> tuple[Part, ...]:
    found = connection.execute(select(parts).where(parts.c.id.in_(ids)))
    by_id = {
        row.id: Part(
            id=row.id,
            segments=tuple(row.segments),
            files=_records(row.files),
            facts=row.facts,
        )
        for row in found
    }
    return tuple(by_id[part] for part in ids)


def _efforts(connection: Connection, generation: int) -> dict[str, Any] | None:
    statement = select(efforts.c.kinds).where(efforts.c.generation == generation)
    return connection.scalar(statement)


def _records(values: dict[str, Any]) -> dict[str, FileRecord]:
    return {name: FileRecord.from_json(record) for name, record in values.items()}


def _item_row(row: Any) -> ItemRow:
    return ItemRow(
        id=row.id,
        kind=row.kind,
        image=row.image,
        audio=row.audio,
        frame_time_s=row.frame_time_s,
        t0=row.t0,
        t1=row.t1,
        label=row.label,
        metadata=row._mapping[items.c.metadata],
    )
