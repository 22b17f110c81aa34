"""What a writer does for compact maps: a basis for the corpus, and maps in it for each segment.

A segment is made with full maps. Where these are kept, compact ones are derived from them and can
be made anew at any time; where they are not, they are given up once the compact ones are in place,
segment by segment, so that the disk never holds the full maps of more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import FrameBlock
from indexer.catalogue import Catalogue
from indexer.compact.maps import (
    CompactBlock,
    basis_in,
    compress,
    file_name,
    fit_basis,
    n_blocks,
    pooled,
    write_compact,
)
from indexer.compact.projection import Projection, from_bytes, to_bytes
from indexer.compact.scan import on_cores
from indexer.errors import ENCODE_AGAIN, REPAIR, IndexCorrupt, storing
from indexer.history import Edition, is_shown, next_id, segment_files
from indexer.ledger import (
    add_basis,
    drop_basis,
    forget_efforts,
    note_loss,
    replace_segment_files,
    retire_basis,
)
from indexer.lookup import BasisRow, basis_rows
from indexer.options import MapForm
from indexer.segments import MAPS, VISUAL, Segment
from indexer.storage import TEMPORARY, CheckedFile, FileRecord, is_intact, sync_folder
from indexer.store import segment_folder

FOLDER = "bases"
SAMPLE_FRAMES = 1024
"""Frames that a basis is fitted to, drawn from all segments that have full maps."""
CHECKED_FRAMES = 128
"""Frames of each segment that tell whether the basis still fits."""
OUTGROWN = 4
"""A basis that was fitted to fewer frames than SAMPLE_FRAMES serves up to so many times as many."""
DRIFT = 1.5
"""A segment that loses this many times what the sample lost asks for a new basis."""
SEED = 20_191_024
Files = Mapping[int, Mapping[str, FileRecord]]


def basis_file(index_dir: Path, basis: int) -> Path:
    """Return where a basis lives."""
    return index_dir / FOLDER / f"{basis:06d}.safetensors"


def read_bases(
    index_dir: Path, rows: Mapping[int, BasisRow], files: Files
) -> dict[int, Projection]:
    """Return the bases that segments with these files need, by number.

    Raises
    ------
    IndexCorrupt : a basis is gone or damaged; says whether it can be made anew.
    """
    needed = {number for names in files.values() if (number := basis_in(names)) is not None}
    whole = all(MAPS in names for names in files.values() if basis_in(names) is not None)
    remedy = REPAIR if whole else ENCODE_AGAIN
    found = {}
    for number in sorted(needed):
        path = basis_file(index_dir, number)
        if number not in rows:
            raise IndexCorrupt(path, "the catalogue does not know this basis", remedy)
        found[number] = _read(path, rows[number], remedy)
    return found


def _read(path: Path, row: BasisRow, remedy: str) -> Projection:
    if not is_intact(path, row.file):
        raise IndexCorrupt(path, "the basis of the compact maps is damaged or gone", remedy)
    return from_bytes(path.read_bytes())["maps"]


def compact_segments(
    index_dir: Path, catalogue: Catalogue, edition: Edition, form: MapForm = "full"
) -> None:
    """See to it that every segment of an edition keeps maps in a form.

    Parameters
    ----------
    form : `full` adds compact maps where there are none yet; `compact` and `none` also give up full
        maps. What a segment has given up does not come back.
    """
    if form == "full" and _is_outgrown(catalogue, edition):
        forget_compact(index_dir, catalogue, edition)
    with catalogue.reading() as connection:
        files = segment_files(connection, edition.id)
    with_maps = {number: names for number, names in files.items() if MAPS in names}
    if form != "none":
        lacking = {n: names for n, names in with_maps.items() if basis_in(names) is None}
        if any(names[VISUAL].rows for names in lacking.values()):
            number, basis = current_basis(index_dir, catalogue, edition, lacking)
            for segment, names in lacking.items():
                if names[VISUAL].rows:
                    _add_compact(index_dir, catalogue, edition, segment, names, number, basis)
    if form != "full":
        for segment in with_maps:
            _give_up(index_dir, catalogue, edition, segment)


def _is_outgrown(catalogue: Catalogue, edition: Edition) -> bool:
    """Say whether a basis was fitted to few frames, and there are many more now."""
    with catalogue.reading() as connection:
        files, rows = segment_files(connection, edition.id), basis_rows(connection)
    used = {basis_in(names) for names in files.values() if MAPS in names} - {None}
    n_fitted = [rows[number].facts["n_frames"] for number in used if number in rows]
    n_mapped = sum(names[VISUAL].rows for names in files.values() if MAPS in names)
    return bool(n_fitted) and max(n_fitted) < min(SAMPLE_FRAMES, n_mapped / OUTGROWN)


def is_in_form(files: Files, form: MapForm) -> bool:
    """Say whether `compact_segments` has nothing to do with segments of these files."""
    mapped = [names for names in files.values() if MAPS in names and names[VISUAL].rows]
    if form == "full":
        return all(basis_in(names) is not None for names in mapped)
    return not mapped


def form_of(files: Files) -> MapForm:
    """Return what the last segment keeps of its frames; `full` where there are none."""
    framed = [names for names in files.values() if names[VISUAL].rows]
    if not framed or MAPS in framed[-1]:
        return "full"
    return "none" if basis_in(framed[-1]) is None else "compact"


def current_basis(
    index_dir: Path, catalogue: Catalogue, edition: Edition, files: Files
) -> tuple[int, Projection]:
    """Return the newest basis of an edition, fitted to segments with full maps if there is none."""
    with catalogue.reading() as connection:
        rows = [
            row
            for row in basis_rows(connection).values()
            if row.edition == edition.id and not row.facts.get("retired")
        ]
        number = next_id(connection, "basis")
    if rows:
        return rows[-1].id, _read(basis_file(index_dir, rows[-1].id), rows[-1], REPAIR)
    sample = _sample(index_dir, files)
    basis = fit_basis(sample, edition.grid)
    facts = {
        "n_frames": len(sample),
        "rank": basis.rank,
        "blocks": n_blocks(edition.grid),
        "lost": loss(basis, sample, edition.grid),
        "lost_by_segment": {},
    }
    path = basis_file(index_dir, number)
    with storing(index_dir):
        path.parent.mkdir(exist_ok=True)
        draft = path.with_name(TEMPORARY + path.name)
        with closing(CheckedFile(draft)) as file:
            file.write(to_bytes({"maps": basis}))
            record = file.finish()
        draft.replace(path)
        sync_folder(path.parent)
    with catalogue.writing() as connection:
        add_basis(connection, basis=number, edition=edition.id, file=record, facts=facts)
    return number, basis


def loss(basis: Projection, maps: NDArray[np.floating], grid: tuple[int, int]) -> float:
    """Return which part of the variance about the basis's mean the codes of maps do not hold."""
    blocks = pooled(maps, grid)
    lost = float(np.square(blocks - basis.rows(basis.codes(blocks))).sum(dtype=np.float64))
    return lost / max(float(np.square(blocks - basis.mean).sum(dtype=np.float64)), 1e-12)


