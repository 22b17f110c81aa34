"""How good a network is: the figures of definitions §3 and §4 that training chooses by.

Leak-free first. The own-sound protocol of S19 and the swap test stand beside it, because a network
that leaks shines in the one and fails in the other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from encoder.intervals import Figure as Figure
from encoder.intervals import mean_figure
from encoder.two_stream import TwoStreamEncoder
from indexer.metrics import average_precisions, chance_average_precision, precisions_at
from train.bank import NONE, Bank
from train.errors import PairsError
from train.losses import pair_scores

AT_ONCE = 32
NOT_MEASURABLE = (
    "figures need two labels with two rows of a picture and a sound each; "
    "label the rows, or leave the split out"
)
Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures on the rows of a bank that have a picture, a sound and a label.

    Attributes
    ----------
    leak_free_audio_to_image, leak_free_image_to_audio : class mAP, the row itself excluded.
    own_sound_audio_to_image, own_sound_image_to_audio : the same by the protocol of S19 §5.3.
    swapped_audio_to_image : own-sound, but every frame is conditioned on a sound of another label;
        own-sound minus swapped is the leak.
    coarse_audio_to_image, coarse_image_to_audio : with f_v under uniform attention.
    chance : expectation of the class mAP under a random order.
    side_accuracy : share of glued frames whose attention lies mostly on the right half.
    conditional_accuracy : share of glued frames whose f_v is nearer to the sound's own label.
    conditioning_strength : mean of 1 − cos of one frame's f_v under sounds of two labels.
    conditioning_strength_same_label : the same under two sounds of the frame's own label.
    """

    leak_free_audio_to_image: Figure
    leak_free_image_to_audio: Figure
    own_sound_audio_to_image: Figure
    own_sound_image_to_audio: Figure
    swapped_audio_to_image: Figure
    coarse_audio_to_image: Figure
    coarse_image_to_audio: Figure
    chance: float
    side_accuracy: Figure
    conditional_accuracy: Figure
    conditioning_strength: Figure
    conditioning_strength_same_label: Figure

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def worst(self) -> float:
        """The lower of the two leak-free figures: what checkpoints are chosen by."""
        return min(self.leak_free_audio_to_image.mean, self.leak_free_image_to_audio.mean)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A bank's paired and labelled rows as the network sees them; (N, …) each."""

    pictures: Tensor
    maps: Tensor
    f_s: Tensor
    h: Tensor
    labels: NDArray[np.int64]


@torch.inference_mode()
def encode(network: TwoStreamEncoder, bank: Bank, *, frame_px: int) -> Encoded:
    """Encode the rows that have a picture, a sound and a label, resized to the index's frame."""
    rows = bank.paired[bank.labels[bank.paired] != NONE]
    pictures = bank.pictures[bank.picture_of[rows]]
    frames = [to_frames(part, frame_px, frame_px) for part in pictures.split(AT_ONCE)]
    f_s = torch.cat(
        [network.sound.from_front(p) for p in bank.sounds[bank.sound_of[rows]].split(AT_ONCE)]
    )
    return Encoded(
        pictures=pictures,
        maps=torch.cat([network.encode_frame(part) for part in frames]),
        f_s=f_s,
        h=network.context(f_s),
        labels=bank.labels[rows],
    )


def to_frames(pictures: Tensor, height_px: int, width_px: int) -> Tensor:
    """(B, 3, H, W) uint8 → (B, 3, height_px, width_px) float32 in [0, 1]."""
    return interpolate(
        pictures.float() / 255, size=(height_px, width_px), mode="bilinear", antialias=True
    )


def is_measurable(bank: Bank) -> bool:
    """Say whether two labels have two paired rows each: below that nothing can be ranked."""
    _, counts = np.unique(bank.labels[bank.paired], return_counts=True)
    return bool((counts >= 2).sum() >= 2 and (bank.labels[bank.paired] != NONE).any())


@torch.inference_mode()
def measure(network: TwoStreamEncoder, bank: Bank, *, frame_px: int, seed: int = 0) -> Figures:
    """Measure a network in eval mode on a bank, in float32.

    Raises
    ------
    PairsError : see `is_measurable`.
    """
    if not is_measurable(bank):
        raise PairsError(NOT_MEASURABLE)
    rows = encode(network, bank, frame_px=frame_px)
    partner = other_label_partner(rows.labels, seed)
    pair = leak_free_scores(network, rows)
    f_s = normalize(rows.f_s, dim=1)
    own = (normalize(network.condition(rows.maps, rows.h).f_v, dim=1) @ f_s.T).numpy()
    swapped = network.condition(rows.maps, rows.h[partner]).f_v
    swap = (normalize(swapped, dim=1) @ f_s.T).numpy()
    coarse = (normalize(network.coarse(rows.maps), dim=1) @ f_s.T).numpy()
    side, conditional = glued(network, rows, partner, frame_px)
    return Figures(
        leak_free_audio_to_image=class_map(pair.T, rows.labels),
        leak_free_image_to_audio=class_map(pair, rows.labels),
        own_sound_audio_to_image=class_map(own.T, rows.labels),
        own_sound_image_to_audio=class_map(own, rows.labels),
        swapped_audio_to_image=class_map(swap.T, rows.labels),
        coarse_audio_to_image=class_map(coarse.T, rows.labels),
        coarse_image_to_audio=class_map(coarse, rows.labels),
        chance=chance_average_precision(rows.labels),
        side_accuracy=side,
        conditional_accuracy=conditional,
        conditioning_strength=conditioning_strength(network, rows, partner),
        conditioning_strength_same_label=conditioning_strength(
            network, rows, same_label_partner(rows.labels, seed)
        ),
    )


