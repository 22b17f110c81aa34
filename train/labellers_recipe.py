"""Everything that decides a labeller's training run. Saved with the labeller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from encoder.labellers.protocol import Modality
from train.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class LabellerRecipe:
    """A labeller's training run, completely.

    Parameters
    ----------
    width, blocks : of the residual network.
    steps, batch_size : optimiser steps, examples per step.
    world_share, n_world : share of a batch that comes from the procedural world, in [0, 1), and
        how many of its scenes are made; 0 scenes leave its kinds out of the vocabulary.
    learning_rate, weight_decay : AdamW's, the rate warmed up and then annealed by a cosine.
    crop_px, crop_area : side of a training frame, and the share of a picture that it shows.
    frame_px : side of a frame when labelling.
    crop_s : seconds of a sound that a step hears; labelling hears windows of `window_s`.
    mixup : α of the Beta distribution that two examples are mixed by (Zhang et al. 2018); 0 never.
    smoothing : label smoothing.
    ema : decay of the averaged weights that are validated and saved.
    validate_every : steps between looks at `val`.
    """

    width: int
    blocks: tuple[int, int, int, int]
    steps: int
    batch_size: int = 64
    world_share: float = 0.2
    n_world: int = 1500
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    crop_px: int = 128
    crop_area: tuple[float, float] = (0.3, 1.0)
    frame_px: int = 160
    crop_s: float = 3.0
    window_s: float = 5.0
    mixup: float = 0.3
    smoothing: float = 0.1
    ema: float = 0.998
    validate_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise RecipeError before any time is spent."""
        if self.batch_size < 2 or self.steps < 1 or self.validate_every < 1:
            raise RecipeError("batch_size needs 2 or more, steps and validate_every 1 or more")
        if not 0 <= self.world_share < 1 or not 0 <= self.smoothing < 1 or self.mixup < 0:
            raise RecipeError("world_share and smoothing must be in [0, 1), mixup 0 or more")
        if self.crop_px < 32 or self.frame_px < 32 or not 0 < self.crop_s <= self.window_s:
            raise RecipeError("crop_px and frame_px need 32 or more, crop_s at most window_s")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def default_recipe(modality: Modality) -> LabellerRecipe:
    """Return the recipe that the shipped labellers were trained with."""
    if modality == "image":
        return LabellerRecipe(width=24, blocks=(2, 2, 2, 2), steps=5000, world_share=0.12)
    return LabellerRecipe(width=32, blocks=(1, 1, 1, 1), steps=4000)
