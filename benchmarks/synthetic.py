"""Unit vectors as an encoder gives them, from a seed, block by block: as many as are asked for.

A mixture of CLUSTERS clusters of unequal size in DIMENSIONS dimensions: centres are drawn from a
normal distribution, and members of a cluster with SPREAD of it, so that neighbouring clusters
overlap. What is drawn is turned into WIDTH components by one random matrix; noise of NOISE of its
length in every component is added, and all is scaled to unit norm. Other vectors of the same
distribution, which are in no index, ask.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from indexer.blocks import Floats, Ids

WIDTH = 1000
CLUSTERS = 2000
DIMENSIONS = 40
SPREAD = 0.8
NOISE = 0.25
BLOCK = 4096
SEED = 20_191_024


def vectors(n: int, *, asking: bool = False) -> Iterator[tuple[Ids, Floats]]:
    """Yield ids 0 … n − 1 and vectors (BLOCK, WIDTH), or those that ask."""
    rng = np.random.default_rng(SEED)
    turned = rng.normal(size=(DIMENSIONS, WIDTH)).astype(np.float32) / DIMENSIONS**0.5
    centres = rng.normal(size=(CLUSTERS, DIMENSIONS)).astype(np.float32)
    shares = rng.gamma(1.0, size=CLUSTERS)
    for first in range(0, n, BLOCK):
        rng = np.random.default_rng([SEED, asking, first])
        size = min(BLOCK, n - first)
        members = centres[rng.choice(CLUSTERS, size, p=shares / shares.sum())]
        members += SPREAD * rng.standard_normal((size, DIMENSIONS), dtype=np.float32)
        rows = rng.standard_normal((size, WIDTH), dtype=np.float32)
        rows *= NOISE * (1 + SPREAD**2) ** 0.5
        rows += members @ turned
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        yield np.arange(first, first + size, dtype=np.int64), rows


def queries(n: int) -> Floats:
    """Return n vectors (n, WIDTH) that are in no index."""
    return np.concatenate([rows for _, rows in vectors(n, asking=True)])
