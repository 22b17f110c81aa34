"""From a manifest to a checkpoint folder: what `retrieval train` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from encoder.checkpoint import load_checkpoint, save_checkpoint
from encoder.config import compact, paper
from encoder.embedder import choose_device
from encoder.initial import initialise_visual
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, OnFile, bank_of_pairs, bank_of_world, join
from train.card import CardFacts, facts_of, model_card
from train.confusion import Mistakes, confusions
from train.errors import PairsError, RecipeError
from train.figures import NOT_MEASURABLE, Figure, Figures, is_measurable, measure, precision_at
from train.loop import Progress, Trained, train
from train.pairs import Pair, of_split, read_pairs
from train.recipe import Recipe

WORLD_SEED = 1
"""The world that training sees; the demo and the check use other seeds."""
UNSEEN_WORLD_SEED = 20_000
UNSEEN_SCENES = 120


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What to train, on what, and where to put it.

    Parameters
    ----------
    manifest : rows with image, audio or video, and label and split where they are known.
    out : folder of the checkpoint.
    preset : `compact`, or `paper` for the network of S19 with its `attention`.
    init : `imagenet`, a weight file for the visual stream, or None.
    start_from : a checkpoint folder to go on from, or None.
    data, licence : what the model card says of them.
    """

    manifest: Path
    out: Path
    recipe: Recipe
    preset: Literal["compact", "paper"] = "compact"
    attention: Literal["cos", "relu"] = "cos"
    init: str | None = None
    start_from: Path | None = None
    device: str = "auto"
    name: str = "compact"
    data: str = ""
    licence: str = "not stated"


def run_training(
    task: TrainingTask,
    *,
    on_file: OnFile | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train and save. The split `train` is trained on, `val` chooses; `test` is never read.

    Raises
    ------
    PairsError, MediaError, CheckpointError, WeightsUnavailable : before any time is spent.
    TrainingDiverged : the loss is not finite.
    """
    device = choose_device(task.device)
    task.out.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(task.manifest)
    rows, held_back = rows_of(task.manifest, pairs, "train"), of_split(pairs, "val")
    network = initial_network(task)
    if network.config.sound == "soundnet8":  # conv8 needs 9.5 s to have a step
        task = replace(task, recipe=replace(task.recipe, crop_s=network.config.window_s))
    val = val_bank(held_back, network, on_file) if held_back else None
    bank = bank_of_pairs(rows, network, on_file=on_file)
    world = None
    if task.recipe.world_share > 0:
        world = bank_of_world(
            network, n_scenes=task.recipe.n_world, seed=WORLD_SEED, on_file=on_file
        )
    started = time.monotonic()
    trained = train(
        network,
        bank if world is None else join([bank, world]),
        task.recipe,
        world=world,
        val=val,
        device=device,
        on_progress=on_progress,
    )
    save(task, trained, n_pairs=len(rows), minutes=(time.monotonic() - started) / 60, val=val)
    return trained


def rows_of(manifest: Path, pairs: Sequence[Pair], split: str) -> list[Pair]:
    """Rows of a split; raises PairsError where it has none, naming those that there are."""
    rows = of_split(pairs, split)
    if not rows:
        there = ", ".join(sorted({pair.split or "train" for pair in pairs}))
        raise PairsError(f"{manifest}: no row has split {split!r}; there are {there}")
    return rows


def val_bank(rows: Sequence[Pair], network: TwoStreamEncoder, on_file: OnFile | None) -> Bank:
    """Decode held-back rows as an index would; raises PairsError where nothing can be ranked."""
    bank = bank_of_pairs(rows, network, picture_px=network.config.frame_px, on_file=on_file)
    if not is_measurable(bank):
        raise PairsError(f"split val: {NOT_MEASURABLE}")
    return bank


def initial_network(task: TrainingTask) -> TwoStreamEncoder:
    """Return the network that training starts from."""
    if task.start_from is not None:
        if task.init is not None:
            raise RecipeError(
                "a run that goes on from a checkpoint has its weights; leave out init"
            )
        return load_checkpoint(task.start_from).network.train()
    config = paper(attention=task.attention) if task.preset == "paper" else compact()
    network = TwoStreamEncoder(config, seed=task.recipe.seed)
    if task.init is not None:
        initialise_visual(network, task.init)
    return network


def save(
    task: TrainingTask, trained: Trained, *, n_pairs: int, minutes: float, val: Bank | None
) -> None:
    """Write the checkpoint with its card; the card's figures are measured on what was saved."""
    facts = CardFacts(
        name=task.name,
        data=task.data or f"Rows of {task.manifest.name}.",
        licence=task.licence,
        n_pairs=n_pairs,
        minutes=minutes,
        step=trained.step,
        started_from=None if task.start_from is None else load_checkpoint(task.start_from),
    )
    network = trained.network.cpu().eval()
    known = facts_of(facts, task.recipe, trained.figures)
    # The weights first: hours are not lost to whatever goes wrong with the card.
    save_checkpoint(task.out, network, name=task.name, facts=known, card=f"# {task.name}\n")
    world = world_figure(network) if task.recipe.world_share else None
    wrong = Mistakes() if val is None else confusions(network, val)
    flag = " --world" if world else ""
    command = f"python -m train.report {task.manifest} --checkpoint {task.out}{flag}"
    card = model_card(
        facts, task.recipe, trained.figures, world=world, mistakes=wrong, command=command
    )
    save_checkpoint(task.out, network, name=task.name, facts=known, card=card)


def world_figure(network: TwoStreamEncoder) -> Figure:
    """Kind precision@5 on scenes whose seed training did not see."""
    frame_px = network.config.frame_px
    scenes = bank_of_world(
        network, n_scenes=UNSEEN_SCENES, seed=UNSEEN_WORLD_SEED, picture_px=frame_px
    )
    return precision_at(network, scenes, 5, frame_px=frame_px)


def figures_of_split(network: TwoStreamEncoder, manifest: Path, split: str) -> Figures:
    """Measure a network on one split of a manifest."""
    frame_px = network.config.frame_px
    rows = rows_of(manifest, read_pairs(manifest), split)
    bank = bank_of_pairs(rows, network, picture_px=frame_px)
    return measure(network, bank, frame_px=frame_px)
