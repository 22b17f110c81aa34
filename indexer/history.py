"""What earlier runs did: all that a build asks the catalogue before it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from indexer.catalogue import (
    chunked,
    editions,
    generations,
    items,
    meta,
    outcomes,
    segments,
    sources,
)
from indexer.plan import Source
from indexer.storage import FileRecord

REMOVED = "removed"
"""The stamp of what a person took out of an index: it stays out, though its file is there."""


@dataclass(frozen=True, kw_only=True)
class Edition:
    """The corpus as one encoder sees it."""

    id: int
    encoder_fingerprint: str
    encoder_name: str
    grid: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a planned item.

    Attributes
    ----------
    stamp : of the plan (`PlannedItem.stamp`), or REMOVED.
    item : None where nothing of it could be used, or where it was removed and cleared away.
    """

    stamp: str
    item: int | None


@dataclass(frozen=True, kw_only=True)
class EmbeddedPart:
    """A frame or sound that a committed segment holds, under the id of one of its items."""

    item: int
    duration_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EarlierItem:
    """An item under another encoder; `sides` says whether it has a frame and a sound."""

    item: int
    stamp: str
    sides: tuple[bool, bool]


def next_id(connection: Connection, what: str) -> int:
    """Return the first id of `item`, `segment` or `generation` that was never given."""
    value = connection.scalar(select(meta.c.value).where(meta.c.key == f"next_{what}"))
    return 1 if value is None else int(value)


def n_changes(connection: Connection) -> int | None:
    """Return a number that differs once other items are hidden; None where nobody counts."""
    return connection.scalar(select(meta.c.value).where(meta.c.key == "next_change"))


def all_editions(connection: Connection) -> list[Edition]:
    """Return the editions, the oldest first."""
    return [
        Edition(
            id=row.id,
            encoder_fingerprint=row.encoder_fingerprint,
            encoder_name=row.encoder_name,
            grid=(row.grid_rows, row.grid_columns),
        )
        for row in connection.execute(select(editions).order_by(editions.c.id))
    ]


def known_outcomes(connection: Connection, edition: int, keys: Sequence[str]) -> dict[str, Outcome]:
    """Return, by key, what became of those planned items that earlier runs are done with."""
    found: dict[str, Outcome] = {}
    for part in chunked(keys):
        statement = select(outcomes).where(outcomes.c.edition == edition, outcomes.c.key.in_(part))
        found.update(
            (row.key, Outcome(stamp=row.stamp, item=row.item))
            for row in connection.execute(statement)
        )
    return found


def removed_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return which planned items a person took out, whatever the encoder was then."""
    found: set[str] = set()
    for part in chunked(keys):
        statement = select(outcomes.c.key).where(
            outcomes.c.key.in_(part), outcomes.c.stamp == REMOVED
        )
        found.update(connection.scalars(statement))
    return found


def all_outcomes(connection: Connection, edition: int) -> Iterator[tuple[str, Outcome]]:
    """Yield what became of every planned item, by key."""
    statement = select(outcomes.c.key, outcomes.c.stamp, outcomes.c.item)
    for row in connection.execute(statement.where(outcomes.c.edition == edition)):
        yield row.key, Outcome(stamp=row.stamp, item=row.item)


def embedded_parts(
    connection: Connection, edition: int, side: str, parts: Mapping[str, Source]
) -> dict[str, EmbeddedPart]:
    """Return, for parts that an earlier segment holds, where to copy them from.

    Parameters
    ----------
    side : `frame` or `sound`.
    parts : part key → its source as it is now; a file that changed does not count.
    """
    key, source = items.c[f"{side}_key"], items.c[f"{side}_source"]
    found: dict[str, EmbeddedPart] = {}
    for chunk in chunked(list(parts)):
        statement = (
            select(items, key.label("part"), sources.c.size, sources.c.mtime_ns)
            .join(sources, sources.c.id == source)
            .join(outcomes, outcomes.c.item == items.c.id)
            .where(outcomes.c.edition == edition, key.in_(chunk))
        )
        for row in connection.execute(statement):
            now = parts[row.part]
            if (now.size, now.mtime_ns) == (row.size, row.mtime_ns):
                found[row.part] = EmbeddedPart(
                    item=row.id, duration_s=(row.t1 or 0) - (row.t0 or 0)
                )
    return found


def segment_files(connection: Connection, edition: int) -> dict[int, dict[str, FileRecord]]:
    """Return the committed segments of an edition, in order, with their files."""
    statement = select(segments).where(segments.c.edition == edition).order_by(segments.c.id)
    return {
        row.id: {name: FileRecord.from_json(values) for name, values in row.files.items()}
        for row in connection.execute(statement)
    }


def named_segments(connection: Connection) -> dict[int, set[str]]:
    """Return every segment that the catalogue knows with its files: all else is garbage."""
    rows = connection.execute(select(segments.c.id, segments.c.files))
    return {row.id: set(row.files) for row in rows}


def earlier_items(
    connection: Connection, edition: int, keys: Sequence[str]
) -> dict[str, EarlierItem]:
    """Return the items that another edition, the one readers see, made of these plans."""
    found: dict[str, EarlierItem] = {}
    for part in chunked(keys):
        statement = (
            select(outcomes.c.key, outcomes.c.stamp, items)
            .join(items, items.c.id == outcomes.c.item)
            .where(outcomes.c.edition < edition, outcomes.c.key.in_(part))
            .order_by(outcomes.c.edition)
        )
        for row in connection.execute(statement):
            sides = (row.frame_source is not None, row.sound_source is not None)
            found[row.key] = EarlierItem(item=row.id, stamp=row.stamp, sides=sides)
    return found


def is_shown(connection: Connection, segment: int) -> bool:
    """Say whether readers see a segment."""
    shown = connection.scalar(
        select(generations.c.segments).order_by(generations.c.id.desc()).limit(1)
    )
    return segment in (shown or ())


def is_published(connection: Connection, edition: int) -> bool:
    """Say whether the last generation shows all that is committed, under this encoder."""
    last = connection.execute(select(generations).order_by(generations.c.id.desc())).first()
    if last is None or last.edition != edition:
        return False
    if set(last.segments) != set(segment_files(connection, edition)):
        return False
    unseen = select(items.c.id).where(items.c.superseded_in > last.id).limit(1)
    return connection.scalar(unseen) is None
