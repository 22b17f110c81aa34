"""Other vector engines for `benchmarks/index.py`: each built once, searched with growing effort."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids

Blocks = Callable[[], Iterable[tuple[Ids, Floats]]]
NEIGHBOURS, CONSTRUCTION = 16, 100
"""Of every graph: M and efConstruction."""
EFFORTS = (16, 32, 64, 128, 256, 512, 1024)


class Engine(Protocol):
    """Something that is built of blocks and searched by inner product."""

    efforts: tuple[int, ...]

    def search(self, query: Floats, k: int, effort: int) -> NDArray[Any]:
        """Return ids (k,) for a unit vector (width,)."""


class Hnswlib:
    """hnswlib, float32."""

    efforts = EFFORTS

    def __init__(self, blocks: Blocks, n: int, width: int) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=width)
        self._index.init_index(n, ef_construction=CONSTRUCTION, M=NEIGHBOURS)
        self._index.set_num_threads(1)
        for ids, rows in blocks():
            self._index.add_items(rows, ids)

    def search(self, query: Floats, k: int, effort: int) -> NDArray[Any]:
        self._index.set_ef(effort)
        return np.asarray(self._index.knn_query(query, k)[0][0])


class Usearch:
    """usearch, float16."""

    efforts = EFFORTS

    def __init__(self, blocks: Blocks, n: int, width: int) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=width,
            metric="ip",
            dtype="f16",
            connectivity=NEIGHBOURS,
            expansion_add=CONSTRUCTION,
        )
        for ids, rows in blocks():
            self._index.add(ids, rows, threads=1)

    def search(self, query: Floats, k: int, effort: int) -> NDArray[Any]:
        self._index.expansion_search = effort
        return np.asarray(self._index.search(query, k, threads=1).keys)


class LanceDB:
    """LanceDB: IVF_PQ on disk with its own refinement by exact vectors."""

    efforts = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    REFINED = 4

    def __init__(self, blocks: Blocks, n: int, width: int) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.index import IvfPq

        self._folder = tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="lance-")
        kind = pa.list_(pa.float32(), width)

        def batches() -> Iterable[Any]:
            for ids, rows in blocks():
                flat = pa.array(rows.reshape(-1))
                columns = [pa.array(ids), pa.FixedSizeListArray.from_arrays(flat, width)]
                yield pa.record_batch(columns, names=["id", "vector"])

        schema = pa.schema([("id", pa.int64()), ("vector", kind)])
        database = lancedb.connect(self._folder.name)
        self._table = database.create_table("vectors", batches(), schema=schema)
        lists = max(1, int(4 * n**0.5))
        form = IvfPq(distance_type="dot", num_partitions=lists, num_sub_vectors=width // 8)
        self._table.create_index("vector", config=form)

    def search(self, query: Floats, k: int, effort: int) -> NDArray[Any]:
        asked = self._table.search(query).distance_type("dot").nprobes(effort)
        found = asked.refine_factor(self.REFINED).limit(k).select(["id", "_distance"]).to_arrow()
        return found.column("id").to_numpy()


class FaissHNSW:
    """FAISS's own graph over 8-bit codes."""

    efforts = EFFORTS

    def __init__(self, blocks: Blocks, n: int, width: int) -> None:
        import faiss

        self._faiss: Any = faiss
        self._index = self._faiss.IndexHNSWSQ(
            width, faiss.ScalarQuantizer.QT_8bit, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT
        )
        self._index.hnsw.efConstruction = CONSTRUCTION
        for _, rows in blocks():
            if not self._index.is_trained:
                self._index.train(rows)
            self._index.add(rows)

    def search(self, query: Floats, k: int, effort: int) -> NDArray[Any]:
        parameters = self._faiss.SearchParametersHNSW(efSearch=effort)
        return np.asarray(self._index.search(query[None], k, params=parameters)[1][0])


ENGINES: dict[str, Callable[[Blocks, int, int], Engine]] = {
    "faiss-hnsw": FaissHNSW,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "lancedb": LanceDB,
}
