"""A small world on disk, split for training, and the options that train on it in a second."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from train.world import WorldConfig, write_world

Row = dict[str, str]


def write_split_world(root: Path, *, n_scenes: int = 24) -> Path:
    """Write scenes of one source each; every third row is `val`. Returns the manifest."""
    config = WorldConfig(
        n_scenes=n_scenes, n_videos=0, n_panoramas=0, frame_px=96, sound_s=1.0, seed=3,
        two_source_share=0.0, offscreen_share=0.0, ambient_share=0.0,
    )  # fmt: skip
    manifest = write_world(root, config).manifest

    def split(number: int, row: Row) -> Row:
        return row | {"split": "val" if number % 3 == 2 else "train"}

    return rewritten(manifest, manifest, split)


def rewritten(manifest: Path, as_file: Path, change: Callable[[int, Row], Row | None]) -> Path:
    """Write a manifest anew beside its files, row by row; None leaves a row out."""
    with manifest.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    changed = [new for number, row in enumerate(rows) if (new := change(number, row)) is not None]
    with as_file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(changed[0]))
        writer.writeheader()
        writer.writerows(changed)
    return as_file


def quick(manifest: Path, out: Path, checkpoint: Path) -> list[str]:
    """Return a command line that trains the tiny network, the same way on every machine."""
    options = {
        "--pairs": manifest, "--out": out, "--from": checkpoint, "--steps": 6, "--batch-size": 8,
        "--crop-px": 64, "--world-share": 0, "--validate-every": 3, "--device": "cpu",
        "--precision": "float32",
    }  # fmt: skip
    return ["train", *(str(part) for option in options.items() for part in option)]
