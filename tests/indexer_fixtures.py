"""Small corpora and random blocks for the tests of the indexer."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_picture, write_sound
from numpy.typing import NDArray
from sqlalchemy import func, select

from encoder.embedder import Embedder
from indexer.blocks import FrameBlock, SoundBlock
from indexer.build import BuildReport, build_index
from indexer.catalogue import Catalogue, meta, schema
from indexer.database.place import FILE as PLACE
from indexer.options import BuildOptions
from indexer.reader import IndexReader

N_CELLS = 16
CATALOGUE_URL: str | None = None
"""Where `build` keeps catalogues; the fixture `catalogue_url` sets it."""
ON_BOTH = pytest.mark.usefixtures("catalogue_url")
IN_A_FILE = pytest.mark.parametrize("catalogue_url", ["sqlite"], indirect=True, scope="module")
"""For tests of a module that runs on both kinds of database, which are about files."""


def write_pairs(folder: Path, n: int, *, first: int = 0) -> Path:
    """Write n pictures and n sounds, paired by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        write_picture(folder / f"p{i:03d}.png", seed=i)
        write_sound(folder / f"p{i:03d}.wav", seed=1000 + i, seconds=0.3)
    return folder


def options(**changes: object) -> BuildOptions:
    """Options of a small build: two threads, segments and batches of a few items."""
    small = {"workers": 2, "batch_size": 2, "segment_items": 4, "catalogue": CATALOGUE_URL}
    return BuildOptions(**(small | changes))  # type: ignore[arg-type]


def copied(corpus: Path, to: Path) -> Path:
    """Copy a corpus with its index, to do harm to; a catalogue on a server, too."""
    shutil.copytree(corpus, to)
    index = to / ".retrieval"
    if (index / PLACE).exists():
        (index / PLACE).unlink()
        with (
            Catalogue.open(corpus / ".retrieval") as old,
            Catalogue.create(index, corpus="..", url=CATALOGUE_URL) as new,
        ):
            _copy_rows(old, new)
    return to


def _copy_rows(old: Catalogue, new: Catalogue) -> None:
    with old.reading() as source, new.writing() as target:
        target.execute(meta.delete())
        for table in schema.sorted_tables:
            rows = [dict(row) for row in source.execute(table.select()).mappings()]
            if rows:
                target.execute(table.insert(), rows)
            if rows and table.autoincrement_column is not None:
                last = func.setval(func.pg_get_serial_sequence(table.name, "id"), rows[-1]["id"])
                target.execute(select(last))


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
