"""Intervals: known values, and intervals as wide as they must be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from encoder.intervals import Figure, mean_figure, pair_figure, rate_figure, wilson_interval


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 0 of 20, 1 of 29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


def test_one_value_has_no_interval() -> None:
    alone = mean_figure(np.array([0.7, np.nan]))
    assert (alone.mean, alone.n, alone.n_undefined) == (0.7, 1, 1)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_no_value_is_no_figure() -> None:
    for nothing in (mean_figure(np.empty(0)), rate_figure(np.empty(0, np.bool_))):
        assert nothing.n == 0
        assert math.isnan(nothing.mean)


def test_values_that_share_cases_have_wider_intervals() -> None:
    rng = np.random.default_rng(0)
    skill = rng.random(30)
    first, second = rng.integers(0, 30, (2, 1000))
    values = (rng.random(1000) < (skill[first] + skill[second]) / 2).astype(np.float64)
    together, alone = pair_figure(values, first, second), rate_figure(values > 0)
    assert together.mean == pytest.approx(alone.mean)
    assert _width(together) > 1.5 * _width(alone)


def test_values_of_distinct_cases_are_as_independent_as_they_look() -> None:
    rng = np.random.default_rng(1)
    values = (rng.random(400) < 0.5).astype(np.float64)
    paired = pair_figure(values, np.arange(400), np.arange(400))
    assert _width(paired) < 3 * _width(mean_figure(values))
    undefined = pair_figure(np.full(3, np.nan), np.arange(3), np.arange(3))
    assert (undefined.n, undefined.n_undefined) == (0, 3)


def _width(figure: Figure) -> float:
    return figure.high - figure.low
