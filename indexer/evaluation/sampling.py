"""Which queries the conditional rankings ask where asking all would be too many."""

from __future__ import annotations

import numpy as np

from indexer.evaluation.database import Database, Positions
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Mask


def conditional_queries(
    database: Database, judged: Mask, options: RetrievalOptions
) -> tuple[Positions, Positions]:
    """Return the positions that ask by sound and by frame, ascending.

    Each query is looked at with every distinct answer: of more than `max_pairs` such pairs in a
    direction a random sample of the queries is kept.

    Parameters
    ----------
    judged : (n,) items whose answers somebody can judge: samples are drawn from them where a side
        has any.
    """
    n_frames, n_sounds = len(database.frame_items), len(database.sound_items)
    rng = np.random.default_rng(options.seed)
    return (
        _sampled(database.with_sound, judged, options.max_pairs // n_frames, rng),
        _sampled(database.with_frame, judged, options.max_pairs // n_sounds, rng),
    )


def _sampled(queries: Positions, judged: Mask, n_most: int, rng: np.random.Generator) -> Positions:
    if len(queries) <= n_most:
        return queries
    candidates = queries[judged[queries]] if judged[queries].any() else queries
    n = min(max(n_most, 1), len(candidates))
    return np.sort(rng.choice(candidates, n, replace=False))
