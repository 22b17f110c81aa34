"""Search in inverted lists: FAISS proposes by compressed vectors, exact ones decide.

How many lists are looked into and how many proposals are scored exactly was measured when the file
was written. A few allowed items are scored one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from indexer.blocks import Floats, Ids
from indexer.neighbours import Neighbours, best, best_of, cosines
from indexer.vectors.devices import Device
from indexer.vectors.filters import Chosen, ChosenHere, without
from indexer.vectors.proposals import Proposer

VectorsOf = Callable[[Ids], Floats]
"""Ids (n,) → their exact unit vectors, float32 (n, width), in that order."""
FEW = 2000
"""Allowed items that are scored one by one, in some 5 ms."""
FAR = 1000
"""Proposals to score exactly where all are far from the query, and thus much alike."""
AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How to search for up to k.

    Attributes
    ----------
    nprobe : lists to look into.
    rescored : proposals to score exactly.
    recall, p50_ms : of the k exact nearest among the proposals; of proposing them, on one query.
    """

    k: int
    nprobe: int
    rescored: int
    recall: float
    p50_ms: float

    def for_more(self, k: int) -> Setting:
        """Widen for more than was measured."""
        times = k / self.k
        return Setting(
            k=k,
            nprobe=int(np.ceil(self.nprobe * times)),
            rescored=int(np.ceil(self.rescored * times)),
            recall=self.recall,
            p50_ms=self.p50_ms,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class InvertedSearch:
    """Proposals of inverted lists, decided by exact vectors."""

    def __init__(self, lists: Proposer, facts: dict[str, Any], vectors_of: VectorsOf) -> None:
        self._lists, self._vectors_of = lists, vectors_of
        self.kind: str = facts["kind"]
        self.n, self.width = lists.n, lists.width
        self._settings = [Setting(**one) for one in facts["settings"]]

    def nearest(
        self, vector: Floats, k: int, chosen: Chosen | None, excluded: Ids, device: Device
    ) -> Neighbours:
        """Search on the CPU, whatever the device: the lists are where the file is."""
        here = None if chosen is None else chosen.here(self._lists, self._lists.chosen_here)
        if here is not None and here.n <= FEW:
            ids = here.ids[without(here.ids, excluded)]
            starts = range(0, len(ids), AT_ONCE)
            return best_of((self._scored(ids[i : i + AT_ONCE], vector) for i in starts), k)
        return best(*self._scored(self._proposed(vector, k, here, excluded), vector), k)

    def _scored(self, ids: Ids, vector: Floats) -> tuple[Ids, Floats]:
        return ids, cosines(self._vectors_of(ids), vector)

    def _setting(self, k: int) -> Setting:
        enough = [one for one in self._settings if one.k >= k]
        return enough[0] if enough else self._settings[-1].for_more(k)

    def _proposed(self, vector: Floats, k: int, here: ChosenHere | None, excluded: Ids) -> Ids:
        """Propose for k. Those that are left are among the k + d best, where d are left out."""
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        n_asked = k
        while True:
            setting = self._setting(n_asked)
            nprobe, n = min(setting.nprobe, self._lists.n_lists), max(setting.rescored, n_asked)
            if here is None:
                found = _there(self._lists.propose(query, n, nprobe)[0])
            else:
                lists, is_far = self._lists.lists_for(query, nprobe, here)
                n = max(n, FAR) if is_far else n
                found = _there(self._lists.propose_among(query, n, lists, here)[0])
            shown = found[without(found, excluded)]
            n_dropped = len(found) - len(shown)
            is_all = nprobe == self._lists.n_lists and len(found) < n
            if is_all or (len(shown) >= k and n_asked >= k + n_dropped):
                return shown
            n_asked = max(2 * n_asked, k + n_dropped)


def _there(ids: Ids) -> Ids:
    """Leave out the −1 that FAISS gives where there are fewer."""
    return ids[ids >= 0]
