"""Search by inner product over unit vectors. The only package that knows FAISS."""

from indexer.vectors.devices import Device, gpu_works
from indexer.vectors.filters import Chosen
from indexer.vectors.flat import write_flat
from indexer.vectors.index import VectorIndex, exact_nearest
from indexer.vectors.plan import FLAT_UNTIL, Kind, VectorPlan
from indexer.vectors.writing import write_vectors

__all__ = [
    "FLAT_UNTIL",
    "Chosen",
    "Device",
    "Kind",
    "VectorIndex",
    "VectorPlan",
    "exact_nearest",
    "gpu_works",
    "write_flat",
    "write_vectors",
]
