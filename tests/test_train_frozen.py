"""Frozen streams: kept features are what the streams say, and nothing in the streams moves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from encoder.checkpoint import load_checkpoint
from encoder.config import compact, tiny
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, bank_of_world
from train.errors import RecipeError
from train.frozen import freeze, is_frozen, maps_of, with_features
from train.loop import train
from train.recipe import Recipe


@pytest.fixture(scope="module")
def network() -> TwoStreamEncoder:
    """The shipped one: a residual stream, of which the projection is still trained."""
    return load_checkpoint(None).network


@pytest.fixture(scope="module")
def bank(network: TwoStreamEncoder) -> Bank:
    return bank_of_world(network, n_scenes=6, seed=9, picture_px=64)


def test_kept_features_are_what_the_streams_say(network: TwoStreamEncoder, bank: Bank) -> None:
    features = with_features(bank, network).features
    assert features is not None
    with torch.inference_mode():
        maps = network.encode_frame(bank.pictures.float() / 255)
        f_s = network.sound.from_front(bank.sounds)
    found = maps_of(network, features.pictures)
    assert found.shape == maps.shape
    # Kept in float16: the relative error of a cell is that of its eleven bits.
    assert torch.linalg.norm(found - maps) < 2e-3 * torch.linalg.norm(maps)
    torch.testing.assert_close(features.f_s, f_s, rtol=1e-4, atol=1e-5)


def test_each_picture_and_sound_has_its_own_features(network: TwoStreamEncoder, bank: Bank) -> None:
    features = with_features(bank, network).features
    assert features is not None
    one = bank.at(np.array([4]))
    with torch.inference_mode():
        maps = network.encode_frame(one.pictures_at(one.picture_of).float() / 255)
    errors = (maps_of(network, features.pictures) - maps).flatten(1).norm(dim=1)
    assert errors.argmin() == 4
    assert errors[4] < 0.1 * errors[[0, 1, 2, 3, 5]].min()


def test_looking_leaves_the_mode_and_the_statistics_alone(
    network: TwoStreamEncoder, bank: Bank
) -> None:
    network = copy.deepcopy(network).train()
    before = copy.deepcopy(network.state_dict())
    with_features(bank, network)
    assert network.training
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


@pytest.mark.parametrize("config", [tiny(), compact()])
def test_only_streams_are_frozen(config) -> None:
    network = TwoStreamEncoder(config, seed=0)
    freeze(network)
    trained = {name for name, weights in network.named_parameters() if weights.requires_grad}
    assert not any(name.startswith("sound.") for name in trained)
    assert trained == {
        name for name, _ in network.named_parameters() if not is_frozen(name, network)
    }
    assert any(name.startswith("visual.trunk.") for name, _ in network.named_parameters())
    assert trained


def test_training_moves_what_is_trained_and_nothing_of_the_streams(
    network: TwoStreamEncoder, bank: Bank
) -> None:
    network = copy.deepcopy(network)
    before = copy.deepcopy(network.state_dict())
    recipe = Recipe(
        positives="recording", coarse=0.0, half_frame=0.0, classes=0.0, glued_share=0.0,
        world_share=0.0, steps=2, batch_size=4, crop_px=64, frozen=True, augment=False, ema=0.0,
        weight_decay=0.5, mixed_precision=False,
    )  # fmt: skip
    train(network, bank, recipe)
    gradients = {name for name, w in network.named_parameters() if w.grad is not None}
    assert gradients
    assert not any(is_frozen(name, network) for name in gradients)
    moved = {n for n, now in network.state_dict().items() if not torch.equal(before[n], now)}
    assert moved
    assert not any(is_frozen(name, network) for name in moved)


def test_a_frozen_trunk_stays_while_all_that_follows_it_learns() -> None:
    network = TwoStreamEncoder(tiny(), seed=0)
    made = bank_of_world(network, n_scenes=24, seed=9, picture_px=64)
    before = copy.deepcopy(network.state_dict())
    recipe = Recipe(
        steps=4, batch_size=8, crop_px=64, crop_s=1.0, world_share=0.0, frozen_trunk=True,
        positives="recording", mixed_share=0.5, glued_share=0.5,
    )  # fmt: skip
    after = train(network, made, recipe).network.state_dict()
    still = {name for name, value in before.items() if torch.equal(value, after[name])}
    trunk = {name for name in before if name.startswith("visual.trunk.0.")}
    assert trunk <= still, "weights and batch statistics"
    assert not {name for name in still - trunk if name.endswith("weight")}


def test_frozen_streams_include_the_trunk() -> None:
    with pytest.raises(RecipeError, match="one of frozen and frozen_trunk"):
        Recipe(frozen=True, frozen_trunk=True, augment=False)
