"""One ranking measured: every judge, the best answers, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from indexer.evaluation.calibration import Percentiles
from indexer.evaluation.database import Database, Positions
from indexer.evaluation.figures import Direction, JudgedFigures, Protocol, RankingFigures
from indexer.evaluation.hits import TopHits
from indexer.evaluation.judges import ClassJudge, Judge, PseudoJudge, PseudoPanel
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.rankings import Block, Ranking, blocks
from indexer.evaluation.tally import JudgedTally, RecordingTally
from indexer.metrics import Mask, Values
from indexer.pseudo_labels import Modality

MODALITIES: Mapping[Direction, tuple[Modality, Modality]] = {
    "audio_to_image": ("audio", "image"),
    "image_to_audio": ("image", "audio"),
    "keep_image": ("audio", "audio"),
    "keep_audio": ("image", "image"),
}
"""Which modality of the query is judged against which of the answer: for the associative rankings
the one that is exchanged, on both sides."""
NAMES: Mapping[tuple[Protocol, Direction], str] = {
    ("leak_free", "audio_to_image"): "audio-image",
    ("leak_free", "image_to_audio"): "image-audio",
    ("own_sound", "audio_to_image"): "audio-image/own-sound",
    ("own_sound", "image_to_audio"): "image-audio/own-sound",
    ("associative", "keep_image"): "associate-image",
    ("associative", "keep_audio"): "associate-audio",
}
"""Under which name `indexer.calibration` has percentiles of a ranking's scores."""
WITH_CLASSES: tuple[Protocol, ...] = ("leak_free", "own_sound")
"""Protocols with a table by class."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A ranking's figures, and what is compared query by query between rankings.

    Attributes
    ----------
    queries : (Q,) positions in the database.
    name : what `values` are.
    values : (Q,) NaN where undefined.
    chance : expectation of their mean under a random order.
    """

    figures: RankingFigures
    queries: Positions
    name: str
    values: Values
    chance: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A ranking that was measured, with all that its served twin is compared to.

    Attributes
    ----------
    class_defined, pseudo_defined, is_recording : (Q,) queries that each judge's figures are over.
    """

    ranking: Ranking
    outcome: Outcome
    hits: TopHits
    class_defined: Mask
    pseudo_defined: Mask
    is_recording: Mask


class Bench:
    """Measures rankings of one database by one set of rules."""

    def __init__(
        self,
        database: Database,
        options: RetrievalOptions,
        panel: PseudoPanel | None,
        percentiles: Callable[[str, Values], Values],
    ) -> None:
        self.database, self.options, self.panel = database, options, panel
        self._percentiles = percentiles
        self.classes = ClassJudge(database)

    def pseudo_judge(self, direction: Direction) -> PseudoJudge | None:
        """Return the judge by pseudo labels of a direction; None where a modality has none."""
        return self.panel.judge(*MODALITIES[direction]) if self.panel else None

    @property
    def judged(self) -> Mask:
        """(n,) items worth asking: where labels judge any, those; else whom anybody can judge.

        One kind of judge, so that all figures of a sample are over the same queries.
        """
        if (by_class := self._has_classmate()).any():
            return by_class
        judges = [self.pseudo_judge(direction) for direction in MODALITIES]
        known: list[Mask] = [judge.asks for judge in judges if judge]
        judged: Mask = np.any([self.database.recorded, *known], axis=0)
        return judged

    def _has_classmate(self) -> Mask:
        _, label, n_members = np.unique(
            self.database.labels, return_inverse=True, return_counts=True
        )
        shared: Mask = self.classes.asks & (n_members[label] > 1)
        return shared

    def measure(self, ranking: Ranking, on_query: Callable[[int], None]) -> Measured:
        """Score a ranking and judge it."""
        return _Measurement(self, ranking).run(on_query)

    def percentiles_of(self, ranking: Ranking) -> Percentiles | None:
        name = NAMES.get((ranking.protocol, ranking.direction))
        return None if name is None else partial(self._percentiles, name)


class _Measurement:
    """The tallies of one ranking, and how they are filled."""

    def __init__(self, bench: Bench, ranking: Ranking) -> None:
        self.bench, self.ranking = bench, ranking
        queries, gallery, options = ranking.queries, ranking.gallery, bench.options
        self.judge = bench.pseudo_judge(ranking.direction)
        self.by_class = JudgedTally(bench.classes, queries, gallery, options)
        self.by_pseudo = JudgedTally(self.judge, queries, gallery, options) if self.judge else None
        recorded = bench.database.recorded
        if ranking.protocol == "associative":
            recorded = np.zeros_like(recorded)  # whose partner is the query itself
        self.by_recording = RecordingTally(recorded, queries, gallery, options)
        self.hits = TopHits(bench.database.ids, queries, gallery)
        self.n_self = self.n_duplicates = 0

    def run(self, on_query: Callable[[int], None]) -> Measured:
        for block in blocks(self.ranking):
            self._take(block)
            on_query(block.start + len(block.scores))
        name, values, chance = self._main_values()
        nobody = np.zeros(len(values), np.bool_)
        return Measured(
            ranking=self.ranking,
            outcome=Outcome(
                figures=self._figures(name, values),
                queries=self.ranking.queries,
                name=name,
                values=values,
                chance=chance,
            ),
            hits=self.hits,
            class_defined=self.by_class.is_defined,
            pseudo_defined=self.by_pseudo.is_defined if self.by_pseudo else nobody,
            is_recording=self.by_recording.asks,
        )

    def _take(self, block: Block) -> None:
        options = self.bench.options
        duplicates = np.zeros_like(block.itself) if options.include_duplicates else block.duplicates
        excluded = duplicates if options.include_self else duplicates | block.itself
        self.n_self += 0 if options.include_self else int(block.itself.sum())
        self.n_duplicates += int(duplicates.sum())
        self.by_class.take(block.start, block.scores, excluded)
        if self.by_pseudo:
            self.by_pseudo.take(block.start, block.scores, excluded)
        self.by_recording.take(block.start, block.scores, duplicates)
        self.hits.take(block.start, block.scores, excluded)

    def _main_judge(self) -> Literal["class", "pseudo labels", "recording"]:
        """Say by whom queries are compared: by class where that can be."""
        if self.by_class.is_defined.any():
            return "class"
        if self.by_pseudo and self.by_pseudo.is_defined.any():
            return "pseudo labels"
        return "recording"

    def _main_values(self) -> tuple[str, Values, float]:
        """What queries are compared by: its name, (Q,) values, and their chance level."""
        k, most = self.bench.options.ks[0], self.bench.options.recall_ks[-1]
        main = self._main_judge()
        if main == "class":
            values, chance = self.by_class.average_precision, self.by_class.chance_average_precision
            return "average precision by class", values, chance
        if main == "pseudo labels" and self.by_pseudo:
            return f"success@{k}", self.by_pseudo.precision_at(k), self.by_pseudo.chance_precision
        within = self.by_recording.is_within(most)
        return f"recall@{most}", within, self.by_recording.chance_within(most)

    def _figures(self, name: str, values: Values) -> RankingFigures:
        ranking = self.ranking
        classes = list(self._classes())
        by_class = self._judged(self.by_class, classes)
        by_pseudo = self._judged(self.by_pseudo, [])
        by_recording = self.by_recording.figures() if self.by_recording.asks.any() else None
        found = {"class": by_class, "pseudo labels": by_pseudo, "recording": by_recording}
        return RankingFigures(
            protocol=ranking.protocol,
            direction=ranking.direction,
            n_queries=len(ranking.queries),
            n_queries_in_all=ranking.n_queries_in_all,
            n_distinct_queries=ranking.n_distinct_queries,
            n_gallery=len(ranking.gallery),
            n_excluded_self=self.n_self,
            n_excluded_duplicates=self.n_duplicates,
            by_class=by_class,
            by_pseudo_labels=by_pseudo,
            by_recording=by_recording,
            not_applicable={by: self._reason(by) for by in found if found[by] is None},
            value_name=name,
            best=self.hits.best(values, self._judged_hits),
            worst=self.hits.worst(values, self._judged_hits),
        )

    def _judged(
        self, tally: JudgedTally | None, classes: list[tuple[str, Mask]]
    ) -> JudgedFigures | None:
        if tally is None or not tally.is_defined.any():
            return None
        return tally.figures(classes=classes, percentiles=self.bench.percentiles_of(self.ranking))

    def _classes(self) -> Iterator[tuple[str, Mask]]:
        if self.ranking.protocol in WITH_CLASSES:
            labels = self.bench.database.labels[self.ranking.queries]
            for number, name in enumerate(self.bench.database.label_names):
                yield name, labels == number

    def _reason(self, by: str) -> str:
        if by == "class":
            return "no query shares its label with an answer"
        if by == "pseudo labels":
            if self.bench.panel is None:
                return "no pseudo labels were given"
            asks, answers = MODALITIES[self.ranking.direction]
            return f"no query with {asks} pseudo labels meets an answer with {answers} ones"
        if self.ranking.protocol == "associative":
            return "the kept side is the query's own, so its partner is the query itself"
        return "no query is a recording: frame and sound of one file, or metadata recorded = true"

    def _judged_hits(self, query: int, answers: Positions) -> list[bool | None]:
        """Say of each answer whether it is right, by whom queries are compared."""
        main = self._main_judge()
        if main == "recording":
            return [bool(answer == query) for answer in answers]
        judge: Judge = self.bench.classes
        if main == "pseudo labels" and self.judge:
            judge = self.judge
        right = judge.facing(answers)(np.array([query]))[0]
        known = judge.answers[answers] & judge.asks[query]
        return [bool(r) if k else None for r, k in zip(right, known, strict=True)]
