"""Labels that are known beforehand, from a column or a file: looked up, item by item."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from indexer.labels.provider import Answer, Excluded, SetFacts, Side
from indexer.pseudo_labels import NO_LABEL, Origin, PseudoLabels

SIDES_AT_ONCE = 1024
"""Sides per answer, and so per commit."""


class KnownLabels:
    """Labels in memory as a provider of labels."""

    by_content = False  # two items of one picture may have labels of their own

    def __init__(
        self, labels: PseudoLabels, *, origin: Origin, excluded: Sequence[Excluded] = ()
    ) -> None:
        self.labels, self.excluded = labels, tuple(excluded)
        self.facts = SetFacts(
            provider=labels.provider,
            version=labels.version,
            origin=origin,
            vocabulary=labels.vocabulary,
            names=labels.names,
        )

    def answers(self, sides: Sequence[Side]) -> Generator[Sequence[Answer]]:
        """Yield what is known of each side."""
        for start in range(0, len(sides), SIDES_AT_ONCE):
            yield [self._answer(side) for side in sides[start : start + SIDES_AT_ONCE]]

    def _answer(self, side: Side) -> Answer:
        top, (item,) = self.labels.of(side.modality), side.items
        if top is None:
            return Answer(side=side)
        row = int(np.searchsorted(top.ids, item))
        if row == len(top.ids) or top.ids[row] != item:
            return Answer(side=side)
        n = int((top.labels[row] != NO_LABEL).sum())
        return Answer(side=side, labels=top.labels[row, :n], scores=top.scores[row, :n])
