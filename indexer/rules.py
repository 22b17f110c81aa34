"""The rules of retrieval figures (definitions §3), which training and evaluation share.

Pure functions of arrays. Items are positions 0 … n − 1; what they hold are numbers of distinct
frames, distinct sounds and labels, `NONE` where an item has none. Needs numpy alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.metrics import Mask, Values

NONE = -1
Numbers = NDArray[np.int64]
Holds = Sequence[tuple[Numbers, Numbers]]
"""What answers are made of, (Q,) for each query's item and (N,) for each answer."""
MOST_SCORES = 25_000_000
"""Scores of queries with distinct answers that one ranking holds: 100 MB."""


def numbered(contents: Iterable[Hashable]) -> tuple[Numbers, Numbers]:
    """Number distinct contents in order of first appearance; None has the number `NONE`.

    Returns
    -------
    (n,) the number of each, and for each number where it first appears.

    Examples
    --------
    >>> [part.tolist() for part in numbered(["bark", None, "meow", "bark"])]
    [[0, -1, 1, 0], [0, 2]]
    """
    numbers: dict[Hashable, int] = {}
    first: list[int] = []
    of_item = []
    for position, content in enumerate(contents):
        if content is None:
            of_item.append(NONE)
            continue
        if content not in numbers:
            numbers[content] = len(first)
            first.append(position)
        of_item.append(numbers[content])
    return np.array(of_item, np.int64), np.array(first, np.int64)


def own_answers(queries: Numbers, gallery: Numbers, holds: Holds) -> tuple[Mask, Mask]:
    """Say which answers are the query's own item, and which its exact duplicates; (Q, N) both.

    Neither is in a query's gallery. A duplicate is another item that holds the frame or the sound
    of the query's item in what the answer is made of.

    Parameters
    ----------
    queries, gallery : (Q,) and (N,) positions.

    Examples
    --------
    >>> sounds = np.array([0, 1, 0])
    >>> itself, duplicates = own_answers(np.array([0]), np.arange(3), [(sounds[:1], sounds)])
    >>> itself.tolist(), duplicates.tolist()
    ([[True, False, False]], [[False, False, True]])
    """
    itself = queries[:, None] == gallery
    same = np.zeros(itself.shape, np.bool_)
    for of_queries, of_answers in holds:
        same |= of_queries[:, None] == of_answers
    return itself, same & ~itself


@dataclass(frozen=True, kw_only=True)
class Swap:
    """With whose sound each frame is looked at in the swap test.

    Attributes
    ----------
    sounds : (P,) distinct sound that each pair's frame is looked at with instead of its own.
    n_other_label : pairs whose sound is one of another label.
    n_other_item : pairs without a label, or with the only label there is: any other sound.
    """

    sounds: Numbers
    n_other_label: int
    n_other_item: int


def swapped(labels: Numbers, sounds: Numbers, seed: int) -> Swap | None:
    """Draw another sound for each of P pairs, of another label where that can be.

    Parameters
    ----------
    labels, sounds : (P,) of the pairs, in an order that does not depend on how they are stored.

    Returns
    -------
    None where all pairs have one and the same sound.
    """
    if len(np.unique(sounds)) < 2:
        return None
    rng = np.random.default_rng(seed)
    partner = np.full(len(sounds), NONE)
    for label in np.unique(labels[labels != NONE]):
        others = sounds[(labels != label) & (labels != NONE)]
        for row in np.flatnonzero(labels == label):
            partner[row] = _drawn(rng, others, int(sounds[row]))
    n_other_label = int((partner != NONE).sum())
    for row in np.flatnonzero(partner == NONE):
        partner[row] = _drawn(rng, sounds, int(sounds[row]))
    return Swap(
        sounds=partner, n_other_label=n_other_label, n_other_item=len(sounds) - n_other_label
    )


def _drawn(rng: np.random.Generator, sounds: Numbers, own: int) -> int:
    """Draw one of the sounds that is not `own`; NONE where there is no other."""
    if not len(sounds):
        return NONE
    sound = int(sounds[rng.integers(len(sounds))])
    if sound != own:
        return sound
    # One sound may stand in many items, under two labels even.
    strange = sounds[sounds != own]
    return int(strange[rng.integers(len(strange))]) if len(strange) else NONE


