"""The protocols of definitions §3 as rankings: what asks, what answers, by which cosine.

| protocol    | audio → image                       | image → audio                       |
|-------------|-------------------------------------|-------------------------------------|
| leak_free   | f_s(X_s), f_v(Y_v, X_s)             | f_v(X_v, Y_s), f_s(Y_s)             |
| own_sound   | f_s(X_s), f_v(Y_v, Y_s)             | f_v(X_v, X_s), f_s(Y_s)             |
| swapped     | f_s(X_s), f_v(Y_v, not Y_s)         | f_v(X_v, not X_s), f_s(Y_s)         |
| coarse      | f_s(X_s), f_v⁰(Y_v)                 | f_v⁰(X_v), f_s(Y_s)                 |
| associative | keep audio: f_v(X_v, X_s),          | keep image: f_v(X_v, X_s),          |
|             | f_v(Y_v, X_s)                       | f_v(X_v, Y_s)                       |

An answer is a duplicate of the query where what it is made of holds the frame or the sound that the
query item has: a frame the same frame, a sound the same sound, f_v(Y_v, Y_s) either of them. In the
swap test the sound that f_v was made with counts like the item's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from indexer.evaluation.database import Database, Positions
from indexer.evaluation.figures import Direction, Protocol
from indexer.evaluation.pairs import PairScores
from indexer.evaluation.rankings import Ranking, Scores, by_matrix, by_vectors
from indexer.evaluation.vector_file import VectorFile

Part = Literal["frame", "sound"]
FRAME: tuple[Part, ...] = ("frame",)
SOUND: tuple[Part, ...] = ("sound",)
BOTH: tuple[Part, ...] = ("frame", "sound")


@dataclass(frozen=True)
class Protocols:
    """Makes the rankings of one database, audio → image before image → audio."""

    database: Database

    def leak_free(self, pairs: PairScores) -> list[Ranking]:
        """The query's sound conditions every frame; every sound conditions the query's frame."""
        of = self.database
        by_sound, by_frame = pairs.sound_queries, pairs.frame_queries
        sound_rows = np.unique(of.sounds[by_sound], return_inverse=True)[1]
        frame_rows = np.unique(of.frames[by_frame], return_inverse=True)[1]
        to_frames = by_matrix(pairs.frames_for_sound, sound_rows, of.frames[of.with_frame])
        to_sounds = by_matrix(pairs.sounds_for_frame, frame_rows, of.sounds[of.with_sound])
        return [
            self._to_frames("leak_free", by_sound, to_frames),
            self._to_sounds("leak_free", by_frame, to_sounds, asks=FRAME),
        ]

    def associative(self, pairs: PairScores) -> list[Ranking]:
        """Keep one side of the query's pair and exchange the other (S19 §5.3, Fig. 12)."""
        of = self.database
        by_audio, by_image = pairs.paired_sound_queries, pairs.paired_frame_queries
        if not len(by_audio) or not len(by_image):
            return []
        rows = [np.arange(len(queries)) for queries in (by_image, by_audio)]
        to_sounds = by_matrix(pairs.keep_image, rows[0], of.sounds[of.with_sound])
        to_frames = by_matrix(pairs.keep_audio, rows[1], of.frames[of.with_frame])
        return [
            self._to_sounds("associative", by_image, to_sounds, asks=BOTH, direction="keep_image"),
            self._to_frames("associative", by_audio, to_frames, asks=BOTH, direction="keep_audio"),
        ]

    def own_sound(self, f_s: VectorFile, f_v: VectorFile) -> list[Ranking]:
        """f_v (P, 1000) of every pair under its own sound against f_s (S, 1000) (S19 §5.3)."""
        return self._by_pair("own_sound", f_s, f_v, self._pair_rows(), self.database.sounds)

    def swapped(self, f_s: VectorFile, f_v: VectorFile, sounds: Positions) -> list[Ranking]:
        """The same under other sounds (P,)."""
        pairs = self.database.pairs
        heard = self.database.sounds.copy()
        heard[pairs] = sounds
        return self._by_pair("swapped", f_s, f_v, np.arange(len(pairs)), heard)

    def _by_pair(
        self,
        protocol: Protocol,
        f_s: VectorFile,
        f_v: VectorFile,
        rows: Positions,
        heard: Positions,
    ) -> list[Ranking]:
        """Rank f_v (P, 1000) and f_s; `heard` (n,) is the sound in every item's f_v."""
        of = self.database
        pairs = of.pairs
        to_frames = by_vectors(f_s, of.sounds[of.with_sound], f_v, rows)
        to_sounds = by_vectors(f_v, rows, f_s, of.sounds[of.with_sound])
        rankings = [
            self._to_frames(protocol, of.with_sound, to_frames, gallery=pairs, holds=BOTH),
            self._to_sounds(protocol, pairs, to_sounds, asks=BOTH),
        ]
        if protocol == "own_sound":
            return rankings
        asked, answered = of.sounds[of.with_sound], heard[pairs]
        return [
            replace(rankings[0], holds=(*rankings[0].holds, (asked, answered))),
            replace(rankings[1], holds=(*rankings[1].holds, (answered, asked))),
        ]

    def coarse(self, f_s: VectorFile, f_v: VectorFile) -> list[Ranking]:
        """f_v (F, 1000) of every distinct frame under uniform attention against f_s (S, 1000)."""
        of = self.database
        frames, sounds = of.frames[of.with_frame], of.sounds[of.with_sound]
        return [
            self._to_frames("coarse", of.with_sound, by_vectors(f_s, sounds, f_v, frames)),
            self._to_sounds(
                "coarse", of.with_frame, by_vectors(f_v, frames, f_s, sounds), asks=FRAME
            ),
        ]

    def _to_frames(
        self,
        protocol: Protocol,
        queries: Positions,
        scores: Scores,
        *,
        asks: tuple[Part, ...] = SOUND,
        gallery: Positions | None = None,
        holds: tuple[Part, ...] = FRAME,
        direction: Direction = "audio_to_image",
    ) -> Ranking:
        of = self.database
        answers = of.with_frame if gallery is None else gallery
        in_all = of.pairs if asks == BOTH else of.with_sound
        return self._ranking(protocol, direction, queries, answers, scores, in_all, asks, holds)

    def _to_sounds(
        self,
        protocol: Protocol,
        queries: Positions,
        scores: Scores,
        *,
        asks: tuple[Part, ...],
        direction: Direction = "image_to_audio",
    ) -> Ranking:
        of = self.database
        in_all = of.pairs if asks == BOTH else of.with_frame
        return self._ranking(
            protocol, direction, queries, of.with_sound, scores, in_all, asks, SOUND
        )

    def _ranking(
        self,
        protocol: Protocol,
        direction: Direction,
        queries: Positions,
        gallery: Positions,
        scores: Scores,
        in_all: Positions,
        asks: tuple[Part, ...],
        holds: tuple[Part, ...],
    ) -> Ranking:
        asking = np.stack([self._contents(part)[queries] for part in asks])
        return Ranking(
            protocol=protocol,
            direction=direction,
            queries=queries,
            gallery=gallery,
            n_queries_in_all=len(in_all),
            n_distinct_queries=np.unique(asking, axis=1).shape[1],
            scores=scores,
            holds=tuple((self._contents(p)[queries], self._contents(p)[gallery]) for p in holds),
        )

    def _contents(self, part: Part) -> Positions:
        return self.database.frames if part == "frame" else self.database.sounds

    def _pair_rows(self) -> Positions:
        """(P,) row of the first pair with the same frame and sound: so that equal pairs tie."""
        of = self.database
        contents = np.stack([of.frames[of.pairs], of.sounds[of.pairs]])
        _, first, number = np.unique(contents, axis=1, return_index=True, return_inverse=True)
        return first[number.reshape(-1)]
