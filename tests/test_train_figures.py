"""Training's figures are the evaluation's: the same rows give the same numbers without an index."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_picture, write_sound

from encoder.checkpoint import load_checkpoint
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.intervals import Figure
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.evaluation import (
    LocalizationOptions,
    RetrievalFigures,
    RetrievalOptions,
    evaluate_localization,
    evaluate_retrieval,
)
from indexer.evaluation.figures import Direction, Protocol
from indexer.reader import IndexReader
from train import looking
from train.bank import Bank, bank_of_pairs
from train.confusion import confusions
from train.errors import PairsError
from train.figures import Figures, leak_free_of, measure, precision_at
from train.items import items_of
from train.pairs import read_pairs

FRAME_PX = tiny().frame_px
N_ROWS = 20


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 rows of 4 labels, one of which a single row has; copies of a picture and of a sound.

    Pictures have the network's size, so squeezing the stored one and the kept one are the same.
    """
    folder = tmp_path_factory.mktemp("figures") / "corpus"
    folder.mkdir()
    rows = []
    for n in range(N_ROWS):
        write_picture(folder / f"{n}.png", seed=n, size_px=(FRAME_PX, FRAME_PX))
        write_sound(folder / f"{n}.wav", seed=100 + n, seconds=0.3 + 0.01 * n)
        label = "lone" if n == 7 else "abc"[n % 3]
        rows.append({"image": f"{n}.png", "audio": f"{n}.wav", "label": label})
    shutil.copy(folder / "3.png", folder / "9.png")
    shutil.copy(folder / "4.wav", folder / "10.wav")
    write_sound(folder / "lone.wav", seed=500, seconds=0.4)
    rows.append({"image": "", "audio": "lone.wav", "label": "a"})
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", "audio", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> TwoStreamEncoder:
    return load_checkpoint(tiny_checkpoint).network


@pytest.fixture(scope="module")
def bank(manifest: Path, network: TwoStreamEncoder) -> Bank:
    return bank_of_pairs(read_pairs(manifest), network, picture_px=FRAME_PX)


@pytest.fixture(scope="module")
def figures(bank: Bank, network: TwoStreamEncoder) -> Figures:
    return measure(network, bank, frame_px=FRAME_PX)


@pytest.fixture(scope="module")
def index(
    manifest: Path, tiny_embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("index")
    return build_index(
        manifest.parent, embedder=tiny_embedder, manifest=manifest, index_dir=folder / "i"
    ).index_dir


@pytest.fixture(scope="module")
def evaluated(index: Path, tiny_embedder: Embedder) -> RetrievalFigures:
    with IndexReader.open(index) as reader:
        return evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(n_trials=2))


RANKINGS: list[tuple[str, Protocol, Direction]] = [
    ("leak_free_audio_to_image", "leak_free", "audio_to_image"),
    ("leak_free_image_to_audio", "leak_free", "image_to_audio"),
    ("own_sound_audio_to_image", "own_sound", "audio_to_image"),
    ("own_sound_image_to_audio", "own_sound", "image_to_audio"),
    ("swapped_audio_to_image", "swapped", "audio_to_image"),
    ("coarse_audio_to_image", "coarse", "audio_to_image"),
    ("coarse_image_to_audio", "coarse", "image_to_audio"),
]


@pytest.mark.parametrize(("name", "protocol", "direction"), RANKINGS)
def test_rankings_are_those_of_an_index_of_the_same_files(
    figures: Figures,
    evaluated: RetrievalFigures,
    name: str,
    protocol: Protocol,
    direction: Direction,
) -> None:
    (ranking,) = [
        one for one in evaluated.rankings if (one.protocol, one.direction) == (protocol, direction)
    ]
    assert ranking.by_class is not None
    assert ranking.n_excluded_duplicates > 0
    _same(getattr(figures, name), ranking.by_class.mean_average_precision)
    if name == "leak_free_audio_to_image":
        assert figures.chance == pytest.approx(ranking.by_class.chance_average_precision)


def test_conditioning_strength_is_that_of_an_index(
    figures: Figures, evaluated: RetrievalFigures
) -> None:
    assert evaluated.conditioning is not None
    _same(figures.conditioning_strength, evaluated.conditioning.other_label)
    _same(figures.conditioning_strength_same_label, evaluated.conditioning.same_label)


def test_glued_frames_are_those_of_an_index(
    figures: Figures, index: Path, tiny_embedder: Embedder
) -> None:
    with IndexReader.open(index) as reader:
        found = evaluate_localization(reader, tiny_embedder, options=LocalizationOptions())
    assert found.glued is not None
    assert found.glued.n_frames > 100
    _same(figures.side_accuracy, found.glued.side_accuracy)
    _same(figures.conditional_accuracy, found.glued.conditional_accuracy)
    assert figures.conditional_accuracy.n_undefined > 0, "the lone label has no third sound"


