"""Vectors that are nearly the same: an exact twin, and a fast way that finds the same.

Both keep the first of every group and compare later vectors with those that were kept, so that
nothing is dropped for being like something that was itself dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats

AXES = 64
FITTED_ON = 512
"""Vectors from all over that the axes are fitted on: those of one still video vary along none."""
KEPT_AT_ONCE = 1 << 14
PAIRS_AT_ONCE = 256
SLACK = 1e-4
"""What rounding can do to a squared distance of projections in float32, many times over."""
NOTHING = -1
Numbers = NDArray[np.int64]
Read = Callable[[Numbers], Floats]
"""Gives vectors (k, d) again by their places (k,) in the order in which they came."""


def same_as_exact(vectors: Floats, files: Numbers, cosine: float) -> Numbers:
    """Say of each vector which kept one before it it repeats, pair by pair.

    Parameters
    ----------
    vectors : (n, d) float32, unit norm.
    files : (n,) number of the file that each is of; those of one file are never compared.
    cosine : from which on two are nearly the same.

    Returns
    -------
    (n,) place of the first kept vector that is so near, `NOTHING` where the vector is kept.
    """
    same = np.full(len(vectors), NOTHING)
    for n in range(len(vectors)):
        for kept in range(n):
            if same[kept] != NOTHING or files[kept] == files[n]:
                continue
            if _cosines(vectors[n : n + 1], vectors[kept : kept + 1])[0] >= cosine:
                same[n] = kept
                break
    return same


def same_as(
    blocks: Iterable[tuple[Floats, Numbers]],
    read: Read,
    cosine: float,
    sample: Floats | None = None,
) -> Numbers:
    """Give what `same_as_exact` gives, block by block.

    A projection onto orthonormal axes never makes a distance longer, and |x - y|² = 2 - 2 cos: so
    64 numbers for each vector rule out nearly all pairs, and the others are compared in full. In
    memory stay those numbers, one block, and `PAIRS_AT_ONCE` vectors that are read again.

    Parameters
    ----------
    blocks : vectors (b, d) with the numbers of their files (b,).
    sample : (s, d) vectors to choose the axes by, the first block where there are none; they
        change how long it takes and not what is found.
    """
    axes = None if sample is None else _axes(sample)
    kept, found = _Kept(cosine, read, axes), [np.empty(0, np.int64)]
    found += [kept.take(vectors, files) for vectors, files in blocks]
    return np.concatenate(found)


@dataclass
class _Kept:
    """The vectors that were kept so far: their codes, files and places."""

    cosine: float
    read: Read
    axes: Floats | None = None
    codes: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))
    files: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    places: Numbers = field(default_factory=lambda: np.empty(0, np.int64))
    n_seen: int = 0

    def take(self, vectors: Floats, files: Numbers) -> Numbers:
        """Compare a block with what is kept and with itself; keep what is new."""
        if self.axes is None:
            self.axes = _axes(vectors)
        codes = vectors @ self.axes
        if not self.n_seen:
            self.codes = codes[:0]
        same = np.full(len(vectors), NOTHING)
        for start in range(0, len(self.codes), KEPT_AT_ONCE):
            self._compare(vectors, codes, files, same, slice(start, start + KEPT_AT_ONCE))
        self._compare_within(vectors, codes, files, same)
        new = np.flatnonzero(same == NOTHING)
        self.codes = np.concatenate([self.codes, codes[new]])
        self.files = np.concatenate([self.files, files[new]])
        self.places = np.concatenate([self.places, self.n_seen + new])
        self.n_seen += len(vectors)
        return same

    def _compare(
        self, vectors: Floats, codes: Floats, files: Numbers, same: Numbers, part: slice
    ) -> None:
        """Find the first of some kept vectors that each repeats; writes into `same`."""
        near = self._near(codes, self.codes[part]) & (files[:, None] != self.files[part])
        near[same != NOTHING] = False
        mine, kept = np.nonzero(near)
        places = self.places[part][kept]
        for at in range(0, len(mine), PAIRS_AT_ONCE):
            few = slice(at, at + PAIRS_AT_ONCE)
            is_same = _cosines(vectors[mine[few]], self.read(places[few])) >= self.cosine
            first, index = np.unique(mine[few][is_same], return_index=True)
            is_new = same[first] == NOTHING
            same[first[is_new]] = places[few][is_same][index[is_new]]

    def _compare_within(
        self, vectors: Floats, codes: Floats, files: Numbers, same: Numbers
    ) -> None:
        """Find those of the block itself, in order; writes into `same`."""
        near = np.tril(self._near(codes, codes) & (files[:, None] != files), -1)
        for n in np.flatnonzero(near.any(axis=1) & (same == NOTHING)):
            for other in np.flatnonzero(near[n] & (same == NOTHING)):
                pair = vectors[n : n + 1], vectors[other : other + 1]
                if _cosines(*pair)[0] >= self.cosine:
                    same[n] = self.n_seen + other
                    break

    def _near(self, codes: Floats, others: Floats) -> NDArray[np.bool_]:
        lengths = np.square(codes).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
        near: NDArray[np.bool_] = lengths - 2 * (codes @ others.T) <= 2 - 2 * self.cosine + SLACK
        return near


def _axes(vectors: Floats) -> Floats:
    """(d, up to 64) orthonormal axes along which a block (n, d) varies most."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    variances, across = np.linalg.eigh(centred @ centred.T)
    wide = np.flatnonzero(variances > 1e-6 * max(variances[-1], 1e-12))[::-1][:AXES]
    axes: Floats = (centred.T @ (across[:, wide] / np.sqrt(variances[wide]))).astype(np.float32)
    return axes


def _cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    return cosines
