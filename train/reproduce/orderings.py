"""Orderings that the papers claim, judged by paired differences and their 95 % intervals.

Both sides of an ordering are measured on the same items, and where they come from trainings, run by
run. The interval resamples items and runs at once, since another test set and another training
would each give another number; of few items, such as the six panoramas of a world, it is as wide as
Student's over them at least. It lies above zero: the ordering holds. Below: it FAILED. It spans
zero: `within noise`, neither of the two.

Two trainings tell little of how trainings differ. Where they differ 1.3 times as much as items make
a mean differ, an ordering that is none holds in 5 % of simulated cases instead of 2.5, where 2.7
times in 12 %; with five trainings in 4 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoder.intervals import FEW, Figure, student_interval
from encoder.localization.metrics import Values
from train.reproduce.outcome import Check, Verdict

N_RESAMPLES = 1000


def difference(first: Values, second: Values, *, seed: int = 0) -> Figure:
    """Mean of first − second with its interval over runs and items.

    Parameters
    ----------
    first, second : (runs, N) of the same items. Where the numbers of runs differ, `second` has
        nothing to do with those of `first` and is averaged over its own.

    Examples
    --------
    >>> difference(np.array([[0.5, 0.75]]), np.array([[0.25, 0.5]]))
    Figure(mean=0.25, low=0.25, high=0.25, n=2, n_undefined=0)
    """
    paired = second if len(first) == len(second) else second.mean(axis=0, keepdims=True)
    gains = first - paired
    n_runs, n = gains.shape
    if n < 2:
        return Figure(float(np.mean(gains)) if n else np.nan, np.nan, np.nan, n)
    rng = np.random.default_rng(seed)
    runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), N_RESAMPLES) / n_runs
    items = rng.multinomial(n, np.full(n, 1 / n), N_RESAMPLES) / n
    means = ((runs @ gains) * items).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975]).tolist()
    if n <= FEW:
        few = student_interval(gains.mean(axis=0))
        low, high = min(low, few[0]), max(high, few[1])
    return Figure(float(gains.mean()), low, high, n)


def verdict_of(gain: Figure) -> Verdict:
    """Judge a difference; without an interval (NaN) nothing can be told."""
    if gain.low > 0:
        return "holds"
    return "FAILED" if gain.high < 0 else "within noise"


def above(claim: str, first: Values, second: Values, *, what: str, is_close: bool = False) -> Check:
    """Claim that the mean of (runs, N) values is above that of others of the same items."""
    gain = difference(first, second)
    found = f"{what} {first.mean():.3f} against {second.mean():.3f}, {_shown(gain)}"
    return Check(claim=claim, verdict=verdict_of(gain), found=found, is_close=is_close)


def nowhere_below(claim: str, gains: Sequence[Figure], *, is_close: bool = False) -> Check:
    """Claim that none of several differences is negative by more than noise."""
    worst = min(gains, key=lambda gain: gain.high)
    return Check(
        claim=claim,
        verdict="FAILED" if worst.high < 0 else "holds",
        found=f"least {_shown(worst)}",
        is_close=is_close,
    )


def fact(claim: str, is_so: bool, found: str) -> Check:
    """Claim something that has no interval."""
    return Check(claim=claim, verdict="holds" if is_so else "FAILED", found=found)


def _shown(gain: Figure) -> str:
    return f"difference {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] n={gain.n}"
