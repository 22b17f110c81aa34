"""Near duplicates: the fast way against its exact twin, and what an index knows of a corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import sound_of, write_sound
from hypothesis import given, settings
from hypothesis import strategies as st
from indexer_fixtures import options, unit_rows
from inspection_fixtures import large_picture
from media_files import encoded, write_tone
from numpy.typing import NDArray

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.inspection import grouping, near
from indexer.inspection.findings import Finding, Thresholds
from indexer.inspection.grouping import NOTHING, same_as, same_as_exact
from indexer.inspection.near import near_duplicates
from indexer.reader import IndexReader
from indexer.scan import scan


def in_blocks(
    vectors: NDArray[np.float32], files: NDArray[np.int64], size: int, cosine: float
) -> NDArray[np.int64]:
    blocks = ((vectors[n : n + size], files[n : n + size]) for n in range(0, len(vectors), size))
    return same_as(blocks, lambda places: vectors[places], cosine)


def clustered(rng: np.random.Generator, n: int, width: int, spread: float) -> NDArray[np.float32]:
    """Unit vectors around a few centres, some of them exactly alike."""
    centres = unit_rows(rng, 5, width)
    rows = centres[rng.integers(5, size=n)]
    rows = rows + (spread * rng.normal(size=rows.shape) / np.sqrt(width)).astype(np.float32)
    rows[rng.integers(n, size=n // 4)] = rows[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(4, 60),
    width=st.sampled_from([3, 40, 300]),
    spread=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    size=st.sampled_from([1, 7, 64]),
    cosine=st.sampled_from([0.5, 0.96, 0.99, 0.999]),
    n_files=st.sampled_from([1, 3, 100]),
)
def test_the_fast_way_agrees_with_its_twin(
    seed: int, n: int, width: int, spread: float, size: int, cosine: float, n_files: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, n, width, spread)
    files = rng.integers(n_files, size=n)
    expected = same_as_exact(vectors, files, cosine)
    np.testing.assert_array_equal(in_blocks(vectors, files, size, cosine), expected)


def test_parts_of_what_is_kept_agree_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "KEPT_AT_ONCE", 3)
    monkeypatch.setattr(grouping, "PAIRS_AT_ONCE", 2)
    vectors = clustered(np.random.default_rng(0), 80, 20, 0.3)
    files = np.arange(80)
    for cosine in (0.9, 0.95, 0.99):
        expected = same_as_exact(vectors, files, cosine)
        assert (expected != NOTHING).any()
        np.testing.assert_array_equal(in_blocks(vectors, files, 16, cosine), expected)


@pytest.mark.parametrize(("cosine", "is_same"), [(0.9599, True), (0.9601, False)])
def test_the_limit(cosine: float, is_same: bool) -> None:
    angle = np.arccos(0.96)
    pair = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]], np.float32)
    found = in_blocks(pair, np.arange(2), 8, cosine)
    assert found.tolist() == [NOTHING, 0 if is_same else NOTHING]


def test_what_is_dropped_drops_nothing_itself() -> None:
    """A chain: the second is like the first, the third like the second alone."""
    angles = np.array([0.0, 0.2, 0.4])
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    cosine = float(np.cos(0.25))
    assert in_blocks(chain, np.arange(3), 8, cosine).tolist() == [NOTHING, 0, NOTHING]


def test_a_still_video_at_the_beginning_makes_nothing_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Axes along which its frames vary would rule out none of the other pairs."""
    rng = np.random.default_rng(0)
    still = unit_rows(rng, 1, 3000) + 1e-4 * unit_rows(rng, 64, 3000)
    others = unit_rows(rng, 200, 20) @ rng.normal(size=(20, 3000))
    vectors = np.concatenate([still, others]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    files = np.concatenate([np.zeros(64, np.int64), np.arange(1, 201)])
    compared: list[int] = []

    def counted(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
        compared.append(len(a))
        return np.einsum("nd,nd->n", a, b, dtype=np.float64)

    monkeypatch.setattr(grouping, "_cosines", counted)
    found, n_compared = [], []
    for sample in (None, vectors[::4]):
        compared.clear()
        blocks = ((vectors[n : n + 64], files[n : n + 64]) for n in range(0, len(vectors), 64))
        found.append(same_as(blocks, lambda places: vectors[places], 0.96, sample).tolist())
        n_compared.append(sum(compared))
    assert found[0] == found[1] == [NOTHING] * len(vectors)
    assert n_compared[1] < n_compared[0] / 10


def test_nothing_to_compare() -> None:
    assert same_as([], lambda places: np.empty((0, 3), np.float32), 0.9).tolist() == []


# ------------------------------------------------------------------ an index


@pytest.fixture
def corpus(tmp_path: Path, tiny_embedder: Embedder) -> Path:
    """Four pairs; a picture and a sound saved again in another format, one copied byte by byte."""
    for n in range(4):
        large_picture(n).save(tmp_path / f"p{n}.png")
        write_sound(tmp_path / f"p{n}.wav", n)
    large_picture(2).save(tmp_path / "q.bmp")
    write_tone(tmp_path / "q.flac", sound_of(3), 22_050)
    (tmp_path / "z.png").write_bytes(encoded(large_picture(1), "PNG"))
    (tmp_path / "p1.png").write_bytes(encoded(large_picture(1), "PNG"))
    build_index(tmp_path, embedder=tiny_embedder, options=options())
    return tmp_path


def found_in(corpus: Path, known: set[tuple[str, str]], **limits: float) -> list[Finding]:
    report = scan(corpus)
    with IndexReader.open(corpus / ".retrieval") as reader:
        found = near_duplicates(reader, report.items, Thresholds(**limits), known)
    assert (found.n_compared, found.n_left_out, found.n_without_map) == (11, 0, 0)
    return list(found.findings)


STRICT = {"near_frame": 0.9999, "near_sound": 0.99999}
"""The tiny network has random weights: to it many things are alike."""


def test_copies_in_another_format_are_found(corpus: Path) -> None:
    found = found_in(corpus, {("z.png", "p1.png")}, **STRICT)
    assert {(one.path, one.same_as) for one in found} == {("q.bmp", "p2.png"), ("q.flac", "p3.wav")}
    assert all(one.kind == "near-duplicate" and len(one.items) == 1 for one in found)


def test_exact_duplicates_are_near_ones_unless_they_are_known(corpus: Path) -> None:
    assert ("z.png", "p1.png") in {
        (one.path, one.same_as) for one in found_in(corpus, set(), **STRICT)
    }


def test_the_number_that_is_left_out_is_told(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST_PARTS", 3)
    with IndexReader.open(corpus / ".retrieval") as reader:
        found = near_duplicates(reader, scan(corpus).items, Thresholds(**STRICT))
    assert (found.n_compared, found.n_left_out) == (6, 5)


def test_an_index_without_maps_compares_sounds_alone(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    for name in ("a", "b"):
        large_picture(1).save(tmp_path / f"{name}.png")
        write_sound(tmp_path / f"{name}.wav", 1)
    build_index(tmp_path, embedder=tiny_embedder, options=options(maps="none"))
    with IndexReader.open(tmp_path / ".retrieval") as reader:
        found = near_duplicates(reader, scan(tmp_path).items, Thresholds())
    assert (found.n_compared, found.n_without_map) == (2, 2)
    assert [(one.path, one.same_as) for one in found.findings] == [("b.wav", "a.wav")]
