"""Inverted lists written as FAISS writes them, without ever holding them in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids
from indexer.storage import CheckedFile, FileRecord
from indexer.vectors.plan import REDUCED, Kind, n_lists, n_subvectors
from indexer.vectors.sample import SEED, Survey

faiss: Any = _faiss
N_FOR_PCA = 1 << 14
N_FOR_CODES = 1 << 14
ROUNDS = 10
EMPTY = struct.Struct("<4sQQ4sQ")
"""What FAISS writes of lists that are all empty: magic, lists, code size, `sprs`, no sizes."""
COUNT = struct.Struct("<Q")


def trained(kind: Kind, survey: Survey) -> Any:
    """Return an empty index: lists by k-means in the `REDUCED` space, codes of whole vectors."""
    n, width = len(survey.ids), survey.sample.shape[1]
    reduced = min(REDUCED, width, len(survey.sample))
    space = _principal(survey.rows(N_FOR_PCA), reduced)
    centres = faiss.IndexFlatL2(reduced)
    clustering = faiss.Clustering(reduced, n_lists(n))
    clustering.niter, clustering.seed, clustering.min_points_per_centroid = ROUNDS, SEED, 1
    clustering.train(_reduced(space, survey), centres)
    lists = faiss.IndexPreTransform(space, centres)
    index = _coded(kind, lists, width, n_lists(n), len(survey.sample))
    index.referenced_objects = [space, centres, lists]  # FAISS holds bare pointers to them
    index.train(survey.rows(N_FOR_CODES))
    return index


def _principal(rows: Floats, n: int) -> Any:
    """Return the projection on the n principal components, without the rest that FAISS keeps."""
    fitted = faiss.PCAMatrix(rows.shape[1], n)
    fitted.train(rows)
    space = faiss.LinearTransform(rows.shape[1], n, True)
    space.A, space.b, space.is_trained = fitted.A, fitted.b, True
    return space


def _reduced(space: Any, survey: Survey) -> Floats:
    parts = np.array_split(survey.sample, max(1, len(survey.sample) // 4096))
    return np.concatenate([space.apply(part.astype(np.float32)) for part in parts])


def _coded(kind: Kind, lists: Any, width: int, n: int, n_sample: int) -> Any:
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "ivf-pq":
        bits = min(8, n_sample.bit_length() - 1)
        index = faiss.IndexIVFPQ(lists, width, n, n_subvectors(width), bits, metric)
        index.by_residual = False
        index.pq.cp.min_points_per_centroid = 1
        return index
    form = faiss.ScalarQuantizer.QT_8bit if kind == "ivf-sq8" else faiss.ScalarQuantizer.QT_4bit
    return faiss.IndexIVFScalarQuantizer(lists, width, n, form, metric, False)


def factory(kind: Kind, width: int, n: int) -> str:
    """Name what `trained` makes as FAISS does."""
    codes = {"ivf-sq8": "SQ8", "ivf-sq4": "SQ4", "ivf-pq": f"PQ{n_subvectors(width)}"}
    return f"IVF{n_lists(n)}(PCA{min(REDUCED, width)},Flat),{codes[kind]}"


class ListWriter:
    """Codes go to a file beside the index as they come; at the end they are put list by list.

    Holds 12 bytes a vector: its id and its list.
    """

    def __init__(self, path: Path, index: Any) -> None:
        self._path, self._index = path, index
        self._rough_path = path.with_name(f"{path.name}.codes")
        self._rough: BinaryIO = self._rough_path.open("wb")
        self._ids: list[Ids] = [np.empty(0, np.int64)]
        self._lists: list[NDArray[np.int32]] = [np.empty(0, np.int32)]

    def add(self, ids: Ids, vectors: Floats) -> None:
        """Encode unit vectors (n, width)."""
        if not len(ids):
            return
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        lists = np.ascontiguousarray(self._index.quantizer.search(vectors, 1)[1][:, 0])
        codes = np.empty((len(ids), self._index.code_size), np.uint8)
        pointers = [faiss.swig_ptr(one) for one in (vectors, lists, codes)]
        self._index.encode_vectors(len(ids), *pointers, False)
        order = np.argsort(lists, kind="stable")  # rows of one list are read at once later
        self._rough.write(codes[order].data)
        self._ids.append(ids[order])
        self._lists.append(lists[order].astype(np.int32))

    def finish(self) -> FileRecord:
        """Write the index, sync, close."""
        self._rough.close()
        ids, lists = np.concatenate(self._ids), np.concatenate(self._lists)
        sizes = np.bincount(lists, minlength=self._index.nlist)
        with closing(CheckedFile(self._path)) as file, self._rough_path.open("rb") as rough:
            file.write(self._head(len(ids)))
            file.write(b"full" + COUNT.pack(len(sizes)) + sizes.astype("<u8").tobytes())
            for rows in np.split(np.argsort(lists, kind="stable"), np.cumsum(sizes)[:-1]):
                for codes in self._runs(rough, rows):
                    file.write(codes)
                file.write(ids[rows].astype("<i8").tobytes())
            return file.finish(rows=len(ids))

    def discard(self) -> None:
        """Delete the codes that wait."""
        self._rough.close()
        self._rough_path.unlink(missing_ok=True)

    def _head(self, n: int) -> bytes:
        """Return what FAISS writes before the sizes of lists."""
        self._index.ntotal = n
        whole: bytes = faiss.serialize_index(self._index).tobytes()
        magic, *_, sparse, n_sizes = EMPTY.unpack(whole[-EMPTY.size :])
        assert (magic, sparse, n_sizes) == (b"ilar", b"sprs", 0), "lists end what FAISS writes"
        return whole[: -len(b"sprs") - COUNT.size]

    def _runs(self, rough: BinaryIO, rows: NDArray[np.int64]) -> Iterator[bytes]:
        """Read codes by their places, ascending, neighbours at once."""
        size = self._index.code_size
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            if len(run):
                rough.seek(int(run[0]) * size)
                yield rough.read(len(run) * size)
