"""Codes of vectors, 64 bytes each: what every conditional search looks through first.

Each part of a generation has two files of them beside its FAISS files, derived in the same way from
its segments: f_v⁰ of each frame, and f_s with h̄ (h at unit length) of each sound. All parts are
coded in the same directions, so that their codes compare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from indexer.arrow_files import Table, TableWriter, ids_of, rows_of, schema_of
from indexer.blocks import Floats, Ids
from indexer.compact.projection import Codes, Projection, from_bytes, to_bytes
from indexer.compact.scan import on_cores
from indexer.errors import REBUILD_VECTORS, IndexCorrupt
from indexer.storage import CheckedFile, FileRecord, is_intact
from indexer.store import SegmentStore

FRAMES, SOUNDS = "frame_codes.arrow", "sound_codes.arrow"
PROJECTIONS = "codes.safetensors"
FILES = (FRAMES, SOUNDS, PROJECTIONS)
RANK = 64
SAMPLE = 4096
"""Vectors that each projection is fitted to."""
BATCH_ROWS = 1 << 16
SEED = 20_191_024


@dataclass(frozen=True, kw_only=True)
class FrameCodes:
    """`ids` (n,) and `coarse` int8 (n, r): f_v⁰ of frames."""

    ids: Ids
    coarse: Codes


@dataclass(frozen=True, kw_only=True)
class SoundCodes:
    """`ids` (n,), `f_s` int8 (n, r) and `h` int8 (n, r), of h at unit length: sounds."""

    ids: Ids
    f_s: Codes
    h: Codes


def write_codes(
    folder: Path,
    store: SegmentStore,
    hidden: Ids,
    projections: dict[str, Projection] | None = None,
) -> dict[str, FileRecord]:
    """Write the codes of all in a store that is not hidden.

    Parameters
    ----------
    projections : of the parts that are there already; None fits them to a sample of the store.
    """
    if projections is None:
        projections = fit_projections(store, hidden)
    with closing(CheckedFile(folder / PROJECTIONS)) as file:
        file.write(to_bytes(projections))
        record = file.finish()
    return {
        PROJECTIONS: record,
        FRAMES: _write_frames(folder / FRAMES, store, hidden, projections.get("coarse")),
        SOUNDS: _write_sounds(folder / SOUNDS, store, hidden, projections),
    }


def fit_projections(store: SegmentStore, hidden: Ids) -> dict[str, Projection]:
    """Fit `coarse`, `f_s` and `h` to a sample of a store; what it has none of is left out."""
    rng = np.random.default_rng(SEED)
    frames = _drawn(rng, np.setdiff1d(store.frame_ids, hidden))
    sounds = _drawn(rng, np.setdiff1d(store.sound_ids, hidden))
    samples = {}
    if len(frames):
        coarse = [rows[np.isin(ids, frames)] for ids, rows in store.vectors("coarse")]
        samples["coarse"] = np.concatenate(coarse)
    if len(sounds):
        heard, contexts = [], []
        for block in store.sound_blocks():
            rows = np.isin(block.ids, sounds)
            heard.append(block.f_s[rows])
            contexts.append(block.h[rows])
        samples |= {"f_s": np.concatenate(heard), "h": unit(np.concatenate(contexts))}
    fitted = on_cores(partial(Projection.fit, rank=RANK), samples.values())
    return dict(zip(samples, fitted, strict=True))


def unit(rows: Floats) -> Floats:
    """Rows (n, d) at unit length; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Floats = rows / np.maximum(lengths, 1e-12)
    return scaled


class CodeFiles:
    """The codes of a generation, open. Files that are swept later stay readable.

    Parameters
    ----------
    parts : folder and files of each, at least one.

    Raises
    ------
    IndexCorrupt : a file is gone or damaged.
    """

    def __init__(self, parts: Sequence[tuple[Path, Mapping[str, FileRecord]]]) -> None:
        folder, records = parts[0]
        path = folder / PROJECTIONS
        if not is_intact(path, records[PROJECTIONS]):
            raise IndexCorrupt(path, "damaged or gone", REBUILD_VECTORS)
        if any(other[PROJECTIONS] != records[PROJECTIONS] for _, other in parts):
            raise IndexCorrupt(path, "its parts are coded in different ways", REBUILD_VECTORS)
        self.projections = from_bytes(path.read_bytes())
        self._frames, self._sounds = (
            [Table(folder / name, files[name], remedy=REBUILD_VECTORS) for folder, files in parts]
            for name in (FRAMES, SOUNDS)
        )

    def frames(self) -> Iterator[FrameCodes]:
        """Yield the codes of all frames, up to BATCH_ROWS at a time: views of the file."""
        for table in self._frames:
            for n in range(table.n_batches):
                batch = table.batch(n)
                yield FrameCodes(ids=ids_of(batch), coarse=rows_of(batch, "coarse"))

    def sounds(self) -> Iterator[SoundCodes]:
        """Yield the codes of all sounds, up to BATCH_ROWS at a time: views of the file."""
        for table in self._sounds:
            for n in range(table.n_batches):
                batch = table.batch(n)
                f_s, h = rows_of(batch, "f_s"), rows_of(batch, "h")
                yield SoundCodes(ids=ids_of(batch), f_s=f_s, h=h)

    def close(self) -> None:
        for table in [*self._frames, *self._sounds]:
            table.close()


def _drawn(rng: np.random.Generator, ids: Ids) -> Ids:
    drawn: Ids = rng.choice(ids, min(SAMPLE, len(ids)), replace=False)
    return drawn


def _write_frames(
    path: Path, store: SegmentStore, hidden: Ids, coarse: Projection | None
) -> FileRecord:
    writer = TableWriter(
        path, schema_of(coarse=(pa.int8(), coarse.rank if coarse else 1)), BATCH_ROWS
    )
    try:
        for ids, vectors in store.vectors("coarse"):
            shown = ~np.isin(ids, hidden)
            if coarse and shown.any():
                writer.append(ids[shown], coarse=coarse.codes(vectors[shown]))
        return writer.finish()
    finally:
        writer.abandon()


def _write_sounds(
    path: Path, store: SegmentStore, hidden: Ids, projections: dict[str, Projection]
) -> FileRecord:
    f_s, h = projections.get("f_s"), projections.get("h")
    schema = schema_of(f_s=(pa.int8(), f_s.rank if f_s else 1), h=(pa.int8(), h.rank if h else 1))
    writer = TableWriter(path, schema, BATCH_ROWS)
    try:
        for block in store.sound_blocks():
            shown = ~np.isin(block.ids, hidden)
            if f_s and h and shown.any():
                heard, contexts = f_s.codes(block.f_s[shown]), h.codes(unit(block.h[shown]))
                writer.append(block.ids[shown], f_s=heard, h=contexts)
        return writer.finish()
    finally:
        writer.abandon()
