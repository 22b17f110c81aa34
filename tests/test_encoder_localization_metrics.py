"""Localization metrics: the golden values of definitions §4, brute force, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc as area_under
from sklearn.metrics import jaccard_score, roc_auc_score

from encoder.intervals import wilson_interval
from encoder.localization import auroc, consensus_iou, consensus_map, success_curve
from encoder.localization.errors import GroundTruthError, MapError, ShapeError
from encoder.localization.metrics import (
    CURVE_AT,
    all_found,
    area_under_success,
    auroc_figure,
    right_mass,
)

BOX = np.zeros((20, 20), bool)
BOX[5:15, 3:13] = True
EVERYTHING = np.ones((20, 20), bool)
seeds = st.integers(0, 2**31)


def test_golden_values() -> None:
    """Definitions §4: a 10×10 box on a 20×20 grid."""
    agreement = BOX.astype(np.float32)
    assert consensus_iou(BOX, agreement) == 1.0
    assert consensus_iou(EVERYTHING, agreement) == 0.25
    assert consensus_iou(~BOX, agreement) == 0.0


def test_golden_one_annotator_of_three() -> None:
    """The exact box scores 1, since g = 0.5 is in both sums."""
    agreement = consensus_map(np.stack([BOX, BOX & False, BOX & False]), n_agree=2)
    assert agreement.max() == 0.5
    assert consensus_iou(BOX, agreement) == 1.0
    assert consensus_iou(EVERYTHING, agreement) == 50 / (50 + 300)


@pytest.mark.parametrize("side", [40, 100, 180])
def test_golden_random_half(side: int) -> None:
    """A random half-area region against a target of relative area a: a / (1 + a)."""
    rng = np.random.default_rng(0)
    agreement = np.zeros((224, 224), np.float32)
    agreement[:side, :side] = 1
    a = agreement.mean()
    masks = np.stack([rng.permutation(224 * 224) < 224 * 112 for _ in range(40)])
    values = consensus_iou(masks.reshape(-1, 224, 224), np.broadcast_to(agreement, (40, 224, 224)))
    assert values.mean() == pytest.approx(a / (1 + a), abs=4 * values.std() / 40**0.5 + 1e-4)


@settings(max_examples=80, deadline=None)
@given(seeds)
def test_consensus_iou_is_eq_10_pixel_by_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask, agreement = rng.random((4, 5)) < 0.5, rng.integers(0, 3, (4, 5)) / 2
    agreement[0, 0] = 1
    found = beside = wanted = 0.0
    for claimed, g in zip(mask.ravel(), agreement.ravel(), strict=True):
        wanted += g
        found += g * claimed
        beside += claimed and g == 0
    assert consensus_iou(mask, agreement) == pytest.approx(found / (wanted + beside))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_with_a_binary_agreement_it_is_the_iou_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask, drawn = rng.random((6, 6)) < 0.4, rng.random((6, 6)) < 0.4
    drawn[0, 0] = True
    theirs = jaccard_score(drawn.ravel(), mask.ravel())
    assert consensus_iou(mask, drawn.astype(float)) == pytest.approx(theirs)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ShapeError, match="against"):
        consensus_iou(BOX, np.ones((20, 21)))
    with pytest.raises(GroundTruthError, match="zero everywhere"):
        consensus_iou(BOX, np.zeros((20, 20)))


def test_the_curve_counts_a_value_on_its_threshold() -> None:
    """3 · 0.05 is more than 0.15, so the thresholds are i / 20."""
    on_thresholds = np.arange(21) / 20
    assert success_curve(on_thresholds) * 21 == pytest.approx(np.arange(21, 0, -1))
    assert len(CURVE_AT) == 21
    assert np.isnan(success_curve(np.empty(0))).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_auc_is_the_trapezoid_of_the_curve(found: list[float]) -> None:
    values = np.array(found)
    theirs = area_under(CURVE_AT, success_curve(values))
    assert area_under_success(values).mean() == pytest.approx(theirs)


def test_all_sources_of_a_frame_must_be_found() -> None:
    values, frames = np.array([0.5, 0.9, 0.49, 1.0, 0.7]), np.array([4, 4, 2, 2, 9])
    assert all_found(values, frames).tolist() == [False, True, True]  # frames 2, 4, 9


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 15), st.integers(1, 15))
def test_auroc_is_scikit_learns_and_every_pairs(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    right, wrong = rng.integers(0, 5, n) / 4, rng.integers(0, 4, m) / 4  # with many ties
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    labels, scores = np.repeat([1, 0], [n, m]), np.concatenate([right, wrong])
    assert auroc(right, wrong) == pytest.approx(np.mean(pairs))
    assert auroc(right, wrong) == pytest.approx(roc_auc_score(labels, scores))


def test_auroc_of_nothing_is_undefined_and_of_nan_refused() -> None:
    assert np.isnan(auroc(np.empty(0), np.ones(3)))
    assert auroc_figure(np.empty(0), np.ones(3)).n == 0
    with pytest.raises(MapError, match="NaN"):
        auroc(np.array([np.nan]), np.ones(1))
    with pytest.raises(ShapeError, match="paired"):
        auroc_figure(np.ones(2), np.ones(3), paired=True)


def test_auroc_interval_holds_the_truth_and_ignores_order() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.normal(1, 1, 200), rng.normal(0, 1, 150)
    figure = auroc_figure(right, wrong)
    assert figure == auroc_figure(right[::-1], wrong[::-1])
    assert figure.low < 0.760 < figure.high  # Φ(1 / √2)
    assert figure.n == 350


def test_sides_that_are_wholly_apart_are_as_sure_as_the_smaller_is_large() -> None:
    high, low = np.linspace(0.6, 0.9, 12), np.linspace(0.1, 0.4, 5)
    apart, turned = auroc_figure(high, low), auroc_figure(low, high)
    assert (apart.low, apart.high) == pytest.approx(wilson_interval(5, 5))
    assert (turned.low, turned.high) == pytest.approx(wilson_interval(0, 5))
    lone = auroc_figure(high, low[:1])
    assert (lone.mean, lone.n) == (1.0, 13)
    assert np.isnan([lone.low, lone.high]).all()


@pytest.mark.parametrize("n_columns", [4, 5])
def test_mass_on_the_right_half(n_columns: int) -> None:
    maps = np.zeros((3, 2, n_columns))
    maps[0, :, -1] = 1
    maps[1] = 1
    assert right_mass(maps).tolist() == [1.0, 0.5, 0.5]


def test_mass_needs_a_map_without_negative_values() -> None:
    for bad in (-0.1, np.nan):
        with pytest.raises(MapError, match="attention or heatmap"):
            right_mass(np.full((1, 2, 2), bad))
