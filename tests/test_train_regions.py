"""Boxes of a manifest as what the attention is asked for: the consensus, or single opinions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_fixtures import Row, rewritten, write_split_world

from encoder.config import tiny
from encoder.localization.boxes import box_of, mask_of_boxes
from encoder.two_stream import TwoStreamEncoder
from train.bank import AGREEMENT_PX, NONE, world_config, world_rows
from train.batches import Batches
from train.errors import PairsError
from train.listed import WORLD_SEED, banks_of, listed_rows
from train.pairs import read_pairs
from train.recipe import Recipe
from train.regions import Opinions, boxes_of, regions_of, truths_of
from train.sampling import LabelSampler
from train.world import make_scene

SIDE = (AGREEMENT_PX, AGREEMENT_PX)
FRAME_PX = 96
LEFT, RIGHT = [0, 0, 48, 96], [48, 0, 96, 96]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_world(tmp_path_factory.mktemp("world"), n_scenes=12)


def drawn_in(world: Path, *, boxes: dict[int, list], name: str) -> Path:
    def change(number: int, row: Row) -> Row:
        return row | {"boxes": json.dumps(boxes[number]) if number in boxes else ""}

    return rewritten(world, world.with_name(f"{name}.csv"), change)


def by(annotator: str, box: list[float], kind: str = "object") -> dict:
    return {"box": box, "annotator": annotator, "kind": kind}


def mask(box: list[float]) -> np.ndarray:
    return mask_of_boxes([box_of(box, size=(FRAME_PX, FRAME_PX))], SIDE)


def test_the_consensus_is_drawn_where_people_drew(world: Path) -> None:
    boxes = {
        1: [by("a", LEFT), by("b", LEFT), by("c", RIGHT)],
        3: [by("a", RIGHT, "ambient")],
        4: [[0.5, 0, 1, 1]],
    }
    manifest = drawn_in(world, boxes=boxes, name="drawn")
    pairs = read_pairs(manifest)
    truths = truths_of(pairs, boxes_of(manifest), with_sound=True)
    assert list(truths) == [1, 4], "an ambient sound comes from nowhere"
    regions = regions_of(truths, len(pairs), "consensus")
    assert regions.of.tolist() == [NONE, 0, NONE, NONE, 1, *[NONE] * 7]
    agreed = regions.maps[0, 0].numpy()
    assert (agreed[mask(LEFT)] == 255).all(), "two of three agree (S19 eq. 9)"
    assert (agreed[mask(RIGHT)] == 128).all()
    assert (regions.maps[1, 0].numpy() == 255 * mask(RIGHT)).all(), "fractions of the frame"


def test_one_opinion_is_drawn_at_a_time(world: Path) -> None:
    boxes = {0: [by("a", LEFT), by("b", RIGHT)], 1: [by("a", [0, 0, 96, 48])]}
    manifest = drawn_in(world, boxes=boxes, name="opinions")
    pairs = read_pairs(manifest)
    regions = regions_of(
        truths_of(pairs, boxes_of(manifest), with_sound=True), len(pairs), "random"
    )
    assert isinstance(regions, Opinions)
    assert regions.of[:3].tolist() == [0, 2, NONE]
    draws = regions.drawn(np.repeat([0, 2], 200), torch.Generator().manual_seed(0))
    assert set(draws[:200]) == {0, 1}
    assert 60 < (draws[:200] == 0).sum() < 140
    assert set(draws[200:]) == {2}
    assert (regions.maps[1, 0].numpy() == 255 * mask(RIGHT)).all()


def test_what_was_drawn_reaches_the_batch(world: Path) -> None:
    """Beside a world, too, whose sources come after and know their boxes."""
    boxes = {n: [by("a", LEFT), by("b", RIGHT)] for n in range(6)}
    manifest = drawn_in(world, boxes=boxes, name="batch")
    recipe = Recipe(
        positives="recording", supervised=1.0, annotator="random", batch_size=8, crop_px=64,
        world_share=0.5, n_world=8, augment=False,
    )  # fmt: skip
    listed = listed_rows(manifest, recipe, with_boxes=True, choose_on_val=False)
    bank, made = banks_of(listed, recipe, TwoStreamEncoder(tiny(), seed=0))
    batches = Batches(bank, made, recipe, window_s=1.0, device=torch.device("cpu"))
    seen = set()
    for step in range(8):
        drawn = batches.at(step, 0)
        assert drawn.batch.agreement is not None
        agreements = drawn.batch.agreement[:, 0]
        for region, agreement in zip(drawn.rows.regions[:4], agreements, strict=False):
            sides = agreement[:, :80].mean().item(), agreement[:, 80:].mean().item()
            is_whole = sides in {(1.0, 0.0), (0.0, 1.0)}
            assert is_whole if region != NONE else sides == (0.0, 0.0)
            seen.add(sides)
        assert (agreements[4:].amax(dim=(1, 2)) == 1).all(), "made scenes"
    assert seen == {(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)}


def test_a_picture_without_a_sound_counts_where_labels_pair(world: Path) -> None:
    boxes = {n: [by("a", LEFT)] for n in range(2)}
    drawn = drawn_in(world, boxes=boxes, name="drawn")
    silent = rewritten(
        drawn, world.with_name("silent.csv"), lambda n, row: row | {"audio": row["audio"] * (n > 0)}
    )
    for positives, rows in (("label", {0, 1}), ("recording", {1})):
        recipe = Recipe(positives=positives, supervised=1.0, batch_size=4, world_share=0.0)
        listed = listed_rows(silent, recipe, with_boxes=True, choose_on_val=False)
        assert set(listed.truths) == rows


def test_a_box_that_leaves_its_picture_is_named(world: Path) -> None:
    manifest = drawn_in(world, boxes={2: [[0, 0, 500, 50]]}, name="outside")
    with pytest.raises(PairsError, match=r"scene-0002.*outside its frame.*mend"):
        truths_of(read_pairs(manifest), boxes_of(manifest), with_sound=True)


def test_made_scenes_have_boxes_too(world: Path) -> None:
    network = TwoStreamEncoder(tiny())
    recipe = Recipe(supervised=1.0, world_share=0.5, n_world=3, batch_size=4)
    manifest = drawn_in(world, boxes={1: [LEFT]}, name="with_world")
    listed = listed_rows(manifest, recipe, with_boxes=True, choose_on_val=False)
    bank, made = banks_of(listed, recipe, network)
    assert made is not None
    assert bank.regions is not None
    config = world_config(network, n_scenes=3, seed=WORLD_SEED, two_source_share=0.5)
    rows = world_rows(config)
    assert len(rows) > 3, "scenes of two sources"
    assert bank.is_annotated[-len(rows) :].all()
    for i, (scene, kind) in enumerate(rows):
        ours = bank.regions.maps[bank.regions.of[len(bank) - len(rows) + i]].float() / 255
        drawn = [
            mask_of_boxes(
                [box_of((b.x0, b.y0, b.x1, b.y1), size=(config.frame_px, config.frame_px))], SIDE
            )
            for b in make_scene(config, scene).boxes
            if b.kind == kind
        ]
        consensus = np.minimum(np.sum(drawn, axis=0) / 2, 1)  # two of three agree (S19 eq. 9)
        assert np.abs(ours[0].numpy() - consensus).max() < 0.01


def test_with_labels_a_picture_keeps_what_was_drawn_into_it(world: Path) -> None:
    network = TwoStreamEncoder(tiny())
    recipe = Recipe(supervised=1.0, world_share=0.0, batch_size=4)
    boxes = {number: [LEFT] for number in range(0, 12, 3)}
    manifest = drawn_in(world, boxes=boxes, name="by_label")
    listed = listed_rows(manifest, recipe, with_boxes=True, choose_on_val=False)
    bank, _ = banks_of(listed, recipe, network)
    assert bank.regions is not None
    known = {int(bank.picture_of[row]): int(bank.regions.of[row]) for row in range(len(bank))}
    rows = LabelSampler(bank).draw(64, np.random.default_rng(0))
    assert rows.regions.tolist() == [known[picture] for picture in rows.pictures.tolist()]
    assert (rows.regions != NONE).any()
