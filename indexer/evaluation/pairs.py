"""Scores of the conditional rankings: where those of each frame with its sounds are gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from indexer.blocks import Floats
from indexer.evaluation.database import NONE, Database, Positions
from indexer.evaluation.vector_file import VectorFile
from indexer.evaluation.vectors import Sounds

AT_ONCE = 1024
"""Sounds per pass: 4 MB of f_v."""
N_KEPT = 2
"""Parts of the sounds that stay in memory, 10 MB each; a thousand sounds are one part."""


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """Scores of the conditional rankings, 100 MB at most each (`indexer.evaluation.sampling`).

    Attributes
    ----------
    sound_queries, frame_queries : (A,) and (B,) positions of the queries, a sample where all would
        be too many.
    frames_for_sound : (A', F) cos(f_s(X_s), f_v(Y_v, X_s)) of the A' distinct sounds asked.
    sounds_for_frame : (B', S) cos(f_v(X_v, Y_s), f_s(Y_s)) of the B' distinct frames asked.
    paired_sound_queries, paired_frame_queries : (A″,) and (B″,) those of them that have both sides.
    keep_audio : (A″, F) cos(f_v(X_v, X_s), f_v(Y_v, X_s)).
    keep_image : (B″, S) cos(f_v(X_v, X_s), f_v(X_v, Y_s)).
    n_conditionings : pairs of a frame and a sound that were looked at.
    """

    sound_queries: Positions
    frame_queries: Positions
    frames_for_sound: Floats
    sounds_for_frame: Floats
    paired_sound_queries: Positions
    paired_frame_queries: Positions
    keep_audio: Floats
    keep_image: Floats
    n_conditionings: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some n distinct sounds that a frame is looked at with, ascending.

    Attributes
    ----------
    asks, first : whether the frame asks, too, and is looked at with all sounds; where among those
        that it is looked at with the part begins.
    sounds : (n,) their numbers.
    f_s, h : (n, 1000) and (n, 512).
    askers : (m,) rows of `keep_audio` that ask with one of them, in the order of their sounds.
    asked : (m,) place of each one's sound among the n.
    """

    asks: bool
    first: int
    sounds: Positions
    f_s: Floats
    h: Floats
    askers: Positions
    asked: Positions


class PairWork:
    """Gathers `PairScores` frame by frame.

    Parameters
    ----------
    own : f_v of the pairs; None where there is no pair.
    """

    def __init__(
        self,
        database: Database,
        sounds: Sounds,
        own: VectorFile | None,
        sound_queries: Positions,
        frame_queries: Positions,
    ) -> None:
        self._database, self._sounds, self._own = database, sounds, own
        self._queries = sound_queries, frame_queries
        n_frames, n_sounds = len(database.frame_items), len(database.sound_items)
        self._all_sounds = np.arange(n_sounds)
        self._asking_sounds = np.unique(database.sounds[sound_queries])
        asking_frames = np.unique(database.frames[frame_queries])
        self._row_of_sound = _places(self._asking_sounds, n_sounds)
        self._row_of_frame = _places(asking_frames, n_frames)
        self._frames_for_sound = np.zeros((len(self._asking_sounds), n_frames), np.float32)
        self._sounds_for_frame = np.zeros((len(asking_frames), n_sounds), np.float32)
        self._keep_audio = _Keeper(database, sound_queries, n_frames)
        self._keep_image = _Keeper(database, frame_queries, n_sounds)
        self._rows_of_frame = rows_by_number(database.frames[self._keep_image.queries], n_frames)
        self._rows_of_sound = rows_by_number(database.sounds[self._keep_audio.queries], n_sounds)
        self._part = lru_cache(N_KEPT)(self._read_part)
        self._own_of = lru_cache(N_KEPT)(self._read_own)

    def count(self) -> int:
        """Return how many pairs all frames make."""
        n_asking = int((self._row_of_frame != NONE).sum())
        n_others = len(self._row_of_frame) - n_asking
        return n_asking * len(self._all_sounds) + n_others * len(self._asking_sounds)

    def parts(self, frame: int) -> Iterator[Part]:
        """Yield the sounds that this frame is looked at with, ascending."""
        asks = bool(self._row_of_frame[frame] != NONE)
        n = len(self._all_sounds if asks else self._asking_sounds)
        for start in range(0, n, AT_ONCE):
            yield self._part(asks, start)

    def _read_part(self, asks: bool, start: int) -> Part:
        columns = self._all_sounds if asks else self._asking_sounds
        sounds = columns[start : start + AT_ONCE]
        rows = [self._rows_of_sound(int(sound)) for sound in sounds]
        return Part(
            asks=asks,
            first=start,
            sounds=sounds,
            f_s=self._sounds.f_s.take(sounds),
            h=self._sounds.h.take(sounds),
            askers=np.concatenate(rows),
            asked=np.repeat(np.arange(len(rows)), [len(of_sound) for of_sound in rows]),
        )

    def _read_own(self, asks: bool, first: int, start: int) -> Floats:
        """Read f_v of those who ask with the sounds of a part, from the `start`-th on."""
        assert self._own is not None, "who asks with both sides is a pair"
        askers = self._part(asks, first).askers[start : start + AT_ONCE]
        return self._own.take(self._keep_audio.own_rows[askers])

    def take(self, frame: int, part: Part, f_v: Floats) -> None:
        """Score f_v (n, 1000) of a frame with the sounds of a part.

        Frames may come from several threads at a time: each writes to rows and columns of its own.
        """
        scores = _row_dots(f_v, part.f_s)
        rows = self._row_of_sound[part.sounds]
        self._frames_for_sound[rows[rows != NONE], frame] = scores[rows != NONE]
        if (row := self._row_of_frame[frame]) != NONE:
            self._sounds_for_frame[row, part.sounds] = scores
        self._take_keep_audio(frame, part, f_v)
        self._take_keep_image(frame, part, f_v)

    def _take_keep_audio(self, frame: int, part: Part, f_v: Floats) -> None:
        for start in range(0, len(part.askers), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            own = self._own_of(part.asks, part.first, start)
            self._keep_audio.scores[part.askers[some], frame] = _row_dots(
                f_v[part.asked[some]], own
            )

    def _take_keep_image(self, frame: int, part: Part, f_v: Floats) -> None:
        keeper = self._keep_image
        for row in self._rows_of_frame(frame):
            assert self._own is not None, "who asks with both sides is a pair"
            own = self._own.take(keeper.own_rows[row : row + 1])
            keeper.scores[row, part.sounds] = _row_dots(f_v, np.broadcast_to(own, f_v.shape))

    def result(self) -> PairScores:
        return PairScores(
            sound_queries=self._queries[0],
            frame_queries=self._queries[1],
            frames_for_sound=self._frames_for_sound,
            sounds_for_frame=self._sounds_for_frame,
            paired_sound_queries=self._keep_audio.queries,
            paired_frame_queries=self._keep_image.queries,
            keep_audio=self._keep_audio.scores,
            keep_image=self._keep_image.scores,
            n_conditionings=self.count(),
        )


class _Keeper:
    """An associative ranking in the making: queries with both sides, their f_v, their scores."""

    def __init__(self, database: Database, queries: Positions, n_answers: int) -> None:
        row_of = _places(database.pairs, len(database.ids))
        self.queries = queries[row_of[queries] != NONE]
        self.own_rows = row_of[self.queries]
        self.scores = np.zeros((len(self.queries), n_answers), np.float32)


def _row_dots(rows: Floats, others: Floats) -> Floats:
    """Product of each row with its own; not by BLAS, whose threads would meet inside ours."""
    dots: Floats = np.einsum("nd,nd->n", rows, others)
    return dots


def _places(numbers: Positions, n: int) -> Positions:
    """(n,) where each of 0 … n − 1 stands in `numbers`, NONE where it does not."""
    places = np.full(n, NONE)
    places[numbers] = np.arange(len(numbers))
    return places


def rows_by_number(numbers: Positions, n: int) -> Callable[[int], Positions]:
    """Return what tells where each of 0 … n − 1 stands in `numbers`, ascending."""
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(n + 1))
    return lambda number: order[bounds[number] : bounds[number + 1]]
