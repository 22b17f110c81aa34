"""A world as a folder of ordinary media with a manifest.

    world/
      world.json                          the settings: what made this folder
      stills/scene-0000-bell.jpg, .flac   one stem, one item
      videos/clip-0000-drum.mp4           one object that moves a little
      panoramas/pano-0000-bee.mp4, .csv   equirectangular, and the object's true path
      manifest.csv                        one row per item, written last

The manifest is written last and whole: where it stands, the world is finished.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from train.world.clips import make_clip
from train.world.config import WorldConfig, WorldError
from train.world.panorama import Panorama, make_panorama
from train.world.scenes import Box, make_scene
from train.world.writing import flac, jpeg, mp4

COLUMNS = (
    *("image", "audio", "video", "start_s", "end_s", "label", "boxes", "kind", "split"),
    *("kinds", "onscreen"),
)
"""The manifest's columns. `label` is the sounding kind or "ambient"; `kind` names the sound itself,
also an ambient one; `kinds` are the sounding kinds that are seen."""

SPLITS = ("train", "train", "val", "train", "train", "test")
"""Blocks of stills that hold each kind once go to the splits in turn, and clips one by one."""

FORMAT = 1
"""Raised whenever the same settings would give another world."""

_SETTINGS, _MANIFEST = "world.json", "manifest.csv"
_FOLDERS = ("stills", "videos", "panoramas")

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class WorldReport:
    """What `write_world` made: `n_items` rows, of which so many are videos and panoramas."""

    root: Path
    manifest: Path
    n_items: int
    n_videos: int
    n_panoramas: int
    seconds: float


def write_world(
    root: Path,
    config: WorldConfig | None = None,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> WorldReport:
    """Write a world as ordinary media with a manifest; a finished world is left as it is.

    Parameters
    ----------
    root : the folder, made where it is absent. Other files in it are not touched.
    config : the settings; None means the defaults.
    on_progress : called with (done, total) after each item.

    Raises
    ------
    WorldError : the folder holds another world or files of the same names, or cannot be written.
    """
    config = config or WorldConfig()
    started = time.perf_counter()
    settings = json.dumps({"format": FORMAT, **asdict(config)}, indent=2) + "\n"
    total = config.n_scenes + config.n_videos + config.n_panoramas
    if not _is_finished(root, settings):
        _save(root / _SETTINGS, settings.encode())
        rows = []
        for row in _write_items(root, config):
            rows.append(row)
            if on_progress is not None:
                on_progress(len(rows), total)
        _save(root / _MANIFEST, _table(COLUMNS, [list(row.values()) for row in rows]))
    return WorldReport(
        root=root,
        manifest=root / _MANIFEST,
        n_items=total,
        n_videos=config.n_videos,
        n_panoramas=config.n_panoramas,
        seconds=time.perf_counter() - started,
    )


def _is_finished(root: Path, settings: str) -> bool:
    """Tell whether this very world stands there already; refuse to write over anything else."""
    try:
        if (root / _SETTINGS).exists():
            if (root / _SETTINGS).read_text() != settings:
                raise WorldError(f"{root}: holds a world of other settings; choose another folder")
            return (root / _MANIFEST).exists()
        for name in (_MANIFEST, *_FOLDERS):
            if (root / name).exists():
                raise WorldError(f"{root / name}: is there already; choose another folder")
    except OSError as error:
        raise WorldError(f"{root}: cannot be read ({error.strerror}); choose another") from error
    return False


def _write_items(root: Path, config: WorldConfig) -> Iterator[Row]:
    for index in range(config.n_scenes):
        yield _write_still(root, config, index)
    for index in range(config.n_videos):
        yield _write_clip(root, config, index)
    for index in range(config.n_panoramas):
        yield _write_panorama(root, config, index)


def _write_still(root: Path, config: WorldConfig, index: int) -> Row:
    scene = make_scene(config, index)
    stem = f"stills/scene-{index:04d}-{scene.kind}"
    _save(root / f"{stem}.jpg", jpeg(scene.image))
    _save(root / f"{stem}.flac", flac(scene.waveform, config.rate_hz))
    return _row(
        image=f"{stem}.jpg",
        audio=f"{stem}.flac",
        label=scene.kind,
        kind=next(iter(scene.sounds)),
        kinds=scene.kinds,
        boxes=scene.boxes,
        split=SPLITS[index // len(config.kinds) % len(SPLITS)],
    )


def _write_clip(root: Path, config: WorldConfig, index: int) -> Row:
    clip = make_clip(config, index)
    name = f"videos/clip-{index:04d}-{clip.kind}.mp4"
    _save(root / name, mp4(clip.frames, clip.frame_hz, clip.waveform, config.rate_hz))
    return _row(
        video=name,
        end_s=config.video_s,
        label=clip.kind,
        kind=clip.kind,
        kinds=(clip.kind,),
        boxes=clip.boxes,
        split=SPLITS[index % len(SPLITS)],
    )


def _write_panorama(root: Path, config: WorldConfig, index: int) -> Row:
    panorama = make_panorama(config, index)
    stem = f"panoramas/pano-{index:04d}-{panorama.kind}"
    film = mp4(panorama.frames, panorama.frame_hz, panorama.waveform, config.rate_hz)
    _save(root / f"{stem}.mp4", film)
    _save(root / f"{stem}.csv", _path_table(panorama))
    return _row(
        video=f"{stem}.mp4",
        end_s=config.video_s,
        label=panorama.kind,
        kind=panorama.kind,
        kinds=(panorama.kind,),
        split="test",
    )


def _row(
    *,
    label: str,
    kind: str,
    kinds: tuple[str, ...],
    split: str,
    boxes: tuple[Box, ...] = (),
    image: str = "",
    audio: str = "",
    video: str = "",
    end_s: float | None = None,
) -> Row:
    cells = (
        *(image, audio, video, "" if end_s is None else "0", "" if end_s is None else f"{end_s:g}"),
        *(label, _boxes_json(boxes), kind, split, " ".join(kinds), "true" if kinds else "false"),
    )
    return dict(zip(COLUMNS, cells, strict=True))


def _boxes_json(boxes: tuple[Box, ...]) -> str:
    return json.dumps(
        [
            {
                "box": [box.x0, box.y0, box.x1, box.y1],
                "annotator": f"a{box.annotator}",
                "kind": box.tag,
                "tag": box.kind,
            }
            for box in boxes
        ]
    )


def _path_table(panorama: Panorama) -> bytes:
    """Return the true path as CSV, in degrees and in pixels of the frame."""
    height, width = panorama.frames.shape[1:3]
    times = np.arange(len(panorama.frames)) / panorama.frame_hz
    x = (0.5 - panorama.azimuth_deg / 360) * width
    y = (0.5 - panorama.elevation_deg / 180) * height
    columns = (times, panorama.azimuth_deg, panorama.elevation_deg, x, y)
    names = ("time_s", "azimuth_deg", "elevation_deg", "x_px", "y_px")
    return _table(names, [[f"{cell:.4f}" for cell in row] for row in zip(*columns, strict=True)])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def _save(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise WorldError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another folder"
        ) from error
