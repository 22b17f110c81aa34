"""Which queries the conditional rankings ask where asking all would be too many."""

from __future__ import annotations

import numpy as np

from indexer.evaluation.database import Database, Positions
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Mask
from indexer.rules import sampled


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
        sampled(of.with_sound, of.sounds, n_frames, judged, options.max_pairs, rng),
        sampled(of.with_frame, of.frames, n_sounds, judged, options.max_pairs, rng),
    )