def sampled(
    queries: Numbers,
    contents: Numbers,
    n_answers: int,
    judged: Mask,
    max_pairs: int,
    rng: np.random.Generator,
) -> Numbers:
    """Return the queries of a conditional ranking: all, or a sample where they are too many.

    Each distinct query is looked at with every distinct answer.

    Parameters
    ----------
    queries : (Q,) positions.
    contents : (n,) distinct content of every item's asking side.
    judged : (n,) items whose answers somebody can judge; samples are drawn from them.
    max_pairs : of a distinct query and a distinct answer.

    Returns
    -------
    Positions, ascending.
    """
    n_distinct, n_most = max(max_pairs // n_answers, 1), max(MOST_SCORES // n_answers, 1)
    if len(np.unique(contents[queries])) <= n_distinct and len(queries) <= n_most:
        return queries
    candidates = queries[judged[queries]] if judged[queries].any() else queries
    drawn = rng.permutation(candidates)
    is_new = np.zeros(len(drawn), np.bool_)
    is_new[np.unique(contents[drawn], return_index=True)[1]] = True
    return np.sort(drawn[np.cumsum(is_new) <= n_distinct][:n_most])


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far other sounds move f_v of one frame: the mean of 1 − cos over each kind of sound.

    NaN where there is no such sound. `any_other` is over all sounds but the frame's own.
    """

    other_label: float
    same_label: float
    any_other: float


def moved(
    cosines: NDArray[np.floating], query: int, gallery: Numbers, labels: Numbers, sounds: Numbers
) -> Moved:
    """Compare f_v of one frame under its own sound and under others (definitions §3).

    Parameters
    ----------
    cosines : (G,) cos(f_v(X_v, X_s), f_v(X_v, Y_s)) with the sound of each item of the gallery.
    query, gallery : position of the frame's item, positions (G,) of the items heard.
    labels, sounds : (n,) of all items.
    """
    by = 1 - cosines.astype(np.float64)
    strange = sounds[gallery] != sounds[query]
    labelled = strange & (labels[gallery] != NONE) & (labels[query] != NONE)
    same = labels[gallery] == labels[query]
    return Moved(
        other_label=_mean(by, labelled & ~same),
        same_label=_mean(by, labelled & same),
        any_other=_mean(by, strange),
    )


def _mean(values: Values, chosen: Mask) -> float:
    return float(values[chosen].mean()) if chosen.any() else float("nan")


def glue_ties(
    frames: Iterable[Hashable], sounds: Iterable[Hashable], heard: Iterable[frozenset[str]]
) -> list[frozenset[str]]:
    """Name for each item what it must not have in common with another on one glued frame.

    Either half would be right, where two share a label, the picture, the recording, or what other
    items say sounds in the picture.

    Parameters
    ----------
    frames, sounds : content of each item's picture and sound.
    heard : names of what is known to sound in each item.
    """
    items = list(zip(frames, sounds, heard, strict=True))
    of_frame: dict[Hashable, set[str]] = defaultdict(set)
    for frame, _, names in items:
        of_frame[frame] |= names
    return [
        frozenset(of_frame[frame]) | {f"picture {frame}", f"recording {sound}"}
        for frame, sound, _ in items
    ]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The R distinct sounds under each of their labels: what means of f_s by label are over.

    Attributes
    ----------
    sounds, labels : (R,); one sound that stands under two labels is there twice.
    of_item : (n,) row of each item, `NONE` for one without a sound.
    """

    sounds: Numbers
    labels: Numbers
    of_item: Numbers


def heard_as(sounds: Numbers, labels: Numbers) -> Heard:
    """List the distinct sounds (n,) of items under each of their labels (n,)."""
    with_sound = np.flatnonzero(sounds != NONE)
    places = np.stack([sounds[with_sound], labels[with_sound]])
    distinct, row = np.unique(places, axis=1, return_inverse=True)
    of_item = np.full(len(sounds), NONE)
    of_item[with_sound] = row.reshape(-1)
    return Heard(sounds=distinct[0], labels=distinct[1], of_item=of_item)
