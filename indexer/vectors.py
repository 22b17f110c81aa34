"""Flat inner-product search over unit vectors. The only module that knows FAISS.

FAISS proposes, a float64 dot product per row decides: so ties are exact, and the CPU, the GPU and
the plain numpy twin below give one answer. What FAISS does silently is guarded here: NaN queries,
k larger than the gallery, ids of −1.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Literal

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError
from indexer.blocks import Floats, Ids
from indexer.errors import REBUILD_VECTORS, IndexCorrupt
from indexer.neighbours import Neighbours, best, best_of, cosines
from indexer.storage import CheckedFile, FileRecord

faiss: Any = _faiss  # its type stubs leave out half of what it has
MARGIN = 4e-6
"""More than float32 inner products and the rounding of scores can differ by."""
PROBE_S = 60.0
Device = Literal["auto", "cpu", "cuda"]


class VectorIndex:
    """A flat index in memory, ids with the vectors (IDMap2)."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._on_gpu: Any = None

    @property
    def n(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def read(cls, file: Any, path: Path) -> VectorIndex:
        """Read from an open binary file; `path` is for messages. Raises IndexCorrupt."""
        try:
            return cls(faiss.read_index(faiss.PyCallbackIOReader(file.read)))
        except RuntimeError as error:
            raise IndexCorrupt(
                path,
                f"damaged: {str(error).splitlines()[0]}",
                REBUILD_VECTORS,
            ) from None

    def nearest(
        self, vector: Floats, k: int, *, allowed: Ids | None = None, device: Device = "cpu"
    ) -> Neighbours:
        """Return the k nearest to a unit vector (width,), fewer where there are fewer.

        Parameters
        ----------
        allowed : (m,) ids to choose from; None is all.
        device : `cuda` and `auto` search a copy on the GPU where there is one.

        Raises
        ------
        InputError : the vector has NaN in it or another width.
        """
        if vector.shape != (self._index.d,) or not np.isfinite(vector).all():
            raise InputError(f"query vector: {vector.shape}; give ({self._index.d},), finite")
        k = min(k, self.n)
        ids = np.empty(0, np.int64)
        n_asked = min(k + 1, self.n) if k > 0 else 0
        while n_asked:
            ids, scores = self._propose(vector, n_asked, allowed, device)
            # Beyond the margin nobody who was left out can still belong to the k best.
            if len(ids) < n_asked or n_asked == self.n or scores[-1] < scores[k - 1] - MARGIN:
                break
            n_asked = min(2 * n_asked, self.n)
        if not len(ids):
            return Neighbours(ids, np.empty(0, np.float32))
        return best(ids, cosines(self._index.reconstruct_batch(ids), vector), k)

    def _propose(
        self, vector: Floats, n: int, allowed: Ids | None, device: Device
    ) -> tuple[Ids, Floats]:
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        if allowed is not None:  # FAISS takes no selector on the GPU
            selector = _selector(allowed)
            parameters = faiss.SearchParameters(sel=selector)
            scores, ids = self._index.search(query, n, params=parameters)
        else:
            scores, ids = self._searched_on(device).search(query, n)
        found = ids[0] >= 0
        return ids[0][found], scores[0][found]

    def _searched_on(self, device: Device) -> Any:
        if device == "cpu" or not gpu_works():
            return self._index
        if self._on_gpu is None:
            self._on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index)
        return self._on_gpu


def write_flat(
    path: Path, blocks: Callable[[], Iterable[tuple[Ids, Floats]]], width: int
) -> FileRecord:
    """Write unit vectors (n, width) with their ids as FAISS writes an IDMap2 of a flat index.

    FAISS itself would first gather all of them in memory. `blocks` is called twice, for the ids and
    for the vectors; the file is synced, and its length and digest are returned.
    """
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in blocks())])
    unused = 1 << 20
    header = struct.pack(
        "<iqqq?i", width, len(ids), unused, unused, True, faiss.METRIC_INNER_PRODUCT
    )
    with closing(CheckedFile(path)) as file:
        file.write(b"IxM2" + header + b"IxFI" + header + struct.pack("<Q", len(ids) * width))
        for _, vectors in blocks():
            file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        file.write(struct.pack("<Q", len(ids)) + ids.astype("<i8").tobytes())
        return file.finish(rows=len(ids))


def exact_nearest(blocks: Iterable[tuple[Ids, Floats]], vector: Floats, k: int) -> Neighbours:
    """Do what `VectorIndex.nearest` does in plain numpy: its slow twin."""
    return best_of(((ids, cosines(vectors, vector)) for ids, vectors in blocks), k)


@cache
def gpu_works() -> bool:
    """Say whether FAISS searches on a GPU here.

    Asked once, in another process and with a time-out: a broken driver hangs or aborts.
    """
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0:
        return False
    try:
        answer = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_S, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return answer.returncode == 0


PROBE = """
import faiss, numpy
index = faiss.IndexFlatIP(8)
index.add(numpy.eye(8, dtype="float32"))
copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
assert copy.search(numpy.eye(8, dtype="float32")[3:4], 1)[1][0, 0] == 3
"""


def _selector(allowed: Ids) -> Any:
    """Return a bit per id: the test that FAISS makes for every vector must be cheap."""
    chosen: NDArray[np.bool_] = np.zeros(int(allowed.max(initial=0)) + 1, dtype=np.bool_)
    chosen[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
