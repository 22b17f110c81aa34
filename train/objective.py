"""What one batch costs: the recipe's losses on a batch of frames and sounds.

Shape legend: B pairs, G glued frames, M cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, log_softmax, normalize, one_hot

from encoder.config import F_S
from encoder.two_stream import Conditioned, TwoStreamEncoder
from train.frozen import maps_of
from train.losses import (
    attention_cross_entropy,
    attention_squared_error,
    attention_target,
    distance_ratio,
    half_frame_attention,
    multi_positive_nce,
    pair_scores,
    panel_attention,
    proxy_loss,
)
from train.recipe import Recipe

MAX_LOGIT_SCALE = 100.0
MIXUP = 0.3
"""α of the Beta distribution that shares of mixed sounds are drawn from."""
WEIGHT_OF = {
    "matrix": "unsupervised",
    "distance_ratio": "unsupervised",
    "glued_supervised": "supervised",
}
"""The recipe's name of the weight of a term, where it is not the term's own."""


@dataclass(frozen=True)
class Batch:
    """Augmented pairs on the training device.

    Attributes
    ----------
    frames : (B, 3, px, px) float32 in [0, 1]; of frozen streams, what `Features` keeps of them.
    sounds : (B, …) float32, the sound stream's front; of frozen streams, f_s.
    group : (B,) int64; equal numbers belong together. It is also the class, where there is one.
    agreement : (B, 1, S, S) in [0, 1], where annotators saw the source; zero where nobody looked.
    mixed : what is in the sounds beside their own, or None where they are as recorded.
    beside : (B, B) bool, frames × sounds: sounds of another group whose source a frame shows, too.
    """

    frames: Tensor
    sounds: Tensor
    group: Tensor
    agreement: Tensor | None = None
    mixed: Mixed | None = None
    beside: Tensor | None = None

    @property
    def positive(self) -> Tensor:
        """(B, B) in [0, 1], frames × sounds: the share of each sound that belongs to a frame."""
        of_group = self.group[:, None] == self.group[None]
        same = (of_group if self.beside is None else of_group | self.beside).float()
        return same if self.mixed is None else self.mixed.shares(same)


@dataclass(frozen=True)
class Mixed:
    """Sounds that are two of the batch at once.

    Attributes
    ----------
    other : (B,) int64, the row whose sound is mixed in.
    own : (B,) in [0.5, 1], the share of the row's own sound.
    """

    other: Tensor
    own: Tensor

    def shares(self, of: Tensor) -> Tensor:
        """(…, B), a value for every sound → the same for every mixture."""
        return self.own * of + (1 - self.own) * of[..., self.other]


@dataclass(frozen=True)
class Glued:
    """Frames of two groups side by side: rows of the batch on the left and on the right.

    frames : (G, 3, px, px); left, right : (G,) rows of the batch.
    """

    frames: Tensor
    left: Tensor
    right: Tensor


def glue(batch: Batch, generator: torch.Generator) -> Glued | None:
    """Pair half of the batch with a row of another group, each squeezed to half the width.

    Neither frame shows the source of the other's sound. None where no such pair was drawn.
    """
    n, px = len(batch.frames), batch.frames.shape[-1]
    left = torch.randperm(n, generator=generator)[: n // 2]
    right = left.roll(1)
    belongs = batch.positive.cpu() > 0
    differ = (~(belongs[left, right] | belongs[right, left])).nonzero().flatten()
    if not len(differ):
        return None
    left, right = left[differ], right[differ]
    halves = interpolate(batch.frames, size=(px, px // 2), mode="bilinear", antialias=True)
    return Glued(torch.cat([halves[left], halves[right]], dim=3), left, right)


def mix(batch: Batch, rng: np.random.Generator, glued: Glued | None = None) -> Batch:
    """Mix every sound with another one of the batch (Zhang et al. 2018), its own share the larger.

    What the fronts give is mixed as it is: of log-mel spectrograms the logarithms, not the powers.
    Of glued frames, the left one's sound is mixed with the right one's: both are to be found.
    """
    n = len(batch.group)
    draws = rng.beta(MIXUP, MIXUP, n)
    own = torch.from_numpy(np.maximum(draws, 1 - draws)).float().to(batch.sounds.device)
    other = torch.from_numpy(rng.permutation(n)).to(batch.sounds.device)
    if glued is not None:
        other[glued.left] = glued.right.to(other.device)
    share = own.view(n, *[1] * (batch.sounds.ndim - 1))
    sounds = share * batch.sounds + (1 - share) * batch.sounds[other]
    return replace(batch, sounds=sounds, mixed=Mixed(other=other, own=own))


class Objective(nn.Module):
    """The recipe's losses and the few weights that only training needs.

    Parameters
    ----------
    n_classes : labels, each with a proxy in the shared space; 0 for none (positives by recording).
    """

    def __init__(self, recipe: Recipe, n_classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / recipe.temperature)))
        # Short vectors turn fast: with entries of size 1 the proxies stood still at this rate.
        self.proxies = nn.Parameter(torch.randn(n_classes, F_S) / 50) if n_classes else None

    def forward(
        self, network: TwoStreamEncoder, batch: Batch, glued: Glued | None
    ) -> dict[str, Tensor]:
        """Return each weighted term of the loss by name; their sum is what is minimised."""
        n = len(batch.frames)
        frames = batch.frames if glued is None else torch.cat([batch.frames, glued.frames])
        maps = maps_of(network, frames) if self.recipe.frozen else network.encode_frame(frames)
        f_s = batch.sounds if self.recipe.frozen else network.sound.from_front(batch.sounds)
        h = network.context(f_s)
        terms: dict[str, Tensor] = {}
        if not self.recipe.unsupervised:  # L_S alone
            own = network.condition(maps[:n], h).response
        elif self.recipe.loss == "distance-ratio":
            looked = network.condition(maps[:n], h)
            own = looked.response
            terms = {"distance_ratio": eq_6(looked.f_v, f_s, batch.positive > 0)}
        else:
            looked = network.condition_matrix(maps[:n], h)
            own = looked.response.diagonal().T
            terms = self.matrix_terms(network, maps[:n], looked, f_s, batch)
        if glued is not None:
            terms |= self.glued_terms(network, maps[n:], h, batch, glued)
        if self.recipe.supervised and batch.agreement is not None:
            terms["supervised"] = self.supervised(network, own, batch)
        weights = {name: getattr(self.recipe, WEIGHT_OF.get(name, name)) for name in terms}
        return {name: weights[name] * term for name, term in terms.items() if weights[name]}

    def matrix_terms(
        self,
        network: TwoStreamEncoder,
        maps: Tensor,
        looked: Conditioned,
        f_s: Tensor,
        batch: Batch,
    ) -> dict[str, Tensor]:
        """The leak-free terms over all frames × sounds of the batch."""
        positive = batch.positive
        logit_scale = self.log_logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        coarse = normalize(network.coarse(maps).float(), dim=1)
        heard = normalize(f_s.float(), dim=1)
        terms = {
            "matrix": multi_positive_nce(
                logit_scale * pair_scores(looked.f_v.float(), f_s.float()), positive
            ),
            "coarse": multi_positive_nce(logit_scale * coarse @ heard.T, positive),
            "panel": panel_attention(network.scale * looked.response.float(), positive),
        }
        if self.proxies is not None:
            proxies = normalize(self.proxies, dim=1)
            seen = one_hot(batch.group, len(proxies)).float()
            said = seen if batch.mixed is None else batch.mixed.shares(seen.T).T
            terms["classes"] = proxy_loss(coarse, proxies, seen) + proxy_loss(heard, proxies, said)
        return terms

    def glued_terms(
        self, network: TwoStreamEncoder, maps: Tensor, h: Tensor, batch: Batch, glued: Glued
    ) -> dict[str, Tensor]:
        """Ask each glued frame for both of its sounds, by halves and by what people drew.

        A mixture of both belongs to both halves, each by its share.
        """
        columns = glued.frames.shape[-1] // 16
        grid = (maps.shape[1] // columns, columns)
        halves, regions = [], []
        for rows in (glued.left, glued.right):
            response = network.condition(maps, h[rows]).response
            log_attention = log_softmax(network.scale * response.float(), dim=1)
            shares = batch.positive[torch.stack([glued.left, glued.right]), rows]
            shares = shares / shares.sum(dim=0)
            halves.append(half_frame_attention(log_attention.exp(), shares[1], grid))
            if self.recipe.supervised and batch.agreement is not None:
                target = self.glued_target(batch.agreement, glued, shares, grid)
                regions.append(self.attention_loss(log_attention, target))
        terms = {"half_frame": torch.stack(halves).sum()}
        return terms | ({"glued_supervised": torch.stack(regions).mean()} if regions else {})

    def glued_target(
        self, agreement: Tensor, glued: Glued, shares: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """(G, M) what people drew into both halves, weighed by their `shares` (2, G) of a sound.

        A row is zero where nobody looked at a half that has a share.
        """
        sides = [
            attention_target(
                agreement[rows], (grid[0], grid[1] // 2), normalised=self.is_normalised
            )
            for rows in (glued.left, glued.right)
        ]
        known = [(share == 0) | side.any(dim=1) for share, side in zip(shares, sides, strict=True)]
        cells = [
            (share[:, None] * side).view(len(share), grid[0], -1)
            for share, side in zip(shares, sides, strict=True)
        ]
        target: Tensor = torch.cat(cells, dim=2).flatten(1) * (known[0] & known[1])[:, None]
        return target

    def supervised(self, network: TwoStreamEncoder, response: Tensor, batch: Batch) -> Tensor:
        """λ L_S of S19 eq. 7 under each frame's own sound; `response` is (B, M)."""
        assert batch.agreement is not None
        side = math.isqrt(response.shape[1])  # training frames are square
        target = attention_target(batch.agreement, (side, side), normalised=self.is_normalised)
        return self.attention_loss(log_softmax(network.scale * response.float(), dim=1), target)

    @property
    def is_normalised(self) -> bool:
        """Whether every source weighs the same in L_S, however large it is."""
        return self.recipe.attention_target == "normalised"

    def attention_loss(self, log_attention: Tensor, target: Tensor) -> Tensor:
        """The recipe's L_S of attention (B, M)."""
        if self.recipe.attention_loss == "mse":
            return attention_squared_error(log_attention, target)
        return attention_cross_entropy(log_attention, target)


def eq_6(f_v: Tensor, f_s: Tensor, belongs: Tensor) -> Tensor:
    """L_U of S19: each frame under its own sound; the negative is the next that is not its own.

    Parameters
    ----------
    belongs : (B, B) bool, frames × sounds: whether the sound is of something in the frame.
    """
    rows = torch.arange(len(f_v), device=f_v.device)
    others = (rows[:, None] + rows[None, 1:]) % len(rows)
    first = (~belongs.gather(1, others)).int().argmax(dim=1)
    negative = others[rows, first]
    return distance_ratio(f_v.float(), f_s.float(), f_s[negative].float())
