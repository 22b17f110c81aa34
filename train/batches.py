"""Batches of a bank, varied as the recipe says: the same ones for a seed, whoever asks and when.

A batch is a function of the seed and of the numbers of its step and turn. A run that goes on from
disk needs no generator's state, and processes that share a batch draw the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from train.augment import cut, erase, jitter_colour, random_windows, vary_log_mel, vary_waveform
from train.bank import NONE, Bank
from train.distributed import ALONE, Team
from train.errors import RecipeError
from train.looking import to_frames
from train.objective import Batch, Glued, glue, mix
from train.recipe import Recipe
from train.regions import Opinions
from train.sampling import (
    LabelSampler,
    RecordingSampler,
    Rows,
    draw_from,
    shared_pictures,
    shown_beside,
)


@dataclass(frozen=True)
class Drawn:
    """Rows of a bank and what the objective is given of them."""

    rows: Rows
    batch: Batch
    glued: Glued | None
    seed: int

    @contextmanager
    def randomness(self, device: torch.device) -> Iterator[None]:
        """Let layers that draw by themselves (dropout) draw what belongs to this batch."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            yield


@dataclass(frozen=True)
class Prepared:
    """Rows of a batch, one process's share of it in memory, and the generator that goes on."""

    rows: Rows
    own: Batch
    rng: np.random.Generator
    seed: int


class Batches:
    """What a run sees.

    Parameters
    ----------
    bank, world, recipe : as of `train.loop.train`.
    window_s : seconds that a kept sound lasts.
    device : where batches go.
    team : the processes that a batch is prepared by, each its share.
    """

    def __init__(
        self,
        bank: Bank,
        world: Bank | None,
        recipe: Recipe,
        *,
        window_s: float,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        if recipe.batch_size % team.size:
            raise RecipeError(
                f"batch_size {recipe.batch_size}: {team.size} processes cannot share it alike; "
                "give a multiple"
            )
        self.bank, self.recipe, self.device, self.team = bank, recipe, device, team
        self.heard_share = min(1.0, recipe.crop_s / window_s)
        self.samplers = samplers(bank, world, recipe)
        by_label = recipe.positives == "label"
        self.shared = shared_pictures(bank, bank.labels if by_label else bank.sound_of)
        # Kept features are no pixels to be squeezed and no sounds to be mixed.
        is_infonce = recipe.loss == "infonce" and recipe.unsupervised > 0
        self._combines = is_infonce and not recipe.frozen

    def at(self, step: int, turn: int) -> Drawn:
        """Batch number `turn` of a step, whole in every process."""
        return self.finished(self.prepared(step, turn))

    def prepared(self, step: int, turn: int) -> Prepared:
        """Look up and vary this process's share of a batch; any thread may."""
        # The last number keeps the streams apart: 0 is what all processes draw alike.
        rng = np.random.default_rng((self.recipe.seed, step, turn, 0))
        rows = draw_from(self.samplers, rng)
        varying = np.random.default_rng((self.recipe.seed, step, turn, 1 + self.team.rank))
        own = self._looked_up(self._share(rows), _seeded(varying))
        return Prepared(rows, own, rng, seed=int(varying.integers(2**63)))

    def finished(self, prepared: Prepared) -> Drawn:
        """Join the shares on the device, and combine what is asked of the whole batch."""
        batch, rng, glued = self._gathered(prepared.own), prepared.rng, None
        beside = shown_beside(prepared.rows, self.shared)
        if beside.any():
            batch = replace(batch, beside=torch.from_numpy(beside).to(self.device))
        if self._combines and rng.random() < self.recipe.glued_share:
            glued = glue(batch, _seeded(rng))
        if self._combines and rng.random() < self.recipe.mixed_share:
            batch = mix(batch, rng, glued)
        return Drawn(prepared.rows, batch, glued, seed=prepared.seed)

    def _share(self, rows: Rows) -> Rows:
        part = self.team.share(len(rows.group))
        return Rows(rows.pictures[part], rows.sounds[part], rows.group[part], rows.regions[part])

    def _gathered(self, batch: Batch) -> Batch:
        def whole(own: Tensor) -> Tensor:
            return self.team.whole(own.to(self.device), self.recipe.batch_size)

        agreement = batch.agreement
        return Batch(
            frames=whole(batch.frames),
            sounds=whole(batch.sounds),
            group=whole(batch.group),
            agreement=None if agreement is None else whole(agreement),
        )

    def _looked_up(self, rows: Rows, generator: torch.Generator) -> Batch:
        agreement = self._agreement(rows, generator)
        if self.recipe.frozen:
            features = self.bank.features
            assert features is not None
            frames, heard = features.pictures[rows.pictures], features.f_s[rows.sounds]
        else:
            frames, agreement = self._frames(rows, agreement, generator)
            heard = self._heard(rows, generator)
        return Batch(
            frames=frames,
            sounds=heard,
            group=torch.from_numpy(rows.group),
            agreement=None if agreement is None else agreement.float() / 255,
        )

    def _agreement(self, rows: Rows, generator: torch.Generator) -> Tensor | None:
        """What people drew into the pictures, (B, 1, S, S) uint8, zero where they did not look."""
        regions = self.bank.regions
        if regions is None or not self.recipe.supervised:
            return None
        places = np.maximum(rows.regions, 0)
        if isinstance(regions, Opinions):
            places = regions.drawn(places, generator)
        drawn = regions.maps[places]
        drawn[rows.regions == NONE] = 0
        return drawn

    def _frames(
        self, rows: Rows, agreement: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Frames (B, 3, px, px) in [0, 1], and what was drawn into them, cut alike."""
        recipe = self.recipe
        pictures = self.bank.pictures_at(rows.pictures)
        if not recipe.augment:
            return to_frames(pictures, recipe.crop_px, recipe.crop_px), agreement
        windows = random_windows(len(pictures), generator, area=recipe.crop_area)
        frames = cut(pictures, windows, recipe.crop_px)
        if agreement is not None:
            agreement = (cut(agreement, windows, agreement.shape[-1]) * 255).round()
        return erase(jitter_colour(frames, generator, strength=0.3), generator), agreement

    def _heard(self, rows: Rows, generator: torch.Generator) -> Tensor:
        """Sounds (B, …), the sound stream's front of `crop_s` seconds."""
        sounds = self.bank.sounds_at(rows.sounds)
        if self.recipe.augment:
            vary = vary_log_mel if sounds.ndim == 3 else vary_waveform
            sounds = vary(sounds, generator)
        return sounds[..., : round(self.heard_share * sounds.shape[-1])]


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


def _seeded(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(2**63)))
