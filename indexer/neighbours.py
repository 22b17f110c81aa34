"""The order of answers: score descending, then id ascending (definitions §3). Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids

DECIMALS = 6
"""A float32 network repeats itself to about 1e-7 whatever the batch; below that order is noise."""


@dataclass(frozen=True)
class Neighbours:
    """The best of a gallery: `ids` (k,) and `scores` float32 (k,) in [-1, 1], best first."""

    ids: Ids
    scores: Floats


def cosines(rows: NDArray[np.floating], vector: NDArray[np.floating]) -> Floats:
    """Cosine of each unit row (n, d) with a unit vector (d,), or with its own row of (n, d).

    Equal rows get equal scores wherever they stand: each is summed by itself, in float64, which a
    BLAS product does not promise.
    """
    return tidy(np.einsum("nd,nd->n", rows, np.broadcast_to(vector, rows.shape), dtype=np.float64))


def tidy(scores: NDArray[np.floating]) -> Floats:
    """Clip to [-1, 1] and round to `DECIMALS`, so that duplicates tie exactly."""
    return np.clip(np.round(scores, DECIMALS), -1, 1).astype(np.float32) + np.float32(0)


def best(ids: Ids, scores: Floats, k: int) -> Neighbours:
    """Return the k best, fewer where there are fewer; ties go to the smaller id."""
    if k < len(scores):
        if k <= 0:
            return Neighbours(ids[:0], scores[:0])
        threshold = np.partition(scores, -k)[-k]
        ids, scores = ids[scores >= threshold], scores[scores >= threshold]
    order = np.lexsort((ids, -scores))[:k]
    return Neighbours(ids[order], scores[order])


def best_of(parts: Iterable[tuple[Ids, Floats]], k: int) -> Neighbours:
    """Return the k best of a stream of scored blocks, holding k and one block at a time."""
    kept = Neighbours(np.empty(0, np.int64), np.empty(0, np.float32))
    for ids, scores in parts:
        kept = best(np.concatenate([kept.ids, ids]), np.concatenate([kept.scores, scores]), k)
    return kept
