"""What an evaluation of retrieval found: plain numbers with intervals, ready to print or to write.

Nothing here computes; `indexer.evaluation.retrieval` fills it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from encoder.intervals import Figure
from indexer.evaluation.options import RetrievalOptions

Protocol = Literal["leak_free", "own_sound", "swapped", "coarse", "associative"]
Direction = Literal["audio_to_image", "image_to_audio", "keep_image", "keep_audio"]


@dataclass(frozen=True, kw_only=True)
class AtK:
    """A figure that is measured on the k best answers."""

    k: int
    figure: Figure


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A point of a curve against k: the mean over queries, without an interval."""

    k: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Median:
    """A median over n queries and its percentile-bootstrap 95 % interval, NaN over one."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" [{self.low:g}, {self.high:g}]"
        return f"{self.median:g}{interval} n={self.n}"


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class of the collection, its items being the queries.

    Attributes
    ----------
    n_queries : queries of the class; figures are over those that have a right answer.
    precision : at the first of `RetrievalOptions.ks`.
    """

    label: str
    n_queries: int
    average_precision: Figure
    precision: Figure


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """How often an answer with such a score is right.

    Attributes
    ----------
    low, high : cosines of the bin, low ≤ score < high.
    percentile : share of random pairs that score lower than its middle, in [0, 100], as the index
        tells it beside every hit; None for a ranking that the index has no percentiles of.
    right : share of right answers; n counts pairs of a query and an answer, the interval is by
        bootstrap over queries.
    """

    low: float
    high: float
    percentile: float | None
    right: Figure


@dataclass(frozen=True, kw_only=True)
class JudgedFigures:
    """Figures of a ranking where every answer is judged right or wrong.

    Attributes
    ----------
    n_gallery : answers that the judge can judge; each query's gallery lacks what is excluded.
    mean_average_precision : mAP over queries with a right answer; the others are `n_undefined`.
    precision_at : P@k: mean over queries of the share of right answers among the k best. Judged by
        pseudo labels this is success@k of S19 Table 6.
    any_hit_at : share of queries with a right answer among the k best.
    chance_average_precision, chance_precision : expectations under a random order, closed form.
    precision_curve, recall_curve, any_hit_curve : against k; recall is the share of a query's right
        answers among the k best.
    per_class : by label; empty where the judge knows no classes.
    calibration : score bins that hold an answer, ascending.
    """

    n_gallery: int
    mean_average_precision: Figure
    precision_at: tuple[AtK, ...]
    any_hit_at: tuple[AtK, ...]
    chance_average_precision: float
    chance_precision: float
    precision_curve: tuple[CurvePoint, ...]
    recall_curve: tuple[CurvePoint, ...]
    any_hit_curve: tuple[CurvePoint, ...]
    per_class: tuple[ClassRow, ...]
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class RecordingFigures:
    """Instance level: each query's one right answer is what it was recorded with.

    Attributes
    ----------
    recall_at : share of queries whose partner is among the k best; Wilson intervals.
    median_rank : of the partner, 1 is best; ties stand before it.
    chance_recall_at, chance_median_rank : under a random order.
    """

    n_gallery: int
    recall_at: tuple[AtK, ...]
    median_rank: Median
    chance_recall_at: tuple[CurvePoint, ...]
    chance_median_rank: float
    recall_curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class HitRecord:
    """An answer: `right` is None where nobody can judge it."""

    item: int
    score: float
    right: bool | None


@dataclass(frozen=True, kw_only=True)
class QueryRecord:
    """A query and its five best answers: score descending, then id ascending."""

    item: int
    value: float
    hits: tuple[HitRecord, ...]


@dataclass(frozen=True, kw_only=True)
class RankingFigures:
    """One ranking: a protocol in one direction.

    Attributes
    ----------
    n_queries, n_queries_in_all : queries measured, and those there are; fewer where sampled.
    n_distinct_queries : different sounds or frames among them. A sound that stands in several items
        asks several times; intervals take these for independent.
    n_excluded_self, n_excluded_duplicates : answers that were left out, summed over queries.
    not_applicable : reason by figure that is None.
    value_name : what `QueryRecord.value` is.
    best, worst : the queries with the highest and the lowest value.
    """

    protocol: Protocol
    direction: Direction
    n_queries: int
    n_queries_in_all: int
    n_distinct_queries: int
    n_gallery: int
    n_excluded_self: int
    n_excluded_duplicates: int
    by_class: JudgedFigures | None
    by_pseudo_labels: JudgedFigures | None
    by_recording: RecordingFigures | None
    not_applicable: dict[str, str]
    value_name: str
    best: tuple[QueryRecord, ...]
    worst: tuple[QueryRecord, ...]


