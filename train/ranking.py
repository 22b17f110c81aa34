"""Rankings of a bank's rows by the protocols of definitions §3, judged by label.

Exclusion, rounding and ties are those of `retrieval evaluate`: the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from encoder.intervals import mean_figure
from indexer.metrics import Mask, Ranked, Values, expected_average_precision
from indexer.neighbours import tidy
from indexer.rules import Numbers, own_answers
from train.items import Items
from train.looking import Floats, Looked

BLOCK = 1_000_000
"""Scores that are judged at once: about 50 MB with everything that is made of them."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Queries (Q,) against all n items.

    Attributes
    ----------
    scores : from some rows of the queries to their scores (b, n).
    holds : what answers are made of, see `indexer.rules.own_answers`; (n,) of query and answer.
    """

    items: Items
    queries: Numbers
    scores: Callable[[Numbers], Floats]
    holds: tuple[tuple[Numbers, Numbers], ...]

    def blocks(self) -> Iterator[tuple[Numbers, Floats, Mask]]:
        """Yield rows of the queries with their scores and what is not in their gallery."""
        gallery = np.arange(len(self.items))
        size = max(1, BLOCK // len(gallery))
        for start in range(0, len(self.queries), size):
            rows = np.arange(start, min(start + size, len(self.queries)))
            asked = self.queries[rows]
            holds = [(of_query[asked], of_answer) for of_query, of_answer in self.holds]
            itself, duplicates = own_answers(asked, gallery, holds)
            yield rows, tidy(self.scores(rows)), itself | duplicates

    def ranked(self) -> Iterator[Ranked]:
        """Judge the answers by label, block by block."""
        labels = self.items.labels
        for rows, scores, excluded in self.blocks():
            yield Ranked.of(scores, labels[self.queries[rows], None] == labels, excluded)

    def average_precision(self) -> Values:
        """(Q,) NaN where the gallery holds no right answer."""
        return np.concatenate([ranked.average_precision for ranked in self.ranked()])

    def precision_at(self, k: int) -> Values:
        """(Q,) share of the k best that are right; NaN as above."""
        return np.concatenate(
            [np.where(r.n_right > 0, r.precision_at(k), np.nan) for r in self.ranked()]
        )

    def chance(self) -> float:
        """Expected class mAP under a random order."""
        expected = [expected_average_precision(r.n_right, r.n_gallery) for r in self.ranked()]
        return mean_figure(np.concatenate(expected)).mean


def leak_free(items: Items, looked: Looked) -> tuple[Ranking, Ranking]:
    """audio→image and image→audio: the query conditions, or every candidate does."""
    frames, sounds = (items.frames, items.frames), (items.sounds, items.sounds)
    by_sound, by_frame = looked.sound_queries, looked.frame_queries
    sound_row = np.unique(items.sounds[by_sound], return_inverse=True)[1]
    frame_row = np.unique(items.frames[by_frame], return_inverse=True)[1]
    return (
        _ranking(items, looked.frames_for_sound, sound_row, items.frames, frames, by_sound),
        _ranking(items, looked.sounds_for_frame, frame_row, items.sounds, sounds, by_frame),
    )


def own_sound(
    items: Items, f_s: Floats, f_v: Floats, *, heard: Numbers | None = None
) -> tuple[Ranking, Ranking]:
    """audio→image and image→audio by f_v (n, 1000) with its own sound (S19 §5.3).

    Parameters
    ----------
    heard : (n,) the sounds that f_v was made with instead: answers with the query's are duplicates.
    """
    frames, sounds = (items.frames, items.frames), (items.sounds, items.sounds)
    to_frames, to_sounds = [frames, sounds], [sounds]
    if heard is not None:
        to_frames, to_sounds = [*to_frames, (items.sounds, heard)], [sounds, (heard, items.sounds)]
    everybody = np.arange(len(items))
    return (
        Ranking(
            items=items,
            queries=everybody,
            scores=lambda rows: f_s[items.sounds[rows]] @ f_v.T,
            holds=tuple(to_frames),
        ),
        Ranking(
            items=items,
            queries=everybody,
            scores=lambda rows: (f_v[rows] @ f_s.T)[:, items.sounds],
            holds=tuple(to_sounds),
        ),
    )


def coarse(items: Items, looked: Looked) -> tuple[Ranking, Ranking]:
    """audio→image and image→audio by f_v under uniform attention."""
    everybody = np.arange(len(items))
    return (
        Ranking(
            items=items,
            queries=everybody,
            scores=lambda rows: (looked.f_s[items.sounds[rows]] @ looked.coarse.T)[:, items.frames],
            holds=((items.frames, items.frames),),
        ),
        Ranking(
            items=items,
            queries=everybody,
            scores=lambda rows: (looked.coarse[items.frames[rows]] @ looked.f_s.T)[:, items.sounds],
            holds=((items.sounds, items.sounds),),
        ),
    )


def _ranking(
    items: Items,
    matrix: Floats,
    of_query: Numbers,
    of_answer: Numbers,
    holds: tuple[Numbers, Numbers],
    queries: Numbers,
) -> Ranking:
    """Rank by known scores: row and column of a matrix for each query and answer."""
    return Ranking(
        items=items,
        queries=queries,
        scores=lambda rows: matrix[np.ix_(of_query[rows], of_answer)],
        holds=(holds,),
    )
