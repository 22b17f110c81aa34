"""f_v of every frame with the sounds that the protocols ask for: one conditioning per pair.

One distinct frame at a time meets the distinct sounds in the order of the database, so that no
score depends on the order in which the index stores them. Every look is `Embedder.condition` in
float32, the exact twin itself: 2 MFLOP a pair, in products large enough for the machine's speed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.config import F_V
from indexer.blocks import Floats, Halves
from indexer.decode import in_order
from indexer.encode import cores_shared_by, n_encoders
from indexer.evaluation.database import NONE, Database, Positions
from indexer.evaluation.swap import Swap
from indexer.evaluation.vectors import Sounds, VectorSource
from indexer.options import n_cores

if TYPE_CHECKING:
    from encoder.embedder import Embedder

AT_ONCE = 1024
"""Sounds per pass: 4 MB of f_v."""
OnFrame = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class OwnVectors:
    """f_v of the P pairs, (P, 1000) each, unit norm.

    Attributes
    ----------
    own : with the sound that the frame came with, f_v(X_v, X_s).
    swapped : with the partner's sound of the swap test; None where there is no other sound.
    swapped_sounds : (P,) the partner's sounds; meaningless without `swapped`.
    """

    own: Floats
    swapped: Floats | None
    swapped_sounds: Positions


def own_vectors(
    embedder: Embedder,
    source: VectorSource,
    sounds: Sounds,
    database: Database,
    swap: Swap | None,
    on_frame: OnFrame,
) -> OwnVectors:
    """Look at the frame of every pair with its own sound and with its partner's."""
    pairs = database.pairs
    rows_of = _rows_by_number(database.frames[pairs], len(database.frame_items))
    with_sounds = [database.sounds[pairs]] + ([swap.sounds] if swap else [])
    vectors = [np.zeros((len(pairs), F_V), np.float32) for _ in with_sounds]

    def look(frame: int, visual_map: Halves) -> None:
        rows = rows_of[frame]
        if len(rows):
            h = sounds.h[np.concatenate([of[rows] for of in with_sounds])]
            f_v = conditioned(embedder, visual_map, h)
            for kept, part in zip(vectors, np.split(f_v, len(vectors)), strict=True):
                kept[rows] = part

    _each_frame(embedder, source, look, on_frame)
    return OwnVectors(
        own=vectors[0],
        swapped=vectors[1] if swap else None,
        swapped_sounds=with_sounds[-1],
    )


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


def pair_scores(
    embedder: Embedder,
    source: VectorSource,
    sounds: Sounds,
    database: Database,
    *,
    own: Floats,
    queries: tuple[Positions, Positions],
    on_frame: OnFrame,
) -> PairScores:
    """Look at every frame with every sound that asks, and at every frame that asks with all sounds.

    Parameters
    ----------
    own : (P, 1000) f_v of the pairs, for the associative rankings.
    queries : positions of the items that ask by their sound, and by their frame.
    """
    work = _PairWork(database, sounds, own, *queries)

    def look(frame: int, visual_map: Halves) -> None:
        columns = work.columns(frame)
        for start in range(0, len(columns), AT_ONCE):
            part = columns[start : start + AT_ONCE]
            work.take(frame, part, conditioned(embedder, visual_map, sounds.h[part]))

    _each_frame(embedder, source, look, on_frame)
    return work.result()


def _each_frame(
    embedder: Embedder,
    source: VectorSource,
    look: Callable[[int, Halves], None],
    on_frame: OnFrame,
) -> None:
    """Look at every distinct frame, one frame to a core.

    A product is then computed by one thread, and alike on any number of cores; teams of threads
    spent most of their time waiting for each other where other work ran beside them.
    """
    n = n_encoders(embedder, n_cores())
    with cores_shared_by(n) as begin:
        looks = in_order(
            source.maps(), lambda job: look(*job), workers=n, n_ahead=2 * n, begin=begin
        )
        with closing(looks):
            for done, _ in enumerate(looks, start=1):
                on_frame(done)


def conditioned(embedder: Embedder, visual_map: Halves, h: Floats) -> Floats:
    """f_v (n, 1000), unit norm, of one frame (M, 512) with n sounds (n, 512)."""
    return embedder.condition(visual_map[None], h).f_v


class _PairWork:
    """Where the scores of `pair_scores` are gathered."""

    def __init__(
        self,
        database: Database,
        sounds: Sounds,
        own: Floats,
        sound_queries: Positions,
        frame_queries: Positions,
    ) -> None:
        self._database, self._f_s, self._own = database, sounds.f_s, own
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
        self._rows_of_frame = _rows_by_number(database.frames[self._keep_image.queries], n_frames)

    def count(self) -> int:
        """Return how many pairs all frames make."""
        n_asking = int((self._row_of_frame != NONE).sum())
        n_others = len(self._row_of_frame) - n_asking
        return n_asking * len(self._all_sounds) + n_others * len(self._asking_sounds)

    def columns(self, frame: int) -> Positions:
        """Return the sounds that this frame is looked at with, ascending."""
        return self._all_sounds if self._row_of_frame[frame] != NONE else self._asking_sounds

    def take(self, frame: int, part: Positions, f_v: Floats) -> None:
        """Score f_v (n, 1000) of a frame with the sounds `part` (n,).

        Frames may come from several threads at a time: each writes to rows and columns of its own.
        """
        scores = _row_dots(f_v, self._f_s[part])
        rows = self._row_of_sound[part]
        self._frames_for_sound[rows[rows != NONE], frame] = scores[rows != NONE]
        if (row := self._row_of_frame[frame]) != NONE:
            self._sounds_for_frame[row, part] = scores
        self._take_keep_audio(frame, part, f_v)
        self._take_keep_image(frame, part, f_v)

    def _take_keep_audio(self, frame: int, part: Positions, f_v: Floats) -> None:
        keeper = self._keep_audio
        place = _places(part, len(self._all_sounds))[self._database.sounds[keeper.queries]]
        asked = np.flatnonzero(place != NONE)
        own = self._own[keeper.own_rows[asked]]
        keeper.scores[asked, frame] = _row_dots(f_v[place[asked]], own)

    def _take_keep_image(self, frame: int, part: Positions, f_v: Floats) -> None:
        keeper, rows = self._keep_image, self._rows_of_frame[frame]
        for row in rows:
            own = np.broadcast_to(self._own[keeper.own_rows[row]], f_v.shape)
            keeper.scores[row, part] = _row_dots(f_v, own)

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


def _rows_by_number(numbers: Positions, n: int) -> list[NDArray[np.int64]]:
    """For each of 0 … n − 1, where it stands in `numbers`, ascending."""
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(n + 1))
    return [order[bounds[k] : bounds[k + 1]] for k in range(n)]
