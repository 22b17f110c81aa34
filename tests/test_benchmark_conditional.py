"""The benchmark of conditional queries on a small gallery: what it makes and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from indexer_fixtures import build, write_pairs

from encoder.embedder import Embedder
from indexer.reader import IndexReader

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
N = 200


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("tiled"), import_module("conditional")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("corpus"), 12)
    return build(folder, tiny_embedder).index_dir


def test_copies_have_a_tenth_of_the_spread_as_noise(
    modules: tuple[ModuleType, ModuleType], real: Path, tiny_embedder: Embedder
) -> None:
    tiled, _ = modules
    with IndexReader.open(real) as reader:
        corpus = tiled.Corpus.of(reader)
    parts = [tiled.full_rows(tiny_embedder, corpus, places) for places in tiled.cut(0, N, 64)]
    ids = np.concatenate([part.frames.ids for part in parts])
    maps = np.concatenate([part.frames.maps for part in parts]).astype(np.float32)
    np.testing.assert_array_equal(ids, np.arange(1, N + 1))
    np.testing.assert_array_equal(maps[:12], corpus.maps)
    noise = maps[12:] - corpus.maps[np.arange(12, N) % 12].astype(np.float32)
    spread = corpus.maps.astype(np.float32).std(axis=0)
    # Two that are drawn alike, of which there are few here, make no noise.
    assert np.sqrt(np.square(noise).mean() / np.square(spread).mean()) == pytest.approx(
        0.1, rel=0.1
    )
    coarse = tiled.coarse_of(tiny_embedder, parts[-1].frames.maps)
    np.testing.assert_allclose(parts[-1].frames.coarse, coarse, atol=1e-6)
    heard = np.concatenate([part.sounds.f_s for part in parts])
    np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("form", ["full", "compact"])
def test_a_gallery_is_an_index_that_is_measured(
    modules: tuple[ModuleType, ModuleType],
    real: Path,
    tiny_embedder: Embedder,
    tmp_path: Path,
    form: str,
) -> None:
    tiled, conditional = modules
    with IndexReader.open(real) as source:
        tiled.write_tiled(tmp_path, tiny_embedder, tiled.Corpus.of(source), N, form)
        asked = conditional.Queries(source, tiny_embedder, 3)
        with IndexReader.open(tmp_path) as reader:
            found = conditional.measured_by(reader, tiny_embedder, asked, 2)
    assert (found["n_frames"], found["n_sounds"], found["maps"]) == (N, N, form)
    assert set(found["kinds"]) == set(conditional.KINDS)
    for one in found["kinds"].values():
        assert one["recall"] >= 0.9
        assert one["ratio"] == one["exact_s"]["p50"] / one["fast_s"]["p50"]
        assert one["fast_bytes"] > 0
    lines = list(conditional.table([found]))
    assert len(lines) == 1 + len(conditional.KINDS)
    assert len(lines[0].split()) == len(lines[1].split())


def test_growth_is_the_exponent(modules: tuple[ModuleType, ModuleType]) -> None:
    _, conditional = modules
    sizes = [
        {"n_frames": n, "kinds": {kind: {"fast_s": {"p50": n**0.5}} for kind in conditional.KINDS}}
        for n in (1000, 10_000, 100_000)
    ]
    sizes[0]["kinds"] = {kind: {"fast_s": {"p50": 1e9}} for kind in conditional.KINDS}
    assert conditional.growth(sizes) == pytest.approx(dict.fromkeys(conditional.KINDS, 0.5))
    assert conditional.growth(sizes[:2]) == {}


def test_recall_counts_what_ties_with_the_tenth(modules: tuple[ModuleType, ModuleType]) -> None:
    _, conditional = modules
    scores = np.array([0.9] * 9 + [0.5])
    assert conditional.recall([scores], np.array([0.5])) == 1.0
    assert conditional.recall([scores], np.array([0.6])) == 0.9
