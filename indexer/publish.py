"""A generation: vectors gathered from committed segments, calibrated, and shown to readers at once.

What came after the last large part goes into a small one of its own, and what was measured stays;
once there is much of it, all is gathered into one part again, and measured anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from encoder.embedder import Embedder
from indexer.blocks import Ids
from indexer.calibration import calibrate
from indexer.catalogue import Catalogue
from indexer.compact.codes import CodeFiles
from indexer.compact.effort import Effort
from indexer.compact.engine import Engine
from indexer.compact.recall import measure_efforts
from indexer.compact.writing import FOLDER as BASES
from indexer.compact.writing import basis_file, read_bases
from indexer.errors import IndexMissing, storing
from indexer.history import Edition, named_segments, next_id, segment_files
from indexer.ledger import GenerationRecord, publish, replace_parts
from indexer.lookup import BasisRow, Generation, basis_rows, hidden_ids, latest_generation
from indexer.parts import (
    FOLDER,
    WIDTHS,
    SegmentFiles,
    are_there,
    has_codes,
    open_codes,
    part_folder,
    plan_of,
    write_part,
)
from indexer.segments import SOUND, VISUAL
from indexer.storage import sweep, unnamed
from indexer.store import FOLDER as SEGMENTS
from indexer.store import SegmentStore, segment_folder
from indexer.vectors import VectorPlan

LEAST_LARGE = 2048
"""Vectors. Less is gathered and measured anew each time: that takes a moment."""
MOST_PARTS = 8
MOST_ADDED = 1 / 8
"""What small parts may hold, of the large one: recall and percentiles were measured on that."""


def publish_generation(
    index_dir: Path,
    catalogue: Catalogue,
    edition: Edition,
    embedder: Embedder,
    *,
    min_recall: float,
    max_memory: int | None = None,
    anew: bool = False,
) -> int:
    """Make all committed segments of an edition visible; return the generation.

    Until the transaction at the end readers see the generation before.

    Parameters
    ----------
    min_recall : of the ten best; what stays under it is searched exactly.
    max_memory : bytes of all FAISS files of the large part; None is no limit.
    anew : write the vectors of all segments, whatever parts there are.
    """
    with catalogue.reading() as connection:
        generation = next_id(connection, "generation")
        coming = _Coming(
            index_dir=index_dir,
            id=generation,
            edition=edition,
            files=segment_files(connection, edition.id),
            hidden=hidden_ids(connection, generation),
        )
        rows, current = basis_rows(connection), latest_generation(connection)
    plan = VectorPlan(
        max_memory_bytes=None if max_memory is None else max_memory // len(WIDTHS),
        min_recall=min_recall,
    )
    if current and not anew and _can_grow(current, coming, plan):
        record = _grown(coming, current, plan)
    else:
        record = _gathered(coming, rows, embedder, plan)
    with catalogue.writing() as connection:
        publish(connection, record)
    sweep_garbage(index_dir, catalogue)
    return generation


@dataclass(frozen=True, kw_only=True)
class _Coming:
    """What a generation will show: `files` by segment, without `hidden` ids."""

    index_dir: Path
    id: int
    edition: Edition
    files: SegmentFiles
    hidden: Ids


def _can_grow(current: Generation, coming: _Coming, plan: VectorPlan) -> bool:
    """Say whether a generation can go on with its parts, and one more for what is new."""
    files = coming.files
    if current.edition.id != coming.edition.id or not set(current.segments) <= set(files):
        return False
    if len(current.parts) >= MOST_PARTS or not is_measured(current, plan.min_recall):
        return False
    if plan_of(current.parts[0]) not in (None, plan):
        return False
    if not (has_codes(current) and are_there(coming.index_dir, current)):
        return False
    large = _n_vectors(files, current.parts[0].segments)
    everything = _n_vectors(files, files)
    return all(
        n == n_large or (n_large >= LEAST_LARGE and n - n_large <= MOST_ADDED * n_large)
        for n, n_large in zip(everything, large, strict=True)
    )


def is_measured(generation: Generation, min_recall: float) -> bool:
    """Say whether a generation was measured to have the recall that is asked for."""
    if not generation.is_measured:
        return False
    measured = [Effort.from_json(values) for values in generation.efforts.values()]
    recalls = [recall for effort in measured for recall in effort.recall.values()]
    return min(recalls, default=1.0) >= min_recall


def _n_vectors(files: SegmentFiles, segments: Iterable[int]) -> tuple[int, int]:
    """Return how many frames and sounds some segments hold."""
    names = [files[segment] for segment in segments]
    return sum(one[VISUAL].rows for one in names), sum(one[SOUND].rows for one in names)


def _grown(coming: _Coming, current: Generation, plan: VectorPlan) -> GenerationRecord:
    """Keep all parts, and write one more for the segments that none of them holds."""
    kept = {part.id: part.segments for part in current.parts}
    held = {segment for segments in kept.values() for segment in segments}
    new = {segment: names for segment, names in coming.files.items() if segment not in held}
    part = None
    if new:
        with closing(open_codes(coming.index_dir, current)) as codes:
            known = codes.projections
        part = write_part(
            coming.index_dir, coming.id, new, coming.hidden, plan=plan, projections=known
        )
    return GenerationRecord(
        id=coming.id,
        edition=current.edition.id,
        kept=kept,
        part=part,
        calibration=current.calibration,
        efforts=current.efforts,
    )


def _gathered(
    coming: _Coming, rows: Mapping[int, BasisRow], embedder: Embedder, plan: VectorPlan
) -> GenerationRecord:
    """Write one part for all segments, and measure it."""
    index_dir, files, hidden = coming.index_dir, coming.files, coming.hidden
    part = write_part(index_dir, coming.id, files, hidden, plan=plan)
    bases = read_bases(index_dir, rows, files)
    codes = CodeFiles([(part_folder(index_dir, part.id), part.files)])
    with closing(SegmentStore(index_dir, files, bases=bases)) as store, closing(codes):
        calibration = calibrate(store, embedder, hidden)
        engine = Engine(store, codes, embedder, coming.edition.grid)
        efforts = measure_efforts(engine, hidden, min_recall=plan.min_recall)
    return GenerationRecord(
        id=coming.id,
        edition=coming.edition.id,
        kept={},
        part=part,
        calibration=calibration,
        efforts={side: effort.to_json() for side, effort in efforts.items()},
    )


def rebuild_vectors(index_dir: Path) -> None:
    """Make the parts of the current generation anew from its segments, as one.

    The caller holds the writer's lock.

    Raises
    ------
    IndexMissing : no generation was ever published.
    IndexCorrupt : a segment itself is damaged.
    """
    with Catalogue.open(index_dir) as catalogue, catalogue.reading() as connection:
        generation = latest_generation(connection)
        if generation is None:
            raise IndexMissing(index_dir, "no finished index here")
        hidden = hidden_ids(connection, generation.id)
    plan = plan_of(generation.parts[0]) or VectorPlan()
    part = write_part(index_dir, generation.id, generation.segments, hidden, plan=plan)
    with (
        Catalogue.create(index_dir, corpus=generation.corpus) as catalogue,
        catalogue.writing() as connection,
    ):
        replace_parts(connection, generation.id, generation.edition.id, part)


def sweep_garbage(index_dir: Path, catalogue: Catalogue) -> None:
    """Delete segments and parts that no row of the catalogue names."""
    with storing(index_dir):
        for folder, names in _named(index_dir, catalogue):
            sweep(folder, names)


def has_garbage(index_dir: Path, catalogue: Catalogue) -> bool:
    """Say whether a run that was killed left anything to sweep."""
    return any(unnamed(folder, names) for folder, names in _named(index_dir, catalogue))


def _named(index_dir: Path, catalogue: Catalogue) -> list[tuple[Path, set[str]]]:
    """Return the folders of an index, each with the names in it that belong to it."""
    with catalogue.reading() as connection:
        segments = named_segments(connection)
        generation = latest_generation(connection)
        bases = {basis_file(index_dir, basis).name for basis in basis_rows(connection)}
    kept = {segment_folder(index_dir, segment).name for segment in segments}
    parts = generation.parts if generation else ()
    return [
        (index_dir / SEGMENTS, kept),
        (index_dir / FOLDER, {part_folder(index_dir, part.id).name for part in parts}),
        (index_dir / BASES, bases),
        *((segment_folder(index_dir, segment), names) for segment, names in segments.items()),
    ]
