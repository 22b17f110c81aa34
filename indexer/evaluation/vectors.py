"""The vectors of the distinct frames and sounds under evaluation, read from the segments.

They come in the order of storage and are asked for in the order of the database: sounds and coarse
vectors are laid out anew on disk, visual maps are streamed, one frame at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoder.config import F_S, F_V, D
from indexer.blocks import Floats, Halves, Ids
from indexer.errors import IndexCorrupt
from indexer.evaluation.database import NONE, Database, Positions
from indexer.evaluation.vector_file import VectorFile
from indexer.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """The S distinct sounds: `f_s` (S, 1000), unit norm; `h` (S, 512)."""

    f_s: VectorFile
    h: VectorFile


class VectorSource:
    """Reads vectors by the numbers that a database gives to distinct frames and sounds.

    Raises
    ------
    IndexCorrupt : a vector is missing or not finite; names the item.
    NoScratch : the folder for temporary files has no room.
    """

    def __init__(self, index_dir: Path, segments: Sequence[Segment], database: Database) -> None:
        self._index_dir, self._segments, self._database = index_dir, segments, database

    @contextmanager
    def sounds(self) -> Iterator[Sounds]:
        """Read f_s and h of every distinct sound, for as long as they are open."""
        wanted = _Numbers(self._database.ids[self._database.sound_items])
        n, n_found = len(wanted), 0
        with closing(VectorFile(n, F_S)) as f_s, closing(VectorFile(n, D)) as h:
            for segment in self._segments:
                for block in segment.sound_blocks():
                    n_found += self._kept(f_s, wanted, block.ids, block.f_s, "sound")
                    self._kept(h, wanted, block.ids, block.h, "sound context")
            self._check_count(n_found, n, "sound")
            yield Sounds(f_s=f_s, h=h)

    @contextmanager
    def coarse(self) -> Iterator[VectorFile]:
        """Read f_v under uniform attention of every distinct frame, (F, 1000)."""
        wanted = _Numbers(self._database.ids[self._database.frame_items])
        n_found = 0
        with closing(VectorFile(len(wanted), F_V)) as coarse:
            for segment in self._segments:
                for ids, vectors in segment.coarse_blocks():
                    n_found += self._kept(coarse, wanted, ids, vectors, "coarse frame")
            self._check_count(n_found, len(wanted), "coarse frame")
            yield coarse

    def maps(self) -> Iterator[tuple[int, Halves]]:
        """Yield each distinct frame's number and visual map (M, 512), in order of storage."""
        wanted = _Numbers(self._database.ids[self._database.frame_items])
        n_found = 0
        for segment in self._segments:
            for block in segment.frame_blocks():
                for row, number in enumerate(wanted.of(block.ids)):
                    if number == NONE:
                        continue
                    if not np.isfinite(block.maps[row]).all():
                        raise self._not_finite(int(block.ids[row]), "visual map")
                    n_found += 1
                    yield int(number), block.maps[row]
        self._check_count(n_found, len(wanted), "visual map")

    def _kept(
        self, file: VectorFile, wanted: _Numbers, ids: Ids, vectors: Floats, what: str
    ) -> int:
        """Write those of a block (n, d) that are wanted; return how many."""
        numbers = wanted.of(ids)
        found = np.flatnonzero(numbers != NONE)
        for row in found[~np.isfinite(vectors[found]).all(axis=1)]:
            raise self._not_finite(int(ids[row]), what)
        found = found[np.argsort(numbers[found])]
        file.put(numbers[found], vectors[found])
        return len(found)

    def _not_finite(self, item: int, what: str) -> IndexCorrupt:
        return IndexCorrupt(self._index_dir, f"item {item}: NaN in its {what} vector")

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
