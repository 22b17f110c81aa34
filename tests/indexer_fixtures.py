"""Small corpora and random blocks for the tests of the indexer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import write_picture, write_sound
from numpy.typing import NDArray

from encoder.embedder import Embedder
from indexer.blocks import FrameBlock, SoundBlock
from indexer.build import BuildReport, build_index
from indexer.options import BuildOptions
from indexer.reader import IndexReader

N_CELLS = 16


def write_pairs(folder: Path, n: int, *, first: int = 0) -> Path:
    """Write n pictures and n sounds, paired by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        write_picture(folder / f"p{i:03d}.png", seed=i)
        write_sound(folder / f"p{i:03d}.wav", seed=1000 + i, seconds=0.3)
    return folder


def options(**changes: object) -> BuildOptions:
    """Options of a small build: two threads, segments and batches of a few items."""
    return BuildOptions(**({"workers": 2, "batch_size": 2, "segment_items": 4} | changes))  # type: ignore[arg-type]


def build(folder: Path, embedder: Embedder, **changes: object) -> BuildReport:
    return build_index(folder, embedder=embedder, options=options(**changes))


def vectors_of(index_dir: Path) -> dict[str, NDArray[np.float32]]:
    """Every vector of an index by file name, whatever ids and order the build gave."""
    found: dict[str, NDArray[np.float32]] = {}
    with IndexReader.open(index_dir) as reader:
        names = {row.id: row for row in reader.rows(reader.ids)}
        for sounds in reader.sound_blocks():
            for item, f_s, h in zip(sounds.ids, sounds.f_s, sounds.h, strict=True):
                row = names[int(item)]
                found[f"{row.audio}@{row.t0:.2f}"] = np.concatenate([f_s, h])
        for frames in reader.frame_blocks():
            for item, maps, coarse in zip(frames.ids, frames.maps, frames.coarse, strict=True):
                row = names[int(item)]
                cells = maps.astype(np.float32).mean(axis=0)
                found[f"{row.image}@{row.frame_time_s}"] = np.concatenate([coarse, cells])
    return found


def unit_rows(rng: np.random.Generator, n: int, width: int = 1000) -> NDArray[np.float32]:
    rows = rng.normal(size=(n, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sound_block(rng: np.random.Generator, ids: list[int]) -> SoundBlock:
    h = rng.normal(size=(len(ids), 512)).astype(np.float16).astype(np.float32)
    return SoundBlock(ids=np.array(ids, np.int64), f_s=unit_rows(rng, len(ids)), h=h)


def frame_block(rng: np.random.Generator, ids: list[int]) -> FrameBlock:
    maps = rng.normal(size=(len(ids), N_CELLS, 512)).astype(np.float16)
    return FrameBlock(ids=np.array(ids, np.int64), maps=maps, coarse=unit_rows(rng, len(ids)))
