"""Which kind of index fits a collection, the memory that may be used, and the recall asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["flat", "ivf-sq8", "ivf-sq4", "ivf-pq"]
COMPRESSED: tuple[Kind, ...] = ("ivf-sq8", "ivf-sq4", "ivf-pq")
"""From the most exact to the smallest."""
FLAT_UNTIL = 100_000
"""Vectors; comparing all of them takes some 15 ms, and training gains nothing worth having."""
LEAST = 64
"""Vectors; fewer are not worth a list."""
MOST_LISTS = 4096
REDUCED = 128
"""Components of the space in which lists are chosen: recall as with all 1000, 6 times faster."""
SUBVECTOR = 8
"""Components that product quantisation gives one byte."""


@dataclass(frozen=True, kw_only=True)
class VectorPlan:
    """What an index may cost and must give.

    Attributes
    ----------
    max_memory_bytes : of one file, which a search reads through the page cache; None is no limit.
    min_recall : of the 10 exact nearest, in (0, 1]; 1 is always flat.
    kind : forced, whatever the size; None chooses.
    """

    max_memory_bytes: int | None = None
    min_recall: float = 0.95
    kind: Kind | None = None

    def kind_for(self, n: int, width: int) -> Kind:
        """Choose for n vectors; where nothing fits, the smallest kind."""
        if n < LEAST or self.min_recall >= 1:
            return "flat"
        if self.kind is not None:
            return self.kind
        if n <= FLAT_UNTIL and self.fits(bytes_of("flat", n, width)):
            return "flat"
        fitting = [kind for kind in COMPRESSED if self.fits(bytes_of(kind, n, width))]
        return fitting[0] if fitting else COMPRESSED[-1]

    def fits(self, n_bytes: int) -> bool:
        """Say whether a file of that length may be used."""
        return self.max_memory_bytes is None or n_bytes <= self.max_memory_bytes


def bytes_of(kind: Kind, n: int, width: int) -> int:
    """Return about how long the file of n vectors is."""
    lists = 0 if kind == "flat" else 4 * REDUCED * (n_lists(n) + width)
    codebook = 4 * 256 * width if kind == "ivf-pq" else 0
    return n * (code_bytes(kind, width) + 8) + lists + codebook


def code_bytes(kind: Kind, width: int) -> int:
    """Return what one vector takes."""
    sizes = {
        "flat": 4 * width,
        "ivf-sq8": width,
        "ivf-sq4": (width + 1) // 2,
        "ivf-pq": n_subvectors(width),
    }
    return sizes[kind]


def n_lists(n: int) -> int:
    """Return into how many lists n vectors are sorted."""
    return max(1, min(int(4 * n**0.5), n // 16, MOST_LISTS))


def n_subvectors(width: int) -> int:
    """Return the largest divisor of the width that gives subvectors no shorter than SUBVECTOR."""
    return next(m for m in range(max(1, width // SUBVECTOR), 0, -1) if width % m == 0)
