"""Frames with two sources: made scenes, frames glued together, and mixtures of their sounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from train.bank import NONE, Bank, bank_of_world, fronts, join, world_config, world_rows
from train.batches import Batches
from train.objective import Batch, Glued, Objective, glue, mix
from train.recipe import Recipe
from train.sampling import Rows, shared_pictures, shown_beside
from train.world import make_scene

GRID = (4, 4)
PX = 64


@pytest.fixture(scope="module")
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0)


@pytest.fixture(scope="module")
def made(network: TwoStreamEncoder) -> Bank:
    return bank_of_world(network, n_scenes=8, seed=4, two_source_share=0.5, picture_px=PX)


def two_frames(group: list[int], beside: Tensor | None = None) -> Batch:
    n = len(group)
    frames = torch.arange(n).view(n, 1, 1, 1).expand(n, 3, PX, PX).float() / n
    return Batch(frames, torch.randn(n, 64, 50), torch.tensor(group), beside=beside)


def test_every_source_of_a_made_scene_is_a_row(network: TwoStreamEncoder, made: Bank) -> None:
    config = world_config(network, n_scenes=8, seed=4, two_source_share=0.5)
    rows = world_rows(config)
    assert len(made) == len(rows) == made.n_sounds > made.n_pictures == 8
    assert made.picture_of.tolist() == [scene for scene, _ in rows]
    assert [made.names[label] for label in made.labels] == [f"world: {kind}" for _, kind in rows]
    for row, (index, kind) in enumerate(rows):
        scene = make_scene(config, index)
        alone = scene.sounds[kind] if len(scene.kinds) == 2 else scene.waveform
        torch.testing.assert_close(made.sounds[row], fronts(network, alone[None])[0])


def test_a_frame_belongs_to_the_sounds_of_all_its_sources() -> None:
    picture_of, groups = np.array([0, 0, 1, 2, NONE]), np.array([5, 6, 5, NONE, 7])
    bank = Bank(
        pictures=torch.empty(3, 0),
        sounds=torch.empty(5, 0),
        picture_of=picture_of,
        sound_of=np.arange(5),
        labels=groups,
        names=tuple("abcdefgh"),
    )
    shared = shared_pictures(bank, groups)
    assert shared == {0: frozenset({5, 6})}
    rows = Rows(
        pictures=np.array([0, 1, 2]),
        sounds=np.array([0, 2, 4]),
        group=np.array([5, 6, 7]),
        regions=np.full(3, NONE),
    )
    shown = shown_beside(rows, shared)
    assert shown.tolist() == [[True, True, False], [False] * 3, [False] * 3]
    batch = two_frames([5, 6, 7], beside=torch.from_numpy(shown))
    assert batch.positive.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_batches_know_what_is_shown_beside(network: TwoStreamEncoder, made: Bank) -> None:
    other = bank_of_world(network, n_scenes=8, seed=5, picture_px=PX)
    recipe = Recipe(batch_size=16, world_share=0.75, crop_px=PX, glued_share=0.0)
    batches = Batches(join([other, made]), made, recipe, window_s=1.0, device=torch.device("cpu"))
    drawn = batches.at(0, 0)
    joined: dict[int, set[int]] = {int(p) + 8: set() for p in made.picture_of}
    for picture, label in zip(made.picture_of, made.labels, strict=True):
        joined[int(picture) + 8].add(int(label) + len(other.names))
    for i, picture in enumerate(drawn.rows.pictures.tolist()):
        labels = joined.get(picture, set()) | {int(drawn.rows.group[i])}
        expected = [group in labels for group in drawn.rows.group.tolist()]
        assert (drawn.batch.positive[i] > 0).tolist() == expected
    assert drawn.batch.beside is not None


def test_frames_that_show_each_others_source_are_not_glued() -> None:
    beside = torch.zeros(2, 2, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    whole = two_frames([0, 1, 0, 1])
    assert glue(whole, generator) is not None
    beside = torch.tensor([[True, True], [False, False]]).repeat(2, 2)
    assert glue(replace(whole, beside=beside), generator) is None


def test_a_glued_frame_hears_both_of_its_sounds() -> None:
    batch = two_frames([0, 1, 2, 3, 4, 5])
    glued = glue(batch, torch.Generator().manual_seed(0))
    assert glued is not None
    mixed = mix(batch, np.random.default_rng(0), glued).mixed
    assert mixed is not None
    assert torch.equal(mixed.other[glued.left], glued.right)


def objective_terms(network: TwoStreamEncoder, batch: Batch, glued: Glued) -> dict[str, Tensor]:
    recipe = Recipe(supervised=1.0, attention_target="normalised", crop_px=PX)
    maps = network.eval().encode_frame(glued.frames)
    h = network.encode_sound(torch.randn(len(batch.group), 22_050)).h
    return Objective(recipe, 0).glued_terms(network, maps, h, batch, glued)


def test_boxes_of_glued_frames_are_asked_for(network: TwoStreamEncoder) -> None:
    agreement = torch.zeros(2, 1, 160, 160)
    agreement[0, :, :80] = 1  # the upper half of the left frame, the right one all of it
    agreement[1] = 1
    batch = replace(two_frames([0, 1]), agreement=agreement)
    glued = Glued(torch.rand(1, 3, PX, PX), torch.tensor([0]), torch.tensor([1]))
    recipe = Recipe(supervised=1.0, attention_target="normalised", crop_px=PX)
    objective = Objective(recipe, 0)

    def target(left: float, right: float) -> Tensor:
        shares = torch.tensor([[left], [right]])
        return objective.glued_target(agreement, glued, shares, GRID).view(GRID)

    upper_left, right = torch.zeros(GRID), torch.zeros(GRID)
    upper_left[:2, :2], right[:, 2:] = 1 / 4, 1 / 8
    torch.testing.assert_close(target(1, 0), upper_left)
    torch.testing.assert_close(target(0.7, 0.3), 0.7 * upper_left + 0.3 * right)
    agreement[1] = 0
    torch.testing.assert_close(target(1, 0), upper_left)
    assert not target(0.7, 0.3).any(), "nobody looked at the right half"
    terms = objective_terms(network, batch, glued)
    assert set(terms) == {"half_frame", "glued_supervised"}
    assert all(torch.isfinite(term) and term > 0 for term in terms.values())


def test_supervised_alone_is_alone(network: TwoStreamEncoder) -> None:
    batch = replace(two_frames([0, 1]), agreement=torch.ones(2, 1, 160, 160))
    objective = Objective(Recipe(unsupervised=0.0, supervised=1.0, crop_px=PX), 2)
    assert set(objective(network, batch, None)) == {"supervised"}
