"""Arrow files of rows with ids: written once in record batches, read whole or memory-mapped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexer.blocks import Ids
from indexer.errors import REBUILD_ALL, IndexCorrupt
from indexer.storage import CheckedFile, FileRecord, open_checked

KINDS: dict[pa.DataType, type[np.generic]] = {
    pa.int64(): np.int64,
    pa.int8(): np.int8,
    pa.float16(): np.float16,
    pa.float32(): np.float32,
}
"""What columns hold, to NumPy: pyarrow would say it, too, and import pandas for that."""


def schema_of(**columns: tuple[pa.DataType, int]) -> pa.Schema:
    """Return a schema of ids and, by name, lists of a type and a length."""
    lists = [(name, pa.list_(kind, size)) for name, (kind, size) in columns.items()]
    return pa.schema([("id", pa.int64()), *lists])


@dataclass
class _Pending:
    """Rows that wait for their record batch to be full."""

    ids: list[Ids] = field(default_factory=list)
    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    missing: dict[str, list[NDArray[np.bool_]]] = field(default_factory=dict)
    n_rows: int = 0


class TableWriter:
    """Writes rows as they come, in record batches of a fixed size; synced at the end."""

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
        """Add rows: `columns` (n, length) by name, null where `missing` (n,) marks them."""
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
        arrays = [_array(np.concatenate(held.ids))]
        for name in self._schema.names[1:]:
            values = np.concatenate(held.columns[name])
            mask = _array(np.concatenate(held.missing[name])) if name in held.missing else None
            flat = _array(values.reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask))
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._n_rows += held.n_rows

    def finish(self) -> FileRecord:
        """Write what is left, sync, close."""
        self._write()
        self._writer.close()
        return self._file.finish(self._n_rows)

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()


def _array(values: NDArray[Any]) -> pa.Array:
    """Wrap values (n,); `pa.array` would do it, and import pandas for nothing."""
    kind = pa.from_numpy_dtype(values.dtype)
    packed = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(packed)])


class Table:
    """One Arrow file, opened by descriptor: any name that the system can open will do.

    Parameters
    ----------
    mapped : True gives arrays that are views of the memory-mapped file; False reads a record batch
        at a time, for a single pass that should leave no pages behind.
    remedy : what to do where the file is damaged.

    Raises
    ------
    IndexCorrupt : the file is gone, of another length, or no Arrow file.
    """

    def __init__(
        self, path: Path, record: FileRecord, *, mapped: bool = True, remedy: str = REBUILD_ALL
    ) -> None:
        self.path, self._remedy = path, remedy
        self._opened = open_checked(path, record, remedy=remedy)
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

    @property
    def schema(self) -> pa.Schema:
        """Ids and lists by name, as `schema_of` gives them."""
        return self._file.schema

    def batch(self, n: int) -> pa.RecordBatch:
        """Return a record batch by number."""
        try:
            return self._file.get_batch(n)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise self._corrupt(error) from None

    def ids(self) -> Ids:
        """Return the ids (n,) of all rows, in their order."""
        parts = [ids_of(self.batch(n)) for n in range(self.n_batches)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def close(self) -> None:
        """Let go of the map; arrays that were handed out keep it until they are gone."""
        del self._file
        self._opened.close()

    def _corrupt(self, error: Exception) -> IndexCorrupt:
        return IndexCorrupt(self.path, f"damaged: {str(error).splitlines()[0]}", self._remedy)


def ids_of(batch: pa.RecordBatch) -> Ids:
    """View the ids (n,) of a record batch."""
    ids: Ids = _viewed(batch.column("id"))
    return ids


def rows_of(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """View a list column (n, width) without a copy; what is missing is whatever was written."""
    column = batch.column(name)
    width = column.type.list_size
    flat = _viewed(column.values)
    rows: NDArray[Any] = flat[column.offset * width : (column.offset + len(column)) * width]
    return rows.reshape(len(column), width)


def _viewed(array: pa.Array) -> NDArray[Any]:
    """View numbers (n,) without a copy; `to_numpy` would do it, and import pandas for nothing."""
    kind = np.dtype(KINDS[array.type])
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)
