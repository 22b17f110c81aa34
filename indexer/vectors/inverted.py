"""Search in inverted lists: FAISS proposes by compressed vectors, exact ones decide.

How many lists are looked into and how many proposals are scored exactly was measured when the file
was written. A few allowed items are scored one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.blocks import Floats, Ids
from indexer.neighbours import Neighbours, best_of, cosines
from indexer.vectors.devices import Device
from indexer.vectors.filters import Chosen, ChosenHere, without
from indexer.vectors.mapped import corrupt
from indexer.vectors.proposals import Proposer

VectorsOf = Callable[[Ids], Floats]
"""Ids (n,) → their exact unit vectors, float32 (n, width), in that order; raises KeyError where one
is of no item."""
FEW = 2000
"""Allowed items that are scored one by one, in some 5 ms."""
FAR = 1000
"""Proposals to score exactly where all are far from the query, and thus much alike."""
AT_ONCE = 512
"""Exact vectors that are held while they are scored, 4 KB each."""


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

    def __init__(
        self, lists: Proposer, facts: dict[str, Any], vectors_of: VectorsOf, path: Path
    ) -> None:
        self._lists, self._vectors_of, self._path = lists, vectors_of, path
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
        else:
            ids = np.sort(self._proposed(vector, k, here, excluded))  # as they lie on the disk
        starts = range(0, len(ids), AT_ONCE)
        return best_of((self._scored(ids[i : i + AT_ONCE], vector) for i in starts), k)

    def _scored(self, ids: Ids, vector: Floats) -> tuple[Ids, Floats]:
        """Score some exactly; raises IndexCorrupt where the lists name what there is not."""
        try:
            vectors = self._vectors_of(ids)
        except KeyError as error:
            raise corrupt(self._path, f"its lists name {error.args[0]}") from error
        return ids, cosines(vectors, vector)

    def _setting(self, k: int) -> Setting:
        enough = [one for one in self._settings if one.k >= k]
        return enough[0] if enough else self._settings[-1].for_more(k)

    def _proposed(self, vector: Floats, k: int, here: ChosenHere | None, excluded: Ids) -> Ids:
        """Propose for k. Those that are left are among the k + d best, where d are left out."""
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        n_asked, n_there = k, self.n if here is None else here.n
        while True:
            setting = self._setting(n_asked)
            nprobe, n = min(setting.nprobe, self._lists.n_lists), max(setting.rescored, n_asked)
            if here is None:
                n = min(n, n_there)
                found = _there(self._lists.propose(query, n, nprobe)[0])
            else:
                lists, is_far = self._lists.lists_for(query, nprobe, here)
                n = min(max(n, FAR) if is_far else n, n_there)
                found = _there(self._lists.propose_among(query, n, lists, here)[0])
            shown = found[without(found, excluded)]
            n_dropped = len(found) - len(shown)
            is_all = len(found) == n_there or (nprobe == self._lists.n_lists and len(found) < n)
            if is_all or (len(shown) >= k and n_asked >= k + n_dropped):
                return shown
            n_asked = max(2 * n_asked, k + n_dropped)


def _there(ids: Ids) -> Ids:
    """Leave out the −1 that FAISS gives where there are fewer."""
    return ids[ids >= 0]
