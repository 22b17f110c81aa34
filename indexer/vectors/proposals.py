"""Inverted lists of compressed vectors, seen where the file lies: FAISS proposes from the nearest.

A filter is answered as surely as no filter: lists are taken, nearest first, until they hold as many
of the allowed as an unfiltered search would see of all; where none of the allowed are near, as many
as a flat index would compare.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, Ids
from indexer.vectors.filters import Chosen, ChosenHere, bitmap
from indexer.vectors.mapped import Bytes, view_index
from indexer.vectors.plan import FLAT_UNTIL

faiss: Any = _faiss
MAGICS = (b"IwSq", b"IwPQ")
FILTERED = 2
"""How many times as many of the allowed are looked at as of all without a filter."""
RARE = 0.7
"""The share of what would be allowed by chance in the nearest lists that makes a filter unlike the
query."""


class Proposer:
    """Inverted lists over the mapped bytes of their file.

    Attributes
    ----------
    n, width, n_lists : of the vectors that it holds.
    """

    def __init__(self, content: Bytes, path: Path) -> None:
        self._content = content
        self._index = view_index(content, path)
        self.n, self.width = int(self._index.ntotal), int(self._index.d)
        self.n_lists = int(self._index.nlist)

    def propose(self, queries: Floats, n: int, nprobe: int) -> NDArray[np.int64]:
        """Return ids (q, n) by compressed vectors, −1 where there are fewer.

        Parameters
        ----------
        nprobe : lists to look into.
        """
        parameters = faiss.SearchParametersIVF(nprobe=nprobe)
        return np.asarray(self._index.search(queries, n, params=parameters)[1])

    def propose_among(
        self, query: Floats, n: int, lists: NDArray[np.int64], here: ChosenHere
    ) -> NDArray[np.int64]:
        """Return ids (1, n) of those that a filter leaves in some lists (m,)."""
        parameters = faiss.SearchParametersIVF(sel=here.selector, nprobe=len(lists))
        scores, ids = np.empty((1, n), np.float32), np.empty((1, n), np.int64)
        unused = np.zeros(len(lists), np.float32)
        pointers = [faiss.swig_ptr(one) for one in (lists, unused, scores, ids)]
        self._index.search_preassigned_c(1, faiss.swig_ptr(query), n, *pointers, False, parameters)
        return ids

    def lists_for(
        self, query: Floats, nprobe: int, here: ChosenHere
    ) -> tuple[NDArray[np.int64], bool]:
        """Return the nearest lists (m,) that hold enough of what a filter leaves.

        And whether that is unlike the query: its answers are then far away, in no list that was
        measured.
        """
        order = self._index.quantizer.search(query, self.n_lists)[1][0]
        held = here.per_list[order]
        expected = self._sizes[order[:nprobe]].sum() * here.n / self.n
        is_far = bool(held[:nprobe].sum() < RARE * expected)
        wanted = FILTERED * nprobe * self.n / self.n_lists
        n_held = np.cumsum(held[held > 0])
        enough = np.searchsorted(n_held, max(wanted, FLAT_UNTIL) if is_far else wanted)
        return np.ascontiguousarray(order[held > 0][: enough + 1]), is_far

    def chosen_here(self, chosen: Chosen) -> ChosenHere:
        """Work out what a filter leaves here."""
        ids, lists = self._ids_in_lists
        marks = chosen.marked(ids)
        per_list = np.bincount(lists[marks], minlength=self.n_lists)
        return ChosenHere(int(marks.sum()), ids[marks], bitmap(chosen.marks), per_list)

    @cached_property
    def _ids_in_lists(self) -> tuple[Ids, NDArray[np.int32]]:
        """Ids (n,) and the list of each: gathered when the first filter asks, 12 bytes a vector."""
        lists, sizes = self._index.invlists, self._sizes
        ids = [
            faiss.rev_swig_ptr(lists.get_ids(int(n)), int(sizes[n])) for n in np.flatnonzero(sizes)
        ]
        return np.concatenate(ids), np.repeat(np.arange(self.n_lists, dtype=np.int32), sizes)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        sizes = [self._index.invlists.list_size(number) for number in range(self.n_lists)]
        return np.array(sizes, dtype=np.int64)
