"""Concat-and-localize: draws, glued boxes, the golden identities of definitions §4, files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from encoder.localization import AnnotatedBox, consensus_iou, ground_truth
from encoder.localization.concat import (
    SIDES,
    ConcatDraw,
    LabelMeans,
    Side,
    conditional_accuracy,
    draw_pairs,
    glue,
    half_picture,
    half_truth,
    on_side,
)
from encoder.localization.concat_files import ConcatSource, write_concat
from encoder.localization.errors import ConcatError, ShapeError
from encoder.localization.metrics import right_mass

SIZE = (224, 224)
# On the grid of a half: an even pixel of the whole frame is a whole pixel of its half.
even_boxes = st.tuples(*[st.integers(0, 111)] * 2, *[st.integers(1, 112)] * 2).map(
    lambda b: AnnotatedBox(
        x0=b[0] / 112,
        y0=b[1] / 112,
        x1=min(112, b[0] + b[2]) / 112,
        y1=min(112, b[1] + b[3]) / 112,
    )
)


def named(*names: str) -> list[frozenset[str]]:
    return [frozenset(name.split()) for name in names]


# ── draws ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("n", [40, 900])  # listed, and drawn until there are enough
def test_draws_are_distinct_pairs_without_a_common_sound(n: int) -> None:
    sounds = named(*(f"s{at % 7} s{at % 5 + 10}" for at in range(n)))
    draws = draw_pairs(sounds, n_draws=200, seed=3)
    assert len(draws) == 200
    assert len({frozenset((d.left, d.right)) for d in draws}) == 200
    assert not any(sounds[d.left] & sounds[d.right] for d in draws)
    assert 60 < sum(d.left < d.right for d in draws) < 140
    assert draws == draw_pairs(sounds, n_draws=200, seed=3)
    assert draws != draw_pairs(sounds, n_draws=200, seed=4)


def test_few_samples_give_all_their_pairs() -> None:
    draws = draw_pairs(named("dog", "cat", "dog", ""), n_draws=500)
    assert {frozenset((d.left, d.right)) for d in draws} == {
        frozenset(pair) for pair in ((0, 1), (1, 2), (0, 3), (1, 3), (2, 3))
    }
    assert draw_pairs(named("dog", "dog"), n_draws=5) == ()
    assert draw_pairs([], n_draws=5) == ()


# ── golden identities ────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.lists(even_boxes, min_size=1, max_size=3), st.sampled_from(SIDES))
def test_golden_the_right_half_scores_the_pairs_whole_picture(
    boxes: list[AnnotatedBox], side: Side
) -> None:
    truth = ground_truth(boxes)
    half, other = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    half[:, :112], other[:, 112:] = True, True
    if side == "right":
        half, other = other, half
    whole = consensus_iou(np.ones(SIZE, bool), truth.score_map(SIZE))
    glued = half_truth(truth, side).score_map(SIZE)
    assert consensus_iou(half, glued) == pytest.approx(whole)
    assert consensus_iou(other, glued) == 0  # so a random half has half of its success


def test_golden_a_map_that_ignores_the_sound_is_at_chance() -> None:
    """The same map under both sounds: one of the two sides is right, whatever the map."""
    maps = np.random.default_rng(0).random((50, 10, 10))
    under_both = np.repeat(maps, 2, axis=0)
    assert on_side(right_mass(under_both), SIDES * 50).mean() == 0.5


def test_a_map_that_lies_on_both_sides_alike_is_wrong_on_both() -> None:
    assert not on_side(right_mass(np.ones((2, 4, 4))), SIDES).any()


def test_the_half_that_lights_up_counts() -> None:
    maps = np.zeros((2, 4, 6))
    maps[0, :, 0] = maps[1, :, 5] = 1
    assert on_side(right_mass(maps), ("left", "right")).all()
    assert not on_side(right_mass(maps), ("right", "left")).any()


# ── conditional accuracy ─────────────────────────────────────────────────────────────────────────


def means_of_two_labels() -> LabelMeans:
    f_s = np.repeat(np.eye(2, 1000), 3, axis=0)
    return LabelMeans(f_s=f_s, labels=np.repeat([0, 1], 3), recordings=np.arange(6))


def test_conditional_accuracy_compares_with_both_means() -> None:
    f_v = np.eye(2, 1000)[[0, 0, 1]]
    found = conditional_accuracy(
        f_v, means_of_two_labels(), np.array([0, 4, 5]), np.array([3, 1, 2])
    )
    assert (found.mean, found.n) == (pytest.approx(2 / 3), 3)


def test_the_two_sounds_of_the_frame_stay_out_of_the_means() -> None:
    """Sound 0 alone points where f_v does; without it its label points elsewhere."""
    f_s = np.eye(3, 1000)[[0, 2, 1, 1]]
    means = LabelMeans(f_s=f_s, labels=np.array([0, 0, 1, 1]), recordings=np.arange(4))
    f_v = (0.9 * np.eye(3, 1000)[0] + 0.2 * np.eye(3, 1000)[1])[None]
    assert conditional_accuracy(f_v, means, np.array([0]), np.array([2])).mean == 0


def test_a_recording_under_two_labels_stays_out_of_both() -> None:
    means = LabelMeans(
        f_s=np.eye(4, 1000), labels=np.array([0, 0, 1, 0]), recordings=np.array([0, 1, 2, 0])
    )
    assert np.flatnonzero(means.without(1, [0, 2])).tolist() == [1]  # type: ignore[arg-type]


def test_no_third_sound_is_undefined_and_a_tie_is_wrong() -> None:
    means = LabelMeans(f_s=np.eye(3, 1000), labels=np.array([0, 1, -1]), recordings=np.arange(3))
    found = conditional_accuracy(np.ones((2, 1000)), means, np.array([0, 2]), np.array([1, 0]))
    assert (found.n, found.n_undefined) == (0, 2)
    tied = conditional_accuracy(
        np.ones((1, 1000)), means_of_two_labels(), np.array([0]), np.array([3])
    )
    assert tied.mean == 0


# ── pictures and files ───────────────────────────────────────────────────────────────────────────


def test_halves_are_squeezed_and_stand_side_by_side() -> None:
    red, blue = np.zeros((90, 120, 3), np.uint8), np.zeros((50, 40, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 100
    glued = glue(half_picture(red, 64), half_picture(blue, 64))
    assert glued.shape == (64, 64, 3)
    assert (glued[:, :32, 0] == 200).all()
    assert (glued[:, 32:, 2] == 100).all()
    with pytest.raises(ConcatError, match="even"):
        half_picture(red, 33)
    with pytest.raises(ShapeError, match="beside"):
        glue(half_picture(red, 64), half_picture(blue, 32))


def sources() -> list[ConcatSource]:
    def grey(level: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.full((30, 40, 3), level, np.uint8)

    def tone(level: float) -> np.ndarray:  # type: ignore[type-arg]
        return np.full(2205, level, np.float32)

    boxes = (AnnotatedBox(x0=0, y0=0, x1=0.5, y1=1, annotator="a", tag="dog"),)
    return [
        ConcatSource(
            name="dog 1",
            picture=lambda: grey(50),
            sound=lambda: tone(0.5),
            label="dog",
            boxes=boxes,
        ),
        ConcatSource(name="c/at", picture=lambda: grey(90), sound=lambda: tone(-0.25), label="cat"),
    ]


def test_glued_pairs_are_ordinary_files(tmp_path: Path) -> None:
    draws = [ConcatDraw(left=1, right=0)]
    report = write_concat(tmp_path / "set", sources(), draws, size_px=64)
    assert (report.n_pictures, report.n_sounds, report.n_samples) == (1, 2, 2)
    with report.manifest.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["label"], row["side"]) for row in rows] == [("cat", "left"), ("dog", "right")]
    assert {(row["left"], row["right"]) for row in rows} == {("c/at", "dog 1")}
    assert rows[0]["boxes"] == ""
    assert json.loads(rows[1]["boxes"])[0]["box"] == [32, 0, 48, 64]
    picture = np.asarray(Image.open(report.root / rows[0]["image"]))
    assert (picture[0, 0, 0], picture[0, -1, 0]) == (90, 50)
    samples, rate_hz = soundfile.read(report.root / rows[1]["audio"])
    assert (rate_hz, len(samples)) == (22_050, 2205)
    assert samples[0] == pytest.approx(0.5, abs=1e-4)


def test_the_same_draws_give_the_same_bytes(tmp_path: Path) -> None:
    draws = [ConcatDraw(left=0, right=1)]
    folders = [write_concat(tmp_path / name, sources(), draws, size_px=64).root for name in "ab"]
    contents = [
        {
            file.relative_to(folder): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        for folder in folders
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConcatError, match="not an empty folder"):
        write_concat(tmp_path, sources(), [ConcatDraw(left=0, right=1)])
    with pytest.raises(ConcatError, match="no two pairs"):
        write_concat(tmp_path / "new", sources(), [])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