def drifted(facts: Mapping[str, Any]) -> list[int]:
    """Return the segments that a basis with these facts fits DRIFT times worse than its sample."""
    return [
        int(segment)
        for segment, lost in facts["lost_by_segment"].items()
        if lost > DRIFT * facts["lost"]
    ]


def forget_compact(index_dir: Path, catalogue: Catalogue, edition: Edition) -> None:
    """Give up compact maps that can be derived anew; what comes then is in a basis fitted anew.

    A basis that others are written in, whose frames have no full maps, stays for these alone.
    """
    with catalogue.writing() as connection:
        files = segment_files(connection, edition.id)
        derived = {n for n, names in files.items() if MAPS in names and basis_in(names) is not None}
        for segment in derived:
            names = {n: r for n, r in files[segment].items() if basis_in([n]) is None}
            files[segment] = names
            replace_segment_files(connection, segment, names)
        if derived:
            forget_efforts(connection, edition.id)
        used = {basis_in(names) for names in files.values()}
        for number, row in basis_rows(connection).items():
            if row.edition == edition.id and number not in used:
                drop_basis(connection, number)
            elif row.edition == edition.id and derived:
                retire_basis(connection, number)


def _sample(index_dir: Path, files: Files, n: int = SAMPLE_FRAMES) -> NDArray[np.float16]:
    """Draw full maps (n, M, 512), each frame of the segments with the same chance."""
    sizes = [names[VISUAL].rows for names in files.values()]
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(sum(sizes), min(n, sum(sizes)), replace=False)
    chosen.sort()
    drawn, first = [], 0
    for (segment, names), size in zip(files.items(), sizes, strict=True):
        rows = chosen[(chosen >= first) & (chosen < first + size)] - first
        first += size
        with closing(_with_full_maps(index_dir, segment, names)) as opened:
            drawn += [opened.frame_row(int(row)).maps for row in rows]
    return np.concatenate(drawn).astype(np.float16)


def _with_full_maps(index_dir: Path, segment: int, names: Mapping[str, FileRecord]) -> Segment:
    kept = {name: record for name, record in names.items() if basis_in([name]) is None}
    return Segment(segment_folder(index_dir, segment), kept)


def _add_compact(
    index_dir: Path,
    catalogue: Catalogue,
    edition: Edition,
    segment: int,
    names: Mapping[str, FileRecord],
    number: int,
    basis: Projection,
) -> None:
    path = segment_folder(index_dir, segment) / file_name(number)
    with closing(_with_full_maps(index_dir, segment, names)) as opened, storing(index_dir):
        blocks = on_cores(partial(_compressed, basis, edition.grid), opened.frame_blocks())
        draft = path.with_name(TEMPORARY + path.name)
        record = write_compact(draft, blocks, basis, n_blocks(edition.grid))
        draft.replace(path)
        sync_folder(path.parent)
    lost = loss(basis, _sample(index_dir, {segment: names}, CHECKED_FRAMES), edition.grid)
    with catalogue.writing() as connection:
        replace_segment_files(connection, segment, {**names, path.name: record})
        note_loss(connection, number, segment, lost)


def _compressed(basis: Projection, grid: tuple[int, int], block: FrameBlock) -> CompactBlock:
    return compress(basis, block.ids, block.maps, grid)


def _give_up(index_dir: Path, catalogue: Catalogue, edition: Edition, segment: int) -> None:
    """Forget the full maps of a segment, then delete them: what is killed between is garbage."""
    with catalogue.writing() as connection:
        names: dict[str, Any] = dict(segment_files(connection, edition.id)[segment])
        names.pop(MAPS, None)
        replace_segment_files(connection, segment, names)
        if is_shown(connection, segment):  # what is new was not measured with them
            forget_efforts(connection, edition.id)
    with storing(index_dir):
        (segment_folder(index_dir, segment) / MAPS).unlink(missing_ok=True)
