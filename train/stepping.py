"""A training run between two steps: what one step does, what was best, and all of its state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from encoder.precision import has_bfloat16
from encoder.two_stream import TwoStreamEncoder
from train.averaging import move, moving_tensors
from train.bank import Bank
from train.batches import Batches, Drawn
from train.distributed import Learner, Team
from train.errors import PairsError, TrainingDiverged
from train.figures import Figures, measure
from train.frozen import freeze, freeze_trunk, trunk_of, with_features
from train.objective import Objective
from train.optimiser import GRADIENT_NORM, adamw, schedule
from train.recipe import Recipe
from train.sampling import Rows
from train.state import (
    State,
    load_module,
    load_optimiser,
    module_tensors,
    optimiser_tensors,
)

NAMED_ROWS = 3
"""Rows of a batch that an error names; the others are counted."""
NameOf = Callable[[Rows], list[str]]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The averaged network that was best on `val`, and when that was.

    `figures` is None where there was no `val`: the last weights are given then. `last_step` is how
    far the run came; `seconds` counts the parts of one that was interrupted and resumed.
    """

    network: TwoStreamEncoder
    figures: Figures | None
    step: int
    interrupted: bool = False
    last_step: int = 0
    seconds: float = 0.0


def better(best: Trained | None, network: TwoStreamEncoder, figures: Figures, step: int) -> Trained:
    """Keep the network whose lower leak-free figure is higher."""
    if best is not None and best.figures is not None and best.figures.worst >= figures.worst:
        return best
    return Trained(network=network, figures=figures, step=step)


def on_cpu(network: TwoStreamEncoder) -> TwoStreamEncoder:
    """Return a copy that figures are measured on: in float32, where the index will run it."""
    return copy.deepcopy(network).cpu()


