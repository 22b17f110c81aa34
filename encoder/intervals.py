"""A measured number and how sure it is: means and rates with 95 % intervals. Needs numpy alone.

Rates of successes carry Wilson's interval, everything else the percentile bootstrap
(definitions §4, "Intervals").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Figure:
    """A mean with its 95 % interval over n cases; NaN with n = 0 where there was none.

    Attributes
    ----------
    n : cases that the mean is over.
    n_undefined : cases left out because the quantity does not exist for them.
    """

    mean: float
    low: float
    high: float
    n: int
    n_undefined: int = 0

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


NOTHING = Figure(math.nan, math.nan, math.nan, 0)


def mean_figure(values: NDArray[np.floating], *, seed: int = 0) -> Figure:
    """Mean of (n,) values and its bootstrap interval; NaN are counted as undefined, not averaged.

    One value alone has no interval (NaN); of a handful the bootstrap's is too narrow.

    Examples
    --------
    >>> mean_figure(np.array([1.0, 1.0, np.nan]))
    Figure(mean=1.0, low=1.0, high=1.0, n=2, n_undefined=1)
    """
    defined = np.asarray(values, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    n_undefined = len(values) - len(defined)
    if not len(defined):
        return Figure(math.nan, math.nan, math.nan, 0, n_undefined)
    low, high = bootstrap_interval(defined, seed=seed) if len(defined) > 1 else (math.nan, math.nan)
    return Figure(float(defined.mean()), low, high, len(defined), n_undefined)


def rate_figure(successes: NDArray[np.bool_]) -> Figure:
    """Share of (n,) successes and its Wilson interval.

    Examples
    --------
    >>> str(rate_figure(np.array([True, True, False, False])))
    '0.500 [0.150, 0.850] n=4'
    """
    n = len(successes)
    if not n:
        return NOTHING
    low, high = wilson_interval(int(np.count_nonzero(successes)), n)
    return Figure(float(np.mean(successes)), low, high, n)


def pair_figure(
    values: NDArray[np.floating],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """Mean of (n,) values that two cases each have made, such as two pictures glued.

    The interval resamples the cases: values that share one are not independent, and an interval
    over values would be half as wide as it must be. A value counts as often as both its cases are
    drawn together.

    Parameters
    ----------
    values : NaN are counted as undefined.
    first, second : (n,) the cases of each value, numbers from 0.
    """
    defined = ~np.isnan(values)
    kept, a, b = np.asarray(values, np.float64)[defined], first[defined], second[defined]
    n_undefined = len(values) - len(kept)
    if not len(kept):
        return Figure(math.nan, math.nan, math.nan, 0, n_undefined)
    rng, n_cases = np.random.default_rng(seed), int(max(a.max(), b.max())) + 1
    present = np.unique(np.concatenate([a, b]))
    means = []
    for _ in range(n_resamples):
        drawn = np.bincount(rng.choice(present, len(present)), minlength=n_cases)
        weights = drawn[a] * drawn[b]
        if weights.any():
            means.append(float(np.average(kept, weights=weights)))
    low, high = np.quantile(means, [0.025, 0.975]) if means else (math.nan, math.nan)
    return Figure(float(kept.mean()), float(low), float(high), len(kept), n_undefined)


def wilson_interval(n_successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a rate, n > 0 (Wilson 1927)."""
    rate, z2 = n_successes / n, Z_95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    # Rounding must not push the bounds of 0 of n and n of n past what they are.
    low = 0.0 if n_successes == 0 else centre - half
    return low, 1.0 if n_successes == n else centre + half


def bootstrap_interval(
    values: NDArray[np.floating], *, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of (n,) values, n > 0."""
    rng = np.random.default_rng(seed)
    values = np.asarray(values, dtype=np.float64)
    # One resample at a time: n_resamples × n indices would be 400 MB at 50 000 queries.
    means = np.array(
        [values[rng.integers(0, len(values), len(values))].mean() for _ in range(n_resamples)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
