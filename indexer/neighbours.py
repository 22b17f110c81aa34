"""The order of answers: score descending, then id ascending (definitions §3). Pure numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids

PENDING = 1 << 16
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
    """Return the k best of a stream of scored blocks, holding few more than k at a time."""
    pending: list[tuple[Ids, Floats]] = [(np.empty(0, np.int64), np.empty(0, np.float32))]
    n_pending = 0
    for ids, scores in parts:
        pending.append((ids, scores))
        n_pending += len(ids)
        if n_pending > max(k, PENDING):  # one block at a time would sort k rows for each
            kept = _best_of_all(pending, k)
            pending, n_pending = [(kept.ids, kept.scores)], 0
    return _best_of_all(pending, k)


def _best_of_all(parts: list[tuple[Ids, Floats]], k: int) -> Neighbours:
    ids, scores = zip(*parts, strict=True)
    return best(np.concatenate(ids), np.concatenate(scores), k)
