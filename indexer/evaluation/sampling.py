"""Which queries the conditional rankings ask where asking all would be too many."""

from __future__ import annotations

import numpy as np

from indexer.evaluation.database import Database, Positions
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Mask

MOST_SCORES = 25_000_000
"""Scores of queries with distinct answers that one ranking holds: 100 MB."""


def conditional_queries(
    database: Database, judged: Mask, options: RetrievalOptions
) -> tuple[Positions, Positions]:
    """Return the positions that ask by sound and by frame, ascending.

    Each distinct query is looked at with every distinct answer: where that makes more than
    `max_pairs` in a direction, a random sample of the queries is kept.

    Parameters
    ----------
    judged : (n,) items whose answers somebody can judge: samples are drawn from them where a side
        has any.
    """
    of, rng = database, np.random.default_rng(options.seed)
    n_frames, n_sounds = len(of.frame_items), len(of.sound_items)
    return (
        _sampled(of.with_sound, of.sounds, n_frames, judged, options.max_pairs, rng),
        _sampled(of.with_frame, of.frames, n_sounds, judged, options.max_pairs, rng),
    )


def _sampled(
    queries: Positions,
    contents: Positions,
    n_answers: int,
    judged: Mask,
    max_pairs: int,
    rng: np.random.Generator,
) -> Positions:
    n_distinct, n_most = max(max_pairs // n_answers, 1), max(MOST_SCORES // n_answers, 1)
    if len(np.unique(contents[queries])) <= n_distinct and len(queries) <= n_most:
        return queries
    candidates = queries[judged[queries]] if judged[queries].any() else queries
    drawn = rng.permutation(candidates)
    is_new = np.zeros(len(drawn), np.bool_)
    is_new[np.unique(contents[drawn], return_index=True)[1]] = True
    return np.sort(drawn[np.cumsum(is_new) <= n_distinct][:n_most])
