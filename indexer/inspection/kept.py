"""Unit vectors for near duplicates: of frames the maps that an index keeps, of sounds f_s."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from indexer.blocks import Floats, Ids
from indexer.lookup import ItemRow
from indexer.reader import IndexReader

MAPS_AT_ONCE = 128
"""100 KB each once they are restored."""


class KeptSounds:
    """f_s (1000,) of every sound."""

    what = "sound"

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader

    def blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids (n,) with vectors (n, 1000)."""
        for block in self.reader.sound_blocks():
            yield block.ids, block.f_s

    def ids(self) -> Ids:
        """Return the ids of all that there are vectors of."""
        return self.reader.sound_ids

    def read(self, ids: Ids) -> Floats:
        """Return vectors (k, 1000) by id."""
        return np.concatenate([self.reader.sound(int(item)).f_s for item in ids])

    def part(self, row: ItemRow) -> tuple[str, float]:
        """Return which part of which file an item's vector is of."""
        return str(row.audio), round(row.t0 or 0.0, 3)


class KeptMaps:
    """Compact maps, all blocks of cells end to end, less what the frames of an index share.

    What they share is the mean of a basis, the same for all cells: without it every two maps would
    be alike.
    """

    what = "picture"

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader
        self.n_without = 0
        self._mean: Floats | None = None

    def blocks(self) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids (n,) with vectors (n, d); counts frames without a map."""
        with_map = self.ids()
        self.n_without = len(self.reader.frame_ids) - len(with_map)
        for start in range(0, len(with_map), MAPS_AT_ONCE):
            ids = with_map[start : start + MAPS_AT_ONCE]
            yield ids, self.read(ids)

    def ids(self) -> Ids:
        """Return the ids of all that there are vectors of."""
        return np.intersect1d(self.reader.frame_ids, self.reader.compact_ids)

    def read(self, ids: Ids) -> Floats:
        """Return vectors (k, d) by id."""
        maps, mean = self.reader.compact_maps(ids)
        self._mean = mean if self._mean is None else self._mean
        vectors = (maps - self._mean).reshape(len(ids), -1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Floats = vectors / np.maximum(lengths, 1e-12)
        return unit

    def part(self, row: ItemRow) -> tuple[str, float]:
        """Return which part of which file an item's vector is of."""
        return str(row.image), round(row.frame_time_s or 0.0, 3)
