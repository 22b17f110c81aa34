"""Labellers trained end to end on a world that is small enough for a test; their material."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoder.labellers import load_labellers
from encoder.labellers.classifier import ClassifierConfig, classifier
from encoder.labellers.protocol import Modality, Vocabulary
from encoder.labellers.shipped import ShippedLabeller
from train import labellers_recipe
from train.errors import PairsError, RecipeError, TrainingDiverged
from train.labellers import LabellerTask, main, train_labeller
from train.labellers_card import chance_of_overlap
from train.labellers_figures import low_passed, measure_labeller
from train.labellers_fit import FitProgress, all_logits, fit
from train.labellers_material import Material, joined, material_of_pairs, shared_vocabulary
from train.labellers_recipe import LabellerRecipe, default_recipe
from train.labellers_report import main as report
from train.pairs import of_split, read_pairs
from train.world import KINDS, WorldConfig, write_world

QUICK = LabellerRecipe(
    width=8, blocks=(1, 1, 1, 1), steps=4, batch_size=8, n_world=12, crop_px=48, frame_px=64,
    crop_s=0.6, window_s=1.0, validate_every=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of 30 scenes on disk; a third is `val`, and one val row has a label of its own."""
    root = tmp_path_factory.mktemp("world")
    config = WorldConfig(
        n_scenes=30, n_videos=0, n_panoramas=0, frame_px=96, sound_s=1.0, seed=3,
        two_source_share=0.0, offscreen_share=0.0, ambient_share=0.0,
    )  # fmt: skip
    manifest = write_world(root, config).manifest
    with manifest.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for i, row in enumerate(rows):
        row["split"] = "val" if i % 3 == 2 else "train"
        row["label"] = "choir" if i == 29 else row["label"]
    rows.append({**rows[0], "audio": "", "label": "only seen"})
    with manifest.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def task(world: Path, out: Path, modality: Modality, **changes: Any) -> LabellerTask:
    return LabellerTask(
        manifest=world, out=out, modality=modality, recipe=replace(QUICK, **changes), name=out.name,
        vocabulary="small", licence="CC0",
    )  # fmt: skip


