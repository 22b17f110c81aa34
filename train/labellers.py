"""`python -m train.labellers MANIFEST --out DIR --modality image`: train a labeller.

`train` is trained on, `val` chooses the step, `test` is measured once, at the end. Both labellers
of a pair must come from one manifest: their vocabulary is made of its training labels.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from encoder.errors import EncoderError
from encoder.labellers.classifier import ClassifierConfig, classifier
from encoder.labellers.protocol import Modality, Vocabulary
from encoder.labellers.shipped import LabellerDescription, ShippedLabeller, save_labeller
from indexer.errors import IndexerError
from train.errors import PairsError, TrainError
from train.labellers_card import LabellerFacts, labeller_card
from train.labellers_figures import LabelFigures, measure_labeller, measure_on_world
from train.labellers_fit import FitProgress, Fitted, fit
from train.labellers_material import (
    Material,
    joined,
    material_of_pairs,
    material_of_world,
    shared_vocabulary,
)
from train.labellers_recipe import LabellerRecipe, default_recipe
from train.listed import WORLD_SEED, rows_of
from train.pairs import Pair, of_split, read_pairs
from train.run import UNSEEN_WORLD_SEED

UNSEEN_SCENES = 200
LOW_PASS_HZ = 4000.0
"""The bandwidth of an 8 kHz recording: below it, no source gives itself away by where it ends."""


@dataclass(frozen=True, kw_only=True)
class LabellerTask:
    """What labeller to train, on what, and where to put it.

    Parameters
    ----------
    manifest : rows with an image, an audio or a video, a label and a split.
    out : folder of the labeller; a pair is a folder with `frames` and `sounds`.
    name, vocabulary : what it and its labels are called.
    data, licence : what the model card says of them.
    """

    manifest: Path
    out: Path
    modality: Modality
    recipe: LabellerRecipe
    name: str
    vocabulary: str
    data: str = ""
    licence: str = "not stated"


def train_labeller(
    task: LabellerTask, *, on_progress: Callable[[FitProgress], None] | None = None
) -> ShippedLabeller:
    """Train, save, measure what was saved, and write its card.

    Raises
    ------
    PairsError, MediaError, RecipeError : before any time is spent.
    TrainingDiverged : the loss is not finite.
    """
    task.out.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(task.manifest)
    rows = rows_of(task.manifest, pairs, "train")
    held_back = {split: of_split(pairs, split) for split in ("val", "test")}
    has_world = task.recipe.n_world > 0
    vocabulary = shared_vocabulary(rows, name=task.vocabulary, with_world=has_world)
    material = _material(task, vocabulary, rows, held_back["val"])
    started = time.monotonic()
    network = classifier(material.config, seed=task.recipe.seed)
    fitted = fit(
        network,
        material.own,
        material.world,
        material.val,
        material.label_ids,
        task.recipe,
        on_progress=on_progress,
    )
    minutes = (time.monotonic() - started) / 60
    return _save(task, vocabulary, material, fitted, held_back, minutes)


@dataclass(frozen=True, kw_only=True)
class _AllMaterial:
    own: Material
    world: Material | None
    val: Material | None
    label_ids: tuple[int, ...]
    config: ClassifierConfig


def _material(
    task: LabellerTask, vocabulary: Vocabulary, rows: list[Pair], val_rows: list[Pair]
) -> _AllMaterial:
    recipe = task.recipe
    config = ClassifierConfig(
        modality=task.modality,
        n_labels=len(vocabulary),
        width=recipe.width,
        blocks=recipe.blocks,
        frame_px=recipe.frame_px,
        window_s=recipe.window_s,
    )
    own = material_of_pairs(rows, vocabulary, config)
    world = None
    if recipe.n_world:
        world = material_of_world(vocabulary, config, n_scenes=recipe.n_world, seed=WORLD_SEED)
    label_ids = (own if world is None else joined(own, world)).label_ids
    if len(label_ids) < 2:
        raise PairsError(f"{task.manifest}: {len(label_ids)} labels bear {task.modality} files")
    val = None
    if any(p.picture if task.modality == "image" else p.sound for p in val_rows):
        val = material_of_pairs(val_rows, vocabulary, config, picture_px=recipe.frame_px)
        val = val.only(label_ids)
    config = replace(config, n_labels=len(label_ids))
    return _AllMaterial(
        own=own, world=world, val=val if val else None, label_ids=label_ids, config=config
    )


def _save(
    task: LabellerTask,
    vocabulary: Vocabulary,
    material: _AllMaterial,
    fitted: Fitted,
    held_back: dict[str, list[Pair]],
    minutes: float,
) -> ShippedLabeller:
    """Write the weights first, then what the figures of the saved labeller are."""
    description = LabellerDescription(
        name=task.name,
        classifier=material.config,
        vocabulary=vocabulary,
        label_ids=material.label_ids,
        facts={},
    )
    save_labeller(task.out, fitted.network, description, f"# {task.name}\n")
    labeller = ShippedLabeller.load(task.out, device="cpu")
    facts = LabellerFacts(
        data=task.data or f"Rows of {task.manifest.name}.",
        licence=task.licence,
        n_files=len(material.own),
        minutes=minutes,
        step=fitted.step,
        recipe=task.recipe,
        figures=figures_of(labeller, held_back, with_world=material.world is not None),
    )
    described = replace(description, facts=facts.to_json())
    command = f"python -m train.labellers_report {task.manifest} --labeller {task.out}"
    save_labeller(task.out, fitted.network, described, labeller_card(described, facts, command))
    return ShippedLabeller.load(task.out, device="cpu")


def figures_of(
    labeller: ShippedLabeller, rows_by_split: dict[str, list[Pair]], *, with_world: bool
) -> dict[str, LabelFigures]:
    """Measure each split that has files of the labeller's kind, and scenes of an unseen world."""
    is_image = labeller.modality == "image"
    measurable = {
        split: rows
        for split, rows in rows_by_split.items()
        if any(pair.picture if is_image else pair.sound for pair in rows)
    }
    figures = {split: measure_labeller(labeller, rows) for split, rows in measurable.items()}
    if "val" in measurable and not is_image:
        figures[f"val, cut at {LOW_PASS_HZ / 1000:g} kHz"] = measure_labeller(
            labeller, measurable["val"], low_pass_hz=LOW_PASS_HZ
        )
    if with_world:
        figures["world, unseen seed"] = measure_on_world(
            labeller, n_scenes=UNSEEN_SCENES, seed=UNSEEN_WORLD_SEED
        )
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Train one labeller from the command line; 2 where the input cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        labeller = train_labeller(_task(options), on_progress=_tell)
    except (EncoderError, IndexerError, TrainError) as error:
        print(f"train.labellers: error: {error}", file=sys.stderr)
        return 2
    for name, figures in labeller.description.facts["figures"].items():
        top1, top5 = figures["top1"]["mean"], figures["top5"]["mean"]
        print(f"{name:20} top-1 {top1:.3f}  top-5 {top5:.3f}  n={figures['top1']['n']}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.labellers", description="Train a labeller of frames or of sounds."
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the labeller")
    parser.add_argument("--modality", choices=("image", "audio"), required=True)
    parser.add_argument("--steps", type=int, help="optimiser steps; the recipe's if left out")
    parser.add_argument("--n-world", type=int, help="scenes of the procedural world; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", help="the folder's name if left out")
    parser.add_argument("--vocabulary", help="the manifest's folder, +world, if left out")
    parser.add_argument("--data", default="", help="what the card says of the material")
    parser.add_argument("--licence", default="not stated", help="of the weights")
    return parser


def _task(options: argparse.Namespace) -> LabellerTask:
    recipe = replace(default_recipe(options.modality), seed=options.seed)
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    if options.n_world is not None:
        recipe = replace(recipe, n_world=options.n_world)
    folder = options.manifest.resolve().parent.name
    return LabellerTask(
        manifest=options.manifest,
        out=options.out,
        modality=options.modality,
        recipe=recipe,
        name=options.name or options.out.name,
        vocabulary=options.vocabulary or (f"{folder}+world" if recipe.n_world else folder),
        data=options.data,
        licence=options.licence,
    )


def _tell(progress: FitProgress) -> None:
    print(
        f"step {progress.step}/{progress.steps}  loss {progress.loss:.3f}  "
        f"val top-1 {progress.val_top1:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
