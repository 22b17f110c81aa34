"""Ranking metrics (definitions §3): pure functions of scores and labels. Needs numpy alone.

Ties are broken pessimistically: at equal score a wrong answer stands before a right one. So no
figure depends on the order in which the answers were given.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]
LAST = np.iinfo(np.int64).max - 1
"""Sort key behind every score; even, as the key of a wrong answer is."""


@dataclass(frozen=True)
class Ranked:
    """Right and wrong answers of Q queries in the order of their ranking.

    Attributes
    ----------
    right : (Q, N) bool, best answer first; False past the end of a query's gallery.
    n_gallery : (Q,) answers that could be given.
    """

    right: Mask
    n_gallery: Counts

    @classmethod
    def of(cls, scores: NDArray[np.floating], right: Mask, excluded: Mask | None = None) -> Ranked:
        """Sort the answers of every query, ties pessimistic.

        Parameters
        ----------
        scores : (Q, N), higher is better, no NaN.
        right : (Q, N), which answers are right.
        excluded : (Q, N), which answers are not in the query's gallery; None is none.

        Examples
        --------
        >>> Ranked.of(np.array([[2.0, 3.0, 3.0]]), np.array([[True, True, False]])).right
        array([[False,  True,  True]])
        """
        if scores.shape != right.shape:
            raise ValueError(f"scores {scores.shape}, but right answers {right.shape}")
        if np.isnan(scores).any():
            raise ValueError("scores hold NaN")
        excluded = np.zeros(right.shape, np.bool_) if excluded is None else excluded
        ordered = _by_key if scores.dtype == np.float32 else _by_lexsort
        n_gallery = scores.shape[1] - excluded.sum(axis=1, dtype=np.int64)
        return cls(ordered(scores, right, excluded), n_gallery)

    @cached_property
    def n_right(self) -> Counts:
        """(Q,) right answers in each gallery."""
        counts: Counts = self.right.sum(axis=1, dtype=np.int64)
        return counts

    @cached_property
    def average_precision(self) -> Values:
        """(Q,) in (0, 1]: mean over the right answers of the precision at their rank.

        NaN where the gallery holds no right answer.
        """
        query, column = np.nonzero(self.right)
        first = np.concatenate([[0], np.cumsum(self.n_right)[:-1]])
        nth = np.arange(1, len(query) + 1) - first[query]
        total = np.bincount(query, weights=nth / (column + 1), minlength=len(self.right))
        return _ratio(total, self.n_right)

    def n_right_at(self, k: int) -> Counts:
        """(Q,) right answers among the k best."""
        counts: Counts = self.right[:, :k].sum(axis=1, dtype=np.int64)
        return counts

    def precision_at(self, k: int) -> Values:
        """(Q,) in [0, 1]: share of the k best that are right, of all where there are fewer.

        NaN where the gallery is empty.
        """
        return _ratio(self.n_right_at(k), np.minimum(self.n_gallery, k))

    def recall_at(self, k: int) -> Values:
        """(Q,) in [0, 1]: share of the right answers that are among the k best; NaN without any."""
        return _ratio(self.n_right_at(k), self.n_right)

    def any_hit_at(self, k: int) -> Values:
        """(Q,) 1 where one of the k best is right, else 0; NaN where the gallery is empty."""
        return np.where(self.n_gallery > 0, (self.n_right_at(k) > 0).astype(np.float64), np.nan)


def _by_key(scores: NDArray[np.floating], right: Mask, excluded: Mask) -> Mask:
    """Sort one integer per answer: the bits of its score and, below them, whether it is right.

    The bits of a float32 order as its value does once those of negative numbers are turned round;
    sorting integers is several times faster than sorting by two keys.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0: there are two zeros
    ascending = np.where(bits >= 0, bits, bits ^ np.int32(0x7FFFFFFF)).astype(np.int64)
    keys = (-ascending << 1) | right
    keys[excluded] = LAST
    keys.sort(axis=1)
    return (keys & 1).astype(np.bool_)


def _by_lexsort(scores: NDArray[np.floating], right: Mask, excluded: Mask) -> Mask:
    order = np.lexsort((right, -scores, excluded))
    return np.take_along_axis(right & ~excluded, order, axis=1)


def _ratio(over: NDArray[np.number], under: Counts) -> Values:
    """Divide, with NaN where there is nothing to divide by."""
    ratio: Values = np.divide(over, under, out=np.full(len(under), np.nan), where=under > 0)
    return ratio


def target_ranks(
    scores: NDArray[np.floating], targets: Labels, excluded: Mask | None = None
) -> Counts:
    """Rank of the one right answer of every query, (Q,) from 1; ties stand before it.

    Parameters
    ----------
    scores : (Q, N), higher is better, no NaN.
    targets : (Q,) column of the right answer.
    excluded : (Q, N), which answers are not in the query's gallery; never the target.

    Examples
    --------
    >>> target_ranks(np.array([[0.5, 0.9, 0.5]]), np.array([0]))
    array([3])
    """
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN")
    ahead = scores >= np.take_along_axis(scores, targets[:, None], axis=1)
    if excluded is not None:
        ahead &= ~excluded
    ranks: Counts = ahead.sum(axis=1, dtype=np.int64)  # the target is ahead of itself: from 1
    return ranks


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
    return _by_label(scores, query_labels, gallery_labels, exclude).average_precision


def precisions_at(
    scores: NDArray[np.floating],
    query_labels: Labels,
    gallery_labels: Labels,
    k: int,
    *,
    exclude: NDArray[np.int64] | None = None,
) -> Values:
    """Share of the k best answers that bear the query's label, (Q,) in [0, 1]; see above."""
    return _by_label(scores, query_labels, gallery_labels, exclude).precision_at(k)


def _by_label(
    scores: NDArray[np.floating],
    query_labels: Labels,
    gallery_labels: Labels,
    exclude: NDArray[np.int64] | None,
) -> Ranked:
    if scores.shape != (len(query_labels), len(gallery_labels)):
        raise ValueError(
            f"scores {scores.shape} for {len(query_labels)} queries × {len(gallery_labels)} items"
        )
    excluded = None
    if exclude is not None:
        excluded = np.zeros(scores.shape, np.bool_)
        excluded[np.arange(len(scores)), exclude] = True
    return Ranked.of(scores, query_labels[:, None] == gallery_labels, excluded)


def expected_average_precision(n_right: Counts, n_gallery: Counts) -> Values:
    """Expected average precision under a random order, (Q,); NaN where nothing is right.

    With R right answers among N it is (H_N + (R − 1)/(N − 1) · (N − H_N)) / N, where H_N is the
    N-th harmonic number.

    Examples
    --------
    >>> expected_average_precision(np.array([1, 2]), np.array([2, 2]))
    array([0.75, 1.  ])
    """
    most = int(n_gallery.max(initial=0))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])[n_gallery]
    others = (n_right - 1) / np.maximum(n_gallery - 1, 1)
    expected = (harmonic + others * (n_gallery - harmonic)) / np.maximum(n_gallery, 1)
    return np.where(n_right > 0, expected, np.nan)


def chance_average_precision(labels: Labels) -> float:
    """Expected class mAP under a random order, every row querying all the others.

    See `expected_average_precision`; rows without another of their label are left out.
    """
    _, label, n_members = np.unique(labels, return_inverse=True, return_counts=True)
    n_right = n_members[label] - 1
    n_gallery = np.full(len(labels), len(labels) - 1)
    return float(np.nanmean(expected_average_precision(n_right, n_gallery)))
