"""Rows of one catalogue on their way into another, under other ids and seen from another folder.

Every function takes open connections and leaves their ends to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from indexer.catalogue import (
    boxes,
    chunked,
    failures,
    items,
    label_failures,
    label_sets,
    labels,
    outcomes,
    pseudo_labels,
    sources,
)
from indexer.errors import MergeError
from indexer.moved_paths import Moved
from indexer.paths import shown
from indexer.pseudo_labels import MODALITIES

AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class ItemToCopy:
    """An item of a catalogue, with the outcome that remembers it.

    Attributes
    ----------
    key : of the outcome, as it is there; `moved` as it is to be.
    """

    id: int
    key: str
    moved: str
    stamp: str
    values: Mapping[str, Any]


def items_to_copy(
    connection: Connection, edition: int, ids: Sequence[int], moved: Moved
) -> list[ItemToCopy]:
    """Return items by id, ascending."""
    statement = (
        select(items, outcomes.c.key, outcomes.c.stamp)
        .outerjoin(outcomes, (outcomes.c.item == items.c.id) & (outcomes.c.edition == edition))
        .order_by(items.c.id)
    )
    found = []
    for part in chunked(ids):
        for row in connection.execute(statement.where(items.c.id.in_(part))):
            # Without an outcome: its file has changed since, in a build that is not finished.
            key = row.key or f"{row.frame_key or ''}|{row.sound_key or ''}"
            found.append(
                ItemToCopy(
                    id=row.id,
                    key=key,
                    moved=moved.key(key),
                    stamp=row.stamp or "",
                    values={column.name: row._mapping[column] for column in items.columns},
                )
            )
    return found


def known_keys(connection: Connection, edition: int, keys: Sequence[str]) -> set[str]:
    """Return which keys have an outcome already."""
    found: set[str] = set()
    for part in chunked(keys):
        statement = select(outcomes.c.key).where(
            outcomes.c.edition == edition, outcomes.c.key.in_(part)
        )
        found.update(connection.scalars(statement))
    return found


@dataclass(frozen=True, kw_only=True)
class RowCopy:
    """The way from one catalogue to another.

    Attributes
    ----------
    editions : of the one and of the other.
    """

    read: Connection
    write: Connection
    editions: tuple[int, int]
    moved: Moved

    def items(self, chosen: Sequence[ItemToCopy], new: Mapping[int, int]) -> None:
        """Copy items with all that is known of them; `new` gives each old id its new one."""
        place = self._sources(chosen)
        rows = [self._item(one, new, place) for one in chosen]
        self._insert(items, rows)
        ids = [one.id for one in chosen]
        for part in chunked(ids):
            self._of_items(labels, part, new)
            self._of_items(boxes, part, new)
        self._insert(
            outcomes,
            [
                {"key": one.moved, "stamp": one.stamp, "item": new[one.id]}
                | {"edition": self.editions[1]}
                for one in chosen
            ],
        )
        self._failures({one.key: one.moved for one in chosen})

    def lost(self, page: Sequence[tuple[str, str]]) -> None:
        """Copy outcomes that have no item, by key and stamp, where there are none of that key."""
        keys = {key: self.moved.key(key) for key, _ in page}
        known = known_keys(self.write, self.editions[1], list(keys.values()))
        rows = [
            {"edition": self.editions[1], "key": keys[key], "stamp": stamp, "item": None}
            for key, stamp in page
            if keys[key] not in known
        ]
        self._insert(outcomes, rows)
        self._failures({key: there for key, there in keys.items() if there not in known})

    def pseudo_labels(
        self, sets: Mapping[int, int], ids: Sequence[int], new: Mapping[int, int]
    ) -> None:
        """Copy what providers say of items; `sets` are their label sets here and there."""
        for here, there in sets.items():
            for table in (pseudo_labels, label_failures):
                for modality in MODALITIES:
                    for part in chunked(ids):
                        statement = select(table).where(
                            table.c.label_set == here,
                            table.c.modality == modality,
                            table.c.item.in_(part),
                        )
                        self._insert(
                            table,
                            [
                                self._renamed(row) | {"label_set": there, "item": new[row.item]}
                                for row in self.read.execute(statement)
                            ],
                        )

    def label_sets(self) -> dict[int, int]:
        """Copy label sets, or find the same there; return their ids here and there.

        Raises
        ------
        MergeError : one of a name and version is there that speaks another vocabulary.
        """
        found = {}
        for row in self.read.execute(select(label_sets).order_by(label_sets.c.id)):
            values = dict(row._mapping)
            here = values.pop("id")
            found[here] = self._same_set(row) or self._new_row(label_sets, values)
        return found

    def _same_set(self, row: Row[Any]) -> int | None:
        statement = select(label_sets).where(
            label_sets.c.provider == row.provider, label_sets.c.version == row.version
        )
        known = self.write.execute(statement).first()
        if known is None:
            return None
        if (known.vocabulary, known.names) != (row.vocabulary, row.names):
            raise MergeError(
                f"labels by {row.provider} {row.version} speak different vocabularies; drop them "
                f"from one index with `retrieval label INDEX --delete {row.provider}`"
            )
        return int(known.id)

    def _new_row(self, table: Table, values: Mapping[str, Any]) -> int:
        key = self.write.execute(table.insert().values(values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def _item(
        self, one: ItemToCopy, new: Mapping[int, int], place: Mapping[int, int]
    ) -> dict[str, Any]:
        frame, sound = one.values["frame_source"], one.values["sound_source"]
        return {
            **one.values,
            "id": new[one.id],
            "frame_source": None if frame is None else place[frame],
            "sound_source": None if sound is None else place[sound],
            "frame_key": self.moved.part(one.values["frame_key"]),
            "sound_key": self.moved.part(one.values["sound_key"]),
            "superseded_in": None,
        }

    def _sources(self, chosen: Sequence[ItemToCopy]) -> dict[int, int]:
        """Copy the files that items are made of; return their ids here and there."""
        used = {one.values[side] for one in chosen for side in ("frame_source", "sound_source")}
        here: dict[tuple[str, int, int], int] = {}
        rows: dict[tuple[str, int, int], dict[str, Any]] = {}
        for part in chunked(sorted(used - {None})):
            for row in self.read.execute(select(sources).where(sources.c.id.in_(part))):
                values = dict(row._mapping)
                number = values.pop("id")
                path = self.moved.path(row.path)
                state = (path, row.size, row.mtime_ns)
                here[state], rows[state] = number, values | {"path": path, "shown": shown(path)}
        known = self._source_ids(rows)
        self._insert(sources, [values for state, values in rows.items() if state not in known])
        there = self._source_ids(rows)
        return {number: there[state] for state, number in here.items()}

    def _source_ids(self, states: Iterable[tuple[str, int, int]]) -> dict[Any, int]:
        found = {}
        for part in chunked(sorted({path for path, _, _ in states})):
            statement = select(sources).where(sources.c.path.in_(part))
            for row in self.write.execute(statement):
                found[row.path, row.size, row.mtime_ns] = row.id
        return found

    def _of_items(self, table: Table, ids: Sequence[int], new: Mapping[int, int]) -> None:
        """Copy the rows of a table that belong to items; a number of their own is given anew."""
        rows = []
        for row in self.read.execute(select(table).where(table.c.item.in_(ids))):
            values = dict(row._mapping) | {"item": new[row.item]}
            values.pop("id", None)
            rows.append(values)
        self._insert(table, rows)

    def _failures(self, keys: Mapping[str, str]) -> None:
        for part in chunked(list(keys)):
            statement = select(failures).where(
                failures.c.edition == self.editions[0], failures.c.key.in_(part)
            )
            rows = []
            for row in self.read.execute(statement):
                values = self._renamed(row) | {"edition": self.editions[1], "key": keys[row.key]}
                values.pop("id")
                rows.append(values)
            self._insert(failures, rows)

    def _renamed(self, row: Row[Any]) -> dict[str, Any]:
        """Return a row with its path, where it has one, as it is seen from the other corpus."""
        values = dict(row._mapping)
        if "path" in values:
            message = self.moved.message(row.message, row.path)
            values |= {"path": self.moved.path(row.path), "message": message}
        return values

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        for part in chunked(rows, AT_ONCE):
            self.write.execute(table.insert(), list(part))


def lost_outcomes(connection: Connection, edition: int) -> Iterator[list[tuple[str, str]]]:
    """Yield, page by page, key and stamp of planned items that gave no item, or a deleted one."""
    last = ""
    while True:
        statement = (
            select(outcomes.c.key, outcomes.c.stamp)
            .outerjoin(items, items.c.id == outcomes.c.item)
            .where(
                outcomes.c.edition == edition,
                outcomes.c.item.is_(None) | items.c.deleted,
                outcomes.c.key > last,
            )
            .order_by(outcomes.c.key)
            .limit(AT_ONCE)
        )
        page = [(row.key, row.stamp) for row in connection.execute(statement)]
        if not page:
            return
        yield page
        last = page[-1][0]
