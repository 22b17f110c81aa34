"""Records in a file and the lines that say what they are of: what a shelf is made of."""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.errors import PairsError

Span = tuple[float | None, ...]
"""Part of a file: a frame's time, or from and to in seconds, None being the end."""


@dataclass(frozen=True)
class Wanted:
    """A part of a file that is to be decoded."""

    path: Path
    span: Span


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line: whose record lies at place `at`, and what file it was made of."""

    at: int
    path: str
    span: Span
    size: int
    mtime_ns: int
    digest: str
    crc32: int


def entry_of(line: bytes) -> Entry | None:
    """Read a line; None where it is damaged."""
    try:
        values = json.loads(line)
        entry = Entry(**{**values, "span": tuple(values["span"])})
        return entry if entry.at >= 0 else None
    except (ValueError, TypeError, KeyError):
        return None


class Records:
    """Records in a file, read by their places; safe to share between threads.

    They are read, not mapped: mapped pages count as memory of the process for as long as the system
    leaves them there.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._path, self._shape, self._dtype = path, shape, dtype
        self._n_bytes = dtype.itemsize * int(np.prod(shape))
        self._n = path.stat().st_size // self._n_bytes if path.exists() else 0
        if self._n:
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self._n

    def take(self, places: NDArray[np.int64]) -> Tensor:
        """Read some records (B, …) in the order asked.

        Raises
        ------
        PairsError : somebody has cut the file short meanwhile.
        """
        found = np.empty((len(places), *self._shape), self._dtype)
        rows = found.reshape(len(places), self._n_bytes // self._dtype.itemsize).view(np.uint8)
        for row, place in zip(rows, places.tolist(), strict=True):
            if os.preadv(self._file, [row.data], place * self._n_bytes) != self._n_bytes:
                raise PairsError(f"{self._path}: record {place} is gone; run the command again")
        return torch.from_numpy(found)