@torch.inference_mode()
def leak_free_scores(network: TwoStreamEncoder, rows: Encoded) -> Scores:
    """cos(f_v(X_i, S_j), f_s(S_j)) of all frames × sounds, (N, N): the primary ranking (§3)."""
    blocks = [
        pair_scores(network.condition_matrix(part, rows.h).f_v, rows.f_s)
        for part in rows.maps.split(AT_ONCE)
    ]
    return torch.cat(blocks).numpy()


def class_map(scores: Scores, labels: NDArray[np.int64]) -> Figure:
    """Mean average precision of queries × gallery by label; a row is never its own answer."""
    return mean_figure(average_precisions(scores, labels, labels, exclude=np.arange(len(labels))))


def other_label_partner(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each row, a row of another label."""
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(np.flatnonzero(labels != label)) for label in labels])


def same_label_partner(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each row, another row of its label; the row itself where there is none."""
    rng = np.random.default_rng(seed)
    partner = np.arange(len(labels))
    for row, label in enumerate(labels):
        others = np.setdiff1d(np.flatnonzero(labels == label), row)
        if len(others):
            partner[row] = rng.choice(others)
    return partner


def glued(
    network: TwoStreamEncoder, rows: Encoded, partner: NDArray[np.int64], frame_px: int
) -> tuple[Figure, Figure]:
    """Side accuracy and conditional accuracy on frames glued side by side (O20 §5, definitions §3).

    Each row and its partner of another label share one frame, half the width each; both sounds are
    asked, so every frame gives two cases.
    """
    halves = to_frames(rows.pictures, frame_px, frame_px // 2)
    frames = torch.cat([halves, halves[partner]], dim=3)
    maps = torch.cat([network.encode_frame(part) for part in frames.split(AT_ONCE)])
    left, right = (network.condition(maps, h) for h in (rows.h, rows.h[partner]))
    columns = frame_px // 16
    on_left, on_right = (
        side.attention.view(len(maps), -1, columns)[:, :, part].sum(dim=(1, 2)) > 0.5
        for side, part in ((left, slice(0, columns // 2)), (right, slice(columns // 2, None)))
    )
    side_cases = torch.cat([on_left, on_right]).numpy().astype(np.float64)
    cases = np.concatenate(
        [
            nearer_to_own(left.f_v, rows, np.arange(len(partner)), partner),
            nearer_to_own(right.f_v, rows, partner, np.arange(len(partner))),
        ]
    )
    return mean_figure(side_cases), mean_figure(cases)


def nearer_to_own(
    f_v: Tensor, rows: Encoded, own: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 where f_v is nearer to the mean f_s of its sound's label, 0 where to the other's.

    The two sounds of the frame stay out of the means; NaN where a label has no third sound.
    """
    f_s, cases = normalize(rows.f_s, dim=1), np.full(len(own), np.nan)
    for i, pair in enumerate(zip(own, other, strict=True)):
        means = []
        for row in pair:
            members = np.flatnonzero(rows.labels == rows.labels[row])
            members = np.setdiff1d(members, pair)
            if len(members):
                means.append(normalize(f_s[members].mean(dim=0), dim=0))
        if len(means) == 2:
            cases[i] = float(f_v[i] @ means[0] > f_v[i] @ means[1])
    return cases


def conditioning_strength(
    network: TwoStreamEncoder, rows: Encoded, partner: NDArray[np.int64]
) -> Figure:
    """1 − cos between f_v of a frame under its own sound and under its partner's."""
    with_own = normalize(network.condition(rows.maps, rows.h).f_v, dim=1)
    with_other = normalize(network.condition(rows.maps, rows.h[partner]).f_v, dim=1)
    strength = (1 - (with_own * with_other).sum(dim=1)).numpy().astype(np.float64)
    return mean_figure(np.where(partner == np.arange(len(partner)), np.nan, strength))


@torch.inference_mode()
def precision_at(network: TwoStreamEncoder, bank: Bank, k: int, *, frame_px: int) -> Figure:
    """Share of the k best leak-free answers that bear the query's label, both directions pooled."""
    rows = encode(network, bank, frame_px=frame_px)
    scores = leak_free_scores(network, rows)
    itself = np.arange(len(scores))
    return mean_figure(
        np.concatenate(
            [
                precisions_at(matrix, rows.labels, rows.labels, k, exclude=itself)
                for matrix in (scores, scores.T)
            ]
        )
    )
