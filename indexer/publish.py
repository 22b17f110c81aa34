"""A generation: vectors gathered from committed segments, calibrated, and shown to readers at once.

Everything here is derived: it can be made anew from the segments at any time, without the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from encoder.config import F_S, F_V
from encoder.embedder import Embedder
from indexer.blocks import Floats, Ids
from indexer.calibration import calibrate
from indexer.catalogue import Catalogue
from indexer.compact.codes import CodeFiles, write_codes
from indexer.compact.engine import Engine
from indexer.compact.recall import measure_efforts
from indexer.compact.writing import FOLDER as BASES
from indexer.compact.writing import basis_file, read_bases
from indexer.errors import IndexMissing, storing
from indexer.history import Edition, named_segments, next_id, segment_files
from indexer.ledger import GenerationRecord, publish, replace_files
from indexer.lookup import Generation, basis_rows, hidden_ids, latest_generation
from indexer.storage import FileRecord, is_intact, put_in_place, sweep, temporary
from indexer.store import FOLDER, SegmentStore, segment_folder
from indexer.vectors import write_flat

FAISS = "faiss"
SegmentFiles = Mapping[int, Mapping[str, FileRecord]]
WIDTHS = {"sound": F_S, "coarse": F_V, "own_sound": F_V}


def generation_folder(index_dir: Path, generation: int) -> Path:
    """Return where the FAISS files of a generation live."""
    return index_dir / FAISS / f"g{generation:06d}"


def space_file(space: str) -> str:
    """Return the name of the FAISS file of `sound`, `coarse` or `own_sound`."""
    return f"{space}.faiss"


def publish_generation(
    index_dir: Path,
    catalogue: Catalogue,
    edition: Edition,
    embedder: Embedder,
    *,
    min_recall: float,
) -> int:
    """Make all committed segments of an edition visible; return the generation.

    Until the transaction at the end readers see the generation before.

    Parameters
    ----------
    min_recall : of conditional queries; a side that stays under it is searched exactly.
    """
    with catalogue.reading() as connection:
        files = segment_files(connection, edition.id)
        generation = next_id(connection, "generation")
        hidden = hidden_ids(connection, generation)
        bases = read_bases(index_dir, basis_rows(connection), files)
    vectors = write_vectors(index_dir, generation, files, hidden)
    codes = CodeFiles(generation_folder(index_dir, generation), vectors)
    with closing(SegmentStore(index_dir, files, bases=bases)) as store, closing(codes):
        calibration = calibrate(store, embedder, hidden)
        engine = Engine(store, codes, embedder, edition.grid)
        efforts = measure_efforts(engine, hidden, min_recall=min_recall)
    record = GenerationRecord(
        id=generation,
        edition=edition.id,
        segments=list(files),
        files=vectors,
        calibration=calibration,
        efforts={side: effort.to_json() for side, effort in efforts.items()},
    )
    with catalogue.writing() as connection:
        publish(connection, record)
    sweep_garbage(index_dir, catalogue)
    return generation


def vectors_are_whole(index_dir: Path, generation: Generation) -> bool:
    """Say whether every FAISS file of a generation is there, byte for byte."""
    folder = generation_folder(index_dir, generation.id)
    return all(is_intact(folder / name, record) for name, record in generation.files.items())


def write_vectors(
    index_dir: Path, generation: int, segments: SegmentFiles, hidden: Ids
) -> dict[str, FileRecord]:
    """Write the FAISS files and the codes of a generation, block by block."""
    folder = generation_folder(index_dir, generation)
    with closing(SegmentStore(index_dir, segments, mapped=False)) as store, storing(index_dir):
        draft = temporary(folder)
        records = {}
        for space, width in WIDTHS.items():
            name = space_file(space)
            blocks = partial(_shown, store, space, hidden)
            records[name] = write_flat(draft / name, blocks, width)
        records |= write_codes(draft, store, hidden)
        put_in_place(draft, folder)
    return records


def _shown(store: SegmentStore, space: str, hidden: Ids) -> Iterator[tuple[Ids, Floats]]:
    for ids, vectors in store.vectors(space):
        kept = ~np.isin(ids, hidden)
        yield ids[kept], vectors[kept]


def rebuild_vectors(index_dir: Path) -> None:
    """Make the FAISS files of the current generation anew from its segments, in place.

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
    files = write_vectors(index_dir, generation.id, generation.segments, hidden)
    with (
        Catalogue.create(index_dir, corpus=generation.corpus) as catalogue,
        catalogue.writing() as connection,
    ):
        replace_files(connection, generation.id, files)


def sweep_garbage(index_dir: Path, catalogue: Catalogue) -> None:
    """Delete segments and generations that no row of the catalogue names."""
    with catalogue.reading() as connection:
        segments = named_segments(connection)
        generation = latest_generation(connection)
        bases = {basis_file(index_dir, basis).name for basis in basis_rows(connection)}
    kept = {segment_folder(index_dir, segment).name for segment in segments}
    current = {generation_folder(index_dir, generation.id).name} if generation else set()
    with storing(index_dir):
        sweep(index_dir / FOLDER, kept)
        sweep(index_dir / FAISS, current)
        sweep(index_dir / BASES, bases)
        for segment, names in segments.items():
            sweep(segment_folder(index_dir, segment), names)
