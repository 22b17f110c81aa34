"""Gathers the answers of a ranking block by block and makes figures of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import SHARES, Figure, mean_figure, rate_figure
from indexer.blocks import Floats
from indexer.evaluation.calibration import Percentiles, ScoreBins
from indexer.evaluation.database import Positions
from indexer.evaluation.figures import (
    AtK,
    ClassRow,
    CurvePoint,
    JudgedFigures,
    Median,
    RecordingFigures,
)
from indexer.evaluation.judges import Judge
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Mask, Ranked, Values, expected_average_precision, target_ranks

CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1000)
"""Where curves against k are drawn, as far as the gallery reaches."""
N_RESAMPLES = 1000
T = TypeVar("T", bound=np.generic)


class JudgedTally:
    """What a judge says of one ranking."""

    def __init__(
        self, judge: Judge, queries: Positions, gallery: Positions, options: RetrievalOptions
    ) -> None:
        self._judge, self._options = judge, options
        self.columns = np.flatnonzero(judge.answers[gallery])
        self._is_whole = len(self.columns) == len(gallery)
        self._verdict = judge.facing(gallery[self.columns])
        self._queries, self.asks = queries, judge.asks[queries]
        self._ks = sorted({*CURVE, *options.ks})
        n = len(queries)
        self._n_right, self._n_gallery = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._right_at = np.zeros((n, len(self._ks)), np.int32)
        self.average_precision = np.full(n, np.nan)
        self._bins = ScoreBins(n)

    def take(self, start: int, scores: Floats, excluded: Mask) -> None:
        """Judge the answers (b, N) of the queries from `start` on."""
        asking = np.flatnonzero(self.asks[start : start + len(scores)])
        if not len(asking) or not len(self.columns):
            return
        scores, excluded = self._part(scores, asking), self._part(excluded, asking)
        rows = start + asking
        right = self._verdict(self._queries[rows])
        ranked = Ranked.of(scores, right, excluded)
        self._n_right[rows], self._n_gallery[rows] = ranked.n_right, ranked.n_gallery
        self.average_precision[rows] = ranked.average_precision
        for column, k in enumerate(self._ks):
            self._right_at[rows, column] = ranked.n_right_at(k)
        self._bins.take(rows, scores, right, ~excluded)

    def _part(self, values: NDArray[T], asking: NDArray[np.int64]) -> NDArray[T]:
        part = values if len(asking) == len(values) else values[asking]
        return part if self._is_whole else part[:, self.columns]

    @property
    def is_defined(self) -> Mask:
        """(Q,) whether a query counts: it can be judged and its gallery holds what it must."""
        return self.asks & ((self._n_right if self._judge.needs_right else self._n_gallery) > 0)

    def precision_at(self, k: int) -> Values:
        """(Q,) share of the k best that are right; NaN where a query does not count."""
        at = self._right_at[:, self._ks.index(k)]
        return self._where_defined(at / np.maximum(np.minimum(self._n_gallery, k), 1))

    def recall_at(self, k: int) -> Values:
        """(Q,) share of the right answers that are among the k best; NaN where there is none."""
        recall = self._right_at[:, self._ks.index(k)] / np.maximum(self._n_right, 1)
        return np.where(self._n_right > 0, recall, np.nan)

    def any_hit_at(self, k: int) -> Values:
        """(Q,) 1 where one of the k best is right, else 0; NaN where a query does not count."""
        return self._where_defined((self._right_at[:, self._ks.index(k)] > 0).astype(np.float64))

    def _where_defined(self, values: Values) -> Values:
        return np.where(self.is_defined, values, np.nan)

    @property
    def chance_average_precision(self) -> float:
        """Expected mAP under a random order."""
        return mean_defined(expected_average_precision(self._n_right, self._n_gallery))

    @property
    def chance_precision(self) -> float:
        """Expected precision at any k under a random order: the mean rate of right answers."""
        return mean_defined(self._where_defined(self._n_right / np.maximum(self._n_gallery, 1)))

    def figures(
        self, *, classes: Sequence[tuple[str, Mask]] = (), percentiles: Percentiles | None = None
    ) -> JudgedFigures:
        """Make figures over the queries that the judge can judge.

        Parameters
        ----------
        classes : label and (Q,) which queries bear it, for the table by class.
        """
        seed, ks = self._options.seed, self._options.ks
        return JudgedFigures(
            n_gallery=len(self.columns),
            mean_average_precision=self._mean(self.average_precision),
            precision_at=tuple(AtK(k=k, figure=self._mean(self.precision_at(k))) for k in ks),
            any_hit_at=tuple(AtK(k=k, figure=self._rate(self.any_hit_at(k))) for k in ks),
            chance_average_precision=self.chance_average_precision,
            chance_precision=self.chance_precision,
            precision_curve=self._curve(self.precision_at),
            recall_curve=self._curve(self.recall_at),
            any_hit_curve=self._curve(self.any_hit_at),
            per_class=tuple(self._class_row(label, mask) for label, mask in classes if mask.any()),
            calibration=self._bins.figures(percentiles, seed),
        )

    def _mean(self, values: Values) -> Figure:
        return mean_figure(values[self.asks], seed=self._options.seed, within=SHARES)

    def _rate(self, values: Values) -> Figure:
        return rate_of(values[self.asks])

    def _curve(self, at: Callable[[int], Values]) -> tuple[CurvePoint, ...]:
        ks = [k for k in CURVE if k <= max(int(self._n_gallery.max(initial=0)), 1)]
        return tuple(CurvePoint(k=k, value=mean_defined(at(k))) for k in ks)

    def _class_row(self, label: str, mask: Mask) -> ClassRow:
        k, seed = self._options.ks[0], self._options.seed
        both = self.average_precision[mask], self.precision_at(k)[mask]
        average, precision = (mean_figure(of, seed=seed, within=SHARES) for of in both)
        return ClassRow(
            label=label,
            n_queries=int(mask.sum()),
            average_precision=average,
            precision=precision,
        )


class RecordingTally:
    """At which rank each recording's own partner stands."""

    def __init__(
        self, recorded: Mask, queries: Positions, gallery: Positions, options: RetrievalOptions
    ) -> None:
        self._options, self._n_answers = options, len(gallery)
        column = np.full(len(recorded), -1)
        column[gallery] = np.arange(len(gallery))
        self._targets = column[queries]
        self.asks = recorded[queries] & (self._targets >= 0)
        self.ranks, self._n_gallery = (np.zeros(len(queries), np.int64) for _ in range(2))

    def take(self, start: int, scores: Floats, excluded: Mask) -> None:
        """Look for the partners among the answers (b, N); a partner is never excluded here."""
        asking = np.flatnonzero(self.asks[start : start + len(scores)])
        if not len(asking):
            return
        rows = start + asking
        self.ranks[rows] = target_ranks(scores[asking], self._targets[rows], excluded[asking])
        self._n_gallery[rows] = (~excluded[asking]).sum(axis=1)

    def is_within(self, k: int) -> Values:
        """(Q,) 1 where the partner is among the k best, else 0; NaN where there is no partner."""
        return np.where(self.asks, (self.ranks <= k).astype(np.float64), np.nan)

    def chance_within(self, k: int) -> float:
        """Expected share of partners among the k best under a random order."""
        return mean_defined(np.minimum(k / np.maximum(self._n_gallery[self.asks], 1), 1))

    def figures(self) -> RecordingFigures:
        """Make figures over the recordings that ask."""
        n, ks = self._n_gallery[self.asks], self._options.recall_ks
        curve = [k for k in CURVE if k <= n.max()]
        chance = [(k, self.chance_within(k)) for k in ks]
        return RecordingFigures(
            n_gallery=self._n_answers,
            recall_at=tuple(AtK(k=k, figure=rate_of(self.is_within(k)[self.asks])) for k in ks),
            median_rank=median_of(self.ranks[self.asks], self._options.seed),
            chance_recall_at=tuple(CurvePoint(k=k, value=value) for k, value in chance),
            chance_median_rank=float((np.median(n) + 1) / 2),
            recall_curve=tuple(
                CurvePoint(k=k, value=mean_defined(self.is_within(k))) for k in curve
            ),
        )


def rate_of(values: Values) -> Figure:
    """Rate of successes among (n,) of 0, 1 and NaN, which is undefined."""
    defined = values[~np.isnan(values)]
    return replace(rate_figure(defined > 0), n_undefined=len(values) - len(defined))


def median_of(ranks: NDArray[np.int64], seed: int) -> Median:
    """Median of (n,) ranks, n > 0, and its percentile-bootstrap interval; one has none (NaN)."""
    if len(ranks) == 1:
        return Median(median=float(ranks[0]), low=math.nan, high=math.nan, n=1)
    rng = np.random.default_rng(seed)
    medians = [
        np.median(ranks[rng.integers(0, len(ranks), len(ranks))]) for _ in range(N_RESAMPLES)
    ]
    low, high = np.quantile(medians, [0.025, 0.975])
    return Median(median=float(np.median(ranks)), low=float(low), high=float(high), n=len(ranks))


def mean_defined(values: Values) -> float:
    """Mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
