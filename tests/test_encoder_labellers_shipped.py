"""Shipped labellers: folders saved and loaded, items labelled alone, damage told, quality held."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoder.checkpoint import DEFAULT_CHECKPOINT
from encoder.errors import InputError
from encoder.labellers import LabellerPair, Vocabulary, load_labellers
from encoder.labellers.classifier import ClassifierConfig, classifier
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch
from encoder.labellers.protocol import Modality
from encoder.labellers.shipped import (
    SHIPPED,
    LabellerDescription,
    ShippedLabeller,
    save_labeller,
)
from train.labellers_figures import LabelFigures, measure_labeller, measure_on_world
from train.pairs import of_split, read_pairs

OPEN = Path(__file__).parents[2] / "shared" / "dataset" / "open"
SAID = (0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)
NAMES = Vocabulary("fourteen", tuple(f"label {k}" for k in range(14)))


def description(modality: Modality, **changes: Any) -> LabellerDescription:
    config = ClassifierConfig(
        modality=modality, n_labels=len(SAID), width=8, blocks=(1, 1, 1, 1), frame_px=64,
        window_s=0.5,
    )  # fmt: skip
    whole = LabellerDescription(
        name="tiny", classifier=config, vocabulary=NAMES, label_ids=SAID, facts={"licence": "CC0"}
    )
    return replace(whole, **changes)


def save(folder: Path, modality: Modality, seed: int = 0) -> Path:
    told = description(modality)
    save_labeller(folder, classifier(told.classifier, seed=seed), told, "# tiny\n")
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> ShippedLabeller:
    return ShippedLabeller.load(save(tmp_path_factory.mktemp("f") / "f", "image"), device="cpu")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> ShippedLabeller:
    return ShippedLabeller.load(save(tmp_path_factory.mktemp("s") / "s", "audio"), device="cpu")


def pictures(n: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8) for i in range(n)]


def waveforms(n: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 0.1, 3000 + 9000 * i).astype(np.float32) for i in range(n)]


def test_a_folder_is_what_was_saved(tmp_path: Path, frames: ShippedLabeller) -> None:
    folder = save(tmp_path / "again", "image")
    again = ShippedLabeller.load(folder, device="cpu")
    assert again.version == frames.version, "the same weights and labels: the same version"
    assert again.description == frames.description
    assert (again.modality, again.rate_hz, again.vocabulary) == ("image", 0, NAMES)
    assert ShippedLabeller.load(save(tmp_path / "b", "image", seed=1)).version != again.version
    renamed = replace(again.description, vocabulary=Vocabulary("other", NAMES.names))
    save_labeller(folder, again.network, renamed, "")
    assert ShippedLabeller.load(folder).version != again.version


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_an_item_is_labelled_as_if_it_were_alone(
    modality: str, frames: ShippedLabeller, sounds: ShippedLabeller
) -> None:
    labeller = frames if modality == "image" else sounds
    decoded = pictures(5) if modality == "image" else waveforms(5)
    prepared = [labeller.prepare(item) for item in decoded]
    together = labeller.label(prepared)
    alone = [labeller.label([item]) for item in reversed(prepared)]
    np.testing.assert_array_equal(together.ids[::-1], np.concatenate([a.ids for a in alone]))
    np.testing.assert_array_equal(together.scores[::-1], np.concatenate([a.scores for a in alone]))
    assert set(together.ids.ravel().tolist()) <= set(SAID), "never a label that it was not taught"
    assert labeller.label([]).ids.shape == (0, 10)


def test_frames_are_classified_in_float32_as_written_down(frames: ShippedLabeller) -> None:
    prepared = frames.prepare(pictures(1)[0])
    assert prepared.shape == (3, 64, 64)
    assert prepared.dtype == np.uint8
    with torch.inference_mode():
        logits = frames.network(torch.from_numpy(prepared[None]).float() / 255)
    shares = torch.softmax(logits[0].double(), 0).numpy()
    order = np.argsort(-shares, kind="stable")[:10]
    said = frames.label([prepared])
    assert said.ids[0].tolist() == [SAID[k] for k in order]
    np.testing.assert_allclose(said.scores[0], shares[order], rtol=1e-5)


def test_windows_of_a_long_sound_are_averaged_before_the_softmax(sounds: ShippedLabeller) -> None:
    size = sounds.config.window_samples
    long = waveforms(5)[4]
    windows = sounds.prepare(long)
    assert windows.shape == (-(-len(long) // size), size)
    with torch.inference_mode():
        logits = [sounds.network(torch.from_numpy(w[None]))[0].double().numpy() for w in windows]
    mean = np.mean(logits, axis=0)
    said = sounds.label([windows])
    assert said.ids[0].tolist() == [SAID[k] for k in np.argsort(-mean)[:10]]
    short = sounds.prepare(long[:1000])
    np.testing.assert_array_equal(short[0, :3000], np.tile(long[:1000], 3), "a short one is tiled")


def test_what_is_no_frame_or_sound_is_refused(
    frames: ShippedLabeller, sounds: ShippedLabeller
) -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(InputError, match="frame"):
            frames.prepare(wrong)
    with pytest.raises(InputError, match="frame"):
        frames.label([np.zeros((64, 64, 3), np.uint8)])
    with pytest.raises(InputError, match="T > 0"):
        sounds.prepare(np.zeros(0, np.float32))
    spoilt = sounds.prepare(waveforms(1)[0])
    spoilt[0, 7] = np.nan
    with pytest.raises(InputError, match="NaN"):
        sounds.label([spoilt])


def test_damaged_folders_are_told_apart(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole", "image")

    def copy(name: str) -> Path:
        return Path(shutil.copytree(whole, tmp_path / name))

    weights = "model.safetensors"
    missing = copy("missing")
    (missing / weights).unlink()
    with pytest.raises(LabellerDamaged, match="copy the whole folder"):
        ShippedLabeller.load(missing)
    short = copy("short")
    (short / weights).write_bytes((whole / weights).read_bytes()[:5000])
    with pytest.raises(LabellerDamaged, match="damaged or of another network"):
        ShippedLabeller.load(short)
    swapped = copy("swapped")
    shutil.copy(save(tmp_path / "audio", "audio") / weights, swapped / weights)
    with pytest.raises(LabellerDamaged, match="of another network"):
        ShippedLabeller.load(swapped)
    no_text = copy("no-text")
    (no_text / "config.json").write_bytes(b"\xff{")
    with pytest.raises(LabellerDamaged, match=r"config\.json: damaged"):
        ShippedLabeller.load(no_text)


@pytest.mark.parametrize(
    ("key", "value", "error", "match"),
    [
        ("label_ids", [0, 1, 2], VocabularyMismatch, "3 label ids for a network of 12"),
        ("label_ids", [*range(11), 14], VocabularyMismatch, "vocabulary of 14"),
        ("label_ids", [*range(11), 3], VocabularyMismatch, "ascending"),
        ("label_ids", "all", LabellerDamaged, "damaged"),
        ("vocabulary", {"name": "n", "names": [1, 2]}, LabellerDamaged, "damaged"),
        ("classifier", {"modality": "image"}, LabellerDamaged, "its settings are not"),
        ("classifier", None, LabellerDamaged, "its settings are not"),
    ],
)
def test_a_description_that_cannot_be_is_refused(
    tmp_path: Path, key: str, value: object, error: type[Exception], match: str
) -> None:
    folder = save(tmp_path / "l", "image")
    text = json.loads((folder / "config.json").read_text())
    text[key] = value
    (folder / "config.json").write_text(json.dumps(text))
    with pytest.raises(error, match=match):
        ShippedLabeller.load(folder)


@pytest.mark.parametrize("name", ["modality", "blocks", "width", "window_s"])
def test_a_setting_out_of_range_is_refused(name: str) -> None:
    values = json.loads(json.dumps(description("audio").classifier.to_json()))
    assert ClassifierConfig.from_json(values) == description("audio").classifier
    wrong = {"modality": "smell", "blocks": [1, 1], "width": 0, "window_s": "5"}[name]
    with pytest.raises(LabellerDamaged, match="out of range"):
        ClassifierConfig.from_json(values | {name: wrong})


@pytest.fixture(scope="module")
def pair() -> LabellerPair:
    return load_labellers("shipped", device="cpu")


def test_the_shipped_pair_is_small_and_speaks_one_vocabulary(pair: LabellerPair) -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*.safetensors")) < 6e6
    assert len(pair.vocabulary) == len(set(pair.vocabulary.names)) == 68
    assert {"dog", "piano", "bee", "fountain"} <= set(pair.vocabulary.names)
    assert pair.audio.rate_hz == 22_050
    for folder in ("frames", "sounds"):
        card = (SHIPPED / folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "Licence of the weights" in card
        assert "## Figures" in card


def test_the_shipped_pair_shares_no_weight_with_the_encoder() -> None:
    from safetensors.torch import load_file

    theirs = load_file(DEFAULT_CHECKPOINT / "model.safetensors").values()
    known = {t.flatten()[:64].float().numpy().tobytes() for t in theirs if t.ndim > 1}
    for path in SHIPPED.rglob("*.safetensors"):
        for tensor in load_file(path).values():
            if tensor.ndim > 1:
                assert tensor.flatten()[:64].float().numpy().tobytes() not in known


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_the_shipped_pair_knows_the_world(modality: Modality, pair: LabellerPair) -> None:
    labeller = getattr(pair, modality)
    assert isinstance(labeller, ShippedLabeller)
    figures = measure_on_world(labeller, n_scenes=40, seed=77_000)
    assert figures.top5.mean >= 0.9


@pytest.fixture(scope="module", params=["image", "audio"])
def on_val(
    request: pytest.FixtureRequest, pair: LabellerPair
) -> tuple[ShippedLabeller, LabelFigures]:
    if not (OPEN / "manifest.csv").is_file():
        pytest.skip(f"the development media are not at {OPEN}")
    labeller = getattr(pair, request.param)
    return labeller, measure_labeller(labeller, of_split(read_pairs(OPEN / "manifest.csv"), "val"))


def test_the_shipped_pair_on_val_is_what_its_card_says(
    on_val: tuple[ShippedLabeller, LabelFigures],
) -> None:
    labeller, figures = on_val
    assert figures.chance_top5 < 0.12
    assert figures.top5.low > 0.7, "clearly over chance"
    stated = labeller.description.facts["figures"]["val"]
    assert figures.top5.n == stated["top5"]["n"]
    assert figures.top5.mean == pytest.approx(stated["top5"]["mean"], abs=0.01)
    assert figures.top1.mean == pytest.approx(stated["top1"]["mean"], abs=0.01)
    assert "choir" in figures.labels_outside, "labels that it was never taught are left out, named"
