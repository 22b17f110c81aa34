"""Measuring a whole file in one pass: levels of sounds, looks of pictures and videos."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from broken_files import BROKEN, write_broken_file
from media_files import (
    CLIPS,
    encoded,
    frame_grey,
    noise_picture,
    picture,
    refusal,
    tone,
    write_clip,
    write_frames,
    write_tone,
)
from numpy.typing import NDArray

from encoder.media import measure_picture, measure_sound, measure_video, read_sound
from encoder.media.levels import STEP_S, levels_of
from encoder.media.looks import look_of
from encoder.media.spans import SoundBlock

REFUSED = sorted(
    name for name, row in BROKEN.items() if row[1] not in ("not-finite", "silent", "too-short")
)
"""Those three are measured here, where `read_sound` refuses them."""


def stereo(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([left, right], axis=1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_the_level_of_a_tone(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"t{suffix}", tone(1.0, 48_000), 48_000)
    levels = measure_sound(path)
    level = levels.between(0.2, 0.8)
    assert level.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert level.clipped_share == level.not_finite == 0
    assert level.mix_db == pytest.approx(0.0)
    assert (levels.rate_hz, levels.n_channels) == (48_000, 1)
    assert levels.duration_s == pytest.approx(1.0, abs=0.06)


def test_levels_know_where_in_the_file_they_are(tmp_path: Path) -> None:
    samples = np.concatenate([np.zeros(22_050, np.float32), tone(1.0, 22_050)])
    levels = measure_sound(write_tone(tmp_path / "t.wav", samples, 22_050))
    assert levels.between(0.0, 1.0).rms_db == -200
    assert levels.between(1.0, None).rms_db == pytest.approx(-9.03, abs=0.01)
    assert levels.between(5.0, None).n == 0


@pytest.mark.parametrize("seed", range(5))
def test_blocks_change_nothing(seed: int) -> None:
    """Wherever a decoder cuts, but for runs at full scale that are cut themselves."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-0.9, 0.9, (32_000, 2)).astype(np.float32)
    whole = levels_of([SoundBlock(samples=samples, first=0, rate_hz=8_000)])
    cuts = [0, *sorted(rng.integers(1, 32_000, 4).tolist()), 32_000]
    parts = [
        SoundBlock(samples=samples[a:b], first=a, rate_hz=8_000) for a, b in pairwise(cuts) if b > a
    ]
    np.testing.assert_allclose(levels_of(parts).sums, whole.sums, rtol=1e-5)
    squares = np.square(samples.astype(np.float64)).mean(axis=1).reshape(-1, 800).sum(axis=1)
    np.testing.assert_allclose(whole.sums[:, 1], squares, rtol=1e-5)


def test_a_pause_of_the_clock_is_no_sound() -> None:
    blocks = [
        SoundBlock(samples=np.full((800, 1), 0.5, np.float32), first=first, rate_hz=8_000)
        for first in (0, 80_000)
    ]
    levels = levels_of(blocks)
    assert levels.duration_s == pytest.approx(10.1)
    assert levels.between(1.0, 9.0).n == 0
    assert len(levels.sums) == round(10.1 / STEP_S)


def test_sound_before_the_beginning_of_its_file_is_left_out(tmp_path: Path) -> None:
    """Without its number of channels, Opus in Matroska starts some milliseconds too early."""
    clip = write_clip(tmp_path / "a.mka", video=None, audio="libopus", n_frames=20)
    clip.write_bytes(clip.read_bytes().replace(b"\x9f\x81\x01\xb5", b"\x00\x81\x01\xb5"))
    levels, waveform = measure_sound(clip), read_sound(clip, rate_hz=48_000)
    assert levels.duration_s == pytest.approx(len(waveform) / 48_000)
    assert levels.duration_s < 2.0
    assert levels.sums[:, 0].sum() == len(waveform)


def test_a_video_whose_clock_jumps_is_not_looked_at_for_hours(tmp_path: Path) -> None:
    clip = write_frames(tmp_path / "v.mkv", [0, 100, 3_000_000])
    error = refusal(measure_video, clip, every_s=0.5)
    assert (error.code, error.reason) == ("corrupt", "its clock jumps ahead to 3000 s")


def test_a_video_may_stand_still_for_a_minute(tmp_path: Path) -> None:
    clip = write_frames(tmp_path / "v.mkv", [0, 100, 60_000])
    assert len(measure_video(clip, every_s=10.0).looks) == 7


