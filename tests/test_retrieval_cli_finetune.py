"""`retrieval finetune`: a new checkpoint from an index with boxes, and what it says of it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_one_line, run
from conftest import SmallCorpus
from numpy.typing import NDArray

from encoder.checkpoint import load_checkpoint, read_description, save_checkpoint
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.reader import IndexReader
from retrieval.exit_codes import ExitCode
from train.bank import bank_of_pairs
from train.finetune.figures import attention_of, share_inside
from train.loop import train
from train.pairs import read_pairs
from train.recipe import Recipe
from train.world import KINDS, WorldConfig, write_world
from train.world.layout import plan_scene
from train.world.scenes import set_stage

SMALL = WorldConfig(
    n_scenes=40,
    n_videos=0,
    n_panoramas=0,
    frame_px=64,
    sound_s=1.0,
    seed=31,
    two_source_share=0.0,
    offscreen_share=0.0,
    ambient_share=0.0,
    kinds=KINDS[:3],
)


@dataclass(frozen=True)
class Indexed:
    """A made world whose first scenes have boxes, and the encoder that its index was built by."""

    folder: Path
    manifest: Path
    checkpoint: Path

    @property
    def arguments(self) -> list[str]:
        return [str(self.folder), "--checkpoint", str(self.checkpoint)]


def indexed(folder: Path, config: WorldConfig, checkpoint: Path, *, n_annotated: int) -> Indexed:
    manifest = partly_annotated(folder, config, n_annotated)
    embedder = Embedder.load(checkpoint, device="cpu")
    report = build_index(folder, embedder=embedder, manifest=manifest)
    assert report.n_failed == 0
    return Indexed(folder, manifest, checkpoint)


def partly_annotated(folder: Path, config: WorldConfig, n_annotated: int) -> Path:
    """Write a world; only the first of its scenes keep their boxes."""
    with write_world(folder, config).manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[n_annotated:]:
        row["boxes"] = ""
    manifest = folder / "partly.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Indexed:
    folder = tmp_path_factory.mktemp("finetune") / "small"
    return indexed(folder, SMALL, tiny_checkpoint, n_annotated=24)


QUICK = ("--steps", 3, "--batch-size", 8, "--device", "cpu")


def test_a_new_checkpoint_with_its_card(small_world: Indexed, tmp_path: Path) -> None:
    with IndexReader.open(small_world.folder / ".retrieval") as reader:
        known = reader.info()
    out = tmp_path / "new"
    result = run("finetune", *small_world.arguments, "--out", out, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    made, before = read_description(out), read_description(small_world.checkpoint)
    assert said["schema"] == "retrieval.finetune/1"
    assert said["fingerprint"] == made.fingerprint != before.fingerprint
    assert said["started_from"] == {"name": "tiny", "fingerprint": before.fingerprint}
    assert said["trained_on"] == {"n_pairs": 28, "n_annotated": 17}
    assert said["held_back"] == {"n_pairs": 12, "n_annotated": 7, "share": 0.3, "seed": 0}
    assert made.name == "tiny-finetuned"
    assert made.facts["changes"] == said["changes"]
    assert made.facts["started_from"]["facts"] == {"licence": "Apache-2.0"}
    card = (out / "MODEL_CARD.md").read_text()
    for part in ("Licence of the weights: Apache-2.0", before.fingerprint, "17 of them", "7 of"):
        assert part in card
    assert len(said["heatmaps"]) == 7
    assert all(Path(path).parent == out / "heatmaps" for path in said["heatmaps"])
    with IndexReader.open(small_world.folder / ".retrieval") as reader:
        assert reader.info() == known


def test_what_is_printed(small_world: Indexed, tmp_path: Path) -> None:
    out = tmp_path / "new"
    asked = ("--out", out, *QUICK, "--manifest", small_world.manifest)
    result = run("finetune", *small_world.arguments, *asked)
    assert result.exit_code == 0, result.output
    for name in ("success", "AUC", "side accuracy", "class mAP, audio→image", "centre box"):
        assert f"\n{name}" in result.stdout
    assert "12 items, 7 with boxes (by source file, seed 0)" in result.stdout
    (step,) = (line for line in result.stderr.splitlines() if line.startswith("next: "))
    assert step.endswith(f"--checkpoint {out} --reembed")
    assert f"--manifest {small_world.manifest} " in step


def test_a_seed_gives_the_same_weights(small_world: Indexed, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        asked = ("--out", tmp_path / name, *QUICK, "--seed", 4)
        assert run("finetune", *small_world.arguments, *asked).exit_code == 0
        made.append(read_description(tmp_path / name).fingerprint)
    assert made[0] == made[1]


def test_frozen_streams_stand_still_unless_everything_is_trained(
    small_world: Indexed, tmp_path: Path
) -> None:
    before = load_checkpoint(small_world.checkpoint).network.state_dict()
    for options, stands_still in (((), True), (("--everything",), False)):
        out = tmp_path / str(stands_still)
        result = run("finetune", *small_world.arguments, "--out", out, *QUICK, *options)
        assert result.exit_code == 0, result.output
        after = load_checkpoint(out).network.state_dict()
        same = [torch.equal(before[k], after[k]) for k in before if k.startswith("sound.")]
        assert all(same) is stands_still
        assert not torch.equal(before["fc9.weight"], after["fc9.weight"])


def test_the_index_is_embedded_anew_where_asked(tiny_checkpoint: Path, tmp_path: Path) -> None:
    world = indexed(tmp_path / "w", replace(SMALL, n_scenes=24), tiny_checkpoint, n_annotated=12)
    asked = ("--out", tmp_path / "new", *QUICK, "--rebuild", "--manifest", world.manifest)
    result = run("finetune", *world.arguments, *asked, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["rebuilt"]["n_items"] == 24
    with IndexReader.open(world.folder / ".retrieval") as reader:
        assert reader.encoder_fingerprint == said["fingerprint"]
        assert sum(bool(reader.boxes(item)) for item in reader.ids) == 12


def test_refusals(small_world: Indexed, small_corpus: SmallCorpus, tmp_path: Path) -> None:
    new = ("--out", tmp_path / "new")
    none = run("finetune", *small_corpus.arguments, *new)
    assert_one_line(none, ExitCode.CORPUS, "0 of 15 items", "column `boxes`", "no boxes")
    few = run("finetune", *small_world.arguments, *new, "--where", "split = 'test'")
    assert_one_line(few, ExitCode.CORPUS, "10 are needed")
    other = tmp_path / "other"
    save_checkpoint(other, TwoStreamEncoder(tiny(), seed=3), name="other", facts={}, card="")
    mismatch = run("finetune", small_world.folder, "--checkpoint", other, *new)
    assert_one_line(mismatch, ExitCode.ENCODER, "tiny", "other")
    taken = run("finetune", *small_world.arguments, "--out", other)
    assert_one_line(taken, ExitCode.STORAGE, "other", "new folder")
    (tmp_path / "file").touch()
    unwritable = run("finetune", *small_world.arguments, "--out", tmp_path / "file" / "new")
    assert_one_line(unwritable, ExitCode.STORAGE, "file")
    assert_one_line(run("finetune", tmp_path / "none", *new), ExitCode.INDEX, "none")
    weights = run("finetune", *small_world.arguments, *new, "--weights", "1")
    assert_one_line(weights, ExitCode.USAGE, "--weights 1:", "0.75:0.25")
    unsupervised = run("finetune", *small_world.arguments, *new, "--weights", "1:0")
    assert_one_line(unsupervised, ExitCode.USAGE, "boxes are what is learned from")
    rebuild = run("finetune", *small_world.arguments, *new, "--rebuild")
    assert_one_line(rebuild, ExitCode.USAGE, "--manifest")
    absent = run("finetune", *small_world.arguments, *new, "--manifest", tmp_path / "none.csv")
    assert_one_line(absent, ExitCode.USAGE, "none.csv")
    assert not (tmp_path / "new").exists()


def test_files_that_are_gone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    world = indexed(tmp_path / "w", replace(SMALL, n_scenes=15), tiny_checkpoint, n_annotated=12)
    shutil.move(next((world.folder / "stills").glob("*.jpg")), tmp_path / "away.jpg")
    result = run("finetune", *world.arguments, "--out", tmp_path / "new")
    assert_one_line(result, ExitCode.CORPUS, ".jpg: no such file", "1 of 30 files")


# ── a wrong habit, and fifty boxes ───────────────────────────────────────────────────────────────

RAILWAY = replace(
    SMALL,
    n_scenes=300,
    frame_px=96,
    seed=77,
    kinds=KINDS,
    distractor_rate=0.3,
    object_size=(0.6, 0.8),
    correlated_distractor=True,
)
"""Beside every source of a kind stands the same silent thing: S19's railway beside the train."""
COLLECTION, UNSEEN = (
    replace(RAILWAY, n_scenes=200, seed=76),
    replace(RAILWAY, n_scenes=100, seed=78),
)
N_BOXES = 72
"""Of which fifty are trained on, and the others held back."""


