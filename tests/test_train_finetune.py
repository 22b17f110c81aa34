"""Fine-tuning below the command: who is held back, what a change is, what is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from encoder.config import compact, tiny
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.ground_truth import GroundTruth, ground_truth
from indexer.evaluation.contents import Content
from indexer.evaluation.localization.items import Candidate
from indexer.lookup import ItemRow
from train.errors import RecipeError
from train.finetune.card import difference_text
from train.finetune.errors import AnnotationsMissing
from train.finetune.figures import Held, changes, share_inside
from train.finetune.pictures import GAP_PX, PANEL_PX, three_panels
from train.finetune.recipe import RATE, RATE_OF_EVERYTHING, Tuning, recipe_of
from train.finetune.rows import MOST_HELD_BACK, Split, deal

LEFT = AnnotatedBox(x0=0.0, y0=0.0, x1=0.5, y1=1.0, annotator="me")


def item(
    number: int,
    picture: str,
    sound: str,
    *,
    drawn: bool,
    group: str = "",
    label: str | None = None,
) -> Candidate:
    """An item of a picture file and a sound file, with a box or without."""
    boxes = (LEFT,) if drawn else ()
    row = ItemRow(
        id=number,
        kind="pair",
        image=picture,
        audio=sound,
        frame_time_s=None,
        t0=0.0,
        t1=1.0,
        label=label,
        metadata={"group": group} if group else {},
    )
    return Candidate(
        row=row,
        content=Content(frame=(picture, -1.0), sound=(sound, 0.0, 1.0), one_file=False),
        key=number,
        boxes=boxes,
        truth=ground_truth(boxes) if drawn else None,
    )


def collection(n: int, n_annotated: int) -> list[Candidate]:
    """Items of which two and two share a picture file."""
    return [item(i, f"p{i // 2}", f"s{i}", drawn=i < n_annotated) for i in range(n)]


def files(items: Sequence[Candidate]) -> set[object]:
    parts = [part for one in items for part in (one.content.frame, one.content.sound)]
    return {part[0] for part in parts if part is not None}


def ids(items: Sequence[Candidate]) -> list[int]:
    return [one.id for one in items]


def test_no_file_is_on_both_sides():
    items = collection(120, 40)
    split = deal(items, hold_back=0.3, most_pairs=1000)
    assert not files(split.training) & files(split.held_back)
    assert sorted(ids(split.training) + ids(split.held_back)) == list(range(120))
    assert len(split.annotated_held_back) == 12
    assert len(split.held_back) == 36


def test_a_recording_is_on_one_side():
    items = [item(i, f"p{i}", f"s{i}", drawn=True, group=f"r{i // 3}") for i in range(60)]
    split = deal(items, hold_back=0.25, most_pairs=0)
    groups = [{one.row.metadata["group"] for one in part} for part in vars(split).values()]
    assert not groups[0] & groups[1]
    assert len(split.held_back) == 15


def test_the_seed_decides_who_is_held_back():
    items = collection(80, 40)

    def held(seed: int) -> list[int]:
        return ids(deal(items, hold_back=0.3, most_pairs=1000, seed=seed).held_back)

    assert held(1) == held(1)
    assert held(1) != held(2)


def test_only_so_many_items_without_boxes_take_part():
    split = deal(collection(1000, 20), hold_back=0.4, most_pairs=50)
    assert len(split.training) - len(split.annotated_training) == 50
    assert len(split.held_back) - len(split.annotated_held_back) <= MOST_HELD_BACK


def test_annotations_of_one_file_cannot_be_held_back():
    items = [item(i, "p", f"s{i}", drawn=True) for i in range(20)]
    with pytest.raises(AnnotationsMissing, match="share files"):
        deal(items, hold_back=0.3, most_pairs=10)


def test_labels_pair_where_either_kind_has_several():
    def is_so(*labels: str | None) -> bool:
        """Two annotated items, then others."""
        rows = [item(i, f"p{i}", f"s{i}", drawn=i < 2, label=k) for i, k in enumerate(labels)]
        return Split(training=tuple(rows), held_back=()).are_labelled

    assert is_so("dog", "cat", "dog", "cat")
    assert is_so("dog", "cat")
    assert not is_so("dog", "dog", "dog", "cat")
    assert not is_so("dog", "cat", "dog", None)


def test_frozen_streams_see_nothing_varied():
    recipe = recipe_of(Tuning(), compact(), n_annotated=30, n_others=100)
    assert (recipe.frozen, recipe.augment, recipe.learning_rate) == (True, False, RATE)
    assert recipe.annotated_share == 0.5
    assert recipe.crop_px == compact().frame_px
    whole = recipe_of(Tuning(everything=True), compact(), n_annotated=30, n_others=100)
    assert (whole.frozen, whole.augment, whole.learning_rate) == (False, True, RATE_OF_EVERYTHING)


def test_labels_pair_unless_recordings_are_asked_for():
    def positives(tuning: Tuning, are_labelled: bool) -> str:
        return recipe_of(
            tuning, tiny(), n_annotated=9, n_others=9, are_labelled=are_labelled
        ).positives

    assert positives(Tuning(), True) == "label"
    assert positives(Tuning(), False) == "recording"
    assert positives(Tuning(positives="recording"), True) == "recording"


def test_annotated_items_alone_make_batches():
    recipe = recipe_of(Tuning(batch_size=64), tiny(), n_annotated=8, n_others=0)
    assert recipe.annotated_share is None
    assert recipe.batch_size == 8


@pytest.mark.parametrize("wrong", [{"hold_back": 1.0}, {"supervised": 0.0}, {"most_pairs": -1}])
def test_tuning_that_cannot_be(wrong: dict[str, float]):
    with pytest.raises(RecipeError):
        Tuning(**wrong)  # type: ignore[arg-type]


def test_share_of_the_attention_in_a_region():
    maps = np.array([[[0.1, 0.3], [0.2, 0.4]]], np.float32)
    left = np.zeros((1, 2, 2), np.bool_)
    left[..., 0] = True
    assert share_inside(maps, left) == pytest.approx([0.3])
    assert share_inside(maps, ~left) == pytest.approx([0.7])
    assert share_inside(maps, np.ones_like(left)) == pytest.approx([1.0])


def held(cious: list[float]) -> Held:
    values = np.array(cious)
    maps = np.zeros((len(values), 2, 2), np.float32)
    return Held(maps=maps, cious=values, median_cious=values, inside=values, retrieval=None)


def truths(n: int) -> list[GroundTruth]:
    return [ground_truth([LEFT])] * n


def test_a_change_is_a_paired_difference():
    found = changes(held([0.2, 0.4, 0.6, 0.1]), held([0.4, 0.6, 0.8, 0.3]), truths(4))
    mean = found.named("mean cIoU")
    assert mean.difference is not None
    assert mean.difference.mean == pytest.approx(0.2)
    assert mean.difference.low == pytest.approx(0.2)  # the same gain everywhere: no doubt at all
    assert mean.difference.high == pytest.approx(0.2)
    success = found.named("success")
    assert (success.before.mean, success.after.mean) == (0.25, 0.5)
    assert found.named("AUC").after.mean > found.named("AUC").before.mean


def test_regions_that_know_nothing_stand_beside():
    found = changes(held([0.2, 0.3]), held([0.2, 0.3]), truths(2))
    (centre, whole) = found.blind
    assert (centre[0], whole[0]) == ("centre box", "whole picture")
    assert whole[1].mean == 1.0  # the box is half of the frame: cIoU is exactly 0.5
    assert centre[1].mean == 0.0


def test_an_interval_of_one_item_is_null_in_json():
    values = changes(held([0.2]), held([0.3]), truths(1)).to_json()
    assert values["mean cIoU"]["difference"]["low"] is None
    assert values["mean cIoU"]["difference"]["mean"] == pytest.approx(0.1)


def test_differences_have_a_sign():
    gain = changes(held([0.2, 0.2]), held([0.1, 0.1]), truths(2)).named("mean cIoU").difference
    assert difference_text(gain) == "-0.100 [-0.100, -0.100]"
    assert difference_text(None) == ""


def test_panels_stand_side_by_side():
    pixels = np.full((30, 60, 3), 90, np.uint8)
    lit = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    sheet = np.asarray(three_panels(pixels, (LEFT,), lit, lit[:, ::-1].copy()))
    assert sheet.shape == (PANEL_PX // 2, 3 * PANEL_PX + 2 * GAP_PX, 3)
    before, after = sheet[:, PANEL_PX + GAP_PX : -PANEL_PX - GAP_PX], sheet[:, -PANEL_PX:]
    corner = (slice(20, 40), slice(20, 40))
    assert before[corner].mean() > after[corner].mean()
