"""Rows of labels to the best ten of each item: score descending, then vocabulary id ascending."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.pseudo_labels import N_LABELS, NO_LABEL, TopLabels

Numbers = NDArray[np.int64]


class LabelRows:
    """Rows of one modality under construction, 40 bytes each however many there are.

    Labels are numbered as they first come; `vocabulary` and `ranked` bring them in order.
    """

    def __init__(self) -> None:
        self._items, self._labels, self._rows = array("q"), array("q"), array("q")
        self._ranks, self._scores = array("q"), array("d")

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: int, label: int, score: float, *, rank: int = 0, row: int = 0) -> None:
        """Add what row `row` of a file says; `rank` decides the order where a file gives ranks."""
        self._items.append(item)
        self._labels.append(label)
        self._scores.append(score)
        self._ranks.append(rank)
        self._rows.append(row)

    @property
    def items(self) -> Numbers:
        return np.frombuffer(self._items, np.int64)

    @property
    def labels(self) -> Numbers:
        return np.frombuffer(self._labels, np.int64)

    @property
    def ranks(self) -> Numbers:
        return np.frombuffer(self._ranks, np.int64)

    @property
    def rows(self) -> Numbers:
        return np.frombuffer(self._rows, np.int64)

    @property
    def scores(self) -> NDArray[np.float64]:
        return np.frombuffer(self._scores, np.float64)

    def ranked(self, renumbered: Numbers) -> tuple[TopLabels | None, int]:
        """Return the best ten of each item, and how many rows lay beyond the tenth.

        Parameters
        ----------
        renumbered : (V,) the vocabulary id of each label in the order in which they came.
        """
        if not len(self):
            return None, 0
        labels = renumbered[self.labels]
        order = np.lexsort((labels, -self.scores, self.ranks, self.items))
        items = self.items[order]
        ids, firsts, places = np.unique(items, return_index=True, return_inverse=True)
        ranks = np.arange(len(items)) - firsts[places]
        kept = ranks < N_LABELS
        top = TopLabels(
            ids=ids,
            labels=np.full((len(ids), N_LABELS), NO_LABEL, np.int32),
            scores=np.zeros((len(ids), N_LABELS), np.float32),
        )
        top.labels[places[kept], ranks[kept]] = labels[order][kept]
        top.scores[places[kept], ranks[kept]] = self.scores[order][kept]
        return top, int((~kept).sum())


def sorted_vocabulary(found: Sequence[str]) -> tuple[tuple[str, ...], Numbers]:
    """Return distinct names in order, and the place there of each as they came."""
    names = sorted(found)
    places = {name: n for n, name in enumerate(names)}
    return tuple(names), np.array([places[name] for name in found], np.int64)
