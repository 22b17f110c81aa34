"""Segments: immutable Arrow files with ids beside vectors, written once and memory-mapped.

A segment holds `sound.arrow`, `visual.arrow` and `maps.arrow`, each with rows only for the items
that have that side. `visual` and `maps` hold the same items in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from indexer.blocks import Floats, FrameBlock, Halves, Ids, SoundBlock
from indexer.errors import IndexCorrupt
from indexer.storage import CheckedFile, FileRecord, check_size, is_intact

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
        sound = _schema(f_s=(pa.float32(), F_S), h=(HALF, D))
        visual = _schema(coarse=(pa.float32(), F_V), own_sound=(pa.float32(), F_V))
        maps = _schema(map=(HALF, self._map_size))
        self._sound = _TableWriter(folder / SOUND, sound, VECTOR_ROWS)
        self._visual = _TableWriter(folder / VISUAL, visual, VECTOR_ROWS)
        self._maps = _TableWriter(folder / MAPS, maps, MAP_ROWS)

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


HALF = pa.float16()


def _schema(**columns: tuple[pa.DataType, int]) -> pa.Schema:
    lists = [(name, pa.list_(kind, size)) for name, (kind, size) in columns.items()]
    return pa.schema([("id", pa.int64()), *lists])


@dataclass
class _Pending:
    """Rows that wait for their record batch to be full."""

    ids: list[Ids] = field(default_factory=list)
    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    missing: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)
    n_rows: int = 0


class _TableWriter:
    def __init__(self, path: Path, schema: pa.Schema, rows_per_batch: int) -> None:
        self._schema, self._rows_per_batch = schema, rows_per_batch
        self._file = CheckedFile(path)
        self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), schema)
        self._pending = _Pending()
        self._n_rows = 0

    def append(
        self,
        ids: Ids,
        missing: dict[str, NDArray[np.bool_]] | None = None,
        **columns: NDArray[Any],
    ) -> None:
        start = 0
        while start < len(ids):
            stop = start + self._rows_per_batch - self._pending.n_rows
            self._hold(ids, missing or {}, columns, slice(start, stop))
            start = stop
            if self._pending.n_rows == self._rows_per_batch:
                self._write()

    def _hold(
        self,
        ids: Ids,
        missing: dict[str, NDArray[np.bool_]],
        columns: dict[str, NDArray[Any]],
        rows: slice,
    ) -> None:
        held = self._pending
        held.ids.append(ids[rows])
        for name, values in columns.items():
            held.columns.setdefault(name, []).append(values[rows])
        for name, mask in missing.items():
            held.missing.setdefault(name, []).append(mask[rows])
        held.n_rows += len(held.ids[-1])

    def _write(self) -> None:
        held, self._pending = self._pending, _Pending()
        if not held.n_rows:
            return
        arrays = [pa.array(np.concatenate(held.ids))]
        for name in self._schema.names[1:]:
            values = np.concatenate(held.columns[name])
            mask = pa.array(np.concatenate(held.missing[name])) if name in held.missing else None
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask))
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._n_rows += held.n_rows

    def finish(self) -> FileRecord:
        self._write()
        self._writer.close()
        return self._file.finish(self._n_rows)

    def abandon(self) -> None:
        self._file.close()


class Segment:
    """A committed segment.

    Parameters
    ----------
    mapped : True gives arrays that are views of the memory-mapped file; False reads a record batch
        at a time, for a single pass that should leave no pages behind.

    Raises
    ------
    IndexCorrupt : a file is gone, of another length, or no Arrow file.
    """

    def __init__(
        self, folder: Path, files: Mapping[str, FileRecord], *, mapped: bool = True
    ) -> None:
        self.folder, self.files = folder, files
        self._sound, self._visual, self._maps = (
            _Table(folder / name, files[name], mapped) for name in (SOUND, VISUAL, MAPS)
        )

    @property
    def sound_ids(self) -> Ids:
        """(n,) in the order of the rows."""
        return self._sound.ids()

    @property
    def frame_ids(self) -> Ids:
        """(n,) in the order of the rows."""
        return self._visual.ids()

    def sound_blocks(self) -> Iterator[SoundBlock]:
        """Yield the sounds, up to VECTOR_ROWS at a time; h comes as float32."""
        for n in range(self._sound.n_batches):
            batch = self._sound.batch(n)
            yield SoundBlock(
                ids=_ids(batch), f_s=_rows(batch, "f_s"), h=_rows(batch, "h").astype(np.float32)
            )

    def frame_blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames, up to MAP_ROWS at a time."""
        visual, first = None, 0
        for n in range(self._maps.n_batches):
            batch = self._maps.batch(n)
            row = n * MAP_ROWS
            if row % VECTOR_ROWS == 0:
                visual, first = self._visual.batch(row // VECTOR_ROWS), row
            yield self._frame_block(batch, visual, row - first)

    def _frame_block(self, maps: pa.RecordBatch, visual: pa.RecordBatch, row: int) -> FrameBlock:
        part = visual.slice(row, maps.num_rows)
        if not np.array_equal(_ids(part), _ids(maps)):
            raise IndexCorrupt(self.folder, f"{MAPS} and {VISUAL} hold different items")
        return FrameBlock(
            ids=_ids(maps),
            maps=_rows(maps, "map").reshape(maps.num_rows, -1, D),
            coarse=_rows(part, "coarse"),
        )

    def coarse_blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids and f_v of the frames alone, without touching their maps."""
        for n in range(self._visual.n_batches):
            batch = self._visual.batch(n)
            yield _ids(batch), _rows(batch, "coarse")

    def own_sound_blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids and f_v of the frames that have a sound of their own."""
        for n in range(self._visual.n_batches):
            batch = self._visual.batch(n)
            heard = np.asarray(batch.column("own_sound").is_valid())
            yield _ids(batch)[heard], _rows(batch, "own_sound")[heard]

    def sound_row(self, row: int) -> SoundBlock:
        """Return one sound by its place in `sound_ids`."""
        batch = self._sound.batch(row // VECTOR_ROWS).slice(row % VECTOR_ROWS, 1)
        return SoundBlock(
            ids=_ids(batch), f_s=_rows(batch, "f_s"), h=_rows(batch, "h").astype(np.float32)
        )

    def frame_row(self, row: int) -> FrameBlock:
        """Return one frame by its place in `frame_ids`."""
        maps = self._maps.batch(row // MAP_ROWS).slice(row % MAP_ROWS, 1)
        visual = self._visual.batch(row // VECTOR_ROWS)
        return self._frame_block(maps, visual, row % VECTOR_ROWS)

    def damaged(self) -> list[str]:
        """Read every byte; return the names of files that are not what was written."""
        return [n for n, record in self.files.items() if not is_intact(self.folder / n, record)]

    def close(self) -> None:
        for table in (self._sound, self._visual, self._maps):
            table.close()


class _Table:
    """One Arrow file, opened by descriptor: any name that the system can open will do."""

    def __init__(self, path: Path, record: FileRecord, mapped: bool) -> None:
        check_size(path, record)
        self.path = path
        self._opened = path.open("rb")
        try:
            source = pa.PythonFile(self._opened, mode="r")
            if mapped:
                source = pa.py_buffer(np.memmap(self._opened, dtype=np.uint8, mode="r"))
            self._file = pa.ipc.open_file(source)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            self._opened.close()
            raise self._corrupt(error) from None
        if mapped:
            self._opened.close()
        self.n_batches: int = self._file.num_record_batches

    def batch(self, n: int) -> pa.RecordBatch:
        try:
            return self._file.get_batch(n)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise self._corrupt(error) from None

    def ids(self) -> Ids:
        parts = [_ids(self.batch(n)) for n in range(self.n_batches)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def close(self) -> None:
        """Let go of the map; arrays that were handed out keep it until they are gone."""
        del self._file
        self._opened.close()

    def _corrupt(self, error: Exception) -> IndexCorrupt:
        return IndexCorrupt(self.path, f"damaged: {str(error).splitlines()[0]}")


def _ids(batch: pa.RecordBatch) -> Ids:
    ids: Ids = batch.column("id").to_numpy(zero_copy_only=True)
    return ids


def _rows(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """View a list column (n, width) without a copy; what is missing is whatever was written."""
    column = batch.column(name)
    width = column.type.list_size
    flat = column.values.to_numpy(zero_copy_only=True)
    rows: NDArray[Any] = flat[column.offset * width : (column.offset + len(column)) * width]
    return rows.reshape(len(column), width)


__all__ = ["MAP_ROWS", "Halves", "Segment", "SegmentRows", "SegmentWriter"]
