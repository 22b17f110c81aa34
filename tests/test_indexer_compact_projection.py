"""The small space: what codes keep of vectors, what is asked of them, and their bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from indexer.compact.projection import Projection, from_bytes, to_bytes

WIDTH = 40


def in_a_plane(
    seed: int, n: int, rank: int, *, size: float = 1.0, offset: float = 3.0
) -> NDArray[np.float32]:
    """Return rows (n, WIDTH) that differ along `rank` axes only, about a mean that is not 0."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(WIDTH, rank)))[0].T
    rows = offset + size * rng.normal(size=(n, rank)) @ axes
    return rows.astype(np.float32)


def half_step(projection: Projection) -> float:
    """Return the most that rounding to codes can move a row, as a length."""
    return float(np.sqrt((np.linalg.norm(projection.decode, axis=1) ** 2).sum()) / 2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    n=st.integers(2, 90),
    rank=st.integers(1, 12),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_codes_hold_rows_to_half_a_step(seed: int, n: int, rank: int, size: float) -> None:
    rows = in_a_plane(seed, n, rank, size=size, offset=size)
    projection = Projection.fit(rows, 16)
    restored = projection.rows(projection.codes(rows))
    lost = np.linalg.norm(restored - rows, axis=1)
    assert lost.max() <= half_step(projection) * 1.01 + 1e-5 * size  # and none of it is cut


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 60))
def test_ask_is_the_dot_product(seed: int, n: int) -> None:
    rows = in_a_plane(seed, n, 8)
    projection = Projection.fit(rows, 8)
    vector = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
    codes = projection.codes(rows)
    offset, ask = projection.ask(vector)
    np.testing.assert_allclose(offset + codes @ ask, projection.rows(codes) @ vector, atol=1e-4)


def test_codes_of_any_shape_are_those_of_their_rows() -> None:
    rows = in_a_plane(0, 24, 5)
    projection = Projection.fit(rows, 5)
    stacked = projection.codes(rows.reshape(2, 3, 4, WIDTH))
    assert stacked.dtype == np.int8
    assert (stacked.reshape(24, 5) == projection.codes(rows)).all()
    assert projection.rows(stacked).shape == (2, 3, 4, WIDTH)


@pytest.mark.parametrize("n", [WIDTH // 2, 4 * WIDTH])
def test_the_axes_are_those_along_which_the_sample_varies_most(n: int) -> None:
    rows = in_a_plane(1, n, 20) * np.linspace(0.1, 2, WIDTH, dtype=np.float32)
    centred = rows - rows.mean(axis=0)
    of_all = np.square(centred).sum()
    lengths = np.linalg.svd(centred.astype(np.float64), compute_uv=False)
    for rank in (1, 4, 16):
        projection = Projection.fit(rows, rank)
        assert projection.rank == rank
        lost = np.square(rows - projection.rows(projection.codes(rows))).sum() / of_all
        assert lost == pytest.approx(np.square(lengths[rank:]).sum() / of_all, abs=2e-3)


def test_the_rank_is_no_larger_than_the_sample_has_axes() -> None:
    assert Projection.fit(in_a_plane(2, 80, 3), 16).rank == 3
    assert Projection.fit(in_a_plane(2, 5, 12), 16).rank == 4  # five points span four axes
    assert Projection.fit(in_a_plane(2, 80, 3), 2).rank == 2


@pytest.mark.parametrize("n", [1, 2, 70])
def test_a_sample_without_any_spread_gives_its_mean_back(n: int) -> None:
    rows = np.repeat(in_a_plane(3, 1, 4), n, axis=0)
    projection = Projection.fit(rows, 16)
    assert projection.rank == 1
    np.testing.assert_allclose(projection.rows(projection.codes(rows)), rows, atol=1e-5)
    strangers = projection.rows(projection.codes(in_a_plane(4, 6, 9)))
    assert np.isfinite(strangers).all()


def test_rows_far_out_are_cut_not_wrapped() -> None:
    rows = in_a_plane(5, 400, 1)
    projection = Projection.fit(rows, 1)
    farthest = float(np.linalg.norm(rows - projection.mean, axis=1).max())
    far = (projection.mean + 1000 * (rows[:1] - projection.mean)).astype(np.float32)
    assert abs(int(projection.codes(far)[0, 0])) == 127
    moved = float(np.linalg.norm(projection.rows(projection.codes(far)) - projection.mean))
    assert farthest <= moved * 1.01 < 1.2 * farthest


def test_bytes_give_the_same_projections_back() -> None:
    written = {
        "a": Projection.fit(in_a_plane(6, 30, 6), 6),
        "b": Projection.fit(in_a_plane(7, 3, 2), 6),
    }
    content = to_bytes(written)
    assert content == to_bytes(written)
    read = from_bytes(content)
    assert read.keys() == written.keys()
    for name, projection in written.items():
        for part in ("mean", "encode", "decode"):
            assert (getattr(read[name], part) == getattr(projection, part)).all()
    assert from_bytes(to_bytes({})) == {}


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "part"])
def test_damaged_bytes_are_refused(damage: str) -> None:
    content = to_bytes({"a": Projection.fit(in_a_plane(6, 30, 6), 6)})
    broken = {
        "empty": b"",
        "cut": content[:-1],
        "header": b"\xff" + content[1:],
        "part": content.replace(b"a.mean", b"b.mean"),
    }
    with pytest.raises(ValueError, match="no projections"):
        from_bytes(broken[damage])
