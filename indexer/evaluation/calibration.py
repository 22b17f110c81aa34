"""What a score is worth: the share of right answers by score, with intervals over queries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import NOTHING, SHARES, Figure, equal_interval
from indexer.blocks import Floats
from indexer.evaluation.figures import CalibrationBin
from indexer.metrics import Mask, Values

N_BINS = 40
"""Bins of 0.05 over the cosines from −1 to 1."""
EDGES = np.arange(-N_BINS // 2, N_BINS // 2 + 1) / (N_BINS / 2)
"""(41,) exactly what is printed: a score on an edge belongs to the bin above."""
N_RESAMPLES = 1000
Percentiles = Callable[[NDArray[np.floating]], Values]


class ScoreBins:
    """Right and all answers of every query by score."""

    def __init__(self, n_queries: int) -> None:
        self._right, self._all = (np.zeros((n_queries, N_BINS), np.int32) for _ in range(2))

    def take(self, rows: NDArray[np.int64], scores: Floats, right: Mask, counted: Mask) -> None:
        """Add the answers (b, N) of some queries (b,); `counted` are those in their galleries."""
        # In millionths, since 0.35 in float32 is a little less than 0.35.
        millionths = np.rint(scores * np.float32(1e6)).astype(np.int32)
        bins = (millionths + 1_000_000) // (2_000_000 // N_BINS)
        bins = np.clip(bins, 0, N_BINS - 1)
        bins += np.arange(len(rows), dtype=np.int32)[:, None] * N_BINS
        for counts, chosen in ((self._right, right & counted), (self._all, counted)):
            found = np.bincount(bins[chosen], minlength=len(rows) * N_BINS)
            counts[rows] = found.reshape(len(rows), N_BINS)

    def figures(self, percentiles: Percentiles | None, seed: int) -> tuple[CalibrationBin, ...]:
        """Return the bins that hold an answer.

        Parameters
        ----------
        percentiles : of scores among random pairs; None where the index has none.
        """
        middles = (EDGES[:-1] + EDGES[1:]) / 2
        ranks = np.full(N_BINS, np.nan) if percentiles is None else percentiles(middles)
        shares = ratio_figures(self._right, self._all, seed=seed)
        return tuple(
            CalibrationBin(
                low=float(EDGES[b]),
                high=float(EDGES[b + 1]),
                percentile=None if np.isnan(ranks[b]) else float(ranks[b]),
                right=shares[b],
            )
            for b in np.flatnonzero(self._all.sum(axis=0))
        )


def ratio_figures(
    over: NDArray[np.int32], under: NDArray[np.int32], *, seed: int = 0
) -> list[Figure]:
    """Ratio of two sums per column, with percentile-bootstrap intervals over the rows.

    Where all rows of a column have one ratio, its interval is that of so many equal values.

    Parameters
    ----------
    over, under : (n, B) counts of n independent cases, over ≤ under.

    Returns
    -------
    B figures; n is the sum of `under`. NaN where that is 0.
    """
    resampled = _resampled_ratios(over, under, np.random.default_rng(seed))
    totals = under.sum(axis=0, dtype=np.int64)
    figures = []
    for column, total in enumerate(totals):
        if not total:
            figures.append(NOTHING)
            continue
        mean = float(over[:, column].sum() / total)
        counted = under[:, column] > 0
        ratios = over[counted, column] / under[counted, column]
        if ratios.min() == ratios.max():
            low, high = equal_interval(mean, len(ratios), within=SHARES)
        else:
            low, high = np.nanquantile(resampled[:, column], [0.025, 0.975]).tolist()
        figures.append(Figure(mean, low, high, int(total)))
    return figures


def _resampled_ratios(
    over: NDArray[np.int32], under: NDArray[np.int32], rng: np.random.Generator
) -> Values:
    """(N_RESAMPLES, B) ratios of resampled rows; NaN where nothing was drawn to divide by."""
    n, used = len(over), np.flatnonzero(under.any(axis=0))
    # Whole numbers, which BLAS leaves alone: its threads would wait for each other at every row.
    counts = np.hstack([over[:, used], under[:, used]]).astype(np.int64)
    ratios = np.full((N_RESAMPLES, under.shape[1]), np.nan)
    for row in ratios:
        sums = np.bincount(rng.integers(0, n, n), minlength=n) @ counts
        right, counted = sums[: len(used)], sums[len(used) :]
        row[used] = np.divide(right, counted, out=np.full(len(used), np.nan), where=counted > 0)
    return ratios
