"""The training loop. It knows banks, a recipe and a network; not manifests, files or commands."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from encoder.two_stream import TwoStreamEncoder
from train.augment import cut, erase, jitter_colour, random_windows, vary_log_mel, vary_waveform
from train.bank import NONE, Bank
from train.errors import PairsError, TrainingDiverged
from train.figures import Figures, measure
from train.frozen import freeze, is_frozen, with_features
from train.objective import Batch, Objective, glue
from train.recipe import Recipe
from train.sampling import LabelSampler, RecordingSampler, Rows, draw_from

WARM_UP_STEPS = 100
GRADIENT_NORM = 5.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is: told after every step."""

    step: int
    steps: int
    loss: float
    terms: dict[str, float]
    pairs_per_s: float
    eta_s: float
    figures: Figures | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The averaged network that was best on `val`, and when that was.

    `figures` is None where there was no `val`: the last weights are given then.
    """

    network: TwoStreamEncoder
    figures: Figures | None
    step: int
    interrupted: bool


def train(
    network: TwoStreamEncoder,
    bank: Bank,
    recipe: Recipe,
    *,
    world: Bank | None = None,
    val: Bank | None = None,
    device: torch.device | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a network in place and return its best averaged copy. Ctrl-C ends the run early.

    Parameters
    ----------
    bank, world : what batches are drawn from, already joined in `bank`; `world` names the part of
        the labels that `recipe.world_share` of a batch comes from.
    val : rows that the checkpoint is chosen on. Never the test split.

    Raises
    ------
    TrainingDiverged : the loss is not finite.
    PairsError : nothing to pair.
    """
    run = _Run(network, bank, world, recipe, device or torch.device("cpu"))
    best: Trained | None = None
    started = time.monotonic()
    step = 0
    try:
        for step in range(1, recipe.steps + 1):
            terms = run.step(step)
            figures = None
            if val is not None and (step % recipe.validate_every == 0 or step == recipe.steps):
                shown = on_cpu(run.averaged)
                figures = measure(shown, val, frame_px=network.config.frame_px)
                best = better(best, shown, figures, step)
            if on_progress is not None:
                seconds = time.monotonic() - started
                on_progress(_progress(step, recipe, terms, seconds, figures))
    except KeyboardInterrupt:
        if step < WARM_UP_STEPS:
            raise
        kept = best or Trained(network=run.averaged, figures=None, step=step, interrupted=True)
        return Trained(network=kept.network, figures=kept.figures, step=kept.step, interrupted=True)
    return best or Trained(network=run.averaged, figures=None, step=step, interrupted=False)


def better(best: Trained | None, network: TwoStreamEncoder, figures: Figures, step: int) -> Trained:
    """Keep the network whose lower leak-free figure is higher."""
    if best is not None and best.figures is not None and best.figures.worst >= figures.worst:
        return best
    return Trained(network=network, figures=figures, step=step, interrupted=False)


def on_cpu(network: TwoStreamEncoder) -> TwoStreamEncoder:
    """Return a copy that figures are measured on: in float32, where the index will run it."""
    return copy.deepcopy(network).cpu()


def _progress(
    step: int, recipe: Recipe, terms: dict[str, float], seconds: float, figures: Figures | None
) -> Progress:
    return Progress(
        step=step,
        steps=recipe.steps,
        loss=sum(terms.values()),
        terms=terms,
        pairs_per_s=step * recipe.batch_size / seconds,
        eta_s=seconds / step * (recipe.steps - step),
        figures=figures,
    )


