"""Boxes to pixels and to an agreement: the rasterisation rule, the consensus, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.localization import AnnotatedBox, box_of, boxes_json, consensus_map, ground_truth
from encoder.localization.boxes import ROUNDING, mask_of_boxes
from encoder.localization.errors import GroundTruthError
from encoder.localization.ground_truth import DISAGREE, NO_OBJECT, score_maps

SIZE = (20, 20)
edges = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[1] - pair[0] > 1e-6)


def box(x0: float, y0: float, x1: float, y1: float, **facts: str) -> AnnotatedBox:
    return AnnotatedBox(x0=x0, y0=y0, x1=x1, y1=y1, **facts)  # type: ignore[arg-type]


def test_pixels_are_fractions_of_the_frame() -> None:
    assert box_of((10, 0, 20, 41), size=(40, 41)) == box(0.25, 0, 0.5, 1)


def test_a_corner_on_the_edge_may_be_rounded_but_no_more() -> None:
    assert box_of((0, 0, 1 + ROUNDING / 2, 1)).x1 == 1.0
    for corners in ((0, 0, 1.2, 1), (-0.1, 0, 0.5, 1), (0, 0, 0.5, -2.88e16), (0, 0, np.nan, 1)):
        with pytest.raises(GroundTruthError, match="outside its frame"):
            box_of(corners)


@pytest.mark.parametrize("corners", [(0.2, 0, 0.2, 1), (0.4, 0, 0.2, 1), (0.2, 0.5, 0.4, 0.5)])
def test_a_box_without_area_is_refused(corners: tuple[float, ...]) -> None:
    with pytest.raises(GroundTruthError, match="without area"):
        box_of(corners)


def test_a_pixel_belongs_to_the_box_that_holds_its_centre() -> None:
    row = mask_of_boxes([box(0.25, 0, 0.625, 1)], (1, 4))[0]  # centres 0.125, 0.375, 0.625, 0.875
    assert row.tolist() == [False, True, False, False]
    assert mask_of_boxes([box(0.125, 0, 0.625, 1)], (1, 4))[0].tolist() == [
        True,
        True,
        False,
        False,
    ]


@settings(max_examples=60, deadline=None)
@given(edges, edges, st.integers(1, 40), st.integers(1, 40))
def test_rasterisation_is_the_test_of_every_centre(
    across: tuple[float, float], down: tuple[float, float], height: int, width: int
) -> None:
    drawn = box(across[0], down[0], across[1], down[1])
    slow = np.zeros((height, width), bool)
    for r in range(height):
        for c in range(width):
            x, y = (c + 0.5) / width, (r + 0.5) / height
            near = min(abs(x - e) for e in across) < 1e-8 or min(abs(y - e) for e in down) < 1e-8
            slow[r, c] = drawn.x0 <= x < drawn.x1 and drawn.y0 <= y < drawn.y1
            if near:  # rounding of floats decides; the rule itself is pinned above
                slow[r, c] = mask_of_boxes([drawn], (height, width))[r, c]
    assert np.array_equal(mask_of_boxes([drawn], (height, width)), slow)


def test_boxes_of_one_annotator_are_one_region() -> None:
    mask = mask_of_boxes([box(0, 0, 0.5, 1), box(0.25, 0, 0.75, 1)], (2, 4))
    assert mask.sum() == 6


def test_consensus_is_eq_9_and_the_mean_is_o20s() -> None:
    masks = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]]], dtype=bool)
    assert consensus_map(masks, n_agree=2)[0].tolist() == [1.0, 1.0, 0.5, 0.0]
    assert consensus_map(masks, n_agree=3)[0] == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_what_the_only_annotator_drew_counts_in_full() -> None:
    truth = ground_truth([box(0, 0, 0.5, 1)])
    assert truth.n_agree == 1
    assert set(np.unique(truth.score_map(SIZE))) == {0.0, 1.0}


def test_mean_divides_by_all_annotators() -> None:
    drawn = [box(0, 0, 0.5, 1, annotator=name) for name in "ab"]
    truth = ground_truth([*drawn, box(0.5, 0, 1, 1, annotator="c")], agreement="mean")
    assert np.unique(truth.score_map(SIZE)) == pytest.approx([1 / 3, 2 / 3])


def test_frames_that_annotators_disagree_on_are_refused() -> None:
    ambient = box(0, 0, 1, 1, annotator="b", kind="ambient")
    with pytest.raises(GroundTruthError, match=DISAGREE):
        ground_truth([box(0, 0, 0.5, 1, annotator="a"), ambient])
    with pytest.raises(GroundTruthError, match=NO_OBJECT):
        ground_truth([ambient])
    with pytest.raises(GroundTruthError, match=NO_OBJECT):
        ground_truth([])


def test_an_empty_or_broken_ground_truth_is_named() -> None:
    sliver = ground_truth([box(0.001, 0, 0.002, 1)])
    with pytest.raises(GroundTruthError, match="ground truth 7: no pixel"):
        score_maps([sliver], SIZE, first=7)
    for bad in (np.nan, 1.5, -0.5):
        with pytest.raises(GroundTruthError, match="ground truth 0: outside"):
            score_maps(np.full((1, 2, 2), bad), (2, 2))


def test_boxes_go_through_a_manifest_and_back() -> None:
    drawn = box(0.25, 0.1, 0.75, 0.9, annotator="ä", kind="object", tag="dog")
    entry = json.loads(boxes_json([drawn], (200, 100)))[0]
    facts = {name: entry[name] for name in ("annotator", "kind", "tag")}
    assert box_of(entry["box"], size=(100, 200), **facts) == drawn
