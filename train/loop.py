"""The training loop. It knows banks, a recipe and a network; not manifests, files or commands."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from encoder.two_stream import TwoStreamEncoder
from train.augment import erase, jitter_colour, random_crops, vary_log_mel, vary_waveform
from train.bank import Bank
from train.errors import TrainingDiverged
from train.figures import Figures, measure
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
        self.recipe, self.bank, self.device = recipe, bank, device
        self.network = network.train().to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        n_classes = len(bank.names) if recipe.positives == "label" else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.objective = Objective(recipe, n_classes).to(device)
        self.in_bfloat16 = has_bfloat16(self.device)
        self.samplers = samplers(bank, world, recipe)
        self.rng = np.random.default_rng(recipe.seed)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.optimiser = adamw(nn.ModuleList([self.network, self.objective]), recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate_factor(step, recipe.steps)
        )

    def step(self, number: int) -> dict[str, float]:
        """One optimiser step; the terms of its loss, each already weighted."""
        batch = self.augmented(draw_from(self.samplers, self.rng))
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
        average(self.averaged, self.network, min(self.recipe.ema, number / (number + 9)))
        return {name: term.item() for name, term in terms.items()}

    def augmented(self, rows: Rows) -> Batch:
        """Look up rows in the bank and vary them."""
        recipe, generator = self.recipe, self.generator
        pictures, sounds = self.bank.pictures[rows.pictures], self.bank.sounds[rows.sounds]
        frames = random_crops(pictures, recipe.crop_px, generator, area=recipe.crop_area)
        frames = erase(jitter_colour(frames, generator, strength=0.3), generator)
        vary = vary_log_mel if sounds.ndim == 3 else vary_waveform
        heard = vary(sounds, generator)
        share = min(1.0, recipe.crop_s / self.network.config.window_s)
        return Batch(
            frames=frames.to(self.device),
            sounds=heard[..., : round(share * heard.shape[-1])].to(self.device),
            group=torch.from_numpy(rows.group).to(self.device),
        )


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
    if world is None:
        return [(make(bank), recipe.batch_size)]
    is_world = np.isin(bank.labels, [bank.names.index(name) for name in world.names])
    own, other = bank.only(~is_world), bank.only(is_world)
    return [(make(own), recipe.batch_size - n_world), (make(other), n_world)]


def adamw(module: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that decays matrices and convolutions, not biases, norms or scales."""
    weights = list(module.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))


def rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to nothing."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move averaged weights and batch statistics a step towards the network's."""
    for kept, new in zip(
        averaged.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
