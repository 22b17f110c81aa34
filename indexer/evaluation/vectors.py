"""The vectors of the distinct frames and sounds under evaluation, read from the segments.

Sounds and coarse vectors are held (10 kB each); visual maps are streamed, one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from indexer.blocks import Floats, Halves, Ids
from indexer.errors import IndexCorrupt
from indexer.evaluation.database import NONE, Database, Positions
from indexer.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """The S distinct sounds: `f_s` (S, 1000), unit norm; `h` (S, 512)."""

    f_s: Floats
    h: Floats


class VectorSource:
    """Reads vectors by the numbers that a database gives to distinct frames and sounds.

    Raises
    ------
    IndexCorrupt : a vector is missing or not finite; names the item.
    """

    def __init__(self, index_dir: Path, segments: Sequence[Segment], database: Database) -> None:
        self._index_dir, self._segments, self._database = index_dir, segments, database

    def sounds(self) -> Sounds:
        """Read f_s and h of every distinct sound."""
        wanted = self._numbers(self._database.sound_items)
        blocks = [block for segment in self._segments for block in _kept(segment, wanted)]
        n = len(wanted)
        f_s = self._filled(((ids, rows) for ids, rows, _ in blocks), wanted, (n, F_S), "sound")
        h = self._filled(((ids, rows) for ids, _, rows in blocks), wanted, (n, D), "sound context")
        return Sounds(f_s=f_s, h=h)

    def coarse(self) -> Floats:
        """Read f_v under uniform attention of every distinct frame, (F, 1000)."""
        wanted = self._numbers(self._database.frame_items)
        blocks = (block for segment in self._segments for block in segment.coarse_blocks())
        return self._filled(blocks, wanted, (len(wanted), F_V), "coarse frame")

    def maps(self) -> Iterator[tuple[int, Halves]]:
        """Yield each distinct frame's number and visual map (M, 512), in order of storage."""
        wanted = self._numbers(self._database.frame_items)
        n_found = 0
        for segment in self._segments:
            for block in segment.frame_blocks():
                for row, number in enumerate(wanted.of(block.ids)):
                    if number == NONE:
                        continue
                    self._check_finite(block.maps[row], int(block.ids[row]), "visual map")
                    n_found += 1
                    yield int(number), block.maps[row]
        self._check_count(n_found, len(wanted), "visual map")

    def _numbers(self, items: Positions) -> _Numbers:
        return _Numbers(self._database.ids[items])

    def _filled(
        self,
        blocks: Iterable[tuple[Ids, NDArray[np.floating]]],
        wanted: _Numbers,
        shape: tuple[int, int],
        what: str,
    ) -> Floats:
        vectors = np.zeros(shape, np.float32)
        n_found = 0
        for ids, rows in blocks:
            numbers = wanted.of(ids)
            kept = numbers != NONE
            vectors[numbers[kept]] = rows[kept]
            n_found += int(kept.sum())
        self._check_count(n_found, shape[0], what)
        for number in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
            self._check_finite(vectors[number], int(wanted.ids[number]), what)
        return vectors

    def _check_finite(self, vector: NDArray[np.floating], item: int, what: str) -> None:
        if not np.isfinite(vector).all():
            raise IndexCorrupt(self._index_dir, f"item {item}: NaN in its {what} vector")

    def _check_count(self, n_found: int, n: int, what: str) -> None:
        if n_found != n:
            raise IndexCorrupt(self._index_dir, f"{n_found} {what} vectors for {n} items")


class _Numbers:
    """From item ids to the numbers of distinct frames or sounds."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._order = np.argsort(ids)
        self._sorted = ids[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, ids: Ids) -> Positions:
        """(n,) numbers, NONE for an id that is not wanted."""
        place = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        return np.where(self._sorted[place] == ids, self._order[place], NONE)


def _kept(segment: Segment, wanted: _Numbers) -> Iterator[tuple[Ids, Floats, Floats]]:
    for block in segment.sound_blocks():
        kept = wanted.of(block.ids) != NONE
        yield block.ids[kept], block.f_s[kept], block.h[kept]
