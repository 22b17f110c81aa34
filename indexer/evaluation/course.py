"""The course of an evaluation: what is looked at, which rankings are measured, in which order.

Vectors lie on disk, at most four sets at once, and are let go as soon as no ranking needs them. Of
a ranking that was measured only its outcome stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.evaluation.chance import ChanceLevel
from indexer.evaluation.conditioning import OwnVectors, own_vectors, pair_scores
from indexer.evaluation.database import Positions
from indexer.evaluation.figures import (
    ChanceFigures,
    ConditioningFigures,
    Direction,
    LeakFigures,
    Protocol,
    ServedFigures,
    SwapFacts,
)
from indexer.evaluation.leak import ARROWS, conditioning_figures, leak_figures
from indexer.evaluation.measure import MODALITIES, Bench, Measured, Outcome
from indexer.evaluation.pairs import PairScores
from indexer.evaluation.progress import Teller
from indexer.evaluation.protocols import Protocols
from indexer.evaluation.rankings import Ranking
from indexer.evaluation.sampling import conditional_queries
from indexer.evaluation.served import Served, ServedRanking
from indexer.evaluation.swap import swap_partners
from indexer.evaluation.vector_file import VectorFile
from indexer.evaluation.vectors import Sounds, VectorSource
from indexer.reader import IndexReader, Space

if TYPE_CHECKING:
    from encoder.embedder import Embedder

ORDER: tuple[Protocol, ...] = ("leak_free", "own_sound", "swapped", "coarse", "associative")
"""In which the figures are read."""
SPACES: dict[Direction, dict[Protocol, Space]] = {
    "audio_to_image": {"own_sound": "own_sound", "coarse": "coarse"},
    "image_to_audio": {"own_sound": "sound", "coarse": "sound"},
}
"""Where FAISS holds the answers of a ranking; conditional rankings it cannot hold."""


class Course:
    """One evaluation under way.

    Attributes
    ----------
    outcomes : of the rankings so far.
    leaks, conditioning, swap_facts, chance, served, n_conditionings, not_applicable : see
        `RetrievalFigures`.
    """

    def __init__(
        self,
        reader: IndexReader,
        embedder: Embedder,
        bench: Bench,
        source: VectorSource,
        teller: Teller,
    ) -> None:
        self._embedder, self._bench, self._source, self._teller = embedder, bench, source, teller
        self._database, self._options = bench.database, bench.options
        self._protocols = Protocols(bench.database)
        device: Literal["cpu", "cuda"] = "cuda" if embedder.device.type == "cuda" else "cpu"
        self._faiss = Served(reader, bench, device) if bench.options.ann else None
        self.outcomes: dict[tuple[Protocol, Direction], Outcome] = {}
        self.leaks: tuple[LeakFigures, ...] = ()
        self.chance: tuple[ChanceFigures, ...] = ()
        self.conditioning: ConditioningFigures | None = None
        self.swap_facts: SwapFacts | None = None
        self.served: list[ServedFigures] = []
        self.n_conditionings = 0
        self.not_applicable: dict[str, str] = {}

    def run(self) -> None:
        """Measure everything."""
        with self._source.sounds() as sounds:
            with self._own(sounds) as own:
                self._conditional(sounds, own)
                if own is not None:
                    self._own_sound(sounds.f_s, own)
            self._coarse(sounds.f_s)
        self.leaks = leak_figures(self.outcomes, len(self._database.ids), self._options.seed)
        self.chance = tuple(self._chance_levels())

    def in_order(self) -> Iterable[Outcome]:
        """Return the rankings as they are read."""
        return sorted(self.outcomes.values(), key=lambda one: ORDER.index(one.figures.protocol))

    def _own(self, sounds: Sounds) -> AbstractContextManager[OwnVectors | None]:
        if not len(self._database.pairs):
            for name in ("own_sound", "swapped", "associative", "leak", "conditioning strength"):
                self.not_applicable[name] = "no item has both a frame and a sound"
            return nullcontext()
        swap = swap_partners(self._database, self._options.seed)
        if swap is None:
            for name in ("swapped", "leak"):
                self.not_applicable[name] = "all frames came with one and the same sound"
        else:
            self.swap_facts = SwapFacts(
                n_other_label=swap.n_other_label, n_other_item=swap.n_other_item
            )
        step = self._begin("looking with own sounds", len(self._database.frame_items))
        return own_vectors(self._embedder, self._source, sounds, self._database, swap, step)

    def _conditional(self, sounds: Sounds, own: OwnVectors | None) -> None:
        pairs = pair_scores(
            self._embedder,
            self._source,
            sounds,
            self._database,
            own=None if own is None else own.own,
            queries=conditional_queries(self._database, self._bench.judged, self._options),
            on_frame=self._begin("looking with every sound", len(self._database.frame_items)),
        )
        self.n_conditionings = pairs.n_conditionings
        self._measure(self._protocols.leak_free(pairs))
        self._measure(self._protocols.associative(pairs))
        if own is not None:
            self._condition_strength(pairs)

    def _condition_strength(self, pairs: PairScores) -> None:
        self.conditioning = conditioning_figures(
            self._database, pairs.keep_image, pairs.paired_frame_queries, self._options.seed
        )

    def _own_sound(self, f_s: VectorFile, own: OwnVectors) -> None:
        to_frames, to_sounds = self._measure(self._protocols.own_sound(f_s, own.own))
        self._serve(to_frames, f_s, self._database.sounds[to_frames.ranking.queries])
        self._serve(to_sounds, own.own, np.arange(len(own.own)))
        if own.swapped is not None:
            self._measure(self._protocols.swapped(f_s, own.swapped, own.swapped_sounds))

    def _coarse(self, f_s: VectorFile) -> None:
        with self._source.coarse() as coarse:
            to_frames, to_sounds = self._measure(self._protocols.coarse(f_s, coarse))
            self._serve(to_frames, f_s, self._database.sounds[to_frames.ranking.queries])
            self._serve(to_sounds, coarse, self._database.frames[to_sounds.ranking.queries])

    def _measure(self, rankings: list[Ranking]) -> list[Measured]:
        found = []
        for ranking in rankings:
            step = self._begin(_name(ranking), len(ranking.queries))
            found.append(self._bench.measure(ranking, step))
            self.outcomes[ranking.protocol, ranking.direction] = found[-1].outcome
        return found

    def _serve(self, measured: Measured, vectors: VectorFile, of_query: Positions) -> None:
        """Ask FAISS for a ranking; `of_query` (Q,) is each query's row of the vectors."""
        if self._faiss is None:
            return
        ranking = measured.ranking
        asked = ServedRanking(
            measured=measured,
            space=SPACES[ranking.direction][ranking.protocol],
            vector_of=lambda row: vectors.take(of_query[row : row + 1])[0],
        )
        step = self._begin(f"FAISS, {_name(ranking)}", len(ranking.queries))
        self.served.append(self._faiss.figures(asked, step))

    def _chance_levels(self) -> Iterable[ChanceFigures]:
        of = self._database
        sides = {"image": (of.with_frame, of.frames), "audio": (of.with_sound, of.sounds)}
        for direction in SPACES:
            judge = self._bench.pseudo_judge(direction)
            if judge is None:
                continue
            asks, answers = MODALITIES[direction]
            queries = sides[asks][0][judge.asks[sides[asks][0]]]
            gallery, contents = sides[answers]
            gallery = gallery[judge.answers[gallery]]
            level = ChanceLevel(
                judge, queries, gallery, contents[queries], contents[gallery], self._options
            )
            if (figures := level.figures(direction)) is not None:
                yield figures

    def _begin(self, phase: str, total: int) -> Callable[[int], None]:
        """Tell that a phase begins; return what tells how far it is."""
        self._teller.tell(phase, 0, total)
        return lambda done: self._teller.tell(phase, done, total)


def _name(ranking: Ranking) -> str:
    return f"{ranking.protocol.replace('_', '-')}, {ARROWS[ranking.direction]}"
