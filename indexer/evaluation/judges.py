"""Who says that an answer is right: the label of the item, or pseudo labels in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.database import NONE, Database, Positions
from indexer.evaluation.errors import LabelsInvalid
from indexer.metrics import Mask
from indexer.pseudo_labels import N_LABELS, NO_LABEL, Modality, PseudoLabels, TopLabels

QUERIES = 1024
"""Queries that pseudo labels judge at once: 128 bytes of each answer."""
Verdict = Callable[[Positions], Mask]
"""From the positions of queries (Q,) to which answers of a gallery are right, (Q, N)."""


class Judge(Protocol):
    """Tells right answers from wrong ones.

    Attributes
    ----------
    asks, answers : (n,) items of the database that it can judge as a query, as an answer.
    needs_right : a query without a right answer in its gallery is undefined, not a failure.
    """

    asks: Mask
    answers: Mask
    needs_right: bool

    @abstractmethod
    def facing(self, gallery: Positions) -> Verdict:
        """Return the verdict on a gallery of these positions (N,)."""


class ClassJudge:
    """Right is who bears the query's label."""

    needs_right = True

    def __init__(self, database: Database) -> None:
        self._labels = database.labels
        self.asks = self.answers = database.labels != NONE

    def facing(self, gallery: Positions) -> Verdict:
        """Return the verdict on a gallery of these positions (N,)."""
        labels = self._labels[gallery]
        return lambda queries: self._labels[queries][:, None] == labels


class PseudoJudge:
    """Right is who shares a pseudo label with the query (S19 §5.3).

    Parameters
    ----------
    of_queries, of_answers : the labels of every item, (n, 10) each, by the modality that asks and
        the one that answers; a row of −1 is an item without labels.
    n_names : size of the vocabulary.
    """

    needs_right = False

    def __init__(
        self, of_queries: NDArray[np.int32], of_answers: NDArray[np.int32], n_names: int
    ) -> None:
        self.of_queries, self.of_answers = of_queries, of_answers
        self.asks = (of_queries != NO_LABEL).any(axis=1)
        self.answers = (of_answers != NO_LABEL).any(axis=1)
        self._n_names = n_names

    def facing(self, gallery: Positions) -> Verdict:
        """Return the verdict on a gallery of these positions (N,)."""
        by_rank = np.ascontiguousarray(self.of_answers[gallery].T)

        def right(queries: Positions) -> Mask:
            shared = np.empty((len(queries), len(gallery)), np.bool_)
            for start in range(0, len(queries), QUERIES):
                rows = slice(start, start + QUERIES)
                shared[rows] = self._shared(queries[rows], by_rank)
            return shared

        return right

    def _shared(self, queries: Positions, by_rank: NDArray[np.int32]) -> Mask:
        """(b, N) whether queries (b,) have a label of the answers (10, N)."""
        asks = self._asks_for(queries)
        shared = asks[by_rank[0]]
        for labels in by_rank[1:]:
            shared |= asks[labels]
        return np.unpackbits(shared, axis=1, count=len(queries)).T.astype(np.bool_)

    def _asks_for(self, queries: Positions) -> NDArray[np.uint8]:
        """(V + 1, ⌈b/8⌉) which queries have each label, a bit each; the last is −1's: nobody."""
        has = np.zeros((self._n_names + 1, len(queries)), np.bool_)
        has[self.of_queries[queries], np.arange(len(queries))[:, None]] = True
        has[NO_LABEL] = False
        return np.packbits(has, axis=1)


class PseudoPanel:
    """The pseudo labels of both modalities, laid out as the database is.

    Parameters
    ----------
    kept : how many labels of an item count, from the best on.

    Attributes
    ----------
    exclusions : items left out by reason.

    Raises
    ------
    LabelsInvalid : the labels contradict themselves, or know none of the items.
    """

    def __init__(self, labels: PseudoLabels, database: Database, *, kept: int = N_LABELS) -> None:
        self._n_names, self._kept = len(labels.names), kept
        self._of: dict[Modality, NDArray[np.int32]] = {}
        self.exclusions: dict[str, int] = {}
        if labels.image is not None:
            self._lay_out(labels, "image", labels.image, database)
        if labels.audio is not None:
            self._lay_out(labels, "audio", labels.audio, database)

    def judge(self, asks: Modality, answers: Modality) -> PseudoJudge | None:
        """Return the judge of a direction; None where a modality has no labels."""
        if asks not in self._of or answers not in self._of:
            return None
        return PseudoJudge(self._of[asks], self._of[answers], self._n_names)

    def _lay_out(
        self, labels: PseudoLabels, modality: Modality, top: TopLabels, database: Database
    ) -> None:
        _check(labels, modality, top)
        place = np.minimum(np.searchsorted(top.ids, database.ids), max(len(top.ids) - 1, 0))
        known = (
            top.ids[place] == database.ids if len(top.ids) else np.zeros(len(database.ids), bool)
        )
        if not known.any():
            raise LabelsInvalid(
                _name(labels), f"none of the {len(top.ids)} {modality} labels is of an item here"
            )
        of_items = np.full((len(database.ids), N_LABELS), NO_LABEL, np.int32)
        of_items[known, : self._kept] = top.labels[place[known], : self._kept]
        side = database.frames if modality == "image" else database.sounds
        n_without = int(((of_items == NO_LABEL).all(axis=1) & (side != NONE)).sum())
        n_unknown = len(top.ids) - int(known.sum())
        for reason, n in (
            (f"no {modality} pseudo label", n_without),
            (f"{modality} pseudo labels of items outside the database", n_unknown),
        ):
            if n:
                self.exclusions[reason] = n
        self._of[modality] = of_items


def _check(labels: PseudoLabels, modality: Modality, top: TopLabels) -> None:
    """Raise LabelsInvalid for the first thing that does not fit."""
    shape = (len(top.ids), N_LABELS)
    if top.labels.shape != shape or top.scores.shape != shape:
        raise LabelsInvalid(
            _name(labels), f"{modality} labels {top.labels.shape}; {shape} were to be expected"
        )
    if (np.diff(top.ids) <= 0).any():
        raise LabelsInvalid(_name(labels), f"{modality} labels are not in ascending order of ids")
    outside = (top.labels < NO_LABEL) | (top.labels >= len(labels.names))
    if outside.any():
        row, rank = np.argwhere(outside)[0]
        raise LabelsInvalid(
            _name(labels),
            f"item {top.ids[row]} has {modality} label {top.labels[row, rank]}, but the vocabulary "
            f"{labels.vocabulary} ends at {len(labels.names) - 1}",
        )
    if not np.isfinite(top.scores).all():
        row = np.argwhere(~np.isfinite(top.scores))[0][0]
        raise LabelsInvalid(_name(labels), f"item {top.ids[row]} has a NaN {modality} score")


def _name(labels: PseudoLabels) -> str:
    return f"{labels.provider} {labels.version}"
