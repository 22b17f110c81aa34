"""The made world as a folder: media, a manifest, and never half a world."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from train.world import (
    WorldConfig,
    WorldError,
    make_clip,
    make_scene,
    write_world,
)
from train.world.folder import COLUMNS
from train.world.writing import mp4

SMALL = WorldConfig(
    frame_px=96, sound_s=1.0, rate_hz=8_000, panorama_px=96, video_s=1.0, n_videos=2, n_panoramas=1
)


def test_an_mp4_holds_the_frames_and_the_sound(tmp_path: Path) -> None:
    clip = make_clip(replace(SMALL, video_s=2.0, rate_hz=22_050), 0)
    (tmp_path / "clip.mp4").write_bytes(mp4(clip.frames, clip.frame_hz, clip.waveform, 22_050))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(tmp_path / "clip.mp4")) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(frames) == len(clip.frames) == 24
    error = np.abs(np.array(frames, np.int16) - clip.frames).mean()
    assert error < 12
    assert abs(len(sound) - len(clip.waveform)) < 2_048
    assert sound.std() == pytest.approx(clip.waveform.std(), rel=0.15)


def test_a_written_world_is_what_its_manifest_says(tmp_path: Path) -> None:
    config = replace(SMALL, n_scenes=24, kinds=("bell", "car", "bee"))
    seen: list[tuple[int, int]] = []
    report = write_world(tmp_path / "w", config, on_progress=lambda *step: seen.append(step))
    with report.manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == COLUMNS
    assert seen == [(i + 1, 27) for i in range(27)]
    assert (report.n_items, report.n_videos, report.n_panoramas) == (27, 2, 1)
    assert Counter(row["split"] for row in rows if row["image"]) == {
        "train": 18,
        "val": 3,
        "test": 3,
    }
    for i, row in enumerate(rows[:24]):
        check_still(tmp_path / "w", config, i, row)
    for row in rows[24:]:
        assert (tmp_path / "w" / row["video"]).is_file()
        assert (row["start_s"], row["end_s"], row["image"]) == ("0", "1", "")
    path = (tmp_path / "w" / rows[-1]["video"]).with_suffix(".csv")
    with path.open(newline="") as lines:
        steps = list(csv.DictReader(lines))
    assert len(steps) == 12
    assert float(steps[3]["x_px"]) == pytest.approx(
        (0.5 - float(steps[3]["azimuth_deg"]) / 360) * 192, abs=1e-3
    )


def check_still(root: Path, config: WorldConfig, index: int, row: dict[str, str]) -> None:
    scene = make_scene(config, index)
    image, (sound, rate_hz) = Image.open(root / row["image"]), soundfile.read(root / row["audio"])
    assert Path(row["image"]).with_suffix("") == Path(row["audio"]).with_suffix("")
    assert np.abs(np.asarray(image, np.int16) - scene.image).mean() < 8
    assert rate_hz == config.rate_hz
    assert np.abs(sound - scene.waveform).max() < 2**-15
    boxes = json.loads(row["boxes"])
    assert [tuple(box["box"]) for box in boxes] == [(b.x0, b.y0, b.x1, b.y1) for b in scene.boxes]
    assert {box["annotator"] for box in boxes} <= {"a1", "a2", "a3"}
    assert (row["label"], row["kinds"]) == (scene.kind, " ".join(scene.kinds))
    assert row["onscreen"] == ("true" if scene.onscreen else "false")


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_world_is_the_same_bytes_twice_and_other_bytes_for_another_seed(tmp_path: Path) -> None:
    config = replace(SMALL, n_scenes=4)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_world(tmp_path / name, replace(config, seed=seed))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_an_interrupted_world_is_finished_by_the_same_call(tmp_path: Path) -> None:
    config = replace(SMALL, n_scenes=3, n_videos=0, n_panoramas=0)
    whole = write_world(tmp_path, config)
    before = contents(tmp_path)
    whole.manifest.unlink()
    next((tmp_path / "stills").glob("*.flac")).unlink()
    write_world(tmp_path, config)
    assert contents(tmp_path) == before


def test_a_finished_world_is_left_as_it_is(tmp_path: Path) -> None:
    config = replace(SMALL, n_scenes=2, n_videos=0, n_panoramas=0)
    write_world(tmp_path, config)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    report = write_world(tmp_path, config)
    assert report.n_items == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


def test_nothing_is_written_over(tmp_path: Path) -> None:
    config = replace(SMALL, n_scenes=1, n_videos=0, n_panoramas=0)
    write_world(tmp_path / "a", config)
    with pytest.raises(WorldError, match=r"a: holds a world of other settings; choose another"):
        write_world(tmp_path / "a", replace(config, seed=1))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.csv").write_text("mine")
    with pytest.raises(WorldError, match=r"manifest\.csv: is there already"):
        write_world(tmp_path / "b", config)
    assert contents(tmp_path / "b") == {"manifest.csv": b"mine"}
    (tmp_path / "c").write_text("a file")
    with pytest.raises(WorldError, match=r"c.*cannot be"):
        write_world(tmp_path / "c", config)
