"""The chance level of pseudo-label success: drawn in trials, and in closed form (S19 Table 6).

The two ways share no code: the trials draw neighbours and compare lists of labels, the closed form
counts overlapping pairs by who has which label.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.database import Positions
from indexer.evaluation.figures import ChanceFigures, Direction
from indexer.evaluation.judges import PseudoJudge
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.rankings import BLOCK
from indexer.metrics import Values
from indexer.pseudo_labels import NO_LABEL

N_DRAWN = 10
"""Neighbours drawn per query (S19 §5.3)."""
AT_ONCE = 4096
"""Queries whose draws are compared at once: 4 MB of label pairs."""
AGREEMENT = 3.0
"""Standard errors within which trials and closed form must lie (definitions §3)."""


class ChanceLevel:
    """Chance in one direction.

    Parameters
    ----------
    queries, gallery : positions, all of which the judge can judge.
    of_queries, of_answers : distinct content of each, by the modality that answers: answers with
        the query item's own content are its duplicates.
    """

    def __init__(
        self,
        judge: PseudoJudge,
        queries: Positions,
        gallery: Positions,
        of_queries: Positions,
        of_answers: Positions,
        options: RetrievalOptions,
    ) -> None:
        # With duplicates side by side, what a query must not draw is one run of the gallery.
        order = np.argsort(of_answers, kind="stable")
        self._judge, self._options = judge, options
        self._queries, self._gallery = queries, gallery[order]
        contents = of_answers[order]
        self._first = np.searchsorted(contents, of_queries, "left")
        self._past = np.searchsorted(contents, of_queries, "right")
        self._itself = self._place_of_queries()
        if options.include_duplicates:
            self._first = np.where(self._itself >= 0, self._itself, 0)
            self._past = self._first + (self._itself >= 0)
        self._keeps_itself = options.include_self & (self._itself >= 0)
        self._n_allowed = len(gallery) - (self._past - self._first) + self._keeps_itself

    def figures(self, direction: Direction) -> ChanceFigures | None:
        """Compare both; None where no query has anything to draw."""
        drawing = self._n_allowed > 0
        if not drawing.any():
            return None
        closed = float(self.closed_form()[drawing].mean())
        trials = self.trials()
        error = float(trials.std(ddof=1) / math.sqrt(len(trials)))
        difference = float(trials.mean()) - closed
        # Where every draw gives the same, rounding is all that is left of the error.
        z = difference / error if error > 1e-12 else (0.0 if abs(difference) < 1e-9 else math.inf)
        return ChanceFigures(
            direction=direction,
            closed_form=closed,
            trials=float(trials.mean()),
            standard_error=error,
            z=z,
            agrees=abs(z) <= AGREEMENT,
            n_trials=len(trials),
            n_drawn=N_DRAWN,
            n_queries=int(drawing.sum()),
        )

    def closed_form(self) -> Values:
        """(Q,) share of each query's gallery that overlaps with it; NaN where that is empty."""
        verdict = self._judge.facing(self._gallery)
        columns = np.arange(len(self._gallery))
        n_right = np.zeros(len(self._queries), np.int64)
        size = max(1, BLOCK // max(len(columns), 1))
        for start in range(0, len(self._queries), size):
            rows = slice(start, start + size)
            left_out = (columns >= self._first[rows, None]) & (columns < self._past[rows, None])
            kept = self._keeps_itself[rows, None] & (columns == self._itself[rows, None])
            right = verdict(self._queries[rows]) & (~left_out | kept)
            n_right[rows] = right.sum(axis=1)
        share: Values = np.divide(
            n_right,
            self._n_allowed,
            out=np.full(len(n_right), np.nan),
            where=self._n_allowed > 0,
        )
        return share

    def trials(self) -> Values:
        """(n_trials,) mean success of neighbours drawn without replacement."""
        rng = np.random.default_rng(self._options.seed)
        return np.array([self._trial(rng) for _ in range(self._options.n_trials)])

    def _trial(self, rng: np.random.Generator) -> float:
        drawing = np.flatnonzero(self._n_allowed > 0)
        success = np.empty(len(drawing))
        # Galleries of fewer than ten are drawn whole; all that can draw ten draw together.
        n_drawn = np.minimum(self._n_allowed[drawing], N_DRAWN)
        for n in np.unique(n_drawn):
            of_n = n_drawn == n
            rows = drawing[of_n]
            success[of_n] = self._success(rows, self._drawn(rng, rows, int(n)))
        return float(success.mean())

    def _drawn(self, rng: np.random.Generator, rows: NDArray[np.int64], n: int) -> Positions:
        """Draw n different places of the gallery for each of some queries (Floyd's algorithm)."""
        n_allowed = self._n_allowed[rows]
        drawn = np.full((len(rows), n), -1)
        for step in range(n):
            last = n_allowed - n + step
            candidate = rng.integers(0, last + 1)
            taken = (drawn == candidate[:, None]).any(axis=1)
            drawn[:, step] = np.where(taken, last, candidate)
        return self._places(rows, drawn)

    def _places(self, rows: NDArray[np.int64], drawn: NDArray[np.int64]) -> Positions:
        """Turn numbers of allowed answers into places, stepping over the run left out."""
        first, past = self._first[rows, None], self._past[rows, None]
        places = np.where(drawn < first, drawn, drawn + past - first)
        is_itself = self._keeps_itself[rows, None] & (drawn == self._n_allowed[rows, None] - 1)
        return np.where(is_itself, self._itself[rows, None], places)

    def _success(self, rows: NDArray[np.int64], places: Positions) -> Values:
        """(Q,) share of each row's places whose list of labels has one in common with its own."""
        success = np.empty(len(rows))
        for start in range(0, len(rows), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            asked = self._judge.of_queries[self._queries[rows[part]]][:, None, :, None]
            found = self._judge.of_answers[self._gallery[places[part]]][:, :, None, :]
            shared = (asked == found) & (asked != NO_LABEL)
            success[part] = shared.any(axis=(2, 3)).mean(axis=1)
        return success

    def _place_of_queries(self) -> Positions:
        """(Q,) where each query's own item stands in the gallery, −1 where it does not."""
        size = int(max(self._queries.max(initial=0), self._gallery.max(initial=0))) + 1
        place = np.full(size, -1)
        place[self._gallery] = np.arange(len(self._gallery))
        return place[self._queries]
