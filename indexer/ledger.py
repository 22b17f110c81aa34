"""The writer's side of the catalogue: `commit_segment` makes items exist, `publish` shows them.

Every function takes an open transaction (`Catalogue.writing`) and leaves its end to the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, literal, select, update

from indexer.catalogue import (
    bases,
    boxes,
    chunked,
    editions,
    efforts,
    failures,
    generations,
    items,
    label_failures,
    labels,
    meta,
    outcomes,
    parts,
    pseudo_labels,
    segments,
    sources,
)
from indexer.history import REMOVED, Edition, all_editions, next_id
from indexer.paths import shown
from indexer.plan import FailureRow, Move, PlannedItem, Source
from indexer.storage import FileRecord

Calibration = dict[str, list[float]]
ASIDE = "moving:"
"""Before the key of an outcome that gives up its name, within one transaction."""


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
class PartRecord:
    """Vectors of some segments, written.

    Attributes
    ----------
    id : of the generation that they were written for.
    facts : by space, what `indexer.vectors` says of its file; JSON.
    """

    id: int
    segments: Sequence[int]
    files: Mapping[str, FileRecord]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """Segments that were written anew without what is hidden.

    Attributes
    ----------
    files, n_items : of each new segment, by its id.
    dropped : ids of the segments whose rows they hold.
    gone : ids of the items that were left out. Their rows stay for the readers that are open, which
        hide or show these items as their generation has it.
    forgotten : ids of those that an earlier clearing left out: their rows go now.
    """

    files: Mapping[int, Mapping[str, FileRecord]]
    n_items: Mapping[int, int]
    dropped: Collection[int]
    gone: Sequence[int]
    forgotten: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class GenerationRecord:
    """A generation on its way into the catalogue.

    Attributes
    ----------
    kept : segments of each part that is there already and belongs to it, by part.
    part : what was written for it; None where nothing had to be.
    efforts : by side, what `indexer.compact.recall` chose; JSON. None where nobody measured it.
    rewritten : what stands in the place of other segments from here on.
    """

    id: int
    edition: int
    kept: Mapping[int, Sequence[int]]
    part: PartRecord | None
    calibration: Calibration
    efforts: Mapping[str, Any] | None
    rewritten: Rewritten | None = None

    @property
    def parts(self) -> dict[int, Sequence[int]]:
        """Segments of each part."""
        made = {} if self.part is None else {self.part.id: self.part.segments}
        return {**self.kept, **made}


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


def _keep_removed(connection: Connection, dropped: int, kept: int) -> None:
    """Have an edition know what a person took out under another one."""
    known = select(outcomes.c.key).where(outcomes.c.edition == kept)
    removed = select(literal(kept), outcomes.c.key, outcomes.c.stamp).where(
        outcomes.c.edition == dropped, outcomes.c.stamp == REMOVED, outcomes.c.key.not_in(known)
    )
    connection.execute(outcomes.insert().from_select(["edition", "key", "stamp"], removed))


def drop_edition(connection: Connection, edition: int) -> None:
    """Forget an edition and what was built for it; its items stay if another holds them."""
    for table in (outcomes, failures, generations, parts, segments, bases):
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
    used = {part.source for item in live for part in item.plan.parts}
    source_ids = register_sources(connection, used, record.digests)
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
            _keep_removed(connection, edition.id, record.edition)
            drop_edition(connection, edition.id)
    if not record.kept:  # else each was marked when what stands in its place was committed
        held = exists().where(outcomes.c.item == items.c.id)
        unheld = update(items).where(items.c.superseded_in.is_(None), ~held)
        connection.execute(unheld.values(superseded_in=record.id))
    if record.rewritten is not None:
        _replace_segments(connection, record.edition, record.rewritten)
    _replace_parts(connection, record.edition, record.kept, record.part)
    connection.execute(
        generations.insert(),
        {
            "id": record.id,
            "edition": record.edition,
            "segments": [segment for held in record.parts.values() for segment in held],
            "n_items": _n_items(connection, record.edition),
            "parts": list(record.parts),
            "calibration": record.calibration,
        },
    )
    if record.efforts is not None:
        values = {"generation": record.id, "kinds": dict(record.efforts)}
        connection.execute(efforts.insert(), values)
    connection.execute(delete(generations).where(generations.c.id < record.id))
    _count_past(connection, "generation", record.id)


def _replace_segments(connection: Connection, edition: int, rewritten: Rewritten) -> None:
    connection.execute(delete(segments).where(segments.c.id.in_(list(rewritten.dropped))))
    for segment, names in rewritten.files.items():
        values = {
            "id": segment,
            "edition": edition,
            "n_items": rewritten.n_items[segment],
            "files": {name: file.to_json() for name, file in names.items()},
        }
        connection.execute(segments.insert(), values)
        _count_past(connection, "segment", segment)
    for part in chunked([*rewritten.gone, *rewritten.forgotten]):
        connection.execute(update(outcomes).where(outcomes.c.item.in_(part)).values(item=None))
    for part in chunked(rewritten.forgotten):
        for table in (labels, boxes, pseudo_labels, label_failures):
            connection.execute(delete(table).where(table.c.item.in_(part)))
        connection.execute(delete(items).where(items.c.id.in_(part)))
    _count_change(connection)


def replace_parts(connection: Connection, generation: int, edition: int, part: PartRecord) -> None:
    """Let one part that was made anew stand for all parts of a generation."""
    _replace_parts(connection, edition, {}, part)
    values = {"parts": [part.id], "segments": list(part.segments)}
    connection.execute(update(generations).where(generations.c.id == generation).values(values))


def _replace_parts(
    connection: Connection, edition: int, kept: Collection[int], part: PartRecord | None
) -> None:
    connection.execute(delete(parts).where(parts.c.id.not_in(list(kept))))
    if part is not None:
        values = {
            "id": part.id,
            "edition": edition,
            "segments": list(part.segments),
            "files": {name: file.to_json() for name, file in part.files.items()},
            "facts": dict(part.facts),
        }
        connection.execute(parts.insert(), values)


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
    """Mark items as deleted; readers leave them out from the commit on. Return how many were.

    Their outcomes remember it, so that no later build takes them in again.
    """
    n_deleted = 0
    for part in chunked(list(ids)):
        statement = update(items).where(items.c.id.in_(part), items.c.deleted.is_(False))
        n_deleted += connection.execute(statement.values(deleted=True)).rowcount
        connection.execute(update(outcomes).where(outcomes.c.item.in_(part)).values(stamp=REMOVED))
    _count_change(connection)
    return n_deleted


def forget_outcomes(
    connection: Connection, keys: Sequence[str], edition: int | None = None
) -> None:
    """Forget that planned items were ever seen: a build that meets them again takes them in.

    Parameters
    ----------
    edition : None is all.
    """
    for part in chunked(keys):
        for table in (outcomes, failures):
            here = delete(table).where(table.c.key.in_(part))
            connection.execute(here if edition is None else here.where(table.c.edition == edition))


def replace_plans(connection: Connection, edition: int, keys: Sequence[str]) -> None:
    """Have items hidden from the next generation on whose files are now planned otherwise."""
    _supersede(connection, edition, keys, ())
    forget_outcomes(connection, keys, edition)


def move_items(connection: Connection, edition: int, moves: Sequence[Move]) -> None:
    """Have items stand under the plans that their files have now."""
    digests = {path: digest for move in moves for path, digest in move.digests.items()}
    wanted = {part.source for move in moves for part in move.item.parts}
    source_ids = register_sources(connection, wanted, digests)
    renamed = [move for move in moves if move.is_renamed]
    for n, move in enumerate(renamed):  # one may take the name that another gives up
        _rename_outcome(connection, edition, move.former.key, f"{ASIDE}{n}")
    taken = [move.item.key for move in renamed]
    _supersede(connection, edition, taken, ())
    forget_outcomes(connection, taken, edition)
    for n, move in enumerate(renamed):
        _rename_outcome(connection, edition, f"{ASIDE}{n}", move.item.key)
    for move in moves:
        _move_item(connection, edition, move, source_ids)


def _rename_outcome(connection: Connection, edition: int, was: str, now: str) -> None:
    for table in (outcomes, failures):
        here = (table.c.edition == edition, table.c.key == was)
        connection.execute(update(table).where(*here).values(key=now))


def _move_item(
    connection: Connection, edition: int, move: Move, source_ids: Mapping[Source, int]
) -> None:
    item = move.item
    of_plan = (outcomes.c.edition == edition, outcomes.c.key == item.key)
    if move.item_id is None:  # removed, perhaps under another encoder
        row = {"edition": edition, "key": item.key, "stamp": REMOVED, "item": None}
        if not connection.scalar(select(outcomes.c.key).where(*of_plan)):
            connection.execute(outcomes.insert(), row)
    else:
        connection.execute(update(outcomes).where(*of_plan).values(stamp=item.stamp))
        names: dict[str, Any] = {}
        for side, part in (("frame", item.frame), ("sound", item.sound)):
            if part is not None:
                names |= {f"{side}_source": source_ids[part.source], f"{side}_key": part.key}
        of_item = update(items).where(items.c.id == move.item_id)
        for column, value in names.items():  # a side that failed stays empty
            known = items.c[column].is_not(None)
            connection.execute(of_item.where(known).values({column: value}))
    failed = (failures.c.edition == edition, failures.c.key == item.key)
    for was, now in move.paths.items():
        message = func.replace(failures.c.message, was, now)
        of_file = update(failures).where(*failed, failures.c.path == was)
        connection.execute(of_file.values(path=now, message=message))


def register_sources(
    connection: Connection, wanted: Collection[Source], digests: Mapping[str, str]
) -> dict[Source, int]:
    """Return the ids of files in the state that they are in, registered where they are new."""
    known = _source_ids(connection, wanted)
    # By state, since a manifest may use one file as a video here and as a sound there.
    new = {_state(source): source for source in sorted(set(wanted) - known.keys(), key=str)}
    rows = [_source_values(new[state], digests) for state in sorted(new)]
    _insert(connection, sources, rows)
    return known | _source_ids(connection, set(wanted) - known.keys())


def _count_change(connection: Connection) -> None:
    """Tell readers that other items are hidden than before."""
    _count_past(connection, "change", next_id(connection, "change"))


def _count_past(connection: Connection, what: str, given: int) -> None:
    key, value = f"next_{what}", max(given + 1, next_id(connection, what))
    known = connection.execute(update(meta).where(meta.c.key == key).values(value=value)).rowcount
    if not known:
        connection.execute(meta.insert(), {"key": key, "value": value})


def _n_items(connection: Connection, edition: int) -> int:
    statement = (
        select(func.count())
        .select_from(outcomes.join(items, items.c.id == outcomes.c.item))
        .where(outcomes.c.edition == edition, items.c.deleted.is_(False))
    )
    return connection.scalar(statement) or 0


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
    _supersede(connection, record.edition, keys, {item.id for item in record.items})
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


def _supersede(
    connection: Connection, edition: int, keys: Sequence[str], made: Collection[int | None]
) -> None:
    """Have what stood for these plans hidden from the next generation on, where it is not `made`
    anew."""
    upcoming = next_id(connection, "generation")
    for part in chunked(keys):
        statement = select(outcomes.c.item).where(
            outcomes.c.edition == edition, outcomes.c.key.in_(part), outcomes.c.item.is_not(None)
        )
        replaced = set(connection.scalars(statement)) - set(made)
        connection.execute(
            update(items)
            .where(items.c.id.in_(replaced), items.c.superseded_in.is_(None))
            .values(superseded_in=upcoming)
        )


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)
