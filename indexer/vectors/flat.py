"""A flat index: every vector is compared. FAISS proposes, a float64 dot product per row decides.

So ties are exact, and the CPU, the GPU and the plain numpy twin give one answer.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np

from indexer.blocks import Floats, Ids
from indexer.neighbours import Neighbours, best, cosines
from indexer.storage import CheckedFile, FileRecord
from indexer.vectors.devices import Device, GpuCopy, gpu_works
from indexer.vectors.filters import NOBODY, Chosen, ChosenHere, bitmap, without
from indexer.vectors.mapped import Bytes, corrupt, view_index

faiss: Any = _faiss
MARGIN = 4e-6
"""More than float32 inner products and the rounding of scores can differ by."""
MAGIC = b"IxM2"
HEADER = struct.Struct("<4siqqq?i")
"""Kind, width, n, two that are unused, trained, metric: of the map of ids, and of what it maps."""
COUNT = struct.Struct("<Q")
UNUSED = 1 << 20


def write_flat(
    path: Path,
    blocks: Callable[[], Iterable[tuple[Ids, Floats]]],
    width: int,
    *,
    known: Ids | None = None,
) -> FileRecord:
    """Write unit vectors (n, width) with their ids as FAISS writes an IDMap2 of a flat index.

    FAISS itself would first gather all of them in memory. `blocks` is called twice, for the ids and
    for the vectors, or once where all ids (n,) are known; the file is synced, and its length and
    digest are returned.
    """
    ids = known
    if ids is None:
        ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in blocks())])
    with closing(CheckedFile(path)) as file:
        for kind in (MAGIC, b"IxFI"):
            file.write(
                HEADER.pack(kind, width, len(ids), UNUSED, UNUSED, True, faiss.METRIC_INNER_PRODUCT)
            )
        file.write(COUNT.pack(len(ids) * width))
        for _, vectors in blocks():
            file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        file.write(COUNT.pack(len(ids)) + ids.astype("<i8").tobytes())
        return file.finish(rows=len(ids))


class FlatSearch:
    """A flat index over the mapped bytes of its file.

    Ids are looked up here, not by FAISS: its IDMap2 would first build a table of all of them.
    """

    kind = "flat"

    def __init__(self, content: Bytes, path: Path) -> None:
        if len(content) < 2 * HEADER.size or content[: len(MAGIC)].tobytes() != MAGIC:
            raise corrupt(path, "it is no index of vectors")
        _, self.width, self.n, *_ = HEADER.unpack_from(content.data)
        first, n_floats = 2 * HEADER.size + COUNT.size, self.n * self.width
        end = first + 4 * n_floats
        if min(self.n, self.width) < 0 or len(content) != end + COUNT.size + 8 * self.n:
            raise corrupt(path, f"{len(content)} bytes do not hold {self.n} x {self.width}")
        self._content = content
        self._index = view_index(content[HEADER.size : end], path)
        if (self._index.ntotal, self._index.d) != (self.n, self.width):
            raise corrupt(path, "its two headers differ")
        rows: Floats = np.frombuffer(content, "<f4", n_floats, first)
        self._rows = rows.reshape(self.n, self.width)
        self.ids: Ids = np.frombuffer(content, "<i8", self.n, end + COUNT.size)
        self._on_gpu = GpuCopy(self._index)

    def nearest(
        self,
        vector: Floats,
        k: int,
        chosen: Chosen | None = None,
        excluded: Ids = NOBODY,
        device: Device = "cpu",
    ) -> Neighbours:
        """Do what `VectorIndex.nearest` promises, for a vector and a k that make sense."""
        here = None if chosen is None else chosen.here(self, self._chosen_here)
        n_there = self.n if here is None else here.n
        n_asked = min(k + 1 + min(len(excluded), k), n_there)
        places, shown = np.empty(0, np.int64), np.empty(0, np.bool_)
        while n_asked:
            places, scores = self._propose(vector, n_asked, here, device)
            shown = without(self.ids[places], excluded)
            kept = scores[shown]
            # Beyond the margin nobody who was left out can still belong to the k best.
            if n_asked == n_there or (len(kept) >= k and scores[-1] < kept[k - 1] - MARGIN):
                break
            n_asked = min(2 * n_asked, n_there)
        places = places[shown]
        return best(self.ids[places], cosines(self._rows[places], vector), k)

    def _propose(
        self, vector: Floats, n: int, here: ChosenHere | None, device: Device
    ) -> tuple[Ids, Floats]:
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        if here is not None:  # FAISS takes no selector on the GPU
            parameters = faiss.SearchParameters(sel=here.selector)
            scores, places = self._index.search(query, n, params=parameters)
        else:
            on_gpu = device != "cpu" and gpu_works()
            found = self._on_gpu.search(query, n) if on_gpu else None
            scores, places = found or self._index.search(query, n)
        there = places[0] >= 0
        return places[0][there], scores[0][there]

    def _chosen_here(self, chosen: Chosen) -> ChosenHere:
        marks = chosen.marked(self.ids)
        ids = self.ids[marks]
        return ChosenHere(len(ids), ids, bitmap(marks), np.empty(0, np.int64))
