"""`retrieval doctor`: can this machine do the work? Each check says what was found and what to do.

Heavy libraries are tried in a process of their own: one that hangs or aborts at import must be
reported, not suffered.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from retrieval.doctor import gpu, libraries, surroundings
from retrieval.doctor.check import Check, Status

__all__ = ["Check", "Status", "diagnose"]


def diagnose(*, checkpoint: Path | None = None, folder: Path | None = None) -> list[Check]:
    """Run every check, in the order in which the pieces stand on each other.

    Parameters
    ----------
    checkpoint : encoder folder to load; None is the shipped one.
    folder : where an index would be written; None is the current folder.
    """
    folder, driver = folder or Path.cwd(), cache(gpu.asked_driver)
    checks: list[Callable[[], Check]] = [
        libraries.python,
        libraries.torch_family,
        lambda: gpu.driver(driver()),
        lambda: gpu.cuda(driver()),
        libraries.faiss,
        lambda: gpu.faiss_gpu(driver()),
        libraries.decoders,
        libraries.tables,
        libraries.page,
        lambda: libraries.sqlite(folder),
        libraries.postgres,
        lambda: surroundings.disk_space(folder),
        surroundings.text_encoding,
        surroundings.file_names,
        lambda: libraries.encoder_loads(checkpoint),
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:  # most of the time they wait for a process
        return list(pool.map(lambda check: check(), checks))