@dataclass(frozen=True)
class Habit:
    """Where an encoder looks in scenes that it has not seen; (N,) each.

    Attributes
    ----------
    on_source, on_distractor : shares of the attention.
    """

    on_source: NDArray[np.float64]
    on_distractor: NDArray[np.float64]

    @property
    def drawn_away(self) -> float:
        """Of the attention on either, the share that the distractor has."""
        return float((self.on_distractor / (self.on_source + self.on_distractor)).mean())


def silhouettes(config: WorldConfig, role: str) -> NDArray[np.bool_]:
    """Where the source, or the distractor beside it, stands in each scene (N, H, W)."""
    masks = np.zeros((config.n_scenes, config.frame_px, config.frame_px), np.bool_)
    for index, mask in enumerate(masks):
        stage = set_stage(config, plan_scene(config, index))
        for thing, sprite in zip(stage.things, stage.sprites, strict=True):
            if thing.role == role and (role == "source" or thing.upright):
                inside = np.s_[
                    thing.y_px : thing.y_px + thing.side_px, thing.x_px : thing.x_px + thing.side_px
                ]
                mask[inside] = sprite.alpha >= 0.5
    return masks


def habit_of(checkpoint: Path, unseen: Path) -> Habit:
    network = load_checkpoint(checkpoint).network
    bank = bank_of_pairs(read_pairs(unseen), network, picture_px=network.config.frame_px)
    maps = attention_of(network, bank)
    source, distractor = silhouettes(UNSEEN, "source"), silhouettes(UNSEEN, "prop")
    return Habit(on_source=share_inside(maps, source), on_distractor=share_inside(maps, distractor))


