"""Whether FAISS searches on a GPU here, found out without risk to this process.

And the copy of an index that is searched there.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, Literal

import faiss as _faiss

from indexer.blocks import Floats, Ids

faiss: Any = _faiss  # its type stubs leave out half of what it has
PROBE_S = 60.0
MOST_ON_GPU = 2048
"""FAISS refuses to find more there."""
Device = Literal["auto", "cpu", "cuda"]


@cache
def gpu_works() -> bool:
    """Say whether FAISS searches on a GPU here.

    Asked once, in another process and with a time-out: a broken driver hangs or aborts, also where
    it is only asked how many GPUs there are.
    """
    if not hasattr(faiss, "StandardGpuResources"):
        return False
    try:
        answer = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_S, check=False
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return answer.returncode == 0


def to_gpu(index: Any) -> Any:
    """Copy an index to the first GPU; raises RuntimeError or MemoryError where it cannot be."""
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)


class GpuCopy:
    """A copy of an index on the GPU, made at the first search and searched by one thread at a time.

    FAISS does not promise that several may. Where copying or searching raises, as in a GPU without
    room, a warning says so once, and no more is tried.

    Parameters
    ----------
    copied : makes the copy.
    """

    def __init__(self, index: Any, copied: Callable[[Any], Any] = to_gpu) -> None:
        self._index, self._copied = index, copied
        self._copy: Any = None
        self._has_failed = False
        self._one = Lock()

    def search(self, queries: Floats, n: int) -> tuple[Floats, Ids] | None:
        """Return scores and places (q, n), or None: the CPU is to be asked.

        Parameters
        ----------
        n : at most `MOST_ON_GPU` are found here.
        """
        if n > MOST_ON_GPU:
            return None
        with self._one:
            if self._has_failed:
                return None
            try:
                if self._copy is None:
                    self._copy = self._copied(self._index)
                scores, places = self._copy.search(queries, n)
            except (RuntimeError, MemoryError) as error:
                self._has_failed, self._copy = True, None
                reason = " ".join(str(error).split())
                warnings.warn(f"vectors are searched on the CPU: {reason}", stacklevel=2)
                return None
        return scores, places


PROBE = """
import faiss, numpy
assert faiss.get_num_gpus() > 0
index = faiss.IndexFlatIP(8)
index.add(numpy.eye(8, dtype="float32"))
copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
assert copy.search(numpy.eye(8, dtype="float32")[3:4], 1)[1][0, 0] == 3
"""
