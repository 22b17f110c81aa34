"""The best answers of every query, as a user sees them: score descending, then id ascending."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids
from indexer.evaluation.database import NONE, Positions
from indexer.evaluation.figures import HitRecord, QueryRecord
from indexer.metrics import Mask, Values
from indexer.neighbours import DECIMALS

N_KEPT = 10
N_SHOWN = 5
N_RECORDS = 8
"""Queries shown as best and as worst."""
LAST = np.iinfo(np.int64).max
Judged = Callable[[int, Positions], list[bool | None]]
"""From the position of a query and those of answers to whether each is right."""


class TopHits:
    """The ten best of every query, without what is excluded.

    Attributes
    ----------
    answers : (Q, 10) positions in the database, NONE where the gallery is smaller.
    scores : (Q, 10).
    """

    def __init__(self, ids: Ids, queries: Positions, gallery: Positions) -> None:
        self._ids, self._queries = ids, queries
        self._by_id = gallery[np.argsort(ids[gallery])]
        self._rank_of_id = np.argsort(np.argsort(ids[gallery])).astype(np.int64)
        self.answers = np.full((len(queries), N_KEPT), NONE)
        self.scores = np.full((len(queries), N_KEPT), np.nan, np.float32)

    def take(self, start: int, scores: Floats, excluded: Mask) -> None:
        """Keep the best of the answers (b, N), scores rounded to `DECIMALS`."""
        # One integer orders by score and id: partitioning is then a fraction of sorting.
        steps = np.rint(scores.astype(np.float64) * 10**DECIMALS).astype(np.int64)
        keys = (-steps << 32) + self._rank_of_id
        keys[excluded] = LAST
        n = min(N_KEPT, keys.shape[1])
        best = np.sort(np.partition(keys, n - 1, axis=1)[:, :n], axis=1)
        rows = slice(start, start + len(scores))
        found = best != LAST
        answers = self._by_id[np.where(found, best & 0xFFFFFFFF, 0)]
        self.answers[rows, :n] = np.where(found, answers, NONE)
        self.scores[rows, :n] = np.where(found, -(best >> 32) / 10**DECIMALS, np.nan)

    def best(self, values: Values, judged: Judged) -> tuple[QueryRecord, ...]:
        """Return the queries with the highest of their values (Q,), the highest first."""
        return self._records(_descending(values)[:N_RECORDS], values, judged)

    def worst(self, values: Values, judged: Judged) -> tuple[QueryRecord, ...]:
        """Return those with the lowest, the lowest first; none that is among the best."""
        return self._records(_descending(values)[N_RECORDS:][::-1][:N_RECORDS], values, judged)

    def _records(
        self, rows: NDArray[np.int64], values: Values, judged: Judged
    ) -> tuple[QueryRecord, ...]:
        return tuple(self._record(int(row), float(values[row]), judged) for row in rows)

    def _record(self, row: int, value: float, judged: Judged) -> QueryRecord:
        answers = self.answers[row, :N_SHOWN]
        answers = answers[answers != NONE]
        query = int(self._queries[row])
        hits = [
            HitRecord(item=int(self._ids[answer]), score=round(float(score), DECIMALS), right=right)
            for answer, score, right in zip(
                answers, self.scores[row], judged(query, answers), strict=False
            )
        ]
        return QueryRecord(item=int(self._ids[query]), value=value, hits=tuple(hits))


def _descending(values: Values) -> NDArray[np.int64]:
    defined = np.flatnonzero(~np.isnan(values))
    return defined[np.argsort(-values[defined], kind="stable")]
