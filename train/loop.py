"""The training loop. It knows banks, a recipe and a network; not manifests, media or commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from encoder.two_stream import TwoStreamEncoder
from train.ahead import drawn_ahead, n_ahead_for
from train.bank import Bank
from train.distributed import ALONE, Team
from train.figures import Figures
from train.keeping import Keeping
from train.recipe import Recipe
from train.stepping import NameOf as NameOf
from train.stepping import Run
from train.stepping import Trained as Trained
from train.stopping import asked_to_stop


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is: told after every step.

    Attributes
    ----------
    terms : the weighted terms of the loss, the mean over the step's batches.
    learning_rate : the rate of this step.
    pairs_per_s, eta_s : since this process began.
    """

    step: int
    steps: int
    loss: float
    terms: dict[str, float]
    learning_rate: float
    pairs_per_s: float
    eta_s: float
    figures: Figures | None = None


def train(
    network: TwoStreamEncoder,
    bank: Bank,
    recipe: Recipe,
    *,
    world: Bank | None = None,
    val: Bank | None = None,
    device: torch.device | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    name_of: NameOf | None = None,
    keeping: Keeping | None = None,
    team: Team = ALONE,
) -> Trained:
    """Train a network in place and return its best averaged copy.

    Parameters
    ----------
    bank, world : what batches are drawn from, already joined in `bank`; `world` names the part of
        the labels that `recipe.world_share` of a batch comes from.
    val : rows that the checkpoint is chosen on. Never the test split.
    name_of : names rows for the error of a loss that is not finite.
    keeping : where the unfinished run is written, and whether it goes on from there. With it,
        Ctrl-C ends the run after a whole step; without it, KeyboardInterrupt passes through.
    team : the processes that train together; `val`, `on_progress` and files are the first one's.

    Raises
    ------
    TrainingDiverged : the loss or a gradient is not finite.
    PairsError : nothing to pair.
    ResumeError : the unfinished run is damaged or another one.
    RoomError : the unfinished run cannot be written.
    """
    run = Run(network, bank, world, recipe, device or torch.device("cpu"), team)
    run.name_of, run.val = name_of, val if team.is_first else None
    if keeping is not None and (state := keeping.found()) is not None:
        run.restore(state)
    clock = _Clock(recipe, done=run.done)
    ahead = drawn_ahead(run.batches, first_step=run.done + 1, n_ahead=n_ahead_for(run.device))
    stopping_is_heard = asked_to_stop() if keeping is not None else nullcontext(lambda: False)
    with stopping_is_heard as asked, ahead as batches:
        while run.done < recipe.steps:
            terms = run.step(batches)
            figures = run.validated()
            if on_progress is not None and team.is_first:
                on_progress(clock.progress(run.done, terms, run.rate, figures))
            stopping = team.any(asked())
            if keeping is not None and team.is_first and keeping.is_due(stopping):
                keeping.write(run.state(clock.seconds))
            if stopping:
                return replace(run.trained(clock.seconds), interrupted=True)
            if team.any(run.is_out_of_patience):
                break
    return run.trained(clock.seconds)


class _Clock:
    """How fast this process trains."""

    def __init__(self, recipe: Recipe, *, done: int) -> None:
        self.recipe, self.already_done, self.started = recipe, done, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def progress(
        self, step: int, terms: dict[str, float], rate: float, figures: Figures | None
    ) -> Progress:
        n_done, pairs = step - self.already_done, self.recipe.batch_size * self.recipe.accumulate
        return Progress(
            step=step,
            steps=self.recipe.steps,
            loss=sum(terms.values()),
            terms=terms,
            learning_rate=rate,
            pairs_per_s=n_done * pairs / self.seconds,
            eta_s=self.seconds / n_done * (self.recipe.steps - step),
            figures=figures,
        )
