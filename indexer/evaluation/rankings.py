"""Rankings, scored block by block: never more than a block of queries × the gallery in memory.

Vectors are read from disk, some of the answers at a time, for a strip of queries: a few blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from indexer.blocks import Floats
from indexer.evaluation.database import Positions
from indexer.evaluation.figures import Direction, Protocol
from indexer.evaluation.vector_file import VectorFile
from indexer.metrics import Mask
from indexer.neighbours import tidy
from indexer.rules import own_answers

BLOCK = 1_000_000
"""Scores that are judged at once: about 50 MB with everything that is made of them."""
STRIP = 4_000_000
"""Scores that are computed at once, 16 MB: all answers are read from disk for each strip."""
ANSWERS = 2048
"""Answers that are read at once: 8 MB."""
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
        holds = [(of_queries[rows], of_answers[columns]) for of_queries, of_answers in self.holds]
        return own_answers(self.queries[rows], self.gallery[columns], holds)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some queries with their answers: scores (b, N), and which are the query's own or equal it."""

    start: int
    scores: Floats
    itself: Mask
    duplicates: Mask


def blocks(ranking: Ranking) -> Iterator[Block]:
    """Score a ranking; scores are rounded as those of hits are, so that equal answers tie."""
    n, n_answers = len(ranking.queries), max(len(ranking.gallery), 1)
    for strip in _slices(slice(0, n), max(1, STRIP // n_answers)):
        scores = ranking.scores(strip)
        for rows in _slices(strip, max(1, BLOCK // n_answers)):
            itself, duplicates = ranking.own_answers(rows, slice(None))
            yield Block(
                start=rows.start,
                scores=tidy(scores[rows.start - strip.start : rows.stop - strip.start]),
                itself=itself,
                duplicates=duplicates,
            )


def _slices(whole: slice, size: int) -> Iterator[slice]:
    for start in range(whole.start, whole.stop, size):
        yield slice(start, min(start + size, whole.stop))


def by_vectors(
    queries: VectorFile, of_query: Positions, answers: VectorFile, of_answer: Positions
) -> Scores:
    """Cosines of unit vectors; equal contents share a row, so that they tie exactly.

    Parameters
    ----------
    queries, answers : (A, d) and (B, d) vectors.
    of_query, of_answer : (Q,) and (N,) row of each query and answer.
    """
    is_each_once = len(of_answer) == len(answers) and _counts(of_answer)

    def scores(rows: slice) -> Floats:
        distinct, place = np.unique(of_query[rows], return_inverse=True)
        cosines = _cosines(queries.take(distinct), answers)
        return cosines if is_each_once and _counts(place) else cosines[np.ix_(place, of_answer)]

    return scores


def _cosines(vectors: Floats, answers: VectorFile) -> Floats:
    """(b, B) products of some vectors (b, d) with all answers (B, d), read block by block."""
    cosines = np.empty((len(vectors), len(answers)), np.float32)
    for columns, part in answers.blocks(ANSWERS):
        cosines[:, columns] = vectors @ part.T
    return cosines


def _counts(numbers: Positions) -> bool:
    """Whether numbers are 0, 1, 2, …"""
    return bool((numbers == np.arange(len(numbers))).all())


def by_matrix(matrix: Floats, of_query: Positions, of_answer: Positions) -> Scores:
    """Scores that are known: row and column of a matrix for each query and answer."""
    return lambda rows: matrix[np.ix_(of_query[rows], of_answer)]
