"""The writer's side of the catalogue: `commit_segment` makes items exist, `publish` shows them.

Every function takes an open transaction (`Catalogue.writing`) and leaves its end to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

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
    outcomes,
    segments,
    sources,
)
from indexer.history import Edition, all_editions, next_id
from indexer.paths import shown
from indexer.plan import FailureRow, PlannedItem, Source
from indexer.storage import FileRecord

Calibration = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class ItemRecord:
    """An item to be committed.

    Attributes
    ----------
    id : None where nothing of it could be used: only its failures are recorded.
    t0, t1 : seconds of the sound, t1 as decoded; the moment of a mute video's frame, twice.
    """

    plan: PlannedItem
    id: int | None
    has_frame: bool = False
    has_sound: bool = False
    t0: float | None = None
    t1: float | None = None
    failures: tuple[FailureRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """A finished segment on its way into the catalogue.

    Attributes
    ----------
    digests : source path → blake2b, of the files that were read for it.
    """

    id: int
    edition: int
    files: Mapping[str, FileRecord]
    items: Sequence[ItemRecord]
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class GenerationRecord:
    """A generation on its way into the catalogue.

    Attributes
    ----------
    efforts : by side, what `indexer.compact.recall` chose; JSON.
    """

    id: int
    edition: int
    segments: Sequence[int]
    files: Mapping[str, FileRecord]
    calibration: Calibration
    efforts: Mapping[str, Any]


def add_edition(connection: Connection, *, fingerprint: str, name: str, grid: Any) -> Edition:
    """Begin the edition of an encoder."""
    statement = editions.insert().values(
        encoder_fingerprint=fingerprint,
        encoder_name=name,
        grid_rows=grid[0],
        grid_columns=grid[1],
    )
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return Edition(id=key[0], encoder_fingerprint=fingerprint, encoder_name=name, grid=grid)


def drop_edition(connection: Connection, edition: int) -> None:
    """Forget an edition and what was built for it; its items stay if another holds them."""
    for table in (outcomes, failures, generations, segments, bases):
        connection.execute(delete(table).where(table.c.edition == edition))
    connection.execute(delete(editions).where(editions.c.id == edition))


def commit_segment(connection: Connection, record: SegmentRecord) -> None:
    """Register a segment with its items, sources and failures: the commit of invariant 1.

    A record whose files are empty registers failures alone.
    """
    live = [item for item in record.items if item.id is not None]
    if record.files:
        files = {name: file.to_json() for name, file in record.files.items()}
        values = {"id": record.id, "edition": record.edition, "n_items": len(live), "files": files}
        connection.execute(segments.insert(), values)
        _count_past(connection, "segment", record.id)
    source_ids = _register_sources(connection, live, record.digests)
    _register_items(connection, live, source_ids)
    _register_outcomes(connection, record)
    if live:
        _count_past(connection, "item", max(item.id or 0 for item in live))


def commit_copied(
    connection: Connection,
    *,
    segment: int,
    edition: int,
    files: Mapping[str, FileRecord],
    items: range,
) -> None:
    """Register a segment that was copied from another index; the rows of its items are there."""
    named = {name: file.to_json() for name, file in files.items()}
    values = {"id": segment, "edition": edition, "n_items": len(items), "files": named}
    connection.execute(segments.insert(), values)
    _count_past(connection, "segment", segment)
    _count_past(connection, "item", items[-1])


def publish(connection: Connection, record: GenerationRecord) -> None:
    """Make a generation the one that readers open; other editions and generations end here."""
    for edition in all_editions(connection):
        if edition.id != record.edition:
            drop_edition(connection, edition.id)
    held = select(outcomes.c.item).where(outcomes.c.item.is_not(None))
    connection.execute(
        update(items)
        .where(items.c.superseded_in.is_(None), items.c.id.not_in(held))
        .values(superseded_in=record.id)
    )
    connection.execute(
        generations.insert(),
        {
            "id": record.id,
            "edition": record.edition,
            "segments": list(record.segments),
            "n_items": _n_items(connection, record.edition),
            "files": {name: file.to_json() for name, file in record.files.items()},
            "calibration": record.calibration,
        },
    )
    connection.execute(efforts.insert(), {"generation": record.id, "kinds": dict(record.efforts)})
    connection.execute(delete(generations).where(generations.c.id < record.id))
    _count_past(connection, "generation", record.id)


def replace_files(connection: Connection, generation: int, files: Mapping[str, FileRecord]) -> None:
    """Record derived files that were made anew."""
    values = {name: file.to_json() for name, file in files.items()}
    connection.execute(
        update(generations).where(generations.c.id == generation).values(files=values)
    )


def replace_segment_files(
    connection: Connection, segment: int, files: Mapping[str, FileRecord]
) -> None:
    """Record which files of a segment there are now."""
    values = {name: file.to_json() for name, file in files.items()}
    connection.execute(update(segments).where(segments.c.id == segment).values(files=values))


def add_basis(
    connection: Connection, *, basis: int, edition: int, file: FileRecord, facts: Mapping[str, Any]
) -> None:
    """Register what compact maps are written in from here on."""
    values = {"id": basis, "edition": edition, "file": file.to_json(), "facts": dict(facts)}
    connection.execute(bases.insert(), values)
    _count_past(connection, "basis", basis)


def note_loss(connection: Connection, basis: int, segment: int, lost: float) -> None:
    """Record how badly a basis fits a segment, in [0, 1]."""
    facts = dict(connection.scalars(select(bases.c.facts).where(bases.c.id == basis)).one())
    facts["lost_by_segment"] = {**facts["lost_by_segment"], str(segment): lost}
    connection.execute(update(bases).where(bases.c.id == basis).values(facts=facts))


def retire_basis(connection: Connection, basis: int) -> None:
    """Have nothing more written in a basis; what is written in it stays."""
    facts = dict(connection.scalars(select(bases.c.facts).where(bases.c.id == basis)).one())
    values = {"facts": {**facts, "retired": True}}
    connection.execute(update(bases).where(bases.c.id == basis).values(values))


def drop_basis(connection: Connection, basis: int) -> None:
    """Forget a basis; the caller has seen to it that no segment needs it."""
    connection.execute(delete(bases).where(bases.c.id == basis))


def forget_efforts(connection: Connection, edition: int) -> None:
    """Have an edition searched exactly until it is measured again: its maps are changing."""
    of_edition = select(generations.c.id).where(generations.c.edition == edition)
    connection.execute(delete(efforts).where(efforts.c.generation.in_(of_edition)))


def replace_efforts(connection: Connection, generation: int, kinds: Mapping[str, Any]) -> None:
    """Record anew how hard a generation searches."""
    connection.execute(delete(efforts).where(efforts.c.generation == generation))
    connection.execute(efforts.insert(), {"generation": generation, "kinds": dict(kinds)})


def delete_items(connection: Connection, ids: Iterable[int]) -> int:
    """Mark items as deleted; readers leave them out from the commit on. Return how many were."""
    n_deleted = 0
    for part in chunked(list(ids)):
        statement = update(items).where(items.c.id.in_(part), items.c.deleted.is_(False))
        n_deleted += connection.execute(statement.values(deleted=True)).rowcount
    return n_deleted


def _count_past(connection: Connection, what: str, given: int) -> None:
    row = {"key": f"next_{what}", "value": max(given + 1, next_id(connection, what))}
    statement = insert(meta).values(row)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": row["value"]})
    )


def _n_items(connection: Connection, edition: int) -> int:
    statement = (
        select(func.count())
        .select_from(outcomes.join(items, items.c.id == outcomes.c.item))
        .where(outcomes.c.edition == edition, items.c.deleted.is_(False))
    )
    return connection.scalar(statement) or 0


def _register_sources(
    connection: Connection, live: Sequence[ItemRecord], digests: Mapping[str, str]
) -> dict[Source, int]:
    used = {part.source for item in live for part in item.plan.parts}
    known = _source_ids(connection, used)
    # By state, since a manifest may use one file as a video here and as a sound there.
    new = {_state(source): source for source in sorted(used - known.keys(), key=str)}
    rows = [_source_values(new[state], digests) for state in sorted(new)]
    _insert(connection, sources, rows)
    return known | _source_ids(connection, used - known.keys())


def _source_ids(connection: Connection, wanted: Collection[Source]) -> dict[Source, int]:
    """Return the ids of those sources that the catalogue has, in the state that is asked for."""
    ids: dict[tuple[str, int, int], int] = {}
    for paths in chunked(sorted({source.path for source in wanted})):
        statement = select(sources).where(sources.c.path.in_(paths))
        for row in connection.execute(statement):
            ids[row.path, row.size, row.mtime_ns] = row.id
    return {source: ids[_state(source)] for source in wanted if _state(source) in ids}


def _state(source: Source) -> tuple[str, int, int]:
    return source.path, source.size, source.mtime_ns


def _source_values(source: Source, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "path": source.path,
        "shown": shown(source.path),
        "kind": source.kind,
        "size": source.size,
        "mtime_ns": source.mtime_ns,
        "blake2b": digests.get(source.path, ""),
    }


def _register_items(
    connection: Connection, live: Sequence[ItemRecord], source_ids: Mapping[Source, int]
) -> None:
    known = _known_ids(connection, [item.id for item in live if item.id is not None])
    new = [item for item in live if item.id not in known]  # re-embedding keeps ids
    _insert(connection, items, [_item_values(item, source_ids) for item in new])
    _insert(
        connection,
        labels,
        [{"item": item.id, "name": item.plan.label} for item in new if item.plan.label],
    )
    _insert(
        connection,
        boxes,
        [
            {"item": item.id, "annotator": box.annotator, "kind": box.kind, "tag": box.tag}
            | {"x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1}
            for item in new
            if item.has_frame
            for box in item.plan.boxes
        ],
    )


def _known_ids(connection: Connection, ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for part in chunked(ids):
        found.update(connection.scalars(select(items.c.id).where(items.c.id.in_(part))))
    return found


def _item_values(item: ItemRecord, source_ids: Mapping[Source, int]) -> dict[str, Any]:
    frame = item.plan.frame if item.has_frame else None
    sound = item.plan.sound if item.has_sound else None
    moving = frame is not None and frame.source.kind == "video"
    return {
        "id": item.id,
        "kind": item.plan.kind,
        "frame_source": source_ids[frame.source] if frame else None,
        "frame_time_s": frame.time_s if frame and moving else None,
        "frame_key": frame.key if frame else None,
        "sound_source": source_ids[sound.source] if sound else None,
        "sound_key": sound.key if sound else None,
        "t0": item.t0,
        "t1": item.t1,
        "metadata": item.plan.metadata,
        "deleted": False,
    }


def _register_outcomes(connection: Connection, record: SegmentRecord) -> None:
    keys = [item.plan.key for item in record.items]
    for part in chunked(keys):
        for table in (outcomes, failures):
            connection.execute(
                delete(table).where(table.c.edition == record.edition, table.c.key.in_(part))
            )
    _insert(
        connection,
        outcomes,
        [
            {
                "edition": record.edition,
                "key": item.plan.key,
                "stamp": item.plan.stamp,
                "item": item.id,
            }
            for item in record.items
        ],
    )
    _insert(
        connection,
        failures,
        [
            {
                "edition": record.edition,
                "key": item.plan.key,
                "path": failure.path,
                "code": failure.code,
                "message": failure.message,
            }
            for item in record.items
            for failure in item.failures
        ],
    )


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)