class _Run:
    """The state of a run: network, averaged network, optimiser, samplers, generators."""

    def __init__(
        self,
        network: TwoStreamEncoder,
        bank: Bank,
        world: Bank | None,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        if recipe.supervised and not bank.is_annotated.any():
            raise PairsError("supervised: nobody annotated any of the rows; leave the weight at 0")
        if recipe.frozen:
            bank = bank if bank.features is not None else with_features(bank, network)
            freeze(network)
        self.recipe, self.bank, self.device = recipe, bank, device
        self.network = network.train().to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        n_classes = len(bank.names) if recipe.positives == "label" else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.objective = Objective(recipe, n_classes).to(device)
        self.moving = moving_tensors(self.averaged, self.network, frozen=recipe.frozen)
        self.in_bfloat16 = recipe.mixed_precision and has_bfloat16(self.device)
        self.samplers = samplers(bank, world, recipe)
        self.rng = np.random.default_rng(recipe.seed)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.optimiser = adamw(nn.ModuleList([self.network, self.objective]), recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: rate_factor(step, recipe.steps, annealed=recipe.schedule == "cosine"),
        )

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step; the terms of its loss, each already weighted."""
        batch = self.batch(draw_from(self.samplers, self.rng))
        glued = None
        if self.recipe.loss == "infonce" and self.rng.random() < self.recipe.glued_share:
            glued = glue(batch, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            terms = self.objective(self.network, batch, glued)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            values = {name: term.item() for name, term in terms.items()}
            raise TrainingDiverged(f"step {number}: loss {values}; lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.schedule.step()
        move(self.moving, min(self.recipe.ema, number / (number + 9)))
        return {name: term.item() for name, term in terms.items()}

    def batch(self, rows: Rows) -> Batch:
        """Look up rows in the bank and vary them, as the recipe says."""
        agreement = self.agreement(rows)
        if self.recipe.frozen:
            features = self.bank.features
            assert features is not None
            frames, heard = features.pictures[rows.pictures], features.f_s[rows.sounds]
        else:
            frames, agreement = self.frames(rows, agreement)
            heard = self.heard(rows)
        return Batch(
            frames=frames.to(self.device),
            sounds=heard.to(self.device),
            group=torch.from_numpy(rows.group).to(self.device),
            agreement=None if agreement is None else agreement.to(self.device).float() / 255,
        )

    def agreement(self, rows: Rows) -> Tensor | None:
        """What people drew into the pictures, (B, 1, S, S) uint8, zero where they did not look."""
        regions = self.bank.regions
        if regions is None or not self.recipe.supervised:
            return None
        drawn = regions.maps[np.maximum(rows.regions, 0)]
        drawn[rows.regions == NONE] = 0
        return drawn

    def frames(self, rows: Rows, agreement: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames (B, 3, px, px) in [0, 1], and what was drawn into them, cut alike."""
        recipe, generator = self.recipe, self.generator
        pictures = self.bank.pictures_at(rows.pictures)
        if not recipe.augment:
            return resized(pictures, recipe.crop_px), agreement
        windows = random_windows(len(pictures), generator, area=recipe.crop_area)
        frames = cut(pictures, windows, recipe.crop_px)
        if agreement is not None:
            agreement = (cut(agreement, windows, agreement.shape[-1]) * 255).round()
        return erase(jitter_colour(frames, generator, strength=0.3), generator), agreement

    def heard(self, rows: Rows) -> Tensor:
        """Sounds (B, …), the sound stream's front of `crop_s` seconds."""
        sounds = self.bank.sounds_at(rows.sounds)
        if self.recipe.augment:
            vary = vary_log_mel if sounds.ndim == 3 else vary_waveform
            sounds = vary(sounds, self.generator)
        share = min(1.0, self.recipe.crop_s / self.network.config.window_s)
        return sounds[..., : round(share * sounds.shape[-1])]


def resized(pictures: Tensor, side_px: int) -> Tensor:
    """(B, 3, H, W) uint8 → (B, 3, side_px, side_px) float32 in [0, 1]."""
    frames = pictures.float() / 255
    if frames.shape[-2:] == (side_px, side_px):
        return frames
    return interpolate(frames, size=(side_px, side_px), mode="bilinear", antialias=True)


def has_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed in hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def samplers(
    bank: Bank, world: Bank | None, recipe: Recipe
) -> list[tuple[LabelSampler | RecordingSampler, int]]:
    """Return who draws how many rows of a batch: the collection's part and the world's."""
    n_world = round(recipe.batch_size * recipe.world_share) if world is not None else 0
    make = LabelSampler if recipe.positives == "label" else RecordingSampler
    if world is None and recipe.annotated_share is not None:
        n_annotated = round(recipe.batch_size * recipe.annotated_share)
        annotated, others = bank.only(bank.is_annotated), bank.only(~bank.is_annotated)
        return [(make(annotated), n_annotated), (make(others), recipe.batch_size - n_annotated)]
    if world is None:
        return [(make(bank), recipe.batch_size)]
    is_world = np.isin(bank.labels, [bank.names.index(name) for name in world.names])
    own, other = bank.only(~is_world), bank.only(is_world)
    return [(make(own), recipe.batch_size - n_world), (make(other), n_world)]


def adamw(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over what is trained; it decays matrices and convolutions, not biases or scales."""
    weights = [w for w in module.parameters() if w.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    # Fused: one pass over the weights; on processors a quarter of the time of a small step.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def rate_factor(step: int, steps: int, *, annealed: bool = True) -> float:
    """Linear warm-up, at most a tenth of the run, then half a cosine to nothing, or 1."""
    warm_up = min(1.0, (step + 1) / min(WARM_UP_STEPS, max(1, steps // 10)))
    if not annealed:
        return warm_up
    return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


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
