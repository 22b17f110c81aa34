"""A look at all vectors before an index is trained: their ids, and a sample of fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Halves, Ids

Blocks = Callable[[], Iterable[tuple[Ids, Floats]]]
SAMPLE = 1 << 16
SEED = 20


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one pass over all vectors has found.

    Attributes
    ----------
    ids : (n,) of all, in their order.
    sample_ids, sample : (m,) and float16 (m, width) drawn without replacement, in random order.
    """

    ids: Ids
    sample_ids: Ids
    sample: Halves

    @classmethod
    def of(cls, blocks: Blocks, width: int, size: int = SAMPLE) -> Survey:
        """Look once; holds 8 bytes a vector, and a sample with a quarter to spare."""
        rng = np.random.default_rng(SEED)
        all_ids, drawn = [np.empty(0, np.int64)], _Drawn.nothing(width)
        for ids, vectors in blocks():
            all_ids.append(np.array(ids))
            drawn.add(rng.random(len(ids)), ids, vectors)
            if len(drawn) > size + size // 4:
                drawn.keep(size)
        drawn.keep(size)
        found = drawn.joined()
        return cls(ids=np.concatenate(all_ids), sample_ids=found.ids[0], sample=found.rows[0])

    def rows(self, n: int) -> Floats:
        """Return the first n of the sample in float32."""
        return self.sample[:n].astype(np.float32)


@dataclass
class _Drawn:
    """Rows with random keys: those with the smallest stay."""

    keys: list[NDArray[np.float64]]
    ids: list[Ids]
    rows: list[Halves]
    limit: float = 1.0

    @classmethod
    def nothing(cls, width: int) -> _Drawn:
        return cls([np.empty(0)], [np.empty(0, np.int64)], [np.empty((0, width), np.float16)])

    def __len__(self) -> int:
        return sum(map(len, self.keys))

    def add(self, keys: NDArray[np.float64], ids: Ids, rows: Floats) -> None:
        chosen = keys < self.limit
        self.keys.append(keys[chosen])
        self.ids.append(ids[chosen])
        self.rows.append(rows[chosen].astype(np.float16))

    def joined(self) -> _Drawn:
        self.keys = [np.concatenate(self.keys)]
        self.ids = [np.concatenate(self.ids)]
        self.rows = [np.concatenate(self.rows)]
        return self

    def keep(self, n: int) -> None:
        self.joined()
        order = np.argsort(self.keys[0])[:n]
        self.keys, self.ids = [self.keys[0][order]], [self.ids[0][order]]
        self.rows = [self.rows[0][order]]
        if len(order) == n:
            self.limit = float(self.keys[0][-1])
