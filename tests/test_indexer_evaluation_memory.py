"""Memory of an evaluation: blocks, and next to nothing for each item."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest
from evaluation_fixtures import pseudo_labels
from indexer_fixtures import write_pairs

from encoder.config import F_S
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.evaluation import EvaluationProgress, RetrievalOptions, evaluate_retrieval
from indexer.reader import IndexReader

FEW, MANY = 32, 96
N_NAMES = 4000
VECTOR_BYTES = 4 * F_S
BLOCKS = {
    "indexer.segments.MAP_ROWS": 4,
    "indexer.segments.VECTOR_ROWS": 16,
    "indexer.evaluation.database.ROWS": 16,
    "indexer.evaluation.rankings.BLOCK": 1000,
    "indexer.evaluation.rankings.STRIP": 2000,
    "indexer.evaluation.rankings.ANSWERS": 16,
    "indexer.evaluation.judges.QUERIES": 16,
    "indexer.evaluation.pairs.AT_ONCE": 16,
}
"""So small that what is held whole stands out against them."""


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in BLOCKS.items():
        monkeypatch.setattr(name, size)


def index_of(folder: Path, n: int, embedder: Embedder) -> Path:
    return build_index(write_pairs(folder, n), embedder=embedder).index_dir


def peak_bytes(index: Path, embedder: Embedder) -> int:
    """The most that is allocated at a time while an index is evaluated with pseudo labels."""
    with IndexReader.open(index) as reader:
        sets = {int(i): [(7 * int(i) + n) % N_NAMES for n in range(10)] for i in reader.ids}
        labels = pseudo_labels(sets, sets, n_names=N_NAMES)
        options = RetrievalOptions(max_pairs=MANY)
        tracemalloc.start()
        try:
            found = evaluate_retrieval(
                reader, embedder, options=options, pseudo_labels=labels, on_progress=tidied
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (found.n_frames, found.n_sounds) == (len(sets), len(sets))
    assert len(found.rankings) == 10
    return peak


def tidied(progress: EvaluationProgress) -> None:
    """Let go of what only refers to itself before a phase begins, such as rows of the catalogue."""
    if progress.done == 0:
        gc.collect()


def test_no_item_keeps_a_vector_in_memory(
    tmp_path: Path, tiny_embedder: Embedder, small_blocks: None
) -> None:
    """One vector of 1000 floats for each item would be 4 kB of growth, a judge's table as much."""
    few, many = (
        peak_bytes(index_of(tmp_path / str(n), n, tiny_embedder), tiny_embedder)
        for n in (FEW, MANY)
    )
    grown_per_item = (many - few) / (MANY - FEW)
    assert grown_per_item < VECTOR_BYTES * 3 / 4
