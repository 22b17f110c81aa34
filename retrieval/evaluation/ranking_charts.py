"""Figures of retrieval as charts: against k, by class, and how far a score can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from encoder.intervals import Figure
from indexer.evaluation.figures import (
    CurvePoint,
    JudgedFigures,
    RankingFigures,
    RetrievalFigures,
)
from retrieval.evaluation.ranking_tables import Judged, by_class, by_pseudo_labels, class_values
from retrieval.evaluation.words import CROSS_MODAL, DIRECTIONS, ranking_name
from retrieval.report import BarChart, BarSeries, LineChart, Reference, Series
from retrieval.report.model import Chart


def leak_free(figures: RetrievalFigures) -> list[RankingFigures]:
    """The primary rankings, as far as there are any."""
    found = (figures.ranking("leak_free", way) for way in CROSS_MODAL)
    return [ranking for ranking in found if ranking is not None]


def class_charts(figures: RetrievalFigures) -> tuple[Chart, ...]:
    """Recall against k, bars per class and calibration, all leak-free and by class."""
    rankings = leak_free(figures)
    charts = [
        _against_k("Recall of the right answers", rankings, by_class, lambda one: one.recall_curve),
        _against_k("Precision", rankings, by_class, lambda one: one.precision_curve),
        _per_class(figures),
        _calibration(rankings),
    ]
    return tuple(chart for chart in charts if chart is not None)


def success_charts(figures: RetrievalFigures) -> tuple[Chart, ...]:
    """Success@k against k, with its chance level (S19 Table 6 as a curve)."""
    chart = _against_k(
        "Pseudo-label success",
        leak_free(figures),
        by_pseudo_labels,
        lambda one: one.precision_curve,
        references=tuple(
            Reference(name=f"chance, {DIRECTIONS[one.direction]}", value=one.closed_form)
            for one in figures.chance
        ),
    )
    return () if chart is None else (chart,)


def _against_k(
    title: str,
    rankings: Sequence[RankingFigures],
    judged: Judged,
    curve: Callable[[JudgedFigures], tuple[CurvePoint, ...]],
    references: tuple[Reference, ...] = (),
) -> LineChart | None:
    series = [
        Series(
            name=ranking_name(ranking.protocol, ranking.direction),
            x=tuple(float(point.k) for point in curve(one)),
            y=tuple(point.value for point in curve(one)),
        )
        for ranking in rankings
        if (one := judged(ranking)) is not None and curve(one)
    ]
    if not series:
        return None
    return LineChart(
        title=f"{title} against k",
        x_label="k",
        y_label=title.lower(),
        series=tuple(series),
        y_range=(0.0, 1.0),
        references=references,
    )


def _per_class(figures: RetrievalFigures) -> BarChart | None:
    """Return a bar for every class, the best first."""
    values = class_values(figures)
    if not values:
        return None
    names = sorted(values, key=lambda name: (-_middle(values[name]), name))
    return BarChart(
        title="Leak-free average precision per class",
        name_label="class",
        value_label="average precision",
        names=tuple(names),
        series=tuple(
            BarSeries(name=DIRECTIONS[way], values=tuple(values[name][n] for name in names))
            for n, way in enumerate(CROSS_MODAL)
        ),
        value_range=(0.0, 1.0),
    )


def _middle(both: Sequence[Figure | None]) -> float:
    means = [one.mean for one in both if one is not None and one.n]
    return sum(means) / len(means) if means else -1.0


def _calibration(rankings: Sequence[RankingFigures]) -> LineChart | None:
    series = [
        Series(
            name=ranking_name(ranking.protocol, ranking.direction),
            x=tuple((one.low + one.high) / 2 for one in ranking.by_class.calibration),
            y=tuple(one.right for one in ranking.by_class.calibration),
        )
        for ranking in rankings
        if ranking.by_class is not None and ranking.by_class.calibration
    ]
    if not series:
        return None
    return LineChart(
        title="How often an answer with such a score is right",
        x_label="score (cosine)",
        y_label="share of right answers",
        series=tuple(series),
        y_range=(0.0, 1.0),
        note="Over all pairs of a query and an answer, not only the best ones.",
    )