@pytest.mark.parametrize(("run", "n_clipped"), [(1, 0), (2, 0), (3, 3), (7, 7)])
def test_runs_at_full_scale(tmp_path: Path, run: int, n_clipped: int) -> None:
    samples = tone(0.5)
    samples[100 : 100 + run] = 1.0
    samples[3000 : 3000 + run] = -1.0
    path = write_tone(tmp_path / "t.wav", samples, subtype="PCM_16")
    level = measure_sound(path).between(0.0, None)
    assert level.clipped == 2 * n_clipped
    assert level.clipped_share == pytest.approx(2 * n_clipped / len(samples))


@pytest.mark.parametrize(
    ("right", "mix_db"),
    [
        (lambda left: left, 3.01),
        (lambda left: -left, -200.0),
        (lambda left: np.zeros_like(left), 0.0),
        (lambda left: -0.8 * left, 10 * np.log10(2 * 0.1**2 / 0.82)),
    ],
)
def test_what_a_mix_down_loses(tmp_path: Path, right, mix_db: float) -> None:
    left = tone(0.5)
    path = write_tone(tmp_path / "t.wav", stereo(left, right(left)), subtype="FLOAT")
    assert measure_sound(path).between(0.0, None).mix_db == pytest.approx(mix_db, abs=0.05)


def test_samples_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    samples = tone(0.5)
    samples[[5, 9_000]] = np.nan, np.inf
    level = measure_sound(write_tone(tmp_path / "t.wav", samples, subtype="FLOAT")).between(0, None)
    assert level.not_finite == 2
    assert level.rms_db == pytest.approx(-9.03, abs=0.05)


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_every_container_is_measured_as_it_is_read(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, n_frames=30, **CLIPS[name])
    level, waveform = measure_sound(path).between(0.5, 2.0), read_sound(path, t0_s=0.5, t1_s=2.0)
    assert level.rms_db == pytest.approx(10 * np.log10(np.mean(waveform**2)), abs=0.2)
    motion = measure_video(path, every_s=0.5, times_s=[1.25])
    assert list(motion.times_s) == sorted({0.0, 0.5, 1.0, 1.25, 1.5, 2.0, 2.5, motion.times_s[-1]})
    assert motion.at(1.25).brightness == pytest.approx(frame_grey(12), abs=4)
    # Grey rises by 5 levels a frame, and there are ten a second.
    assert motion.changes[1] == pytest.approx(25, abs=6)


@pytest.mark.parametrize("name", REFUSED)
def test_broken_files_give_the_code_that_reading_gives(tmp_path: Path, name: str) -> None:
    broken = write_broken_file(tmp_path, name)
    match broken.reads:
        case "image":
            error = refusal(measure_picture, broken.path)
        case "frame":
            error = refusal(measure_video, broken.path, every_s=0.5)
        case _:
            error = refusal(measure_sound, broken.path)
    assert error.code == broken.code


def test_the_look_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(encoded(picture(), "PNG"))
    look = measure_picture(tmp_path / "p.png")
    assert (look.width_px, look.height_px) == (64, 48)
    assert look.reach == 180
    assert refusal(measure_picture, write_tone(tmp_path / "t.wav")).code == "unsupported"


@pytest.mark.parametrize(("n_bright", "is_black"), [(20, True), (21, False)])
def test_brightness_leaves_out_two_per_cent(n_bright: int, is_black: bool) -> None:
    pixels = np.zeros((20, 50, 3), np.uint8)
    pixels.reshape(-1, 3)[:n_bright] = 255
    assert (look_of(pixels).brightness < 25) is is_black


@pytest.mark.parametrize(("n_other", "reach"), [(10, 0), (11, 200)])
def test_reach_leaves_out_one_per_cent_at_either_end(n_other: int, reach: int) -> None:
    pixels = np.full((20, 50, 3), 40, np.uint8)
    pixels.reshape(-1, 3)[:n_other] = 240
    assert look_of(pixels).reach == reach


def test_a_still_picture_under_the_name_of_a_video_has_one_look(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(encoded(noise_picture(), "PNG"))
    motion = measure_video(tmp_path / "v.mp4", every_s=0.5, times_s=[3.0])
    assert len(motion.looks) == 1
    assert motion.change_between(0.0, None) is None


def test_a_clip_of_one_picture_hardly_changes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "v.mp4", audio=None, image=noise_picture(), n_frames=30)
    change = measure_video(clip, every_s=0.5).change_between(0.0, None)
    assert change is not None
    assert change < 1.0


def test_measuring_needs_no_torch(tmp_path: Path) -> None:
    write_clip(tmp_path / "v.mp4")
    code = (
        "import sys; from encoder.media import *; p = sys.argv[1];"
        "measure_sound(p); measure_video(p, every_s=1.0); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "v.mp4")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
