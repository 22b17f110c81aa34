"""Maps to regions: resizing against Pillow and torch, the three thresholds against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.heatmap import resize_map
from encoder.localization import ADAPTIVE, HALF, MEDIAN, Threshold, masks_of, resize_maps
from encoder.localization.errors import MapError, ShapeError, ThresholdError
from encoder.localization.masks import spread

Map = NDArray[np.float32]
small_maps = st.integers(0, 2**31).map(
    lambda seed: np.random.default_rng(seed).integers(0, 4, (1, 6, 5)).astype(np.float32)
)


@pytest.mark.parametrize("grid", [(10, 10), (20, 20), (7, 13), (1, 3)])
def test_resizing_is_pillows_and_torchs(grid: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((3, *grid), dtype=np.float32)
    ours = resize_maps(maps, (224, 200))
    pillow = np.stack([resize_map(one, (224, 200)) for one in maps])
    assert np.abs(ours - pillow).max() < 1e-5
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[:, None], (224, 200), mode="bilinear", align_corners=False
    )
    assert np.abs(ours - theirs[:, 0].numpy()).max() < 1e-5


def test_a_large_map_shrinks_as_in_pillow() -> None:
    maps = np.random.default_rng(1).random((2, 300, 410), dtype=np.float32)
    pillow = np.stack([resize_map(one, (224, 224)) for one in maps])
    assert np.abs(resize_maps(maps) - pillow).max() < 1e-5


def test_a_map_at_its_size_stays_as_it_is() -> None:
    maps = np.random.default_rng(2).random((2, 8, 9), dtype=np.float32)
    assert np.array_equal(resize_maps(maps, (8, 9)), maps)


@settings(max_examples=60, deadline=None)
@given(small_maps)
def test_median_keeps_strictly_more_than_the_middle_rank(maps: Map) -> None:
    middle = sorted(maps.ravel())[maps.size // 2]
    assert np.array_equal(masks_of(maps, MEDIAN), maps > middle)


def test_median_of_distinct_values_keeps_half_less_the_middle() -> None:
    maps = np.random.default_rng(3).permutation(224 * 224).reshape(1, 224, 224)
    assert masks_of(maps, MEDIAN).sum() == 224 * 224 // 2 - 1


def test_a_map_that_is_mostly_zeros_claims_what_is_not_zero() -> None:
    """With ≥ it would be the whole picture (definitions §4)."""
    maps = np.zeros((1, 10, 10), np.float32)
    maps[0, 2, 3:5] = (0.1, 1.0)
    assert masks_of(maps, MEDIAN).sum() == 2
    assert masks_of(maps, Threshold("fixed", 0.0)).sum() == 2
    assert masks_of(maps, HALF).sum() == 1


@pytest.mark.parametrize("threshold", [MEDIAN, HALF])
def test_a_flat_map_claims_nothing(threshold: Threshold) -> None:
    assert not masks_of(np.full((1, 4, 4), 0.7, np.float32), threshold).any()


@settings(max_examples=40, deadline=None)
@given(small_maps, st.floats(0.1, 50), st.floats(-5, 5))
def test_fixed_cuts_the_spread_map_whatever_its_scale(maps: Map, scale: float, by: float) -> None:
    low, high = maps.min(), maps.max()
    # Thresholds between the values that four levels can take, so that rounding decides nothing.
    for value in (0.1, 0.4, 0.6, 0.9):
        slow = (maps - low) / max(high - low, 1e-9) > value
        found = masks_of((maps * scale + by).astype(np.float32), Threshold("fixed", value))
        assert np.array_equal(found, slow)


@settings(max_examples=100, deadline=None)
@given(small_maps, st.integers(0, 2**31))
def test_adaptive_is_the_stated_order_with_ties(maps: Map, seed: int) -> None:
    truth = np.random.default_rng(seed).integers(0, 3, maps.shape) / np.float32(2)
    flat, wanted = maps.ravel(), truth.ravel()
    in_order = sorted(range(flat.size), key=lambda at: (-flat[at], wanted[at], at))
    slow = np.zeros(flat.size, bool)
    slow[in_order[: np.count_nonzero(wanted)]] = True
    found = masks_of(maps, ADAPTIVE, truth)
    assert found.sum() == np.count_nonzero(truth)
    assert np.array_equal(found.ravel(), slow)


def test_a_flat_map_under_adaptive_finds_nothing_that_it_could_miss() -> None:
    truth = np.zeros((1, 10, 10), np.float32)
    truth[0, :3] = 1
    found = masks_of(np.ones((1, 10, 10), np.float32), ADAPTIVE, truth)
    assert found.sum() == 30
    assert not (found & (truth > 0)).any()


def test_spread_fills_zero_to_one() -> None:
    maps = np.array([[[2.0, 4.0]], [[3.0, 3.0]]], np.float32)
    assert spread(maps).tolist() == [[[0.0, 1.0]], [[0.0, 0.0]]]


def test_thresholds_are_read_and_written() -> None:
    for text in ("median", "adaptive", "fixed:0.25"):
        assert str(Threshold.parse(text)) == text
    assert Threshold.parse("fixed:0.50") == HALF
    for text in ("otsu", "fixed", "fixed:x", "fixed:1", "fixed:-0.1", "median:0.5", ""):
        with pytest.raises(ThresholdError):
            Threshold.parse(text)


def test_what_is_no_map_is_refused() -> None:
    broken = np.zeros((3, 4, 4), np.float32)
    broken[1, 0, 0] = np.nan
    with pytest.raises(MapError, match="map 1"):
        resize_maps(broken)
    with pytest.raises(ShapeError, match="give"):
        resize_maps(np.zeros((4, 4), np.float32))
    with pytest.raises(ShapeError, match="against"):
        masks_of(np.zeros((1, 4, 4)), MEDIAN, np.zeros((1, 5, 4)))
    with pytest.raises(ThresholdError, match="ground truths"):
        masks_of(np.zeros((1, 4, 4)), ADAPTIVE)