class Run:
    """A run between two steps: networks, optimiser, what was best. Its `state` is all of it."""

    name_of: NameOf | None = None
    val: Bank | None = None

    def __init__(
        self,
        network: TwoStreamEncoder,
        bank: Bank,
        world: Bank | None,
        recipe: Recipe,
        device: torch.device,
        team: Team,
    ) -> None:
        if recipe.supervised and not bank.is_annotated.any():
            raise PairsError("supervised: nobody annotated any of the rows; leave the weight at 0")
        if recipe.frozen:
            bank = bank if bank.features is not None else with_features(bank, network)
            freeze(network)
        elif recipe.frozen_trunk:
            freeze_trunk(network)
        self.recipe, self.device, self.team = recipe, device, team
        self.network = network.train().to(device)
        if recipe.frozen_trunk:
            trunk_of(network).eval()  # its batch statistics stand still too
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        n_classes = len(bank.names) if recipe.positives == "label" else 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.objective = Objective(recipe, n_classes).to(device)
        self.moving = moving_tensors(self.averaged, self.network, frozen=recipe.frozen)
        self.in_bfloat16 = recipe.mixed_precision and has_bfloat16(device)
        self.batches = Batches(
            bank, world, recipe, window_s=network.config.window_s, device=device, team=team
        )
        self.learner = Learner(network, self.objective, team, frozen=recipe.frozen)
        self.trained_parts = nn.ModuleDict({"network": network, "objective": self.objective})
        self.optimiser = adamw(self.trained_parts, recipe)
        self.schedule = schedule(self.optimiser, recipe)
        self.rate = 0.0
        self.done, self.seconds = 0, 0.0
        self.best: Trained | None = None

    def step(self, batches: Iterator[Drawn]) -> dict[str, float]:
        """One optimiser step; the terms of its loss, each already weighted."""
        number, n_turns = self.done + 1, self.recipe.accumulate
        self.optimiser.zero_grad(set_to_none=True)
        means: dict[str, float] = {}
        drawn = []
        for turn in range(n_turns):
            drawn.append(next(batches))
            with self.learner.turn(is_last=turn == n_turns - 1):
                terms = self._terms(drawn[-1])
                loss = torch.stack(list(terms.values())).sum()
                for name, term in terms.items():
                    means[name] = means.get(name, 0.0) + term.item() / n_turns
                if not torch.isfinite(loss):
                    raise self._diverged(f"loss {means}", drawn[-1:])
                (loss / n_turns).backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        if not torch.isfinite(norm):
            raise self._diverged(f"loss {means}, its gradient {norm.item()}", drawn)
        self.rate = float(self.schedule.get_last_lr()[0])
        self.optimiser.step()
        self.schedule.step()
        move(self.moving, min(self.recipe.ema, number / (number + 9)))
        self.done = number
        return means

    def _terms(self, drawn: Drawn) -> dict[str, Tensor]:
        in_bfloat16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16)
        with drawn.randomness(self.device), in_bfloat16:
            return self.learner(drawn.batch, drawn.glued)

    def _diverged(self, what: str, drawn: list[Drawn]) -> TrainingDiverged:
        """Name the rows whose frame or sound is not finite, else those of the whole batch."""
        names: list[str] = []
        for one in drawn:
            broken = [
                i
                for i, (frame, sound) in enumerate(
                    zip(one.batch.frames, one.batch.sounds, strict=True)
                )
                if not (torch.isfinite(frame).all() and torch.isfinite(sound).all())
            ]
            all_names = _names(one.rows) if self.name_of is None else self.name_of(one.rows)
            names += [all_names[i] for i in broken] or all_names
        more = f" and {len(names) - NAMED_ROWS} more" if len(names) > NAMED_ROWS else ""
        return TrainingDiverged(
            f"step {self.done + 1}: {what} in the batch of {', '.join(names[:NAMED_ROWS])}{more}; "
            "look at these files, or lower the learning rate"
        )

    def validated(self) -> Figures | None:
        """Measure on `val` where it is time to, and keep the best network."""
        is_due = self.done % self.recipe.validate_every == 0 or self.done == self.recipe.steps
        if self.val is None or not is_due:
            return None
        shown = on_cpu(self.averaged)
        figures = self._measured(shown, self.val)
        self.best = better(self.best, shown, figures, self.done)
        return figures

    def _measured(self, network: TwoStreamEncoder, val: Bank) -> Figures:
        return measure(network, val, frame_px=network.config.frame_px)

    @property
    def is_out_of_patience(self) -> bool:
        """Whether so many validations gave nothing better that the recipe ends the run."""
        if self.best is None or self.recipe.patience is None:
            return False
        waited = (self.done - self.best.step) // self.recipe.validate_every
        return waited >= self.recipe.patience

    def trained(self, seconds: float) -> Trained:
        """Return what the run would give if it ended now."""
        last = Trained(network=self.averaged, figures=None, step=self.done)
        return replace(self.best or last, last_step=self.done, seconds=self.seconds + seconds)

    def state(self, seconds: float) -> State:
        """All that the next step depends on."""
        parameters = dict(self.trained_parts.named_parameters())
        tensors = (
            module_tensors("trained", self.trained_parts)
            | module_tensors("averaged", self.averaged)
            | optimiser_tensors(self.optimiser, parameters)
        )
        if self.best is not None:
            tensors |= module_tensors("best", self.best.network)
        facts = {
            "step": self.done,
            "seconds": self.seconds + seconds,
            "best_step": None if self.best is None else self.best.step,
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if k != "lr_lambdas"},
            "rates": [group["lr"] for group in self.optimiser.param_groups],
        }
        return State(tensors=tensors, facts=facts)

    def restore(self, state: State) -> None:
        """Go back to where `state` was made; the best network's figures are measured anew."""
        load_module("trained", self.trained_parts, state.tensors)
        load_module("averaged", self.averaged, state.tensors)
        parameters = dict(self.trained_parts.named_parameters())
        load_optimiser(self.optimiser, parameters, state.tensors)
        self.schedule.load_state_dict(state.facts["schedule"] | {"lr_lambdas": [None, None]})
        for group, rate in zip(self.optimiser.param_groups, state.facts["rates"], strict=True):
            group["lr"] = rate
        self.done, self.seconds = state.facts["step"], state.facts["seconds"]
        if state.facts["best_step"] is not None and self.val is not None:
            best = on_cpu(self.averaged)
            load_module("best", best, state.tensors)
            figures = self._measured(best, self.val)
            self.best = Trained(network=best, figures=figures, step=state.facts["best_step"])


def _names(rows: Rows) -> list[str]:
    return [f"picture {p} and sound {s}" for p, s in zip(rows.pictures, rows.sounds, strict=True)]
