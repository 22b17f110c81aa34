"""Whether FAISS searches on a GPU here, found out without risk to this process."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any, Literal

import faiss as _faiss

faiss: Any = _faiss  # its type stubs leave out half of what it has
PROBE_S = 60.0
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


PROBE = """
import faiss, numpy
assert faiss.get_num_gpus() > 0
index = faiss.IndexFlatIP(8)
index.add(numpy.eye(8, dtype="float32"))
copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
assert copy.search(numpy.eye(8, dtype="float32")[3:4], 1)[1][0, 0] == 3
"""
