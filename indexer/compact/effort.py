"""How many items of a side go from stage to stage of a conditional search.

Chosen and measured when a generation is made (`indexer.compact.recall`), and stored with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Side = Literal["frames", "sounds"]
LEAST_CANDIDATES = 2048
"""Whatever was measured, since what a filter lets through may be more alike than the rest."""
DENSER, SHARPER = 0.5, 0.15
"""How `rescored` grows and `fraction` falls with the items that there are beyond the measured ones,
as powers: the best stand closer together, and farther above the rest (DECISIONS.md)."""
MEASURED_K = 10
"""Answers that the recall was measured for. How much more is looked at for more of them is a rule
of thumb, and not measured."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How a side of a generation is searched.

    Attributes
    ----------
    fraction : of all items, those that go past the first stage.
    rescored : items that are scored exactly for ten answers of `n_items`; None means all.
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

    def n_exact(self, n: int, k: int) -> int:
        """Return how many of n items are scored exactly for k answers."""
        assert self.rescored is not None, "asked only where not all are"
        denser = math.pow(self._larger(n), DENSER)
        return math.ceil(self.rescored * denser) + 2 * max(0, k - MEASURED_K)

    def n_candidates(self, n: int, k: int) -> int:
        """Return how many of n items go past the first stage."""
        wider = math.sqrt(max(1.0, k / MEASURED_K)) / math.pow(self._larger(n), SHARPER)
        return max(math.ceil(self.fraction * n * wider), LEAST_CANDIDATES, 2 * self.n_exact(n, k))

    def _larger(self, n: int) -> float:
        """Return how many times n items are those that were measured."""
        return max(1.0, n / self.n_items) if self.n_items else 1.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Effort:
        return cls(**values)