def test_a_pair_is_trained_saved_and_measured(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.labellers.UNSEEN_SCENES", 12)
    seen: list[FitProgress] = []
    for name, modality in (("frames", "image"), ("sounds", "audio")):
        train_labeller(
            task(world, tmp_path / name, modality),  # type: ignore[arg-type]
            on_progress=seen.append,
        )
    assert [p.step for p in seen] == [2, 4, 2, 4]
    pair = load_labellers(tmp_path, device="cpu")
    assert pair.vocabulary == Vocabulary("small", tuple(sorted({*KINDS, "only seen"})))
    assert isinstance(pair.image, ShippedLabeller)
    assert isinstance(pair.audio, ShippedLabeller)
    seen_only = pair.vocabulary.names.index("only seen")
    assert seen_only in pair.image.description.label_ids
    assert seen_only not in pair.audio.description.label_ids, "no sound bears it"
    card = (tmp_path / "sounds" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "never says, because nothing of its kind bore them in training: only seen." in card
    assert "Licence of the weights: CC0" in card
    assert report([str(world), "--labeller", str(tmp_path / "frames")]) == 0
    printed = capsys.readouterr().out
    assert "left out: 1 files (choir)" in printed
    figures = pair.image.description.facts["figures"]["val"]
    assert f"top1   {figures['top1']['mean']:.3f}" in printed


def test_the_same_seed_gives_the_same_weights(world: Path, tmp_path: Path) -> None:
    versions = [
        train_labeller(task(world, tmp_path / str(i), "audio", n_world=0, seed=seed)).version
        for i, seed in enumerate((0, 0, 1))
    ]
    assert versions[0] == versions[1] != versions[2]


def blobs(n: int, modality: Modality) -> Material:
    """Two labels that anything can tell apart: bright and dark, high and low."""
    labels = np.arange(n) % 2
    if modality == "image":
        inputs = torch.full((n, 3, 64, 64), 30, dtype=torch.uint8)
        inputs[labels == 1] = 220
    else:
        inputs = torch.full((n, 64, 50), -8.0)
        inputs[labels == 0, :20] = 0.0
        inputs[labels == 1, 30:] = 0.0
    inputs = inputs + torch.arange(n).view(-1, *[1] * (inputs.ndim - 1)).to(inputs.dtype) % 5
    return Material(inputs=inputs, of=np.arange(n), labels=4 + labels)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_what_can_be_learned_is(modality: Modality) -> None:
    recipe = replace(QUICK, steps=60, batch_size=16, world_share=0.25, validate_every=60, ema=0.9)
    config = ClassifierConfig(modality=modality, n_labels=2, width=8, blocks=(1, 1, 1, 1))
    own, world, val = blobs(12, modality), blobs(6, modality), blobs(10, modality)
    before = classifier(config, seed=1)
    fitted = fit(before, own, world, val, (4, 5), recipe)
    assert fitted.val_top1 == 1.0
    logits = all_logits(fitted.network, val, frame_px=64)
    assert (logits.argmax(axis=1) == val.labels - 4).all()
    assert not torch.equal(before.trunk.conv1.weight, classifier(config, seed=1).trunk.conv1.weight)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    own = blobs(8, "audio")
    spoilt = replace(own, inputs=own.inputs * float("nan"))
    config = ClassifierConfig(modality="audio", n_labels=2, width=8, blocks=(1, 1, 1, 1))
    with pytest.raises(TrainingDiverged, match="step 1"):
        fit(classifier(config), spoilt, None, None, (4, 5), QUICK)


def test_every_file_counts_once_and_strangers_are_counted(world: Path) -> None:
    pairs = of_split(read_pairs(world), "train")
    vocabulary = shared_vocabulary(pairs, name="v", with_world=False)
    config = ClassifierConfig(modality="audio", n_labels=2, width=8, blocks=(1, 1, 1, 1))
    config = replace(config, window_s=1.0)
    material = material_of_pairs([*pairs, *pairs], vocabulary, config)
    assert len(material) == len(material.inputs) == len({p.sound for p in pairs if p.sound})
    assert material.n_unlabelled == 0
    fewer = replace(vocabulary, names=vocabulary.names[1:])
    strangers = sum(pair.label == vocabulary.names[0] and bool(pair.sound) for pair in pairs)
    assert material_of_pairs(pairs, fewer, config).n_unlabelled == strangers > 0
    kept = material.only(material.label_ids[1:])
    assert len(kept) + kept.n_unlabelled == len(material)
    both = joined(material, kept)
    assert torch.equal(both.inputs[both.of[-1]], kept.inputs[kept.of[-1]])
    with pytest.raises(PairsError, match="no row has one"):
        material_of_pairs([replace(pairs[0], sound=None)], vocabulary, config)


def test_one_word_is_one_label(world: Path) -> None:
    pairs = of_split(read_pairs(world), "train")
    plain = shared_vocabulary(pairs, name="v", with_world=False)
    both = shared_vocabulary(pairs, name="v", with_world=True)
    assert set(both.names) == set(plain.names) | set(KINDS)
    assert list(both.names) == sorted(both.names)
    with pytest.raises(PairsError, match="at least two"):
        shared_vocabulary([replace(p, label="one") for p in pairs], name="v", with_world=False)


def test_nothing_to_measure_is_said(world: Path, tmp_path: Path) -> None:
    labeller = train_labeller(task(world, tmp_path / "s", "audio", n_world=0, steps=1))
    strangers = [replace(p, label="choir") for p in read_pairs(world)]
    with pytest.raises(PairsError, match="no audio has a label that it can say"):
        measure_labeller(labeller, strangers)


def test_chance_of_overlap_against_draws() -> None:
    rng = np.random.default_rng(0)
    sets = [set(rng.choice(68, 10, replace=False).tolist()) for _ in range(2000)]
    shared = np.mean([bool(a & b) for a, b in zip(sets[::2], sets[1::2], strict=True)])
    assert chance_of_overlap(68) == pytest.approx(shared, abs=0.05)
    assert chance_of_overlap(19) == 1.0


def test_a_sound_is_cut_above_a_frequency() -> None:
    time_s = np.arange(22_050) / 22_050
    low, high = (np.sin(2 * np.pi * hertz * time_s).astype(np.float32) for hertz in (500, 6000))
    np.testing.assert_allclose(low_passed(low + high, 22_050, 4000.0), low, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 1}, {"world_share": 1.0}, {"smoothing": 1.0}, {"crop_s": 9.0}, {"crop_px": 8}],
)
def test_recipes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        replace(QUICK, **wrong)


def test_the_command(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert default_recipe("image") != default_recipe("audio")
    monkeypatch.setattr("train.labellers.default_recipe", lambda modality: QUICK)
    out = tmp_path / "sounds"
    arguments = [str(world), "--out", str(out), "--modality", "audio", "--steps", "2"]
    assert main([*arguments, "--n-world", "0", "--seed", "5"]) == 0
    assert "val top-1" in capsys.readouterr().out
    text = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert text["vocabulary"]["name"] == world.parent.name
    assert (text["facts"]["recipe"]["steps"], text["facts"]["recipe"]["seed"]) == (2, 5)
    assert main(["none.csv", *arguments[1:]]) == 2
    assert "no such manifest" in capsys.readouterr().err
    assert report([str(world), "--labeller", str(tmp_path / "none")]) == 2
    assert "no labeller here" in capsys.readouterr().err


def test_the_shipped_recipes_are_the_ones_in_their_files() -> None:
    from encoder.labellers.shipped import SHIPPED, read_labeller

    for folder, modality in (("frames", "image"), ("sounds", "audio")):
        stated = read_labeller(SHIPPED / folder).facts["recipe"]
        recipe = labellers_recipe.default_recipe(modality)  # type: ignore[arg-type]
        assert stated == json.loads(json.dumps(recipe.to_json()))
