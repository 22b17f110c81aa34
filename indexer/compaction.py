"""Clearing an index: what is hidden is dropped for good, and small segments become large ones.

Segments are never changed. Those that hold hidden rows, and those that are small, are written anew
without what is hidden, row by row as they are: nothing is embedded. One transaction puts the new
ones, and the vectors made of them, in the place of the old; until then readers see what was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from indexer.blocks import Ids
from indexer.catalogue import Catalogue
from indexer.errors import IndexMissing, storing
from indexer.history import all_editions, next_id, segment_files
from indexer.ledger import GenerationRecord, Rewritten, publish
from indexer.locking import only_writer
from indexer.lookup import Generation, hidden_ids, latest_generation
from indexer.options import BuildOptions
from indexer.parts import plan_of, write_part
from indexer.publish import sweep_garbage
from indexer.row_copies import Kept, copy_rows, segment_ids
from indexer.storage import FileRecord, put_in_place, temporary
from indexer.store import segment_folder
from indexer.vectors import VectorPlan

Files = Mapping[str, FileRecord]


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What a clearing did.

    Attributes
    ----------
    generation : None where there was nothing to do.
    n_dropped : items that were hidden.
    n_rewritten, n_written : segments before and after, of those that were touched.
    bytes_freed : of segments; negative where more was written than dropped.
    """

    generation: int | None
    n_dropped: int = 0
    n_rewritten: int = 0
    n_written: int = 0
    bytes_freed: int = 0


def compact_index(index_dir: Path, *, segment_items: int = BuildOptions.segment_items) -> Compacted:
    """Drop what is hidden from the segments of an index, and bring small ones together.

    Parameters
    ----------
    segment_items : items of a new segment, at most.

    Raises
    ------
    IndexMissing, IndexCorrupt : the index.
    IndexLocked : another process is writing.
    StorageError : the disk; nothing is lost, and the same command goes on.
    """
    index_dir = index_dir.absolute()
    Catalogue.open(index_dir).close()
    with only_writer(index_dir), Catalogue.create(index_dir, corpus="") as catalogue:
        sweep_garbage(index_dir, catalogue)
        with catalogue.reading() as connection:
            current = latest_generation(connection)
            if current is None:
                raise IndexMissing(index_dir, "the index was never finished")
            is_one = [edition.id for edition in all_editions(connection)] == [current.edition.id]
            files = segment_files(connection, current.edition.id)
            hidden = hidden_ids(connection, current.id)
            numbers = count(next_id(connection, "segment"))
            generation = next_id(connection, "generation")
        if not is_one or set(files) != set(current.segments):
            raise IndexMissing(index_dir, "a build was not finished")
        chosen = _chosen(index_dir, current, hidden, segment_items)
        if not chosen:
            return Compacted(generation=None)
        rewritten = _rewritten(index_dir, current, chosen, hidden, numbers, segment_items)
        record = _record(index_dir, generation, current, rewritten)
        with catalogue.writing() as connection:
            publish(connection, record)
        sweep_garbage(index_dir, catalogue)
    return Compacted(
        generation=generation,
        n_dropped=len(rewritten.gone),
        n_rewritten=len(chosen),
        n_written=len(rewritten.files),
        bytes_freed=_bytes(current.segments, chosen) - _bytes(rewritten.files, rewritten.files),
    )


def _chosen(index_dir: Path, current: Generation, hidden: Ids, segment_items: int) -> list[int]:
    """Return the segments with hidden rows, and the small ones where there are several."""
    sizes, dirty = {}, set()
    for segment, names in current.segments.items():
        ids = _ids(index_dir, segment, names)
        sizes[segment] = len(np.setdiff1d(ids, hidden))
        if len(ids) > sizes[segment]:
            dirty.add(segment)
    small = {
        group: [s for s in segments if sizes[s] <= segment_items // 2]
        for group, segments in _by_form(current.segments, list(sizes)).items()
    }
    several = {s for segments in small.values() if len(segments) > 1 for s in segments}
    return sorted(dirty | several)


def _rewritten(
    index_dir: Path,
    current: Generation,
    chosen: Sequence[int],
    hidden: Ids,
    numbers: Iterator[int],
    segment_items: int,
) -> Rewritten:
    files, n_items, held = {}, {}, [np.empty(0, np.int64)]
    for segments in _by_form(current.segments, chosen).values():
        ids = {one: _ids(index_dir, one, current.segments[one]) for one in segments}
        held += ids.values()
        shown = np.setdiff1d(np.concatenate(list(ids.values())), hidden)
        for start in range(0, len(shown), segment_items):
            wanted, number = shown[start : start + segment_items], next(numbers)
            holding = [one for one in segments if np.isin(ids[one], wanted).any()]
            with storing(index_dir):
                draft = temporary(segment_folder(index_dir, number))
                files[number] = {
                    name: copy_rows(
                        [
                            (segment_folder(index_dir, s) / name, current.segments[s][name])
                            for s in holding
                        ],
                        draft / name,
                        Kept(wanted),
                    )
                    for name in current.segments[segments[0]]
                }
                put_in_place(draft, segment_folder(index_dir, number))
            n_items[number] = len(wanted)
    gone = np.intersect1d(np.concatenate(held), hidden)
    return Rewritten(
        files=files,
        n_items=n_items,
        dropped=chosen,
        gone=gone.tolist(),
        forgotten=np.setdiff1d(hidden, gone).tolist(),
    )


def _record(
    index_dir: Path, generation: int, current: Generation, rewritten: Rewritten
) -> GenerationRecord:
    """Write the vectors of all segments as one part. What was measured is carried over."""
    kept = {s: names for s, names in current.segments.items() if s not in rewritten.dropped}
    everything, plan = {**kept, **rewritten.files}, plan_of(current.parts[0]) or VectorPlan()
    part = write_part(index_dir, generation, everything, np.empty(0, np.int64), plan=plan)
    return GenerationRecord(
        id=generation,
        edition=current.edition.id,
        kept={},
        part=part,
        calibration=current.calibration,
        efforts=current.efforts if current.is_measured else None,
        rewritten=rewritten,
    )


def _by_form(
    segments: Mapping[int, Files], chosen: Sequence[int]
) -> dict[tuple[str, ...], list[int]]:
    """Group segments by the files that they have: rows of different ones cannot stand together."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for segment in chosen:
        groups.setdefault(tuple(sorted(segments[segment])), []).append(segment)
    return groups


def _ids(index_dir: Path, segment: int, names: Files) -> Ids:
    return segment_ids(segment_folder(index_dir, segment), names)


def _bytes(segments: Mapping[int, Files], chosen: Sequence[int] | Mapping[int, Files]) -> int:
    return sum(record.bytes for segment in chosen for record in segments[segment].values())
