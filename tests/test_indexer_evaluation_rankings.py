"""Figures of a ranking against a plain twin that loops over queries and answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from evaluation_fixtures import (
    bench_of,
    database_of,
    distinct,
    matrix_ranking,
    measured,
    pseudo_labels,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.intervals import Figure
from indexer.evaluation import rankings
from indexer.evaluation.database import NONE, Database
from indexer.evaluation.figures import AtK
from indexer.evaluation.tally import median_of
from indexer.pseudo_labels import PseudoLabels

KS = (1, 2, 4)


@dataclass(frozen=True)
class Case:
    """A small collection with shared frames and sounds, gaps in every kind of label, and ties."""

    database: Database
    scores: NDArray[np.float32]
    image: dict[int, list[int]]
    audio: dict[int, list[int]]
    include_self: bool
    include_duplicates: bool

    @property
    def labels(self) -> PseudoLabels:
        return pseudo_labels(self.image, self.audio)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.integers(3, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames, sounds = (np.unique(rng.integers(0, n, n), return_inverse=True)[1] for _ in range(2))
    labels = rng.integers(NONE, 3, n)
    database = database_of(
        frames.tolist(),
        sounds.tolist(),
        labels.tolist(),
        recorded=(rng.random(n) < 0.6).tolist(),
        ids=rng.permutation(1000)[:n].tolist(),
    )
    top = [
        {
            int(item): rng.permutation(20)[: rng.integers(1, 5)].tolist()
            for item in database.ids
            if rng.random() < 0.8
        }
        for _ in range(2)
    ]
    for labels_of in top:
        labels_of[int(database.ids[0])] = [3]
    scores = rng.choice(np.array([-0.5, 0.0, 0.25, 0.5], np.float32), (n, n))
    return Case(database, scores, *top, bool(rng.random() < 0.3), bool(rng.random() < 0.3))


@dataclass
class Plain:
    """What the twin finds for one judge: one entry per query that it can judge."""

    average_precision: list[float]
    precision: dict[int, list[float]]
    any_hit: dict[int, list[float]]
    chance: list[float]


def plain_figures(case: Case, judge: str) -> Plain:
    """Go through queries and answers as definitions §3 reads, audio → image."""
    found = Plain([], {k: [] for k in KS}, {k: [] for k in KS}, [])
    database = case.database
    for query in range(len(database.ids)):
        if not knows(case, judge, query, asks=True):
            continue
        answers = [
            (-float(case.scores[query, answer]), is_right(case, judge, query, answer))
            for answer in range(len(database.ids))
            if knows(case, judge, answer, asks=False) and not is_left_out(case, query, answer)
        ]
        right = [r for _, r in sorted(answers)]
        defined = any(right) if judge == "class" else bool(right)
        for k in KS:
            found.precision[k].append(float(np.mean(right[:k])) if defined else np.nan)
            found.any_hit[k].append(float(any(right[:k])) if defined else np.nan)
        found.chance.append(float(np.mean(right)) if defined else np.nan)
        at = [sum(right[: n + 1]) / (n + 1) for n in range(len(right)) if right[n]]
        found.average_precision.append(float(np.mean(at)) if at else np.nan)
    return found


def knows(case: Case, judge: str, item: int, *, asks: bool) -> bool:
    if judge == "class":
        return bool(case.database.labels[item] != NONE)
    return int(case.database.ids[item]) in (case.audio if asks else case.image)


def is_right(case: Case, judge: str, query: int, answer: int) -> bool:
    if judge == "class":
        return bool(case.database.labels[query] == case.database.labels[answer])
    ids = case.database.ids
    return bool(set(case.audio[int(ids[query])]) & set(case.image[int(ids[answer])]))


def is_left_out(case: Case, query: int, answer: int) -> bool:
    if query == answer:
        return not case.include_self
    same = case.database.frames[query] == case.database.frames[answer]
    return bool(same) and not case.include_duplicates


def matches(figure: Figure, values: list[float]) -> None:
    defined = [value for value in values if not np.isnan(value)]
    assert (figure.n, figure.n_undefined) == (len(defined), len(values) - len(defined))
    assert figure.mean == pytest.approx(np.mean(defined) if defined else np.nan, nan_ok=True)


def at(figures: tuple[AtK, ...], k: int) -> Figure:
    return next(one.figure for one in figures if one.k == k)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_figures_are_those_of_the_plain_twin(case: Case) -> None:
    bench = bench_of(
        case.database,
        case.labels,
        ks=KS,
        include_self=case.include_self,
        include_duplicates=case.include_duplicates,
    )
    figures = measured(bench, matrix_ranking(case.database, case.scores)).figures
    for judge, judged in (("class", figures.by_class), ("pseudo", figures.by_pseudo_labels)):
        plain = plain_figures(case, judge)
        if judged is None:
            assert np.isnan(plain.precision[1]).all()
            continue
        matches(judged.mean_average_precision, plain.average_precision)
        assert judged.chance_precision == pytest.approx(np.nanmean(plain.chance))
        for k in KS:
            matches(at(judged.precision_at, k), plain.precision[k])
            matches(at(judged.any_hit_at, k), plain.any_hit[k])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_ranks_of_recorded_partners_are_those_of_the_plain_twin(case: Case) -> None:
    database = case.database
    bench = bench_of(database, recall_ks=KS, include_duplicates=case.include_duplicates)
    figures = measured(bench, matrix_ranking(database, case.scores)).figures.by_recording
    ranks = []
    for query in np.flatnonzero(database.recorded):
        partner = case.scores[query, query]
        others = [
            case.scores[query, answer]
            for answer in range(len(database.ids))
            if answer != query
            and (case.include_duplicates or database.frames[answer] != database.frames[query])
        ]
        ranks.append(1 + sum(score >= partner for score in others))
    if figures is None:
        assert not ranks
        return
    assert figures.median_rank.median == np.median(ranks)
    assert figures.median_rank.n == len(ranks)
    for k in KS:
        assert at(figures.recall_at, k).mean == pytest.approx(np.mean(np.array(ranks) <= k))


def test_a_median_over_one_query_has_no_interval() -> None:
    alone, several = median_of(np.array([4]), 0), median_of(np.array([1, 2, 2, 3, 9, 30]), 0)
    assert str(alone) == "4 n=1"
    assert np.isnan([alone.low, alone.high]).all()
    assert several.median == 2.5
    assert 1 <= several.low < 2.5 < several.high <= 30
    assert str(several).startswith("2.5 [")


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    database = distinct(rng.integers(0, 4, 30).tolist(), recorded=[True] * 30)
    scores = rng.choice(np.linspace(-1, 1, 9), (30, 30)).astype(np.float32)
    whole = measured(bench_of(database), matrix_ranking(database, scores))
    monkeypatch.setattr(rankings, "BLOCK", 70)
    in_blocks = measured(bench_of(database), matrix_ranking(database, scores))
    assert whole.figures == in_blocks.figures


def test_what_is_left_out_is_counted() -> None:
    database = database_of([0, 0, 0, 1], [0, 1, 2, 3], [0, 0, 1, 1])
    scores = np.zeros((4, 4), np.float32)
    by_default = measured(bench_of(database), matrix_ranking(database, scores)).figures
    assert (by_default.n_excluded_self, by_default.n_excluded_duplicates) == (4, 6)
    everything = bench_of(database, include_self=True, include_duplicates=True)
    with_all = measured(everything, matrix_ranking(database, scores)).figures
    assert (with_all.n_excluded_self, with_all.n_excluded_duplicates) == (0, 0)


def test_a_class_with_one_member_is_undefined_not_wrong() -> None:
    database = distinct([0, 0, 1])
    scores = np.eye(3, dtype=np.float32)
    figures = measured(bench_of(database), matrix_ranking(database, scores)).figures
    assert figures.by_class is not None
    mean = figures.by_class.mean_average_precision
    assert (mean.n, mean.n_undefined) == (2, 1)
    assert figures.by_class.precision_at[0].figure.n == 2


def test_without_any_right_answer_the_reason_is_given() -> None:
    database = distinct([0, 1, 2])
    figures = measured(bench_of(database), matrix_ranking(database, np.eye(3, dtype=np.float32)))
    assert figures.figures.by_class is None
    assert set(figures.figures.not_applicable) == {"class", "pseudo labels", "recording"}


def test_best_and_worst_queries_show_hits_by_score_then_id() -> None:
    database = distinct([0, 0, 1, 1, 1])
    scores = np.zeros((5, 5), np.float32)
    scores[0, 1] = 0.9
    scores[2, :] = (0.5, 0.5, 1.0, 0.25, 0.25)
    figures = measured(bench_of(database), matrix_ranking(database, scores)).figures
    assert figures.best[0].item == 100
    assert figures.best[0].value == 1.0
    hits = {record.item: record.hits for record in figures.best}
    assert [hit.item for hit in hits[100]] == [101, 102, 103, 104]
    assert [hit.right for hit in hits[100]] == [True, False, False, False]
    assert [(hit.item, hit.score) for hit in hits[102]] == [
        (100, 0.5),
        (101, 0.5),
        (103, 0.25),
        (104, 0.25),
    ]


def test_the_worst_queries_are_not_among_the_best() -> None:
    rng = np.random.default_rng(3)
    database = distinct(rng.integers(0, 3, 40).tolist())
    scores = rng.random((40, 40)).astype(np.float32)
    figures = measured(bench_of(database), matrix_ranking(database, scores)).figures
    best, worst = ([record.value for record in part] for part in (figures.best, figures.worst))
    assert best == sorted(best, reverse=True)
    assert worst == sorted(worst)
    assert len(best) == len(worst) == 8
    assert worst[-1] <= best[-1]
    assert not {r.item for r in figures.best} & {r.item for r in figures.worst}


def test_curves_meet_the_figures_and_the_whole_gallery() -> None:
    rng = np.random.default_rng(4)
    database = distinct(rng.integers(0, 3, 21).tolist(), recorded=[True] * 21)
    scores = rng.random((21, 21)).astype(np.float32)
    figures = measured(bench_of(database), matrix_ranking(database, scores)).figures
    assert figures.by_class is not None
    assert figures.by_recording is not None
    precision = {point.k: point.value for point in figures.by_class.precision_curve}
    recall = {point.k: point.value for point in figures.by_class.recall_curve}
    assert precision[10] == pytest.approx(figures.by_class.precision_at[0].figure.mean)
    assert recall[20] == 1.0
    assert max(recall) == 20
    assert list(recall.values()) == sorted(recall.values())
    within = {point.k: point.value for point in figures.by_recording.recall_curve}
    assert within[10] == pytest.approx(figures.by_recording.recall_at[2].figure.mean)


def test_the_table_by_class_adds_up_to_the_mean() -> None:
    rng = np.random.default_rng(5)
    database = distinct([*rng.integers(0, 3, 30).tolist(), 3])
    scores = rng.random((31, 31)).astype(np.float32)
    ranking = matrix_ranking(database, scores, protocol="leak_free")
    figures = measured(bench_of(database), ranking).figures.by_class
    assert figures is not None
    rows = figures.per_class
    assert [row.label for row in rows] == ["class 0", "class 1", "class 2", "class 3"]
    assert sum(row.n_queries for row in rows) == 31
    assert rows[3].average_precision.n == 0
    total = sum(row.average_precision.mean * row.average_precision.n for row in rows[:3])
    assert total / 30 == pytest.approx(figures.mean_average_precision.mean)
