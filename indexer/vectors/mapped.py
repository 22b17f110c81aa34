"""FAISS files seen where they lie: mapped into memory, whatever their name, also once unlinked.

FAISS maps by file name, and not everywhere. Here the mapping is ours, made from an open file, and
FAISS gets views of it (`IO_FLAG_MMAP_IFC` with a reader over memory): opening copies what a search
always needs, centroids above all, and pages of codes come in as a search asks for them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from indexer.errors import REBUILD_VECTORS, IndexCorrupt

faiss: Any = _faiss
Bytes = NDArray[np.uint8]


def mapped(file: BinaryIO, path: Path) -> Bytes:
    """Map an open file; one that the system does not know as a file is read.

    Raises
    ------
    IndexCorrupt : it is empty.
    """
    try:
        file.fileno()
    except io.UnsupportedOperation:
        return np.frombuffer(file.read(), dtype=np.uint8)
    try:
        return np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    except ValueError as error:
        raise corrupt(path, str(error)) from None


def view_index(content: Bytes, path: Path) -> Any:
    """Return the FAISS index that `content` (n,) holds to its last byte, its arrays views of it.

    The caller keeps `content` for as long as the index.

    Raises
    ------
    IndexCorrupt : FAISS cannot read it, or it does not end where the index ends.
    """
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content))
    try:
        index = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
    except (RuntimeError, MemoryError) as error:
        raise corrupt(path, str(error)) from None
    if reader.rp_ != len(content):
        raise corrupt(path, f"{len(content)} bytes where the index has {reader.rp_}")
    return index


def corrupt(path: Path, reason: str) -> IndexCorrupt:
    """Return the error that names the way out."""
    return IndexCorrupt(path, f"damaged: {reason.splitlines()[0]}", REBUILD_VECTORS)
