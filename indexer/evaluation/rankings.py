"""Rankings, scored block by block: never more than a block of queries × the gallery in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from indexer.blocks import Floats
from indexer.evaluation.database import Positions
from indexer.evaluation.figures import Direction, Protocol
from indexer.metrics import Mask
from indexer.neighbours import tidy

BLOCK = 2_000_000
"""Scores at once: about 100 MB with everything that is made of them."""
Scores = Callable[[slice], Floats]
"""From rows of the queries to their scores (b, N)."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A protocol in one direction, ready to be scored.

    Attributes
    ----------
    queries, gallery : (Q,) and (N,) positions in the database.
    n_queries_in_all : queries that there are, of which `queries` may be a sample.
    n_distinct_queries : different contents that ask.
    scores : cosines of some rows of the queries with the gallery.
    holds : what answers are made of, (Q,) for the query's item and (N,) for each answer: distinct
        frames, distinct sounds, or both. Where one agrees the answer is a duplicate of the query.
    """

    protocol: Protocol
    direction: Direction
    queries: Positions
    gallery: Positions
    n_queries_in_all: int
    n_distinct_queries: int
    scores: Scores
    holds: tuple[tuple[Positions, Positions], ...]

    def own_answers(self, rows: slice, columns: slice | Positions) -> tuple[Mask, Mask]:
        """Say of some queries and answers which are the query's item, and which its duplicates."""
        itself = self.queries[rows, None] == self.gallery[columns]
        same = np.zeros(itself.shape, np.bool_)
        for of_queries, of_answers in self.holds:
            same |= of_queries[rows, None] == of_answers[columns]
        return itself, same & ~itself


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some queries with their answers: scores (b, N), and which are the query's own or equal it."""

    start: int
    scores: Floats
    itself: Mask
    duplicates: Mask


def blocks(ranking: Ranking) -> Iterator[Block]:
    """Score a ranking; scores are rounded as those of hits are, so that equal answers tie."""
    size = max(1, BLOCK // max(len(ranking.gallery), 1))
    for start in range(0, len(ranking.queries), size):
        rows = slice(start, start + size)
        itself, duplicates = ranking.own_answers(rows, slice(None))
        scores = tidy(ranking.scores(rows))
        yield Block(start=start, scores=scores, itself=itself, duplicates=duplicates)


def by_vectors(
    queries: Floats, of_query: Positions, answers: Floats, of_answer: Positions
) -> Scores:
    """Cosines of unit vectors; equal contents share a row, so that they tie exactly.

    Parameters
    ----------
    queries, answers : (A, d) and (B, d) vectors.
    of_query, of_answer : (Q,) and (N,) row of each query and answer.
    """

    def scores(rows: slice) -> Floats:
        distinct, place = np.unique(of_query[rows], return_inverse=True)
        return (queries[distinct] @ answers.T)[np.ix_(place, of_answer)]

    return scores


def by_matrix(matrix: Floats, of_query: Positions, of_answer: Positions) -> Scores:
    """Scores that are known: row and column of a matrix for each query and answer."""
    return lambda rows: matrix[np.ix_(of_query[rows], of_answer)]
