"""Ranking metrics (definitions §3): pure functions of scores and labels. Needs numpy alone.

Ties are broken pessimistically: at equal score a wrong answer stands before a right one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


def average_precisions(
    scores: NDArray[np.floating],
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    exclude: NDArray[np.int64] | None = None,
) -> Values:
    """Average precision of every query, an answer being right where the labels agree.

    Parameters
    ----------
    scores : (Q, N), higher is better, no NaN.
    query_labels, gallery_labels : (Q,) and (N,).
    exclude : (Q,) column that is not in the query's gallery (the query itself), or None.

    Returns
    -------
    (Q,) in (0, 1]; NaN where the gallery holds no right answer.

    Examples
    --------
    >>> average_precisions(np.array([[3.0, 2.0, 1.0]]), np.array([7]), np.array([7, 0, 7]))
    array([0.83333333])
    """
    if scores.shape != (len(query_labels), len(gallery_labels)):
        raise ValueError(
            f"scores {scores.shape} for {len(query_labels)} queries × {len(gallery_labels)} items"
        )
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN")
    values = np.full(len(scores), np.nan)
    for q, row in enumerate(scores):
        right = gallery_labels == query_labels[q]
        if exclude is not None:
            row, right = np.delete(row, exclude[q]), np.delete(right, exclude[q])
        if right.any():
            values[q] = _average_precision(row, right)
    return values


def _average_precision(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    in_order = right[np.lexsort((right, -scores))]
    ranks = np.flatnonzero(in_order) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def precisions_at(
    scores: NDArray[np.floating],
    query_labels: Labels,
    gallery_labels: Labels,
    k: int,
    *,
    exclude: NDArray[np.int64] | None = None,
) -> Values:
    """Share of the k best answers that bear the query's label, (Q,) in [0, 1]; see above."""
    values = np.empty(len(scores))
    for q, row in enumerate(scores):
        right = gallery_labels == query_labels[q]
        if exclude is not None:
            row, right = np.delete(row, exclude[q]), np.delete(right, exclude[q])
        values[q] = right[np.lexsort((right, -row))][:k].mean()
    return values


def chance_average_precision(labels: Labels) -> float:
    """Expected class mAP under a random order, every row querying all the others.

    With R right answers among N the expectation of the average precision is
    (H_N + (R − 1)/(N − 1) · (N − H_N)) / N, where H_N is the N-th harmonic number.
    """
    n = len(labels) - 1
    harmonic = float((1 / np.arange(1, n + 1)).sum())
    right = np.array([(labels == label).sum() - 1 for label in labels], dtype=np.float64)
    right = right[right > 0]
    return float(((harmonic + (right - 1) / max(n - 1, 1) * (n - harmonic)) / n).mean())


def bootstrap_interval(
    values: Values, *, n_resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of (n,) values, n > 0."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (n_resamples, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
