"""Intervals: known values, and intervals as wide as they must be."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.intervals import (
    FEW,
    T_95,
    Figure,
    bootstrap_interval,
    mean_figure,
    pair_figure,
    rate_figure,
    student_interval,
    wilson_interval,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DRAWS: dict[str, tuple[Draw, float]] = {
    "uniform": (lambda rng, n: rng.random(n), 1 / 2),
    "two ends": (lambda rng, n: rng.beta(0.5, 0.5, n), 1 / 2),
    "low": (lambda rng, n: rng.beta(2, 5, n), 2 / 7),
    "high": (lambda rng, n: rng.beta(5, 1, n), 5 / 6),
}
"""Values in [0, 1] and their mean."""


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


def test_quantiles_are_those_of_student() -> None:
    for n, t in enumerate(T_95, start=1):
        at = np.linspace(0, t, 20_001)
        scale = math.gamma((n + 1) / 2) / (math.sqrt(n * math.pi) * math.gamma(n / 2))
        density = scale * (1 + at**2 / n) ** (-(n + 1) / 2)
        assert 2 * np.trapezoid(density, at) == pytest.approx(0.95, abs=2e-5)


@pytest.mark.parametrize("name", DRAWS)
def test_few_values_are_covered_as_they_say(name: str) -> None:
    """What the bootstrap of the same values does not do: with five it covers 82 to 85 %."""
    draw, mean = DRAWS[name]
    rng = np.random.default_rng(0)
    for n, least in ((2, 0.83), (3, 0.86), (5, 0.88), (9, 0.9), (FEW, 0.9)):
        drawn = [draw(rng, n) for _ in range(2000)]
        assert covered(drawn, mean, student=True) > least
    few = [draw(rng, 5) for _ in range(400)]
    assert covered(few, mean, student=False) < covered(few, mean, student=True) - 0.04


def covered(drawn: list[np.ndarray], mean: float, *, student: bool) -> float:
    """Share of the intervals that hold the mean."""
    intervals = [
        student_interval(values, within=(0, 1))
        if student
        else bootstrap_interval(values, n_resamples=200)
        for values in drawn
    ]
    return float(np.mean([low <= mean <= high for low, high in intervals]))


def test_an_interval_stays_within_what_there_can_be() -> None:
    values = np.array([0.2, 1.0, 0.9])
    free, cut = mean_figure(values), mean_figure(values, within=(0.0, 1.0))
    assert free.low < 0
    assert free.high > 1
    assert (cut.low, cut.high, cut.mean) == (0.0, 1.0, free.mean)


@pytest.mark.parametrize("n", [2, 4, FEW, FEW + 1, 300])
def test_equal_values_are_as_sure_as_so_many_successes(n: int) -> None:
    """However many: resampled they would be sure beyond doubt."""
    for value, n_successes in ((1.0, n), (0.0, 0)):
        equal = mean_figure(np.full(n, value), within=(0.0, 1.0))
        assert (equal.low, equal.high) == pytest.approx(wilson_interval(n_successes, n))
    others = wilson_interval(0, n)[1]
    middle = mean_figure(np.full(n, 0.25), within=(-1.0, 1.0))
    assert middle.low == pytest.approx(0.25 - 1.25 * others)
    assert middle.high == pytest.approx(0.25 + 0.75 * others)
    unknown = mean_figure(np.full(n, 0.5))
    assert (unknown.low, unknown.high) == (0.5, 0.5)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_values_that_are_nearly_always_equal_are_covered(share: float) -> None:
    rng = np.random.default_rng(0)
    for n in (10, FEW + 1, 60):
        drawn = np.where(rng.random((500, n)) < share, 1.0, 0.3)
        equal = drawn[(drawn == 0.3).all(axis=1)]
        figures = [mean_figure(values, within=(0.0, 1.0)) for values in equal]
        mean = 0.3 + 0.7 * share
        missed = sum(not figure.low <= mean <= figure.high for figure in figures)
        assert missed / len(drawn) < 0.05


def test_equal_values_of_shared_cases_count_half_their_cases() -> None:
    cases = np.arange(12)
    found = pair_figure(np.ones(12), cases, np.roll(cases, 1))
    assert (found.low, found.high) == pytest.approx(wilson_interval(6, 6))
    lone = pair_figure(np.zeros(2), np.array([0, 1]), np.array([1, 0]))
    assert (lone.low, lone.high) == pytest.approx(wilson_interval(0, 1))


def test_more_values_have_the_interval_of_the_bootstrap() -> None:
    values = np.random.default_rng(2).random(FEW + 1)
    many = mean_figure(values, seed=3)
    assert (many.low, many.high) == bootstrap_interval(values, seed=3)


def _width(figure: Figure) -> float:
    return figure.high - figure.low
