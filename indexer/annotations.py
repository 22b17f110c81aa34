"""What people say of items, as the catalogue has it: labels, boxes, metadata, read and replaced.

Every function takes an open connection and leaves its end to the caller.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, select, update

from indexer.catalogue import boxes, chunked, items, label_sets, labels, pseudo_labels, sources
from indexer.paths import shown
from indexer.plan import Box, Metadata


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """What is said of an item; None where nothing is said, which is not the same as empty."""

    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    metadata: Metadata | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotatedItem:
    """An item with all that is said of it.

    Attributes
    ----------
    image, audio : as `indexer.lookup.ItemRow` has them.
    """

    id: int
    image: str | None
    audio: str | None
    frame_time_s: float | None
    t0: float | None
    t1: float | None
    label: str = ""
    boxes: tuple[Box, ...] = ()
    metadata: Metadata = field(default_factory=dict)


def annotated_items(connection: Connection, ids: Sequence[int]) -> dict[int, AnnotatedItem]:
    """Return items by id."""
    frame, sound = sources.alias(), sources.alias()
    statement = (
        select(items, frame.c.path.label("image"), sound.c.path.label("audio"))
        .outerjoin(frame, frame.c.id == items.c.frame_source)
        .outerjoin(sound, sound.c.id == items.c.sound_source)
    )
    found: dict[int, AnnotatedItem] = {}
    for part in chunked(list(ids)):
        names, drawn = _labels_of(connection, part), boxes_of(connection, part)
        for row in connection.execute(statement.where(items.c.id.in_(part))):
            found[row.id] = AnnotatedItem(
                id=row.id,
                image=row.image,
                audio=row.audio,
                frame_time_s=row.frame_time_s,
                t0=row.t0,
                t1=row.t1,
                label=names.get(row.id, ""),
                boxes=drawn.get(row.id, ()),
                metadata=row._mapping[items.c.metadata],
            )
    return found


def boxes_of(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[Box, ...]]:
    """Return the boxes of those items that have some."""
    found: dict[int, tuple[Box, ...]] = {}
    statement = select(boxes).where(boxes.c.item.in_(ids)).order_by(boxes.c.id)
    for row in connection.execute(statement):
        corners = {name: getattr(row, name) for name in ("x0", "y0", "x1", "y1")}
        box = Box(**corners, annotator=row.annotator, kind=row.kind, tag=row.tag)
        found[row.item] = (*found.get(row.item, ()), box)
    return found


class ItemsByFile:
    """Which items are made of which file: two arrays of numbers, 16 bytes per item and side."""

    def __init__(self, connection: Connection) -> None:
        found = []
        for side in (items.c.frame_source, items.c.sound_source):
            rows = connection.execute(select(side, items.c.id).where(side.is_not(None)))
            pairs = (number for row in rows for number in row)
            found.append(np.fromiter(pairs, np.int64).reshape(-1, 2))
        pairs_of_all = np.concatenate(found)
        self._pairs = pairs_of_all[np.argsort(pairs_of_all[:, 0], kind="stable")]

    def of_paths(self, connection: Connection, paths: Collection[str]) -> dict[str, list[int]]:
        """Return ids of items by the path of a side, in the form that people type (NFC)."""
        # File systems keep the one form or the other.
        typed = {shown(path) for path in paths}
        typed |= {unicodedata.normalize("NFD", path) for path in paths}
        found: dict[str, list[int]] = {}
        for part in chunked(sorted(typed.union(paths))):
            statement = select(sources.c.id, sources.c.path).where(sources.c.path.in_(part))
            for row in connection.execute(statement):
                first, last = np.searchsorted(self._pairs[:, 0], [row.id, row.id + 1])
                found.setdefault(shown(row.path), []).extend(self._pairs[first:last, 1].tolist())
        return found


def replace_annotations(connection: Connection, changes: Mapping[int, Annotations]) -> None:
    """Have items be what is said of them; what is not said stays.

    Labels that `retrieval label --provider column` took from such items are taken back, so that the
    same command reads them anew.
    """
    for part in chunked(list(changes)):
        said = {item: changes[item] for item in part}
        _replace_labels(connection, {i: one.label for i, one in said.items()})
        _replace_boxes(connection, {i: one.boxes for i, one in said.items()})
        for item, one in said.items():
            if one.metadata is not None:
                statement = update(items).where(items.c.id == item)
                connection.execute(statement.values(metadata=one.metadata))
        read = select(label_sets.c.id).where(label_sets.c.origin == "column")
        for label_set in connection.scalars(read).all():
            connection.execute(
                delete(pseudo_labels).where(
                    pseudo_labels.c.label_set == label_set, pseudo_labels.c.item.in_(part)
                )
            )


def _labels_of(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    statement = select(labels).where(labels.c.item.in_(ids)).order_by(labels.c.name.desc())
    return {row.item: row.name for row in connection.execute(statement)}


def _replace_labels(connection: Connection, said: Mapping[int, str | None]) -> None:
    chosen = {item: name for item, name in said.items() if name is not None}
    connection.execute(delete(labels).where(labels.c.item.in_(list(chosen))))
    rows = [{"item": item, "name": name} for item, name in chosen.items() if name]
    if rows:
        connection.execute(labels.insert(), rows)


def _replace_boxes(connection: Connection, said: Mapping[int, tuple[Box, ...] | None]) -> None:
    chosen = {item: drawn for item, drawn in said.items() if drawn is not None}
    connection.execute(delete(boxes).where(boxes.c.item.in_(list(chosen))))
    rows: list[dict[str, Any]] = [
        {"item": item, "annotator": box.annotator, "kind": box.kind, "tag": box.tag}
        | {"x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1}
        for item, drawn in chosen.items()
        for box in drawn
    ]
    if rows:
        connection.execute(boxes.insert(), rows)