def unsupervised(manifest: Path, folder: Path) -> Path:
    """Train a tiny network on pairs alone, frames × sounds, as the papers' small rows do."""
    network = TwoStreamEncoder(replace(tiny(), frame_px=RAILWAY.frame_px), seed=0)
    bank = bank_of_pairs(read_pairs(manifest), network, picture_px=RAILWAY.frame_px)
    recipe = Recipe(
        positives="recording",
        steps=200,
        batch_size=16,
        world_share=0.0,
        learning_rate=2e-3,
        weight_decay=0.0,
        augment=False,
        mixed_precision=False,
        crop_px=RAILWAY.frame_px,
        crop_s=RAILWAY.sound_s,
        temperature=0.1,
        coarse=0.0,
        half_frame=0.0,
        classes=0.0,
        glued_share=0.0,
        ema=0.0,
    )
    trained = train(network, bank, recipe).network.eval()
    save_checkpoint(folder, trained, name="unsupervised", facts={}, card="# unsupervised\n")
    return folder


def test_fifty_boxes_mend_a_wrong_habit(tmp_path: Path) -> None:
    """Trained on pairs alone it looks at what stands beside the source; boxes turn it round."""
    known = write_world(tmp_path / "known", RAILWAY).manifest
    before = unsupervised(known, tmp_path / "unsupervised")
    world = indexed(tmp_path / "world", COLLECTION, before, n_annotated=N_BOXES)
    after = tmp_path / "mended"
    result = run(
        *("finetune", *world.arguments, "--out", after),
        *("--everything", "--learning-rate", 5e-4, "--device", "cpu", "--json"),
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["trained_on"]["n_annotated"] == 50
    gain = said["changes"]["AUC"]["difference"]
    assert gain["mean"] > 0.15
    assert gain["low"] > 0.05
    unseen = write_world(tmp_path / "unseen", UNSEEN).manifest
    wrong, right = habit_of(before, unseen), habit_of(after, unseen)
    area = silhouettes(UNSEEN, "prop").mean()
    assert wrong.on_distractor.mean() > 1.5 * area
    assert right.drawn_away < wrong.drawn_away - 0.04
    assert right.on_source.mean() > 1.15 * wrong.on_source.mean()
    assert right.on_distractor.mean() < wrong.on_distractor.mean()