@dataclass(frozen=True, kw_only=True)
class LeakFigures:
    """How much of the own-sound protocol is the sound found in f_v (definitions §3, "The leak").

    Intervals are over queries; the partners of the swap test are one draw. Six draws on 200 items
    spread with a standard deviation of 0.013.

    Attributes
    ----------
    direction : own-sound in this direction.
    measure : what is compared, per query.
    leak : own-sound − swapped.
    over_leak_free : own-sound − leak-free, over the queries that both measured.
    share, share_over_leak_free : the same as a share of what own-sound has over chance; NaN where
        it has nothing over chance.
    """

    direction: Direction
    measure: str
    leak: Figure
    over_leak_free: Figure
    share: float
    share_over_leak_free: float


@dataclass(frozen=True, kw_only=True)
class ConditioningFigures:
    """Mean of 1 − cos(f_v(X_v, X_s), f_v(X_v, X_s′)) per frame, over other sounds X_s′.

    Attributes
    ----------
    other_label, same_label : over sounds of another label, and of the frame's own.
    any_other : over all other sounds.
    """

    other_label: Figure
    same_label: Figure
    any_other: Figure


@dataclass(frozen=True, kw_only=True)
class ChanceFigures:
    """Success of randomly drawn neighbours (S19 Table 6, "Random-10").

    Attributes
    ----------
    closed_form : mean pair-overlap rate of the queries with their galleries.
    trials : mean over `n_trials` trials of `n_drawn` neighbours without replacement per query.
    standard_error : of `trials`.
    z : (trials − closed_form) / standard_error.
    agrees : |z| ≤ 3.
    """

    direction: Direction
    closed_form: float
    trials: float
    standard_error: float
    z: float
    agrees: bool
    n_trials: int
    n_drawn: int
    n_queries: int


@dataclass(frozen=True, kw_only=True)
class ServedFigures:
    """What FAISS serves for a ranking that it can hold.

    Attributes
    ----------
    recall_at_10 : share of the ten best of the exact ranking that are served among ten.
    class_precision_at, success_at, any_hit_at, recording_recall_at : as in the exact figures, of
        the served lists; empty where the exact ones are None. Ties are as served, by id.
    """

    protocol: Protocol
    direction: Direction
    recall_at_10: Figure
    class_precision_at: tuple[AtK, ...]
    success_at: tuple[AtK, ...]
    any_hit_at: tuple[AtK, ...]
    recording_recall_at: tuple[AtK, ...]


@dataclass(frozen=True, kw_only=True)
class SwapFacts:
    """With whose sound frames were looked at in the swap test; see `indexer.evaluation.swap`."""

    n_other_label: int
    n_other_item: int


@dataclass(frozen=True, kw_only=True)
class RetrievalFigures:
    """How good retrieval is on an index.

    Attributes
    ----------
    database : `pairs` or `all`, see `RetrievalOptions.database`.
    n_items, n_frames, n_sounds : items under evaluation; distinct frames and sounds of them.
    pseudo_labels : provider, version and vocabulary in words; None where none were given.
    n_conditionings : pairs of a frame and a sound that were looked at for the conditional rankings.
    rankings : leak-free first.
    not_applicable : reason by figure that could not be measured at all.
    exclusions : items left out by reason. `no sound`, `no frame` (from everything); `no label`,
        `one-member class` (from the figures by class); `no image pseudo label`, `no audio pseudo
        label` (from those by pseudo label); `not a recording` (from those at instance level).
    warnings : what the reader must not overlook.
    notes : how it was measured, where there was a choice.
    """

    encoder: str
    generation: int
    options: RetrievalOptions
    database: Literal["pairs", "all"]
    n_items: int
    n_frames: int
    n_sounds: int
    pseudo_labels: str | None
    n_conditionings: int
    rankings: tuple[RankingFigures, ...]
    leaks: tuple[LeakFigures, ...]
    conditioning: ConditioningFigures | None
    swap: SwapFacts | None
    chance: tuple[ChanceFigures, ...]
    served: tuple[ServedFigures, ...]
    not_applicable: dict[str, str]
    exclusions: dict[str, int]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def ranking(self, protocol: Protocol, direction: Direction) -> RankingFigures | None:
        """Return one ranking; None where `not_applicable` says why it is missing."""
        return next(
            (r for r in self.rankings if (r.protocol, r.direction) == (protocol, direction)), None
        )

    @property
    def leak(self) -> LeakFigures | None:
        """The leak in one number: audio → image, as `definitions` §3 states it."""
        return next((leak for leak in self.leaks if leak.direction == "audio_to_image"), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what is undefined is None, never NaN."""
        return {name.name: plain(getattr(self, name.name)) for name in fields(self)}


def plain(value: object) -> Any:
    """Turn dataclasses, tuples and NaN into what JSON knows."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
