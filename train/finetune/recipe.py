"""How a fine-tuning goes: briefly, with a small rate, and semi-supervised (S19 §4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from encoder.config import TwoStreamConfig
from train.errors import RecipeError
from train.recipe import Recipe

RATE, RATE_OF_EVERYTHING = 1e-3, 2.5e-4
"""Learning rates of the layers behind frozen streams, and of the whole network."""
ANNOTATED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a user may change.

    Parameters
    ----------
    steps, batch_size : optimiser steps, pairs of a batch.
    everything : train both streams, too, on varied pictures and sounds; otherwise they stand still,
        are run once over every file, and nothing is varied.
    learning_rate : None takes `RATE`, or `RATE_OF_EVERYTHING`.
    unsupervised, supervised : w_U and w_S of S19 eq. 7.
    hold_back : share of the items that is measured on and not trained on.
    most_pairs : items without boxes that are trained on at most.
    positives : what belongs together: an item's own pair, or all of a label. None takes labels
        where they suffice (`recipe_of`).
    where : a filter (`indexer.where`) on the items that take part.
    """

    steps: int = 150
    batch_size: int = 16
    everything: bool = False
    learning_rate: float | None = None
    unsupervised: float = 1.0
    supervised: float = 1.0
    hold_back: float = 0.3
    most_pairs: int = 1000
    positives: Literal["label", "recording"] | None = None
    where: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise RecipeError before any time is spent."""
        if not 0 < self.hold_back < 1:
            raise RecipeError(f"hold_back {self.hold_back}: give a share between 0 and 1")
        if self.supervised <= 0:
            raise RecipeError("supervised: above 0, since boxes are what is learned from")
        if self.most_pairs < 0:
            raise RecipeError(f"most_pairs {self.most_pairs}: give 0 or more")


def recipe_of(
    tuning: Tuning,
    config: TwoStreamConfig,
    *,
    n_annotated: int,
    n_others: int,
    are_labelled: bool = False,
) -> Recipe:
    """Return the training run, completely. Raises RecipeError for settings that cannot be.

    Frames and sounds are scored as a matrix, each frame with every sound, which cannot leak
    (definitions §3).

    Parameters
    ----------
    n_annotated, n_others : items that are trained on, with and without boxes.
    are_labelled : whether pairs can be drawn by label among either of the two.
    """
    rate = RATE_OF_EVERYTHING if tuning.everything else RATE
    mixed = min(n_annotated, n_others) >= 2
    return Recipe(
        loss="infonce",
        positives=tuning.positives or ("label" if are_labelled else "recording"),
        unsupervised=tuning.unsupervised,
        supervised=tuning.supervised,
        attention_target="binary",
        annotated_share=ANNOTATED_SHARE if mixed else None,
        steps=tuning.steps,
        batch_size=min(tuning.batch_size, n_annotated + n_others),
        world_share=0.0,
        learning_rate=rate if tuning.learning_rate is None else tuning.learning_rate,
        weight_decay=0.0,
        augment=tuning.everything,
        frozen=not tuning.everything,
        mixed_precision=False,
        crop_px=max(32, config.frame_px - config.frame_px % 32),
        crop_s=config.window_s,
        coarse=0.5,
        panel=0.5,
        half_frame=0.0,
        classes=0.0,
        glued_share=0.0,
        ema=0.0,
        seed=tuning.seed,
    )
