"""Which items a search may return: few to be left out, or some to choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Ids

faiss: Any = _faiss
Marks = NDArray[np.bool_]
NOBODY: Ids = np.empty(0, np.int64)


@dataclass(frozen=True)
class ChosenHere:
    """What a filter leaves of one index.

    Attributes
    ----------
    n : how many.
    ids : (n,) of them.
    selector : tells FAISS, by place for flat indexes, by id for inverted lists.
    per_list : (n_lists,) how many each inverted list holds; empty for a flat index.
    """

    n: int
    ids: Ids
    selector: Any
    per_list: NDArray[np.int64]


class Chosen:
    """Ids to choose from (m,), made ready once and used for many searches of many indexes.

    Examples
    --------
    >>> dogs = Chosen(reader.allowed("label = 'dog'"))
    >>> for index in parts:
    ...     index.nearest(vector, 10, allowed=dogs)
    """

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._here: WeakKeyDictionary[object, ChosenHere] = WeakKeyDictionary()

    @cached_property
    def marks(self) -> Marks:
        """A mark per id, with False behind the last for whatever is beyond."""
        marks = np.zeros(int(self.ids.max(initial=-1)) + 2, dtype=np.bool_)
        marks[self.ids] = True
        return marks

    def marked(self, ids: Ids) -> Marks:
        """Return for ids (n,) which of them are chosen."""
        return np.take(self.marks, ids, mode="clip")

    def here(self, owner: object, work_out: Callable[[Chosen], ChosenHere]) -> ChosenHere:
        """Return what is left of an index, worked out at its first search."""
        if owner not in self._here:
            self._here[owner] = work_out(self)
        return self._here[owner]


def bitmap(marks: Marks) -> Any:
    """Return a bit per place or id: the test that FAISS makes for every vector must be cheap."""
    return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))


def without(ids: Ids, excluded: Ids) -> Marks:
    """Return for ids (n,) which of them are not in `excluded` (m,), ascending."""
    if not len(excluded):
        return np.ones(len(ids), dtype=np.bool_)
    places = np.searchsorted(excluded, ids)
    return np.asarray(np.take(excluded, places, mode="clip") != ids)
