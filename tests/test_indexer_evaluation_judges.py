"""Who is right: overlap of pseudo labels, labels that do not fit, calibration of scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_fixtures import bench_of, database_of, distinct, pseudo_labels, top_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.intervals import mean_figure, wilson_interval
from indexer.evaluation.calibration import N_BINS, ScoreBins, ratio_figures
from indexer.evaluation.errors import LabelsInvalid
from indexer.evaluation.figures import ChanceFigures
from indexer.evaluation.judges import PseudoPanel
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.remarks import warnings_of

SETS = {100: [1, 2], 101: [2, 3], 102: [4]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_right_is_a_label_in_common(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    database = distinct([0] * n)
    image, audio = (
        {int(i): rng.permutation(15)[: rng.integers(1, 11)].tolist() for i in database.ids}
        for _ in range(2)
    )
    judge = bench_of(database, pseudo_labels(image, audio, n_names=15)).pseudo_judge(
        "image_to_audio"
    )
    assert judge is not None
    gallery = rng.permutation(n)
    right = judge.facing(gallery)(np.arange(n))
    expected = [
        [bool(set(image[int(q)]) & set(audio[int(database.ids[a])])) for a in gallery]
        for q in database.ids
    ]
    assert right.tolist() == expected


def test_the_exchanged_side_judges_associative_rankings() -> None:
    database = distinct([0, 0, 0])
    bench = bench_of(database, pseudo_labels(SETS, None))
    keeps_audio = bench.pseudo_judge("keep_audio")
    assert keeps_audio is not None
    right = keeps_audio.facing(np.arange(3))(np.array([0]))
    assert right.tolist() == [[True, True, False]]
    assert bench.pseudo_judge("keep_image") is None
    assert bench.pseudo_judge("audio_to_image") is None


def test_items_without_labels_are_counted_and_ask_nothing() -> None:
    database = database_of([0, 1, 2, 3], [0, 1, 2, -1], [0] * 4)
    labels = pseudo_labels({100: [1], 102: [2], 900: [1]}, {100: [1], 101: [2], 102: [3]})
    panel = PseudoPanel(labels, database)
    assert panel.exclusions == {
        "no image pseudo label": 2,
        "image pseudo labels of items outside the database": 1,
    }
    judge = panel.judge("audio", "image")
    assert judge is not None
    assert judge.asks.tolist() == [True, True, True, False]
    assert judge.answers.tolist() == [True, False, True, False]


def test_only_the_best_labels_count_where_fewer_are_kept() -> None:
    labels = pseudo_labels({100: [1, 2], 101: [3, 2]}, {100: [2, 1], 101: [3, 1]})
    found = {}
    for kept in (1, 2):
        judge = PseudoPanel(labels, distinct([0, 0]), kept=kept).judge("image", "audio")
        assert judge is not None
        found[kept] = judge.facing(np.arange(2))(np.arange(2)).tolist()
    assert found == {1: [[False, False], [False, True]], 2: [[True, True], [True, True]]}


@pytest.mark.parametrize(("closed_form", "n"), [(0.5, 0), (0.51, 1)])
def test_labels_that_meet_by_chance_are_warned_of(closed_form: float, n: int) -> None:
    level = ChanceFigures(
        direction="audio_to_image",
        closed_form=closed_form,
        trials=closed_form,
        standard_error=0.01,
        z=0.0,
        agrees=True,
        n_trials=100,
        n_drawn=10,
        n_queries=5,
    )
    warnings = warnings_of((), (level,), RetrievalOptions())
    assert len(warnings) == n
    assert all("51%" in warning and "--labels-kept 1" in warning for warning in warnings)


def test_labels_that_do_not_fit_are_refused_by_name() -> None:
    database = distinct([0, 0, 0])
    fitting = pseudo_labels(SETS, SETS)
    PseudoPanel(fitting, database)
    image = fitting.image
    assert image is not None
    broken = {
        "item 102 has image label 20": replace(
            image, labels=np.where(image.labels == 4, 20, image.labels)
        ),
        "item 100 has image label -2": replace(
            image, labels=np.where(image.labels == 1, -2, image.labels)
        ),
        "item 101 has a NaN image score": replace(
            image, scores=np.where(np.arange(3)[:, None] == 1, np.nan, image.scores)
        ),
        "ascending": replace(image, ids=image.ids[::-1]),
        "were to be expected": replace(image, labels=image.labels[:, :5]),
        "none of the 2 image labels": top_labels({7: [1], 8: [2]}),
        "none of the 0 image labels": top_labels({}),
    }
    for reason, labels in broken.items():
        with pytest.raises(LabelsInvalid, match=reason) as caught:
            PseudoPanel(replace(fitting, image=labels), database)
        assert "made up 1" in str(caught.value)
        assert "retrieval label" in str(caught.value)


def test_labels_of_another_vocabulary_are_refused() -> None:
    """Ids of a thousand names against a vocabulary of twenty."""
    labels = pseudo_labels(SETS, {100: [999], 101: [2], 102: [3]})
    with pytest.raises(LabelsInvalid, match="vocabulary numbers ends at 19"):
        PseudoPanel(labels, distinct([0, 0, 0]))


def test_bins_count_right_answers_by_score() -> None:
    scores = np.array([[0.51, 0.52, -1.0, 1.0], [0.51, 0.0, 0.549, 1.0]], np.float32)
    right = np.array([[True, False, False, True], [True, True, True, False]])
    counted = np.array([[True, True, True, True], [True, True, True, False]])
    bins = ScoreBins(2)
    bins.take(np.arange(2), scores, right, counted)
    found = {b.low: b for b in bins.figures(lambda middles: (middles + 1) * 50, seed=0)}
    assert [(low, b.right.n, b.right.mean) for low, b in found.items()] == [
        (-1.0, 1, 0.0),
        (0.0, 1, 1.0),
        (0.5, 4, 0.75),
        (0.95, 1, 1.0),
    ]
    assert found[0.5].high == 0.55
    assert (found[0.95].right.low, found[0.95].right.high) == wilson_interval(1, 1)
    assert found[0.5].percentile == pytest.approx(76.25)
    assert all(b.percentile is None for b in bins.figures(None, seed=0))
    assert N_BINS == 40


def test_a_score_on_an_edge_belongs_to_the_bin_above() -> None:
    edges = np.linspace(-1, 1, N_BINS + 1)[:-1].astype(np.float32)
    bins = ScoreBins(1)
    everyone = np.ones((1, N_BINS), np.bool_)
    bins.take(np.array([0]), edges[None], everyone, everyone)
    found = bins.figures(None, seed=0)
    assert [one.right.n for one in found] == [1] * N_BINS
    assert [one.low for one in found] == np.round(edges, 6).astype(float).round(6).tolist()


def test_answers_that_are_all_right_are_as_sure_as_their_queries_are_many() -> None:
    """Resampled they would be sure beyond doubt, whether of one query or of a hundred."""
    under = np.array([[3, 0], [1, 2], [5, 4], [0, 1]], np.int32)
    always, never = ratio_figures(np.where([True, False], under, 0).astype(np.int32), under)
    assert (always.mean, always.n) == (1.0, 9)
    assert (always.low, always.high) == pytest.approx(wilson_interval(3, 3))
    assert (never.low, never.high) == pytest.approx(wilson_interval(0, 3))


def test_a_ratio_over_equal_rows_has_the_interval_of_the_mean() -> None:
    """With one answer per query a ratio is a mean, and the resampling is the same."""
    right = np.random.default_rng(0).integers(0, 2, (60, 1)).astype(np.int32)
    ratio = ratio_figures(right, np.ones_like(right), seed=3)[0]
    mean = mean_figure(right[:, 0].astype(float), seed=3)
    assert ratio.mean == pytest.approx(mean.mean)
    assert (ratio.low, ratio.high) == pytest.approx((mean.low, mean.high))
