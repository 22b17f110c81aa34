"""The averaged copy of a network that is validated and saved: it follows the trained one slowly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encoder.two_stream import TwoStreamEncoder
from train.frozen import is_frozen

Moving = list[tuple[Tensor, Tensor]]
"""Averaged tensors, each with the one of the network that it follows."""


def moving_tensors(
    averaged: TwoStreamEncoder, network: TwoStreamEncoder, *, frozen: bool
) -> Moving:
    """Pair the states of both; tensors of frozen streams stand still and are left out."""
    followed = network.state_dict()
    return [
        (kept, followed[name])
        for name, kept in averaged.state_dict().items()
        if not (frozen and is_frozen(name, network))
    ]


def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move averaged weights and batch statistics a step towards the network's."""
    states = averaged.state_dict().values(), network.state_dict().values()
    move(list(zip(*states, strict=True)), decay)


@torch.no_grad()
def move(moving: Moving, decay: float) -> None:
    """Move each averaged tensor a step towards the one that it follows."""
    for kept, new in moving:
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
