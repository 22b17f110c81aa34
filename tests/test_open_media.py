"""The main job on real media: index, search both ways, see why; and the shipped encoder's figures.

Reads `../shared/dataset/open` beside the repository, in place; skips where it is absent.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from encoder.checkpoint import load_checkpoint
from encoder.embedder import Embedder
from indexer.build import BuildReport, build_index
from retrieval import Retriever
from train.figures import Figures
from train.run import figures_of_split, world_figure

OPEN = Path(__file__).parents[2] / "shared" / "dataset" / "open"
pytestmark = pytest.mark.skipif(
    not (OPEN / "manifest.csv").is_file(), reason=f"the development media are not at {OPEN}"
)
LABELS = ("dog", "cat", "drums", "piano", "speech", "saxophone")
PER_LABEL = 6


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    """Paired rows of the test split, a few of each of six labels, and two lone ones."""
    with (OPEN / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        test = [row for row in csv.DictReader(lines) if row["split"] == "test"]
    paired = [row for row in test if row["image"] and row["audio"] and row["label"] in LABELS]
    lone = [row for row in test if bool(row["image"]) != bool(row["audio"])]
    seen: Counter[str] = Counter()
    chosen = []
    for row in paired:
        seen[row["label"]] += 1
        if seen[row["label"]] <= PER_LABEL:
            chosen.append(row)
    return chosen + lone[:1] + lone[-1:]


@pytest.fixture(scope="module")
def built(rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    folder = tmp_path_factory.mktemp("open")
    manifest = folder / "some.csv"
    with manifest.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return build_index(
        OPEN, manifest=manifest, index_dir=folder / "index", embedder=Embedder.load(device="cpu")
    )


@pytest.fixture(scope="module")
def val_figures() -> Figures:
    return figures_of_split(load_checkpoint().network, OPEN / "manifest.csv", "val")


def test_every_row_is_indexed(built: BuildReport, rows: list[dict[str, str]]) -> None:
    assert built.n_items == len(rows)
    assert built.failures_by_code == {}


@pytest.mark.parametrize("side", ["audio", "image"])
def test_answers_bear_the_querys_label_far_above_chance(
    built: BuildReport, rows: list[dict[str, str]], side: str
) -> None:
    paired = [row for row in rows if row["image"] and row["audio"]]
    right, chance = [], []
    with Retriever.open(built.index_dir, device="cpu") as retriever:
        for row in paired[::2]:
            query = {side: OPEN / row[side]}
            hits = [h for h in retriever.search(**query, k=6) if h.metadata["id"] != row["id"]][:5]
            right.append(np.mean([hit.label == row["label"] for hit in hits]))
            same = sum(other["label"] == row["label"] for other in paired) - 1
            chance.append(same / (len(paired) - 1))
    assert np.mean(right) > 2.5 * np.mean(chance)


def test_heat_maps_of_real_hits_follow_the_sound(
    built: BuildReport, rows: list[dict[str, str]]
) -> None:
    dog, piano = (next(row for row in rows if row["label"] == name) for name in ("dog", "piano"))
    with Retriever.open(built.index_dir, device="cpu") as retriever:
        maps = {}
        for row in (dog, piano):
            hits = retriever.search(audio=OPEN / row["audio"], k=100, where="label = 'dog'")
            heat = hits[0].heatmap()
            assert heat.overlay().size[0] > 50
            maps |= {(row["label"], hit.path): hit.heatmap().attention for hit in hits}
    path = dog["image"]
    assert np.abs(maps["dog", path] - maps["piano", path]).max() > 1e-3


def test_shipped_figures_on_val(val_figures: Figures) -> None:
    """The least that the first shipped encoder must reach; chance is 0.065."""
    assert 0.05 < val_figures.chance < 0.08
    assert val_figures.leak_free_audio_to_image.mean >= 0.45
    assert val_figures.leak_free_image_to_audio.mean >= 0.45
    assert val_figures.side_accuracy.mean >= 0.80


def test_the_card_says_what_is_measured(val_figures: Figures) -> None:
    stated = load_checkpoint().facts["val"]
    measured = val_figures.to_json()
    for name in ("leak_free_audio_to_image", "leak_free_image_to_audio", "side_accuracy"):
        assert stated[name]["mean"] == pytest.approx(measured[name]["mean"], abs=0.02)  # type: ignore[index]


def test_the_shipped_encoder_knows_the_world() -> None:
    assert world_figure(load_checkpoint().network).mean >= 0.8
