"""The training loop of a labeller. It knows material, a recipe and a network; no files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, one_hot

from encoder.labellers.classifier import FrameClassifier, SoundClassifier
from encoder.precision import has_bfloat16
from train.augment import erase, jitter_colour, random_crops, vary_log_mel
from train.averaging import average
from train.errors import TrainingDiverged
from train.labellers_material import Ids, Material
from train.labellers_recipe import LabellerRecipe
from train.optimiser import GRADIENT_NORM, adamw, rate_factor
from train.recipe import Recipe

Classifier = FrameClassifier | SoundClassifier


@dataclass(frozen=True, kw_only=True)
class FitProgress:
    """Where a run is: told at every look at `val`."""

    step: int
    steps: int
    loss: float
    val_top1: float


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The averaged network that was best on `val`, and the step of it; the last without `val`."""

    network: Classifier
    step: int
    val_top1: float | None


def fit(
    network: Classifier,
    own: Material,
    world: Material | None,
    val: Material | None,
    label_ids: tuple[int, ...],
    recipe: LabellerRecipe,
    *,
    on_progress: Callable[[FitProgress], None] | None = None,
) -> Fitted:
    """Train a classifier from where it is, on the CPU.

    Parameters
    ----------
    own, world : what batches are drawn from, `recipe.world_share` of them from `world`.
    val : chooses the step. Never the test split.
    label_ids : vocabulary id of each of the network's outputs.

    Raises
    ------
    TrainingDiverged : the loss is not finite.
    """
    run = _Run(network, own, world, label_ids, recipe)
    best: Fitted | None = None
    losses: list[float] = []
    for step in range(1, recipe.steps + 1):
        losses.append(run.step(step))
        if val is not None and (step % recipe.validate_every == 0 or step == recipe.steps):
            logits = all_logits(run.averaged, val, frame_px=recipe.frame_px)
            top1 = float((np.array(label_ids)[logits.argmax(axis=1)] == val.labels).mean())
            if best is None or best.val_top1 is None or top1 >= best.val_top1:
                best = Fitted(network=copy.deepcopy(run.averaged), step=step, val_top1=top1)
            if on_progress is not None:
                loss, losses = float(np.mean(losses)), []
                on_progress(FitProgress(step=step, steps=recipe.steps, loss=loss, val_top1=top1))
    return best or Fitted(network=run.averaged, step=recipe.steps, val_top1=None)


@torch.inference_mode()
def all_logits(network: Classifier, material: Material, *, frame_px: int) -> NDArray[np.float32]:
    """Logits (n, K) of all examples, in float32, as the labeller will see them."""
    rows = []
    for part in torch.from_numpy(material.of).split(64):
        inputs = material.inputs[part]
        if isinstance(network, SoundClassifier):
            rows.append(network.from_front(inputs))
        else:
            frames = inputs.float() / 255
            if frames.shape[-1] != frame_px:
                frames = interpolate(
                    frames, (frame_px, frame_px), mode="bilinear", antialias=True
                ).clamp(0, 1)
            rows.append(network(frames))
    return torch.cat(rows).numpy()


class _Run:
    """The state of a run: network, averaged network, optimiser, generators."""

    def __init__(
        self,
        network: Classifier,
        own: Material,
        world: Material | None,
        label_ids: tuple[int, ...],
        recipe: LabellerRecipe,
    ) -> None:
        self.recipe, self.n_labels = recipe, len(label_ids)
        self.network = network.train()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        output_of = {k: i for i, k in enumerate(label_ids)}
        n_world = round(recipe.batch_size * recipe.world_share) if world is not None else 0
        self.sources = [_Source(own, output_of, recipe.batch_size - n_world)]
        if world is not None:
            self.sources.append(_Source(world, output_of, n_world))
        self.rng = np.random.default_rng(recipe.seed)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        rates = Recipe(learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.optimiser = adamw(network, rates)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate_factor(step, recipe.steps)
        )
        self.in_bfloat16 = has_bfloat16(torch.device("cpu"))

    def step(self, number: int) -> float:
        """One optimiser step; its loss."""
        inputs, targets = self.batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_bfloat16):
            network = self.network
            logits = (
                network.from_front(inputs)
                if isinstance(network, SoundClassifier)
                else network(inputs)
            )
        loss = cross_entropy(logits.float(), targets, label_smoothing=self.recipe.smoothing)
        if not torch.isfinite(loss):
            raise TrainingDiverged(f"step {number}: loss {loss.item()}; lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.schedule.step()
        average(self.averaged, self.network, min(self.recipe.ema, number / (number + 9)))
        return loss.item()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Varied inputs and their targets (B, K), which sum to 1."""
        parts = [source.draw(self.rng) for source in self.sources]
        inputs = self.varied(torch.cat([inputs for inputs, _ in parts]))
        outputs = torch.from_numpy(np.concatenate([outputs for _, outputs in parts]))
        targets = one_hot(outputs, self.n_labels).float()
        if not self.recipe.mixup:
            return inputs, targets
        return self.mixed(inputs, targets)

    def varied(self, inputs: Tensor) -> Tensor:
        """Crop, flip, colour and erase frames; shift, tilt, band-limit and mask sounds."""
        recipe, generator = self.recipe, self.generator
        if isinstance(self.network, SoundClassifier):
            n_frames = round(recipe.crop_s / recipe.window_s * inputs.shape[-1])
            return vary_log_mel(inputs, generator)[..., :n_frames]
        frames = random_crops(inputs, recipe.crop_px, generator, area=recipe.crop_area)
        return erase(jitter_colour(frames, generator, strength=0.4), generator)

    def mixed(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix every example with another one of the batch (Zhang et al. 2018)."""
        n = len(inputs)
        draws = self.rng.beta(self.recipe.mixup, self.recipe.mixup, n)
        share = torch.from_numpy(np.maximum(draws, 1 - draws)).float()
        other = torch.from_numpy(self.rng.permutation(n))
        weight = share.view(n, *[1] * (inputs.ndim - 1))
        inputs = weight * inputs + (1 - weight) * inputs[other]
        return inputs, share[:, None] * targets + (1 - share)[:, None] * targets[other]


class _Source:
    """Draws examples, a label in proportion to the square root of its number of files."""

    def __init__(self, material: Material, output_of: dict[int, int], n: int) -> None:
        self.material, self.n = material, n
        self.outputs = np.array([output_of[int(k)] for k in material.labels], np.int64)
        counts = np.bincount(self.outputs)[self.outputs]
        self.shares = counts**-0.5 / (counts**-0.5).sum()

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Ids]:
        """Inputs of `n` examples and the network's output for each."""
        picks = rng.choice(len(self.material), self.n, p=self.shares)
        return self.material.inputs[self.material.of[picks]], self.outputs[picks]
