"""Segments: immutable Arrow files with ids beside vectors, written once and memory-mapped.

A segment holds `sound.arrow`, `visual.arrow`, and of the maps of its frames `maps.arrow`,
`compact-….arrow`, both, or neither: each with rows only for the items that have that side. All
files of frames hold the same items in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from indexer.arrow_files import Table, TableWriter, ids_of, rows_of, schema_of
from indexer.blocks import Floats, FrameBlock, Halves, Ids, SoundBlock
from indexer.compact.maps import (
    BATCH_ROWS,
    CompactBlock,
    basis_in,
    compact_block,
    file_name,
    restored,
)
from indexer.compact.projection import Projection
from indexer.errors import ENCODE_AGAIN, REBUILD_ALL, REPAIR, IndexCorrupt
from indexer.storage import FileRecord, is_intact

SOUND, VISUAL, MAPS = "sound.arrow", "visual.arrow", "maps.arrow"
MAP_ROWS = 64
"""Rows of a record batch of maps: some megabytes, the unit of streaming."""
VECTOR_ROWS = 512
"""Rows of a record batch of vectors, a multiple of MAP_ROWS so that the two never cross."""


@dataclass(frozen=True, kw_only=True)
class SegmentRows:
    """What a batch of items adds to a segment, ids beside vectors.

    Attributes
    ----------
    own_sound : (n, 1000) float32, f_v of each frame with its own sound; see `heard`.
    heard : (n,) bool, whether the item of that frame has a sound.
    """

    sounds: SoundBlock
    frames: FrameBlock
    own_sound: Floats
    heard: NDArray[np.bool_]


class SegmentWriter:
    """Streams rows to the three files of a segment in `folder`, a few batches behind."""

    def __init__(self, folder: Path, n_cells: int) -> None:
        self._map_size = n_cells * D
        sound = schema_of(f_s=(pa.float32(), F_S), h=(pa.float16(), D))
        visual = schema_of(coarse=(pa.float32(), F_V), own_sound=(pa.float32(), F_V))
        maps = schema_of(map=(pa.float16(), self._map_size))
        self._sound = TableWriter(folder / SOUND, sound, VECTOR_ROWS)
        self._visual = TableWriter(folder / VISUAL, visual, VECTOR_ROWS)
        self._maps = TableWriter(folder / MAPS, maps, MAP_ROWS)

    def append(self, rows: SegmentRows) -> None:
        """Add rows; vectors in float32, h and maps in float16."""
        self._sound.append(rows.sounds.ids, f_s=rows.sounds.f_s, h=rows.sounds.h.astype(np.float16))
        self._visual.append(
            rows.frames.ids,
            {"own_sound": ~rows.heard},
            coarse=rows.frames.coarse,
            own_sound=rows.own_sound,
        )
        self._maps.append(rows.frames.ids, map=rows.frames.maps.reshape(-1, self._map_size))

    def finish(self) -> dict[str, FileRecord]:
        """Write what is left, sync, close; return what the catalogue should know."""
        return {
            SOUND: self._sound.finish(),
            VISUAL: self._visual.finish(),
            MAPS: self._maps.finish(),
        }

    def abandon(self) -> None:
        """Close the files as they are; the folder is garbage."""
        for table in (self._sound, self._visual, self._maps):
            table.abandon()


class Segment:
    """A committed segment.

    Parameters
    ----------
    bases : what compact maps are written in, by number; None where nobody will ask for them.
    mapped : True gives arrays that are views of the memory-mapped file; False reads a record batch
        at a time, for a single pass that should leave no pages behind.

    Raises
    ------
    IndexCorrupt : a file is gone, of another length, or no Arrow file.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, FileRecord],
        *,
        bases: Mapping[int, Projection] | None = None,
        mapped: bool = True,
    ) -> None:
        self.folder, self.files, self._mapped = folder, files, mapped
        self._views: dict[tuple[str, int], Floats] = {}
        self._sound, self._visual = (self._table(name, mapped) for name in (SOUND, VISUAL))
        self._maps = self._table(MAPS, mapped) if MAPS in files else None
        self._compact: Table | None = None
        self.basis: Projection | None = None
        number = basis_in(files)
        if number is not None and bases is not None:
            self.basis = bases[number]
            self._compact = self._table(file_name(number), mapped)

    def _table(self, name: str, mapped: bool) -> Table:
        derived = MAPS in self.files and name not in (SOUND, VISUAL, MAPS)
        is_maps = name not in (SOUND, VISUAL)
        remedy = REPAIR if derived else ENCODE_AGAIN if is_maps else REBUILD_ALL
        return Table(self.folder / name, self.files[name], mapped=mapped, remedy=remedy)

    @property
    def has_maps(self) -> bool:
        """Whether the full maps are kept."""
        return self._maps is not None

    @property
    def sound_ids(self) -> Ids:
        """(n,) in the order of the rows."""
        return self._sound.ids()

    @cached_property
    def frame_ids(self) -> Ids:
        """(n,) in the order of the rows."""
        return self._visual.ids()

    def sound_blocks(self) -> Iterator[SoundBlock]:
        """Yield the sounds, up to VECTOR_ROWS at a time; h comes as float32."""
        for n in range(self._sound.n_batches):
            batch = self._sound.batch(n)
            yield SoundBlock(
                ids=ids_of(batch),
                f_s=rows_of(batch, "f_s"),
                h=rows_of(batch, "h").astype(np.float32),
            )

    def frame_blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames, up to MAP_ROWS at a time, with the best maps that are kept.

        Compact ones come as the cells that they stand for, float32 (n, C, 512); where none are kept
        there are 0 cells.
        """
        for first in range(0, self.files[VISUAL].rows, VECTOR_ROWS):
            visual = self._visual.batch(first // VECTOR_ROWS)
            for row in range(0, visual.num_rows, MAP_ROWS):
                yield self._frame_block(visual.slice(row, MAP_ROWS), first + row)

    def _frame_block(self, visual: pa.RecordBatch, row: int) -> FrameBlock:
        """Join rows of `visual`, within a batch of maps, with their maps from `row` on."""
        ids, maps = ids_of(visual), np.empty((visual.num_rows, 0, D), np.float16)
        if self._maps is not None:
            batch = self._maps.batch(row // MAP_ROWS).slice(row % MAP_ROWS, visual.num_rows)
            same = np.array_equal(ids, ids_of(batch))
            maps = rows_of(batch, "map").reshape(visual.num_rows, -1, D)
        elif self._compact is not None and self.basis is not None:
            block = self.compact(np.arange(row, row + visual.num_rows))
            same = np.array_equal(ids, block.ids)
            maps = restored(self.basis, block)
        else:
            same = True
        if not same:
            raise IndexCorrupt(self.folder, f"its maps and {VISUAL} hold different items")
        return FrameBlock(ids=ids, maps=maps, coarse=rows_of(visual, "coarse"))

    @property
    def compact_bytes(self) -> int:
        """Return how long the file of compact maps is; 0 where there is none."""
        number = basis_in(self.files)
        return 0 if number is None else self.files[file_name(number)].bytes

    def compact(self, rows: NDArray[np.int64]) -> CompactBlock:
        """Return compact maps by their places in `frame_ids`, ascending (k,)."""
        assert self._compact is not None, "asked only where there are compact maps"
        parts = []
        for n in range(self._compact.n_batches):
            first = n * BATCH_ROWS
            chosen = rows[(rows >= first) & (rows < first + BATCH_ROWS)] - first
            if len(chosen):
                parts.append(compact_block(self._compact.batch(n)).take(chosen))
        return parts[0] if len(parts) == 1 else CompactBlock.joined(parts)

    def coarse_blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids and f_v of the frames alone, without touching their maps."""
        for n in range(self._visual.n_batches):
            batch = self._visual.batch(n)
            yield ids_of(batch), rows_of(batch, "coarse")

    def own_sound_blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids and f_v of the frames that have a sound of their own."""
        for n in range(self._visual.n_batches):
            batch = self._visual.batch(n)
            heard = np.asarray(batch.column("own_sound").is_valid())
            yield ids_of(batch)[heard], rows_of(batch, "own_sound")[heard]

    def sound_row(self, row: int) -> SoundBlock:
        """Return one sound by its place in `sound_ids`."""
        batch = self._sound.batch(row // VECTOR_ROWS).slice(row % VECTOR_ROWS, 1)
        return SoundBlock(
            ids=ids_of(batch), f_s=rows_of(batch, "f_s"), h=rows_of(batch, "h").astype(np.float32)
        )

    def frame_row(self, row: int) -> FrameBlock:
        """Return one frame by its place in `frame_ids`."""
        visual = self._visual.batch(row // VECTOR_ROWS)
        return self._frame_block(visual.slice(row % VECTOR_ROWS, 1), row)

    def coarse_rows(self, rows: NDArray[np.int64]) -> Floats:
        """Return f_v⁰ (k, 1000) of frames by their places in `frame_ids`, ascending."""
        return self.vector_rows("coarse", rows)

    def vector_rows(self, space: str, rows: NDArray[np.int64]) -> Floats:
        """Return vectors (k, 1000), k > 0, of `sound`, `coarse` or `own_sound` by their places in
        `sound_ids` or `frame_ids`, ascending."""
        batches, parts = rows // VECTOR_ROWS, []
        first = np.flatnonzero(np.diff(batches, prepend=-1))
        for part in np.split(np.arange(len(rows)), first[1:]):
            view = self._view(space, int(batches[part[0]]))
            parts.append(view[rows[part] % VECTOR_ROWS])
        return np.concatenate(parts)

    def _view(self, space: str, n: int) -> Floats:
        """Return the vectors of a record batch; views of a mapped file are kept for next time."""
        known = self._views.get((space, n))
        if known is None:
            table, column = (self._sound, "f_s") if space == "sound" else (self._visual, space)
            known = rows_of(table.batch(n), column)
            if self._mapped:
                self._views[space, n] = known
        return known

    def damaged(self) -> list[str]:
        """Read every byte; return the names of files that are not what was written."""
        return [n for n, record in self.files.items() if not is_intact(self.folder / n, record)]

    def close(self) -> None:
        self._views.clear()
        for table in (self._sound, self._visual, self._maps, self._compact):
            if table is not None:
                table.close()


__all__ = ["MAP_ROWS", "Halves", "Segment", "SegmentRows", "SegmentWriter"]
