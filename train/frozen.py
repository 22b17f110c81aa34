"""Streams that are not trained: what they say of every file is computed once and kept.

The published code of S19 trains so (definitions §8), and many trainings on the same files then cost
seconds each. A projection to 512 is still trained; VGG-16 has none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.efficientnet import EfficientNetLite
from encoder.resnet import ResidualTrunk
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, Features

AT_ONCE = 32


def is_frozen(name: str, network: TwoStreamEncoder) -> bool:
    """Say whether a tensor of the network's state belongs to a frozen stream."""
    return name.startswith(("sound.", *(f"visual.trunk.{i}." for i in range(_n_frozen(network)))))


def freeze(network: TwoStreamEncoder) -> None:
    """Ask for gradients of what is trained alone."""
    for name, weights in network.named_parameters():
        weights.requires_grad_(not is_frozen(name, network))


def freeze_trunk(network: TwoStreamEncoder) -> None:
    """Ask for no gradients of the visual trunk; what follows it is trained."""
    trunk_of(network).requires_grad_(False)


def trunk_of(network: TwoStreamEncoder) -> nn.Module:
    """Return the part of the visual stream that ImageNet weights are published for."""
    trunk: nn.Module = network.visual.trunk[: _n_frozen(network)]
    return trunk


def maps_of(network: TwoStreamEncoder, kept: Tensor) -> Tensor:
    """Kept features (B, C, H', W') to visual maps (B, M, 512)."""
    maps: Tensor = network.visual.trunk[_n_frozen(network) :](kept.float())
    return maps.flatten(2).transpose(1, 2)


@torch.inference_mode()
def with_features(bank: Bank, network: TwoStreamEncoder) -> Bank:
    """Let the frozen streams see and hear everything in a bank, and keep what they say.

    Batch statistics are those that the streams came with.
    """
    training = network.training
    network.eval()
    visual, head = network.visual, network.visual.trunk[: _n_frozen(network)]
    pictures = [
        head((bank.pictures_at(part).float() / 255 - visual.mean) / visual.std).half().contiguous()
        for part in _parts(bank.n_pictures)
    ]
    f_s = [network.sound.from_front(bank.sounds_at(part)) for part in _parts(bank.n_sounds)]
    network.train(training)
    return replace(bank, features=Features(pictures=torch.cat(pictures), f_s=torch.cat(f_s)))


def _n_frozen(network: TwoStreamEncoder) -> int:
    trunk = network.visual.trunk
    assert isinstance(trunk, nn.Sequential)
    return 1 if isinstance(trunk[0], ResidualTrunk | EfficientNetLite) else len(trunk)


def _parts(n: int) -> list[NDArray[np.int64]]:
    return np.split(np.arange(n), range(AT_ONCE, n, AT_ONCE)) if n else []
