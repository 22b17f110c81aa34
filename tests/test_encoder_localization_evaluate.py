"""Figures of sets of maps: against single samples by hand, degenerate rows, splits, speed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.intervals import wilson_interval
from encoder.localization import (
    ADAPTIVE,
    HALF,
    MEDIAN,
    AnnotatedBox,
    GroundTruth,
    MapFigures,
    consensus_iou,
    consensus_ious,
    disjoint_splits,
    evaluate_maps,
    ground_truth,
    masks_of,
    resize_maps,
    split_figures,
)
from encoder.localization.errors import (
    GroundTruthError,
    LocalizationError,
    MapError,
    ShapeError,
)
from encoder.localization.evaluate import (
    annotator_ious,
    areas,
    centre_ious,
    random_ious,
    whole_ious,
)
from encoder.localization.splits import linked

Maps = NDArray[np.float32]


def drawn(rng: np.random.Generator, n_annotators: int = 3) -> GroundTruth:
    """Annotators who draw about the same box."""
    x, y, wide, high = *rng.uniform(0, 0.5, 2), *rng.uniform(0.2, 0.5, 2)
    boxes = []
    for n in range(n_annotators):
        left, top = np.clip(np.array([x, y]) + rng.uniform(-0.03, 0.03, 2), 0, 1)
        boxes.append(
            AnnotatedBox(x0=left, y0=top, x1=left + wide - 0.05, y1=top + high, annotator=f"a{n}")
        )
    return ground_truth(boxes)


def samples(n: int, seed: int = 0) -> tuple[Maps, list[GroundTruth]]:
    rng = np.random.default_rng(seed)
    return rng.random((n, 8, 8), dtype=np.float32), [drawn(rng) for _ in range(n)]


def test_blocks_are_the_samples_one_by_one() -> None:
    maps, truths = samples(150)
    together = consensus_ious(maps, truths, [ADAPTIVE, MEDIAN, HALF])
    for at in (0, 63, 64, 149):
        agreement = truths[at].score_map((224, 224))[None]
        for row, threshold in enumerate((ADAPTIVE, MEDIAN, HALF)):
            region = masks_of(resize_maps(maps[at : at + 1]), threshold, agreement)
            assert together[row, at] == pytest.approx(consensus_iou(region, agreement)[0])


def test_a_map_of_the_ground_truth_is_perfect() -> None:
    _, truths = samples(5)
    exact = np.stack([truth.score_map((224, 224)) for truth in truths])
    figures = evaluate_maps(exact, truths, threshold=ADAPTIVE)
    assert figures.success.mean == figures.mean.mean == figures.auc.mean == 1.0
    assert figures.curve == (1.0,) * 21


def test_agreements_may_come_as_arrays_of_any_size() -> None:
    agreement = np.zeros((2, 20, 20), np.float32)
    agreement[:, 5:15, 5:15] = 1
    figures = evaluate_maps(agreement, agreement, threshold=HALF)
    assert figures.success.mean == 1.0
    assert whole_ious(agreement).tolist() == [0.25, 0.25]
    assert centre_ious(agreement).tolist() == [1.0, 1.0]
    assert areas(agreement).tolist() == [0.25, 0.25]


def test_figures_do_not_depend_on_the_order() -> None:
    maps, truths = samples(90)
    order = np.random.default_rng(5).permutation(90)
    shuffled = evaluate_maps(maps[order], [truths[at] for at in order])
    assert shuffled == evaluate_maps(maps, truths)


def test_success_has_wilsons_interval() -> None:
    figures = MapFigures.of(np.array([0.2, 0.5, 0.9, 1.0]))
    assert (figures.success.low, figures.success.high) == wilson_interval(3, 4)
    assert figures.success.mean == figures.curve[10] == 0.75


def test_means_stay_among_the_values_that_there_can_be() -> None:
    few = MapFigures.of(np.array([0.0, 0.9, 1.0]))
    assert (few.mean.low, few.mean.high) == (0.0, 1.0)  # Student's own reach past both ends
    assert (few.auc.low, few.auc.high) == (0.0, 1.0)
    perfect = MapFigures.of(np.ones(40))
    assert perfect.mean.low == perfect.auc.low == pytest.approx(perfect.success.low)
    assert perfect.success.low < 1
    assert perfect.mean.high == perfect.auc.high == 1.0


def test_random_maps_reach_their_expectation() -> None:
    """Half of the area at random: a / (1 + a); as much as the target: a / (2 − a)."""
    box = AnnotatedBox(x0=0.125, y0=0.25, x1=0.875, y1=0.75)
    truths, a = [ground_truth([box])] * 30, 0.375
    adaptive, median = random_ious(truths, [ADAPTIVE, MEDIAN])
    assert median.mean() == pytest.approx(a / (1 + a), abs=0.002)
    assert adaptive.mean() == pytest.approx(a / (2 - a), abs=0.002)


def test_a_random_map_belongs_to_its_key() -> None:
    _, truths = samples(4)
    forward = random_ious(truths, [MEDIAN], keys=[7, 8, 9, 10])[0]
    backward = random_ious(truths[::-1], [MEDIAN], keys=[10, 9, 8, 7])[0]
    assert forward.tolist() == backward[::-1].tolist()
    assert forward.tolist() != random_ious(truths, [MEDIAN], keys=[7, 8, 9, 10], seed=1)[0].tolist()


def test_degenerate_regions() -> None:
    whole = ground_truth([AnnotatedBox(x0=0, y0=0, x1=1, y1=1)])
    centre = ground_truth([AnnotatedBox(x0=0.25, y0=0.25, x1=0.75, y1=0.75)])
    assert whole_ious([whole, centre]).tolist() == [1.0, 0.25]
    assert centre_ious([whole, centre]).tolist() == [0.25, 1.0]


def test_each_annotator_has_its_own_iou() -> None:
    left = AnnotatedBox(x0=0, y0=0, x1=0.5, y1=1, annotator="left")
    all_of_it = AnnotatedBox(x0=0, y0=0, x1=1, y1=1, annotator="all")
    maps = np.zeros((1, 2, 2), np.float32)
    maps[0, :, 0] = 1
    truth = ground_truth([left, all_of_it], n_agree=1)
    exact = np.zeros((1, 224, 224), np.float32)
    exact[0, :, :112] = 1
    found = annotator_ious(exact, [truth], threshold=HALF)
    assert {name: values.tolist() for name, values in found.items()} == {
        "all": [0.5],
        "left": [1.0],
    }


def test_bad_input_names_the_sample() -> None:
    maps, truths = samples(70)
    with pytest.raises(ShapeError, match="70 maps against 69"):
        evaluate_maps(maps, truths[:-1])
    broken = maps.copy()
    broken[66, 0, 0] = np.inf
    with pytest.raises(MapError, match="map 66"):
        evaluate_maps(broken, truths)
    truths[67] = ground_truth([AnnotatedBox(x0=0, y0=0, x1=1e-4, y1=1)])
    with pytest.raises(GroundTruthError, match="ground truth 67"):
        evaluate_maps(maps, truths)


def test_no_sample_gives_no_number() -> None:
    figures = evaluate_maps(np.zeros((0, 4, 4), np.float32), [])
    assert figures.success.n == 0
    assert np.isnan(figures.auc.mean)
    assert np.isnan(figures.curve).all()


def test_a_thousand_samples_take_seconds() -> None:
    maps, truths = samples(1000)
    began = time.process_time()
    consensus_ious(maps, truths, [ADAPTIVE, MEDIAN, HALF])
    assert time.process_time() - began < 12  # 1.4 s on one core of the machine that wrote this


# ── splits ───────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=9, max_size=60), st.integers(0, 99))
def test_splits_are_disjoint_and_keep_groups(groups: list[int], seed: int) -> None:
    groups = [*groups, 100, 101, 102]
    names = [f"s{at}" for at in range(len(groups))]
    splits = disjoint_splits(names, groups, seed=seed)
    dealt = np.concatenate(splits)
    assert sorted(dealt.tolist()) == list(range(len(groups)))
    homes = [{groups[at] for at in split.tolist()} for split in splits]
    assert sum(map(len, homes)) == len(set(groups))


def test_single_samples_are_dealt_evenly_whatever_their_order() -> None:
    names = [f"s{at:02d}" for at in range(20)]
    splits = disjoint_splits(names, seed=4)
    assert sorted(map(len, splits)) == [6, 7, 7]
    back = disjoint_splits(names[::-1], seed=4)
    assert [{names[at] for at in split} for split in splits] == [
        {names[::-1][at] for at in split} for split in back
    ]
    assert [split.tolist() for split in disjoint_splits(names, seed=5)] != [
        split.tolist() for split in splits
    ]


def test_sets_can_be_smaller_than_all() -> None:
    splits = disjoint_splits([str(at) for at in range(30)], n_samples=5)
    assert [len(split) for split in splits] == [5, 5, 5]


def test_splits_that_cannot_be_are_refused() -> None:
    with pytest.raises(LocalizationError, match="2 groups"):
        disjoint_splits(["a", "b", "c"], [0, 0, 1])
    with pytest.raises(LocalizationError, match="distinct"):
        disjoint_splits(["a", "a", "b"])


def test_split_figures_sum_up_each_set() -> None:
    values = np.array([1.0, 1.0, 0.0, 0.0])
    figures = split_figures(values, [np.array([0, 1]), np.array([2, 3])])
    assert [one.success.mean for one in figures.splits] == [1.0, 0.0]
    assert figures.success_spread == pytest.approx(0.5**0.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(10, 16)), max_size=15))
def test_linked_is_the_transitive_closure(origins: list[tuple[int, int]]) -> None:
    groups = list(range(len(origins)))
    for _ in origins:  # spread the least number until nothing changes
        for a, one in enumerate(origins):
            for b, other in enumerate(origins):
                if set(one) & set(other):
                    groups[a] = groups[b] = min(groups[a], groups[b])
    assert linked(origins) == groups
