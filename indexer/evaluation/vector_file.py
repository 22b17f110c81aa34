"""Vectors on disk, read and written by rows: what an evaluation keeps outside its memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from threading import Lock

import numpy as np

from indexer.blocks import Floats
from indexer.evaluation.database import Positions
from indexer.evaluation.errors import NoScratch

ITEM_BYTES = 4


class VectorFile:
    """(n, width) float32 in an unnamed file; rows that were never written are zero.

    The file lies in the folder for temporary files (TMPDIR) and is gone when it is closed, or the
    process ends in whatever way. It is read, not mapped: mapped pages count as memory of the
    process for as long as the system leaves them there. Safe to share between threads.

    Raises
    ------
    NoScratch : the folder for temporary files has no room.
    """

    def __init__(self, n: int, width: int) -> None:
        self._shape = n, width
        self._lock = Lock()
        try:
            # Unbuffered, so that nothing is left to be written when it is closed.
            self._file = tempfile.TemporaryFile(prefix="retrieval-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise NoScratch(n * width * ITEM_BYTES, error) from None
        self._resize(n * width * ITEM_BYTES)

    def __len__(self) -> int:
        return self._shape[0]

    @property
    def width(self) -> int:
        return self._shape[1]

    def put(self, rows: Positions, vectors: Floats) -> None:
        """Write vectors (m, width) to rows (m,)."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        with self._lock:
            for part in _runs(rows):
                self._file.seek(int(rows[part.start]) * self.width * ITEM_BYTES)
                self._write(vectors[part].data.cast("B"))

    def take(self, rows: Positions) -> Floats:
        """Read rows (m,) in the order asked, as (m, width); runs of them are read at once."""
        vectors = np.empty((len(rows), self.width), np.float32)
        with self._lock:
            for part in _runs(rows):
                self._file.seek(int(rows[part.start]) * self.width * ITEM_BYTES)
                self._read(vectors[part].data.cast("B"))
        return vectors

    def blocks(self, n_rows: int) -> Iterator[tuple[slice, Floats]]:
        """Yield all rows, `n_rows` at a time, with where they stand."""
        for start in range(0, len(self), n_rows):
            stop = min(start + n_rows, len(self))
            yield slice(start, stop), self.take(np.arange(start, stop))

    def close(self) -> None:
        """Let go of the file; it may be read no more."""
        self._file.close()

    def _resize(self, n_bytes: int) -> None:
        try:
            self._file.truncate(n_bytes)
        except OSError as error:
            self._file.close()
            raise NoScratch(n_bytes, error) from None

    def _write(self, left: memoryview) -> None:
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise NoScratch(left.nbytes, error) from None

    def _read(self, left: memoryview) -> None:
        while left:
            n_read = self._file.readinto(left)
            assert n_read, "rows are within the file"
            left = left[n_read:]


def _runs(rows: Positions) -> Iterator[slice]:
    """Yield the places where rows follow one another."""
    if not len(rows):
        return
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
        yield slice(int(start), int(stop))
