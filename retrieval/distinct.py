"""The same picture or sound is shown once, however many items use it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from indexer.lookup import ItemRow
from indexer.neighbours import Neighbours
from retrieval.question import Side

SPARE = 16
"""Candidates asked for beyond what is wanted, so that a few duplicates cost no second pass."""


@dataclass(frozen=True)
class Candidate:
    """An item with its score, cosine in [-1, 1]."""

    row: ItemRow
    score: float


def distinct(
    rank: Callable[[int], Neighbours],
    rows: Callable[[Sequence[int]], list[ItemRow]],
    *,
    to: Side,
    wanted: int,
) -> list[Candidate]:
    """Return the `wanted` best items that differ in what is shown, in the order of the ranking.

    Of items that share it the first stands, which for equal scores is the lowest id. More
    candidates are asked for until there are enough or no more.

    Parameters
    ----------
    rank : gives the n best neighbours; called again with a larger n where duplicates crowd.
    rows : gives the catalogue rows of ids, in their order.
    """
    n = wanted + SPARE
    while True:
        found = rank(n)
        kept: dict[Hashable, Candidate] = {}
        for row, score in zip(rows(found.ids.tolist()), found.scores.tolist(), strict=True):
            kept.setdefault(shown_part(row, to), Candidate(row, score))
        if len(kept) >= wanted or len(found.ids) < n:
            return list(kept.values())[:wanted]
        n *= 4


def shown_part(row: ItemRow, to: Side) -> Hashable:
    """Return what tells one shown picture or sound from another: its file and its moment."""
    if to == "image":
        return row.image, row.frame_time_s
    return row.audio, row.t0, row.t1
