"""Glued pairs over an index: a network that knows, one that is blind, and files against figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_picture, write_sound

from encoder.embedder import ConditionedFrames, Embedder
from encoder.intervals import equal_interval, wilson_interval
from encoder.localization.errors import ConcatError
from indexer.build import build_index
from indexer.evaluation import (
    LocalizationOptions,
    evaluate_localization,
    write_concat_and_localize,
)
from indexer.evaluation.contents import Content
from indexer.evaluation.localization.concat import draws_of
from indexer.evaluation.localization.items import Candidate
from indexer.lookup import ItemRow
from indexer.reader import IndexReader

OPTIONS = LocalizationOptions(n_concat=10)
SIDE_PX = 64
"""The tiny network's frame: pictures of this size reach it unchanged."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    folder = tmp_path_factory.mktemp("concat") / "corpus"
    folder.mkdir()
    rows = []
    for n in range(9):
        write_picture(folder / f"{n}.png", seed=n, size_px=(SIDE_PX, SIDE_PX))
        write_sound(folder / f"{n}.wav", seed=50 + n, seconds=0.3)
        box = [8 * (n % 3), 8, 8 * (n % 3) + 32, 48]
        rows.append(
            {"image": f"{n}.png", "audio": f"{n}.wav", "label": "abc"[n % 3], "boxes": [box]}
        )
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return build_index(folder, embedder=tiny_embedder, manifest=manifest).index_dir


class _Blind(Embedder):
    """Looks at every frame alike, whatever it hears."""

    def condition(self, maps: Any, h: Any) -> ConditionedFrames:
        return super().condition(maps, np.ones_like(h))


