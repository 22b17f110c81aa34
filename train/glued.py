"""Frames of two rows glued side by side: does each sound find its half (O20 §5, definitions §3)?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from encoder.config import STRIDE_PX
from encoder.intervals import NOTHING, Figure, pair_figure
from encoder.localization.concat import (
    N_DRAWS,
    SIDES,
    ConcatDraw,
    LabelMeans,
    conditional_cases,
    draw_pairs,
    glue,
    half_picture,
    on_side,
)
from encoder.localization.metrics import right_mass
from encoder.two_stream import TwoStreamEncoder
from indexer.rules import Numbers, glue_ties, numbered
from train.bank import Bank
from train.items import Items
from train.looking import AT_ONCE, Sounds


@dataclass(frozen=True, kw_only=True)
class GluedFigures:
    """`side_accuracy`, `conditional_accuracy`: see `train.figures.Figures`."""

    side_accuracy: Figure
    conditional_accuracy: Figure


@torch.inference_mode()
def glued_figures(
    network: TwoStreamEncoder,
    bank: Bank,
    items: Items,
    sounds: Sounds,
    *,
    frame_px: int,
    seed: int,
    n_draws: int = N_DRAWS,
) -> GluedFigures:
    """Glue rows of different labels, two to a frame, and ask each frame for both sounds.

    Draws and verdicts are those of `evaluate_localization`; it squeezes pictures as they were
    stored, and this one as the bank keeps them.
    """
    draws = draws_of(items, seed, n_draws)
    if not draws:
        return GluedFigures(side_accuracy=NOTHING, conditional_accuracy=NOTHING)
    own = np.array([draw.of(side) for draw in draws for side in SIDES], np.int64)
    members, _ = numbered(own.tolist())
    looked = [
        _looked(network, bank, items, sounds, draws[first : first + AT_ONCE], frame_px)
        for first in range(0, len(draws), AT_ONCE)
    ]
    attention, f_v = (torch.cat(parts).cpu().numpy() for parts in zip(*looked, strict=True))
    sides = SIDES * len(draws)
    on_own_side = on_side(right_mass(attention), sides).astype(np.float64)
    means, rows = label_means(items, sounds)
    nearer = conditional_cases(f_v, means, rows[own], rows[_turned(own)])
    return GluedFigures(
        side_accuracy=pair_figure(on_own_side, members, _turned(members), seed=seed),
        conditional_accuracy=pair_figure(nearer, members, _turned(members), seed=seed),
    )


def _turned(numbers: Numbers) -> Numbers:
    """(2n,) with left and right of each frame exchanged."""
    turned: Numbers = numbers.reshape(-1, len(SIDES))[:, ::-1].reshape(-1)
    return turned


def draws_of(items: Items, seed: int, n_draws: int) -> tuple[ConcatDraw, ...]:
    """Draw which rows share a frame."""
    names = [frozenset({items.names[label]}) for label in items.labels.tolist()]
    ties = glue_ties(items.frames.tolist(), items.sounds.tolist(), names)
    return draw_pairs(ties, n_draws=n_draws, seed=seed)


def label_means(items: Items, sounds: Sounds) -> tuple[LabelMeans, Numbers]:
    """f_s of every labelled sound of the bank, and which row of it each item has."""
    heard = items.heard
    f_s = sounds.f_s.cpu().numpy()[heard.sounds]
    means = LabelMeans(f_s=f_s, recordings=heard.sounds, labels=heard.labels)
    return means, heard.of_item[: len(items)]


def _looked(
    network: TwoStreamEncoder,
    bank: Bank,
    items: Items,
    sounds: Sounds,
    draws: tuple[ConcatDraw, ...],
    frame_px: int,
) -> tuple[Tensor, Tensor]:
    """Return attention (2n, H', W') and f_v (2n, 1000) of glued frames under both sounds."""
    seen = np.array([draw.of(side) for draw in draws for side in SIDES], np.int64)
    pictures = bank.pictures_at(items.pictures[items.frames[seen]]).permute(0, 2, 3, 1).numpy()
    halves = [half_picture(picture, frame_px) for picture in pictures]
    frames = [glue(left, right) for left, right in zip(halves[::2], halves[1::2], strict=True)]
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).to(sounds.h.device)
    maps = network.encode_frame(pixels.float() / 255).half().float()
    h = sounds.h[items.sounds[seen]]
    conditioned = network.condition(maps.repeat_interleave(len(SIDES), dim=0), h)
    n_cells = frame_px // STRIDE_PX
    attention = conditioned.attention.reshape(len(seen), n_cells, n_cells)
    return attention, normalize(conditioned.f_v, dim=1)
