"""Disjoint test sets, and what a figure does from one to the next (S19 Table 4)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.localization.errors import LocalizationError
from encoder.localization.evaluate import MapFigures
from encoder.localization.metrics import Values

N_SPLITS = 3


@dataclass(frozen=True, kw_only=True)
class SplitFigures:
    """One set of maps, measured on disjoint sets of samples.

    Attributes
    ----------
    splits : figures of each set.
    success_spread, auc_spread : standard deviation of the two between the sets (n − 1); 0 for one.
    """

    splits: tuple[MapFigures, ...]
    success_spread: float
    auc_spread: float


def disjoint_splits(
    names: Sequence[str],
    groups: Sequence[Hashable] | None = None,
    *,
    n_splits: int = N_SPLITS,
    n_samples: int | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.int64], ...]:
    """Deal samples to sets that have nothing in common.

    Parameters
    ----------
    names : (n,) distinct; the deal depends on the names and the seed, not on their order.
    groups : (n,) samples of one group (a recording, a frame) stay together; None is each alone.
    n_samples : in each set at most; the rest is in none (S19 takes 250 of 2 786). None deals all.

    Returns
    -------
    n_splits arrays of positions, ascending. Without groups their sizes differ by one at most; with
    groups, each goes where it fits and least is yet.

    Raises
    ------
    LocalizationError : names that are not distinct, or fewer groups than sets.
    """
    if len(set(names)) != len(names):
        raise LocalizationError("splits: two samples of one name; give distinct names")
    members: dict[Hashable, list[int]] = {}
    for at in sorted(range(len(names)), key=names.__getitem__):
        members.setdefault(at if groups is None else groups[at], []).append(at)
    if len(members) < n_splits or n_splits < 1:
        raise LocalizationError(f"splits: {len(members)} groups do not fill {n_splits} sets")
    most = len(names) if n_samples is None else n_samples
    dealt: list[list[int]] = [[] for _ in range(n_splits)]
    in_order = list(members.values())
    for group in np.random.default_rng(seed).permutation(len(in_order)):
        smallest = min(dealt, key=len)
        if len(smallest) + len(in_order[group]) <= most:
            smallest += in_order[group]
    return tuple(np.array(sorted(split), dtype=np.int64) for split in dealt)


def linked(origins: Sequence[Sequence[Hashable]]) -> list[int]:
    """Number the groups of samples that share an origin, directly or through others.

    Parameters
    ----------
    origins : of each sample: its frame, its sound, its recording.

    Returns
    -------
    (n,) the position of each sample's first relative.

    Examples
    --------
    >>> linked([["frame 1", "dog"], ["frame 2", "cat"], ["frame 1", "cat"]])
    [0, 0, 0]
    """
    parent = list(range(len(origins)))

    def first(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    seen: dict[Hashable, int] = {}
    for at, of_sample in enumerate(origins):
        for origin in of_sample:
            a, b = first(seen.setdefault(origin, at)), first(at)
            parent[max(a, b)] = min(a, b)
    return [first(at) for at in range(len(origins))]


def split_figures(
    values: Values, splits: Sequence[NDArray[np.int64]], *, seed: int = 0
) -> SplitFigures:
    """Sum up cIoU (n,) set by set."""
    figures = tuple(MapFigures.of(values[split], seed=seed) for split in splits)
    return SplitFigures(
        splits=figures,
        success_spread=_spread([of_split.success.mean for of_split in figures]),
        auc_spread=_spread([of_split.auc.mean for of_split in figures]),
    )


def _spread(means: list[float]) -> float:
    return float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
