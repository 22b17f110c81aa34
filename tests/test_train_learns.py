"""A world that is small enough to learn in a minute: retrieval and localization come out of it.

Beside it: fifty boxes against a distractor in `test_retrieval_cli_finetune`, ReLU against ambient
sounds in `retrieval reproduce --world`, which `.ci/run` asks for (S19 Figure 10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.config import tiny
from encoder.localization.evaluate import centre_ious, consensus_ious, whole_ious
from encoder.localization.masks import ADAPTIVE
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, bank_of_world, world_config
from train.figures import Figures, measure
from train.finetune.figures import attention_of
from train.loop import train
from train.recipe import Recipe
from train.regions import regions_of, world_truths

FRAME_PX = 96
N_KNOWN, N_UNSEEN, N_BOXES = 400, 100, 100
KNOWN_SEED, UNSEEN_SEED = 1, 2
RECIPE = Recipe(
    steps=150,
    batch_size=24,
    world_share=0.0,
    learning_rate=2e-3,
    crop_px=FRAME_PX,
    crop_s=1.0,
    augment=False,
    mixed_precision=False,
    ema=0.9,
)


@dataclass(frozen=True)
class Measured:
    """A network on scenes that it has not seen; `cious` (N,) under the adaptive threshold."""

    figures: Figures
    cious: NDArray[np.float64]


def new_network() -> TwoStreamEncoder:
    return TwoStreamEncoder(replace(tiny(), frame_px=FRAME_PX), seed=0)


@pytest.fixture(scope="module")
def known() -> Bank:
    return bank_of_world(new_network(), n_scenes=N_KNOWN, seed=KNOWN_SEED, picture_px=FRAME_PX)


@pytest.fixture(scope="module")
def measured() -> Callable[[TwoStreamEncoder], Measured]:
    config = world_config(new_network(), n_scenes=N_UNSEEN, seed=UNSEEN_SEED)
    unseen = bank_of_world(new_network(), n_scenes=N_UNSEEN, seed=UNSEEN_SEED, picture_px=FRAME_PX)
    truths = list(world_truths(config).values())

    def measured_on_unseen(network: TwoStreamEncoder) -> Measured:
        return Measured(
            measure(network, unseen, frame_px=FRAME_PX),
            consensus_ious(attention_of(network, unseen), truths, [ADAPTIVE])[0],
        )

    return measured_on_unseen


@pytest.fixture(scope="module")
def untrained(measured: Callable[[TwoStreamEncoder], Measured]) -> Measured:
    return measured(new_network().eval())


@pytest.fixture(scope="module")
def unsupervised(known: Bank, measured: Callable[[TwoStreamEncoder], Measured]) -> Measured:
    return measured(train(new_network(), known, RECIPE).network.eval())


@pytest.fixture(scope="module")
def semi_supervised(known: Bank, measured: Callable[[TwoStreamEncoder], Measured]) -> Measured:
    """A quarter of the scenes have boxes; λ = 0 in the others."""
    config = world_config(new_network(), n_scenes=N_KNOWN, seed=KNOWN_SEED)
    of_some = {i: truth for i, truth in world_truths(config).items() if i < N_BOXES}
    bank = replace(known, regions=regions_of(of_some, len(known), "consensus"))
    recipe = replace(RECIPE, supervised=1.0, attention_target="normalised")
    return measured(train(new_network(), bank, recipe).network.eval())


def blind(region: Callable[..., NDArray[np.float64]]) -> float:
    """What a region that knows nothing reaches on the unseen scenes."""
    config = world_config(new_network(), n_scenes=N_UNSEEN, seed=UNSEEN_SEED)
    return float(region(list(world_truths(config).values())).mean())


def test_retrieval_comes_out_of_pairs_alone(untrained: Measured, unsupervised: Measured) -> None:
    before, after = untrained.figures, unsupervised.figures
    for name in ("leak_free_audio_to_image", "leak_free_image_to_audio"):
        assert getattr(before, name).mean < 1.5 * before.chance
        assert getattr(after, name).low > 2 * after.chance, name
    assert before.side_accuracy.low < 0.5 < after.side_accuracy.low
    assert after.conditional_accuracy.low > 0.55


def test_localization_comes_out_of_pairs_alone(untrained: Measured, unsupervised: Measured) -> None:
    assert unsupervised.cious.mean() > untrained.cious.mean() + 0.1
    assert unsupervised.cious.mean() > blind(whole_ious)


def test_some_boxes_localize_better_and_cost_no_retrieval(
    unsupervised: Measured, semi_supervised: Measured
) -> None:
    gain = semi_supervised.cious - unsupervised.cious
    assert gain.mean() - 1.96 * gain.std() / np.sqrt(len(gain)) > 0.1
    assert semi_supervised.cious.mean() > blind(centre_ious) + 0.05
    assert semi_supervised.figures.worst > 0.8 * unsupervised.figures.worst
