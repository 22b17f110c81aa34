"""How an index is searched: chosen by measuring recall and latency against the exact answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids
from indexer.vectors.inverted import Setting
from indexer.vectors.proposals import Proposer
from indexer.vectors.sample import Survey

faiss: Any = _faiss
N_QUERIES = 256
N_TIMED, REPEATS = 24, 3
N_SCANNED = 1 << 14
MEASURED_K = (10, 32, 100)
GENEROUS, SHARE = 0.99, 0.05
"""Recall worth having, and the share of the time of exact search that it may cost."""
DEEPEST = 16
"""Proposals per answer."""
ROW_MS = 0.003
"""What one exact vector from a mapped file costs."""
Z = 1.645
"""One-sided 95 %: what is promised holds for other queries, too."""


class Truth:
    """The exact nearest of some queries, gathered while blocks pass by.

    Queries are vectors of the collection, which do not find themselves, and others that will be
    asked.

    Attributes
    ----------
    queries : (q, width); ids : (q,) −1 for those from outside; groups : (q,) 0 or 1.
    nearest : (q, K) ids, best first.
    """

    def __init__(self, survey: Survey, asked: Floats | None) -> None:
        own = survey.rows(N_QUERIES)
        others = np.empty((0, own.shape[1]), np.float32) if asked is None else asked[:N_QUERIES]
        queries = np.concatenate([own, others])
        self.queries: Floats = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        self.groups = np.repeat([0, 1], [len(own), len(others)])
        outside = np.full(len(others), -1, np.int64)
        self.ids: Ids = np.concatenate([survey.rows_ids(N_QUERIES), outside])
        n_kept = min(max(MEASURED_K), len(survey.ids) - 1)
        self.nearest = np.full((len(queries), n_kept), -1, np.int64)
        self._scores = np.full((len(queries), n_kept), -2, np.float32)

    def add(self, ids: Ids, vectors: Floats) -> None:
        """Look at a block."""
        scores = self.queries @ vectors.T
        scores[self.ids[:, None] == ids] = -2
        scores = np.concatenate([self._scores, scores], axis=1)
        everyone = np.concatenate([self.nearest, np.broadcast_to(ids, (len(scores), len(ids)))], 1)
        n_kept = self.nearest.shape[1]
        kept = np.argpartition(-scores, n_kept - 1, axis=1)[:, :n_kept]
        kept = np.take_along_axis(
            kept, np.argsort(-np.take_along_axis(scores, kept, 1), axis=1, kind="stable"), 1
        )
        self._scores = np.take_along_axis(scores, kept, 1)
        self.nearest = np.take_along_axis(everyone, kept, 1)

    def hits(self, proposed: NDArray[np.int64], k: int) -> NDArray[np.float64]:
        """Return the recall of the k nearest (q, depth) among ever more of proposals (q, n).

        A query that was itself proposed is left out: the depth is one less than n.
        """
        is_own = proposed == self.ids[:, None]
        order = np.argsort(is_own, axis=1, kind="stable")[:, :-1]
        others = np.take_along_axis(proposed, order, 1)
        # One number for a query and an id together: all queries are looked up at once.
        shift = (np.arange(len(others)) * (self.nearest.max() + 2))[:, None]
        right = np.isin(others + shift, self.nearest[:, :k] + shift)
        share: NDArray[np.float64] = np.cumsum(right, axis=1) / min(k, self.nearest.shape[1])
        return share


@dataclass(frozen=True)
class Tuned:
    """What was found: settings by k, or None where none reaches what is asked for.

    Attributes
    ----------
    best_recall : the highest that any setting reached, for the first k that failed.
    """

    settings: list[Setting] | None
    best_recall: float


def tune(lists: Proposer, truth: Truth, min_recall: float, exact_p50_ms: float) -> Tuned:
    """Choose a setting that reaches the recall for each measured k.

    Recall of `GENEROUS` where it is to be had for `SHARE` of the time of exact search, else the
    recall that is asked for; either as fast as possible.
    """
    chosen = []
    for k in MEASURED_K:
        tried = list(_tried(lists, truth, k, min_recall, SHARE * exact_p50_ms))
        reaching = [one for one in tried if one.low >= min_recall]
        if not reaching:
            return Tuned(None, max(one.setting.recall for one in tried))
        generous = [one for one in reaching if one.low >= GENEROUS]
        affordable = [one for one in generous if one.cost_ms <= SHARE * exact_p50_ms]
        chosen.append(min(affordable or reaching, key=lambda one: one.cost_ms).setting)
    return Tuned(chosen, chosen[0].recall)


@dataclass(frozen=True)
class _Tried:
    setting: Setting
    low: float
    cost_ms: float


def _tried(
    lists: Proposer, truth: Truth, k: int, min_recall: float, budget_ms: float
) -> Iterator[_Tried]:
    """Yield settings of ever more lists, until more can be no better."""
    depth, cheapest = min(DEEPEST * k, lists.n - 1), float("inf")
    for nprobe in _doubling(lists.n_lists):
        p50_ms = median(_times_ms(lists, truth, k, nprobe))
        if p50_ms > max(cheapest, budget_ms):
            return
        shares = truth.hits(lists.propose(truth.queries, depth + 1, nprobe), k)
        groups = [shares[truth.groups == one] for one in np.unique(truth.groups)]
        lows = np.min([_low(group) for group in groups], axis=0)
        means = np.min([group.mean(axis=0) for group in groups], axis=0)
        for n in _depths(k, depth):
            setting = Setting(
                k=k, nprobe=nprobe, rescored=n, recall=float(means[n - 1]), p50_ms=p50_ms
            )
            one = _Tried(setting, float(lows[n - 1]), p50_ms + ROW_MS * n)
            if one.low >= min_recall:
                cheapest = min(cheapest, one.cost_ms)
            yield one


def _low(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower bound of the mean over queries (q, depth), per depth."""
    spread = shares.std(axis=0) / np.sqrt(len(shares))
    low: NDArray[np.float64] = shares.mean(axis=0) - Z * spread
    return low


def _times_ms(lists: Proposer, truth: Truth, k: int, nprobe: int) -> list[float]:
    n = min(2 * k, lists.n)
    return times_ms(lambda query: lists.propose(query[None], n, nprobe), truth.queries)


def times_ms(ask: Callable[[Floats], Any], queries: Floats) -> list[float]:
    """Time queries one by one, the best of REPEATS each: a machine may have other work to do."""
    taken = []
    for query in queries[:N_TIMED]:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            ask(query)
            times.append(1e3 * (time.perf_counter() - started))
        taken.append(min(times))
    return taken


def exact_ms(survey: Survey) -> list[float]:
    """Time a scan of exact vectors, as in a flat index: of the sample, scaled to all of them.

    The scanned rows do not fit into a cache either. So nothing of a long file is mapped meanwhile.
    """
    rows = survey.rows(N_SCANNED)
    if not len(rows):
        return []
    metric, times = faiss.METRIC_INNER_PRODUCT, len(survey.ids) / len(rows)
    taken = times_ms(lambda query: faiss.knn(query[None], rows, 10, metric=metric), rows)
    return [times * one for one in taken]


def _doubling(most: int) -> Iterator[int]:
    n = 1
    while n < most:
        yield n
        n *= 2
    yield most


def _depths(k: int, most: int) -> Iterator[int]:
    return (depth for depth in _doubling(most) if depth >= min(k, most))
