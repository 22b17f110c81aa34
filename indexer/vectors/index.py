"""A file of vectors open for search, whatever its kind: guards what FAISS does silently.

NaN queries, k larger than the gallery, ids of −1.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from encoder.errors import InputError
from indexer.blocks import Floats, Ids
from indexer.errors import REBUILD_VECTORS
from indexer.neighbours import Neighbours, best_of, cosines
from indexer.storage import FileRecord, open_checked
from indexer.vectors.devices import Device
from indexer.vectors.filters import NOBODY, Chosen
from indexer.vectors.flat import FlatSearch
from indexer.vectors.inverted import InvertedSearch, VectorsOf
from indexer.vectors.mapped import corrupt, mapped
from indexer.vectors.proposals import MAGICS, Proposer


class VectorIndex:
    """An index over a mapped file; safe to share between threads."""

    def __init__(self, searched: FlatSearch | InvertedSearch) -> None:
        self._searched = searched

    @property
    def n(self) -> int:
        return self._searched.n

    @property
    def kind(self) -> str:
        """`flat`, or how the vectors are compressed (`indexer.vectors.plan`)."""
        return self._searched.kind

    @classmethod
    def open(
        cls,
        path: Path,
        record: FileRecord,
        facts: dict[str, Any] | None = None,
        vectors_of: VectorsOf | None = None,
    ) -> VectorIndex:
        """Map a file that `write_vectors` wrote; it stays readable when a writer unlinks it.

        Parameters
        ----------
        facts : what `write_vectors` returned; None for files of before, which are flat.
        vectors_of : (n,) ids → their float32 unit vectors (n, width), in that order; needed where
            the file holds compressed ones, since exact vectors decide. Raises KeyError where an id
            is of no item.

        Raises
        ------
        IndexCorrupt : it is gone, of another length or damaged.
        """
        with open_checked(path, record, remedy=REBUILD_VECTORS) as file:
            return cls.read(file, path, facts, vectors_of)

    @classmethod
    def read(
        cls,
        file: BinaryIO,
        path: Path,
        facts: dict[str, Any] | None = None,
        vectors_of: VectorsOf | None = None,
    ) -> VectorIndex:
        """Map an open binary file, which may be closed then; `path` is for messages."""
        content = mapped(file, path)
        if content[:4].tobytes() not in MAGICS:
            return cls(FlatSearch(content, path))
        lists = Proposer(content, path)
        if facts is None or vectors_of is None:
            raise ValueError(f"{path}: give the facts and the exact vectors of compressed ones")
        if (lists.n, lists.n_lists) != (facts["n"], facts["n_lists"]):
            raise corrupt(path, f"{lists.n} vectors in {lists.n_lists} lists are not what it had")
        return cls(InvertedSearch(lists, facts, vectors_of, path))

    def nearest(
        self,
        vector: Floats,
        k: int,
        *,
        allowed: Ids | Chosen | None = None,
        excluded: Ids = NOBODY,
        device: Device = "cpu",
    ) -> Neighbours:
        """Return the k nearest to a unit vector (width,), fewer where there are fewer.

        Parameters
        ----------
        allowed : (m,) ids to choose from; None is all. A `Chosen` is made ready for later searches.
        excluded : (m,) ids to leave out, ascending: few, as what was deleted since a build.
        device : `cuda` and `auto` search a copy of a flat index on the GPU where there is one.

        Raises
        ------
        InputError : the vector has NaN in it or another width.
        """
        width = self._searched.width
        if vector.shape != (width,) or not np.isfinite(vector).all():
            raise InputError(f"query vector: {vector.shape}; give ({width},), finite")
        k = min(k, self.n)
        if k <= 0:
            return Neighbours(NOBODY, np.empty(0, np.float32))
        chosen = Chosen(allowed) if isinstance(allowed, np.ndarray) else allowed
        return self._searched.nearest(vector, k, chosen, excluded, device)


def exact_nearest(blocks: Iterable[tuple[Ids, Floats]], vector: Floats, k: int) -> Neighbours:
    """Do what `VectorIndex.nearest` does in plain numpy: its slow twin."""
    return best_of(((ids, cosines(vectors, vector)) for ids, vectors in blocks), k)