def _same(ours: Figure, theirs: Figure) -> None:
    assert (ours.n, ours.n_undefined) == (theirs.n, theirs.n_undefined)
    assert (ours.mean, ours.low, ours.high) == pytest.approx(
        (theirs.mean, theirs.low, theirs.high), abs=1e-4
    )


def test_copies_are_no_answers_to_each_other(bank: Bank, network: TwoStreamEncoder) -> None:
    items = items_of(bank)
    assert (len(items), len(items.pictures), items.n_sounds) == (N_ROWS, N_ROWS - 1, N_ROWS - 1)
    assert len(items.waves) == N_ROWS, "the lone sound is heard for the means alone"
    unaware = replace(bank, contents=None)
    assert len(items_of(unaware).pictures) == N_ROWS
    with_copies = measure(network, unaware, frame_px=FRAME_PX)
    assert with_copies != measure(network, bank, frame_px=FRAME_PX)


def test_the_order_of_the_rows_does_not_matter(
    bank: Bank, network: TwoStreamEncoder, figures: Figures
) -> None:
    shuffled = bank.at(np.random.default_rng(1).permutation(len(bank)))
    again = measure(network, shuffled, frame_px=FRAME_PX)
    assert again.worst == pytest.approx(figures.worst, abs=1e-6)
    _same(again.swapped_audio_to_image, figures.swapped_audio_to_image)
    _same(again.conditional_accuracy, figures.conditional_accuracy)


def test_large_collections_ask_a_sample(
    bank: Bank, network: TwoStreamEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MAX_PAIRS", 5 * N_ROWS)
    to_frames, to_sounds = leak_free_of(network, bank, frame_px=FRAME_PX)
    assert len(np.unique(to_frames.items.sounds[to_frames.queries])) == 5
    assert len(np.unique(to_sounds.items.frames[to_sounds.queries])) == 5
    assert to_frames.items.judged[to_frames.queries].all()
    whole = measure(network, bank, frame_px=FRAME_PX)
    assert whole.own_sound_audio_to_image.n == N_ROWS - 1
    assert whole.leak_free_audio_to_image.n in (5, 6)


def test_sampled_queries_have_the_scores_of_all(
    bank: Bank, network: TwoStreamEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything, _ = leak_free_of(network, bank, frame_px=FRAME_PX)
    ((_, scores, excluded),) = everything.blocks()
    monkeypatch.setattr(looking, "MAX_PAIRS", 4 * N_ROWS)
    sample, _ = leak_free_of(network, bank, frame_px=FRAME_PX)
    ((_, few, few_excluded),) = sample.blocks()
    np.testing.assert_allclose(few, scores[sample.queries], atol=2e-6)
    np.testing.assert_array_equal(few_excluded, excluded[sample.queries])


def test_precision_and_confusions_leave_out_copies(
    manifest: Path, network: TwoStreamEncoder, tmp_path: Path
) -> None:
    """Two labels of which one is a picture and its copy: nothing right is in their gallery."""
    for n, (seed, sound) in enumerate([(0, 1), (0, 2), (5, 3), (6, 4)]):
        write_picture(tmp_path / f"{n}.png", seed=seed, size_px=(FRAME_PX, FRAME_PX))
        write_sound(tmp_path / f"{n}.wav", seed=sound, seconds=0.3)
    rows = "".join(f"{n}.png,{n}.wav,{label}\n" for n, label in enumerate("aabb"))
    (tmp_path / "m.csv").write_text(f"image,audio,label\n{rows}")
    bank = bank_of_pairs(read_pairs(tmp_path / "m.csv"), network, picture_px=FRAME_PX)
    figure = precision_at(network, bank, 1, frame_px=FRAME_PX)
    # By sound, label a has no right picture left; by picture, its sounds are two.
    assert (figure.n, figure.n_undefined) == (6, 2)
    recall = {one.asked: one.share for one in confusions(network, bank).recalls}
    assert recall["a"] == 0


def test_what_cannot_be_ranked_is_refused(bank: Bank, network: TwoStreamEncoder) -> None:
    one_label = bank.only(bank.labels == bank.names.index("a"))
    with pytest.raises(PairsError, match="two labels"):
        measure(network, one_label, frame_px=FRAME_PX)


def test_a_network_that_sees_nothing_is_at_chance(bank: Bank, network: TwoStreamEncoder) -> None:
    """Equal scores are the worst order, glued frames are half and half, no sound moves f_v."""

    class Blind(TwoStreamEncoder):
        def encode_frame(self, frame: torch.Tensor) -> torch.Tensor:
            return torch.ones_like(super().encode_frame(frame))

    blind = Blind(tiny(), seed=0).eval()
    found = measure(blind, bank, frame_px=FRAME_PX)
    assert found.leak_free_audio_to_image.mean < found.chance
    assert found.side_accuracy.mean == 0, "half and half is wrong"
    assert found.conditioning_strength.mean == pytest.approx(0, abs=1e-5)


def test_training_needs_neither_faiss_nor_sql() -> None:
    code = (
        "import sys, train.figures, train.bank, indexer.rules;"
        "print(sorted({'faiss', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
