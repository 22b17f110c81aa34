"""Rankings as FAISS serves them, and how much of the exact ranking they hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from encoder.intervals import SHARES, Figure, mean_figure
from indexer.blocks import Floats
from indexer.evaluation.database import NONE, Positions
from indexer.evaluation.figures import AtK, ServedFigures
from indexer.evaluation.hits import N_KEPT
from indexer.evaluation.judges import Judge
from indexer.evaluation.measure import Bench, Measured
from indexer.evaluation.tally import rate_of
from indexer.metrics import Mask, Values
from indexer.neighbours import Neighbours
from indexer.reader import IndexReader, Space

TIE = 4e-6
"""An answer that scores this little under the tenth of the exact ranking is as good as it: the
vectors in the index were computed in other batches."""


@dataclass(frozen=True, kw_only=True)
class ServedRanking:
    """A ranking that was measured exactly, and how to ask FAISS for it.

    Attributes
    ----------
    vector_of : from the row of a query to its unit vector (1000,).
    """

    measured: Measured
    space: Space
    vector_of: Callable[[int], Floats]


@dataclass(frozen=True, kw_only=True)
class _Lists:
    """What was served to Q queries.

    Attributes
    ----------
    answers : (Q, K) positions without what is excluded, best first, NONE past the end.
    scores : (Q, K).
    partner_ranks : (Q,) rank of the query's own item when only duplicates are excluded; 0 where it
        was not served.
    """

    answers: Positions
    scores: Floats
    partner_ranks: Positions


class Served:
    """Asks an index for the answers of rankings."""

    def __init__(self, reader: IndexReader, bench: Bench, device: Literal["cpu", "cuda"]) -> None:
        self._reader, self._bench, self._device = reader, bench, device
        self._ids, options = bench.database.ids, bench.options
        self._by_id = np.argsort(self._ids)
        self._n = max(*options.ks, *options.recall_ks, N_KEPT)

    def figures(self, ranking: ServedRanking, on_query: Callable[[int], None]) -> ServedFigures:
        """Ask for every query of a ranking, and judge what comes."""
        measured = ranking.measured
        whole = self._lists(ranking, np.arange(len(measured.ranking.gallery)), on_query)
        by_class = self._right(ranking, self._bench.classes, measured.class_defined, whole)
        judge = self._bench.pseudo_judge(measured.ranking.direction)
        by_pseudo = self._right(ranking, judge, measured.pseudo_defined, whole) if judge else None
        return ServedFigures(
            protocol=measured.ranking.protocol,
            direction=measured.ranking.direction,
            recall_at_10=self._mean(_shares_found(measured, whole)),
            class_precision_at=self._precisions(by_class),
            success_at=self._precisions(by_pseudo),
            any_hit_at=self._any_hits(by_pseudo),
            recording_recall_at=self._partners(measured, whole),
        )

    def _lists(
        self, ranking: ServedRanking, columns: Positions, on_query: Callable[[int], None]
    ) -> _Lists:
        """Ask for the answers among some columns of the gallery."""
        queries = ranking.measured.ranking.queries
        answers = np.full((len(queries), self._n), NONE)
        scores = np.full(answers.shape, np.nan, np.float32)
        partner_ranks = np.zeros(len(queries), np.int64)
        for row in range(len(queries)):
            left_out, duplicates = self._left_out(ranking.measured, row, columns)
            near = self._nearest(ranking, row, columns, self._n + int(left_out.sum()))
            places = self._positions(near)
            in_gallery = ranking.measured.ranking.gallery[columns]
            kept = ~np.isin(places, in_gallery[left_out])
            n = min(int(kept.sum()), self._n)
            answers[row, :n], scores[row, :n] = places[kept][:n], near.scores[kept][:n]
            distinct = places[~np.isin(places, in_gallery[duplicates])]
            partner_ranks[row] = next(iter(np.flatnonzero(distinct == queries[row]) + 1), 0)
            on_query(row + 1)
        return _Lists(answers=answers, scores=scores, partner_ranks=partner_ranks)

    def _left_out(self, measured: Measured, row: int, columns: Positions) -> tuple[Mask, Mask]:
        itself, duplicates = measured.ranking.own_answers(slice(row, row + 1), columns)
        options = self._bench.options
        duplicates = duplicates[0] & (not options.include_duplicates)
        return duplicates | (itself[0] & (not options.include_self)), duplicates

    def _nearest(self, ranking: ServedRanking, row: int, columns: Positions, n: int) -> Neighbours:
        allowed = np.sort(self._ids[ranking.measured.ranking.gallery[columns]])
        vector = ranking.vector_of(row)
        return self._reader.nearest(ranking.space, vector, n, allowed, self._device)

    def _positions(self, near: Neighbours) -> Positions:
        return self._by_id[np.searchsorted(self._ids[self._by_id], near.ids)]

    def _right(
        self, ranking: ServedRanking, judge: Judge, defined: Mask, whole: _Lists
    ) -> Values | None:
        """(Q, K) 1 where a served answer is right, 0 where not, NaN where there is none."""
        of = ranking.measured.ranking
        if not defined.any():
            return None
        columns = np.flatnonzero(judge.answers[of.gallery])
        lists = whole
        if len(columns) < len(of.gallery):  # as in the exact ranking, only what can be judged
            lists = self._lists(ranking, columns, lambda _: None)
        right = np.full(lists.answers.shape, np.nan)
        for row in np.flatnonzero(defined):
            given = lists.answers[row][lists.answers[row] != NONE]
            right[row, : len(given)] = judge.facing(given)(of.queries[row : row + 1])[0]
        return right

    def _precisions(self, right: Values | None) -> tuple[AtK, ...]:
        if right is None:
            return ()
        ks = self._bench.options.ks
        return tuple(AtK(k=k, figure=self._mean(_shares(right[:, :k]))) for k in ks)

    def _mean(self, shares: Values) -> Figure:
        return mean_figure(shares, seed=self._bench.options.seed, within=SHARES)

    def _any_hits(self, right: Values | None) -> tuple[AtK, ...]:
        if right is None:
            return ()
        ks = self._bench.options.ks
        return tuple(AtK(k=k, figure=rate_of(np.ceil(_shares(right[:, :k])))) for k in ks)

    def _partners(self, measured: Measured, lists: _Lists) -> tuple[AtK, ...]:
        if not measured.is_recording.any():
            return ()
        ranks = lists.partner_ranks[measured.is_recording]
        found = [
            (k, ((ranks > 0) & (ranks <= k)).astype(float)) for k in self._bench.options.recall_ks
        ]
        return tuple(AtK(k=k, figure=rate_of(within)) for k, within in found)


def _shares(right: Values) -> Values:
    """(Q,) share of the answers that are right; NaN without an answer."""
    n_given = (~np.isnan(right)).sum(axis=1)
    shares: Values = np.divide(
        np.nansum(right, axis=1), n_given, out=np.full(len(right), np.nan), where=n_given > 0
    )
    return shares


def _shares_found(measured: Measured, served: _Lists) -> Values:
    """(Q,) share of the exact ten best that are among the ten served, or tie with what is."""
    exact, exact_scores = measured.hits.answers, measured.hits.scores
    last = np.nanmin(np.where(exact == NONE, np.inf, exact_scores), axis=1, keepdims=True)
    answers, scores = served.answers[:, :N_KEPT], served.scores[:, :N_KEPT]
    is_among = (answers[:, :, None] == exact[:, None, :]).any(axis=2)
    found = (answers != NONE) & (is_among | (scores >= last - TIE))
    n_exact = (exact != NONE).sum(axis=1)
    return np.where(n_exact > 0, found.sum(axis=1) / np.maximum(n_exact, 1), np.nan)
