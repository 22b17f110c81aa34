"""How many items of a side go from stage to stage of a conditional search.

Chosen and measured when a generation is made (`indexer.compact.recall`), and stored with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Side = Literal["frames", "sounds"]
LEAST_CANDIDATES = 256


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How a side of a generation is searched.

    Attributes
    ----------
    fraction : of all items, those that go from codes to compact maps.
    rescored : items that are scored exactly for ten answers; None means all.
    recall : by kind of query, the share of the exact ten best that is found.
    score_error : by kind, mean |difference| of the scores that the last choice goes by, among the
        hundred best.
    n_queries, n_items : what `recall` was measured on.
    """

    fraction: float = 1.0
    rescored: int | None = None
    recall: Mapping[str, float]
    score_error: Mapping[str, float]
    n_queries: int
    n_items: int

    @property
    def is_exact(self) -> bool:
        return self.rescored is None

    def n_exact(self, k: int) -> int:
        """Return how many items are scored exactly for k answers."""
        assert self.rescored is not None, "asked only where not all are"
        return max(self.rescored, 2 * k)

    def n_candidates(self, n: int, k: int) -> int:
        """Return how many of n items go from codes to compact maps."""
        return max(math.ceil(self.fraction * n), LEAST_CANDIDATES, 2 * self.n_exact(k))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Effort:
        return cls(**values)