class _Told(Embedder):
    """Lights up the left half first and the right one then: it has been told the answers."""

    def condition(self, maps: Any, h: Any) -> ConditionedFrames:
        looked = super().condition(maps, h)
        rows, columns = self.grid
        attention = np.zeros((len(looked.attention), rows, columns), np.float32)
        attention[::2, :, : columns // 2] = attention[1::2, :, columns // 2 :] = 1
        return ConditionedFrames(looked.f_v, attention.reshape(len(attention), -1), looked.response)


def test_a_blind_network_is_at_chance_exactly(index: Path, tiny_checkpoint: Path) -> None:
    with IndexReader.open(index) as reader:
        found = evaluate_localization(
            reader, _Blind.load(tiny_checkpoint, device="cpu"), options=OPTIONS
        )
    assert found.concat is not None
    assert found.concat.side_accuracy.mean == 0.5
    assert any("side accuracy" in warning for warning in found.warnings)


def test_one_that_knows_the_sides_has_the_whole_pictures_score(
    index: Path, tiny_checkpoint: Path
) -> None:
    """Golden (definitions §4): the right half scores the pair's own whole-image score."""
    options = LocalizationOptions(n_concat=10, thresholds=(LocalizationOptions().thresholds[2],))
    with IndexReader.open(index) as reader:
        found = evaluate_localization(
            reader, _Told.load(tiny_checkpoint, device="cpu"), options=options
        )
    assert found.concat is not None
    assert found.concat.maps is not None
    side, n_items = found.concat.side_accuracy, found.concat.n_items
    assert (side.mean, side.high) == (1.0, 1.0)
    assert side.low == pytest.approx(wilson_interval(n_items // 2, n_items // 2)[0])
    # Every box covers 32 × 40 of 64 × 64 px; a half of 112 columns at 224 px is exact.
    assert found.concat.maps.mean.mean == pytest.approx(32 * 40 / 64**2, abs=0.01)


def test_samples_and_pairs_are_counted(index: Path, tiny_embedder: Embedder) -> None:
    with IndexReader.open(index) as reader:
        found = evaluate_localization(reader, tiny_embedder, options=OPTIONS)
    assert found.concat is not None
    assert found.concat.n_frames == 10
    assert found.concat.side_accuracy.n == 20
    assert found.concat.conditional_accuracy.n == 20  # every label has a third sound
    assert found.concat.n_items <= 9
    assert [row.name for row in found.concat.baselines] == [
        "random map",
        "centre box",
        "whole picture",
        "the right half",
    ]
    # What knows nothing has intervals over items, as the maps beside it have.
    whole = found.concat.baselines[2].figures.mean
    assert (whole.low, whole.high) == pytest.approx(
        equal_interval(whole.mean, found.concat.n_items // 2, within=(0.0, 1.0)), abs=1e-3
    )
    assert found.glued is found.concat  # all that is labelled has boxes


def test_items_that_share_a_picture_or_a_recording_share_no_frame() -> None:
    """Either half would be right."""

    def item(frame: str, sound: str, label: str) -> Candidate:
        row = ItemRow(
            id=0,
            kind="pair",
            image=frame,
            audio=sound,
            frame_time_s=None,
            t0=0.0,
            t1=1.0,
            label=label,
            metadata={},
        )
        content = Content(frame=(frame, -1.0), sound=(sound, 0.0, 1.0), one_file=False)
        return Candidate(row=row, content=content, key=0)

    shared = [item("park", "bark", "dog"), item("park", "meow", "cat")]
    rest = [item("roof", "meow", "mouse"), item("yard", "purr", "cat"), item("sky", "caw", "crow")]
    draws = draws_of([*shared, *rest], OPTIONS)
    assert {frozenset((d.left, d.right)) for d in draws} == {
        frozenset(pair) for pair in ((0, 2), (0, 4), (1, 4), (2, 3), (2, 4), (3, 4))
    }


def test_the_written_set_is_the_one_that_is_measured(
    index: Path, tiny_embedder: Embedder, tmp_path: Path
) -> None:
    """Glued in memory and read back from PNG and 16-bit WAV: the same figures."""
    told: list[str] = []
    with IndexReader.open(index) as reader:
        direct = evaluate_localization(reader, tiny_embedder, options=OPTIONS).concat
        report = write_concat_and_localize(
            reader,
            tmp_path / "set",
            options=OPTIONS,
            size_px=SIDE_PX,
            on_progress=lambda progress: told.append(progress.phase),
        )
    assert (report.n_pictures, report.n_samples, told[-1]) == (10, 20, "write")
    built = build_index(report.root, embedder=tiny_embedder, manifest=report.manifest)
    assert built.n_failed == 0
    with IndexReader.open(built.index_dir) as reader:
        again = evaluate_localization(
            reader, tiny_embedder, options=LocalizationOptions(n_concat=0)
        )
    assert direct is not None
    assert direct.maps is not None
    assert again.n_samples == 20
    assert again.rows[0].figures.mean.mean == pytest.approx(direct.maps.mean.mean, abs=0.01)
    # Each glued frame shows two sounds with their own places: the interactive case.
    assert again.interactive is not None
    assert again.interactive.n_shared == 10
    with report.manifest.open(newline="", encoding="utf-8") as lines:
        sides = [row["side"] for row in csv.DictReader(lines)]
    assert sides == ["left", "right"] * 10


def test_a_picture_that_is_gone_is_counted(tmp_path: Path, tiny_embedder: Embedder) -> None:
    for n in range(4):
        write_picture(tmp_path / f"{n}.png", seed=n)
        write_sound(tmp_path / f"{n}.wav", seed=n, seconds=0.3)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(
        "".join(
            json.dumps({"image": f"{n}.png", "audio": f"{n}.wav", "label": "ab"[n % 2]}) + "\n"
            for n in range(4)
        )
    )
    built = build_index(tmp_path, embedder=tiny_embedder, manifest=manifest)
    (tmp_path / "1.png").unlink()
    with IndexReader.open(built.index_dir) as reader:
        found = evaluate_localization(reader, tiny_embedder, options=OPTIONS)
        with pytest.raises(ConcatError, match="no two pairs"):
            write_concat_and_localize(reader, tmp_path / "set", options=OPTIONS)
    assert found.exclusions["concat: a picture that cannot be read"] == 1
    assert found.glued is not None
    assert found.glued.n_frames == 2  # of 0, 2 with 1, 3 those without 1
