"""Everything that decides a training run. Saved in the checkpoint it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from train.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run, completely.

    Parameters
    ----------
    loss : `infonce` over the frames × sounds matrix, which cannot leak (definitions §3), or
        `distance-ratio`, L_U of S19 eq. 6 with each frame conditioned on its own sound; that one
        has no coarse, panel, half_frame and classes beside it.
    positives : `label` re-pairs frames and sounds within a class; `recording` keeps the rows.
    unsupervised, supervised : weights w_U of that loss and w_S of L_S (S19 eq. 7, 8; Table 5); the
        losses beside the first have weights of their own, and where w_U is 0 L_S is alone. It is
        asked of the rows that people annotated; with positives by label, what was drawn for one
        sound of a label counts for all of them.
    attention_loss : of L_S: `cross-entropy` (S19 eq. 8), or `mse`, the other one that S18 names.
    attention_target : of L_S: the `binary` map of the paper, or one `normalised` to sum to 1. With
        the binary one L_S grows with the source's area and is many times the other loss.
    annotated_share : share of each batch that is annotated; None draws rows as they come.
    annotator : whose boxes L_S asks for: what they agree on, or one of them drawn `random`ly each
        time, as the published code does (definitions §8).
    steps, batch_size : optimiser steps, pairs of a batch over all processes.
    accumulate : batches per step, their gradients averaged. Losses over frames × sounds see one
        batch at a time: the negatives stay `batch_size`, and so do the batch statistics.
    patience : validations without gain after which the run ends; None runs all steps.
    world_share : share of a batch that comes from the procedural world, in [0, 1).
    n_world : scenes of the world that are made for training.
    two_source_share : share of these with two sources, each of them to be found by its own sound.
    learning_rate, weight_decay : AdamW's, the rate warmed up and then annealed by a cosine.
    schedule : how the rate goes on after the warm-up; S19 keeps it `constant`.
    augment : vary pictures and sounds. The papers do not.
    frozen : train the projection and the FC layers alone, on features of the streams that are
        computed once, as the published code does (definitions §8). Nothing is augmented, glued
        or mixed then.
    frozen_trunk : leave the visual trunk as it came, batch statistics too, and train the sound
        stream and all that follows the trunk. Pictures are varied as ever.
    mixed_precision : use bfloat16 where the processor computes it. Other processors then give
        other weights.
    crop_px : side of a training frame; the index may use a larger one.
    crop_area : least and largest share of a picture that a training frame shows.
    crop_s : seconds of a sound that a training step hears.
    temperature : what the logits are divided by at first; learned from there.
    coarse, panel, half_frame, classes : weights of the losses beside the first. `coarse` is the
        same loss on f_v under uniform attention, `panel` and `half_frame` make the attention find
        its own frame among glued ones, `classes` draws both embeddings of a label to a learned
        point of the shared space.
    glued_share : share of the steps that also see frames glued side by side in pixels.
    mixed_share : share of the steps that hear two sounds at once, glued frames their own two.
    ema : decay of the averaged weights that are validated and saved.
    validate_every : steps between looks at `val`.
    """

    loss: Literal["infonce", "distance-ratio"] = "infonce"
    positives: Literal["label", "recording"] = "label"
    unsupervised: float = 1.0
    supervised: float = 0.0
    attention_loss: Literal["cross-entropy", "mse"] = "cross-entropy"
    attention_target: Literal["binary", "normalised"] = "binary"
    annotated_share: float | None = None
    annotator: Literal["consensus", "random"] = "consensus"
    steps: int = 2400
    batch_size: int = 64
    accumulate: int = 1
    patience: int | None = None
    world_share: float = 0.25
    n_world: int = 1500
    two_source_share: float = 0.5
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    augment: bool = True
    frozen: bool = False
    frozen_trunk: bool = False
    mixed_precision: bool = True
    crop_px: int = 128
    crop_area: tuple[float, float] = (0.35, 1.0)
    crop_s: float = 3.0
    temperature: float = 0.05
    coarse: float = 0.5
    panel: float = 0.5
    half_frame: float = 0.5
    classes: float = 0.5
    glued_share: float = 0.25
    mixed_share: float = 0.0
    ema: float = 0.998
    validate_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise RecipeError before any time is spent."""
        if self.crop_px < 32 or self.crop_px % 32:
            raise RecipeError(
                f"crop_px {self.crop_px}: give a multiple of 32 (two halves of cells)"
            )
        self._check_run()
        self._check_shares()
        self._check_supervision()

    def _check_run(self) -> None:
        if self.batch_size < 2:
            raise RecipeError(f"batch_size {self.batch_size}: give 2 or more, for the negatives")
        counts = {
            name: getattr(self, name)
            for name in ("steps", "accumulate", "validate_every", "patience")
        }
        for name, count in counts.items():
            if count is not None and count < 1:
                raise RecipeError(f"{name} {count}: give 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(
                f"learning_rate {self.learning_rate}: nothing would be learned; give a number "
                "above 0, such as 0.001"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise RecipeError(f"weight_decay {self.weight_decay}: give a number from 0")

    def _check_shares(self) -> None:
        if not 0 <= self.world_share < 1:
            raise RecipeError(f"world_share {self.world_share}: give a share from 0 to below 1")
        for name in ("glued_share", "mixed_share", "two_source_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} {getattr(self, name)}: give a share from 0 to 1")
        if self.annotated_share is not None and not 0 < self.annotated_share < 1:
            raise RecipeError(
                f"annotated_share {self.annotated_share}: give a share between 0 and 1, or leave "
                "it out"
            )

    def _check_supervision(self) -> None:
        weights = (self.unsupervised, self.supervised)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise RecipeError(
                f"weights {self.unsupervised}:{self.supervised} (unsupervised, supervised): give "
                "numbers from 0, not both of them 0"
            )
        if self.frozen and self.frozen_trunk:
            raise RecipeError("frozen freezes the trunk too; give one of frozen and frozen_trunk")
        if self.frozen and self.augment:
            raise RecipeError("frozen: kept features cannot be augmented; set augment to False")


def two_weights(text: str) -> tuple[float, float]:
    """Read what a user writes for w_U and w_S of S19 eq. 7: `0.75:0.25`. Raises RecipeError."""
    try:
        unsupervised, supervised = (float(part) for part in text.split(":"))
    except ValueError:
        raise RecipeError(f"--weights {text}: give two numbers, as in 0.75:0.25") from None
    return unsupervised, supervised
