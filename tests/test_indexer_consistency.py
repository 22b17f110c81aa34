"""Segments against the catalogue: each fault is made on purpose, and found."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from indexer_fixtures import N_CELLS, build, frame_block, sound_block, unit_rows, write_pairs

from encoder.embedder import Embedder
from indexer.catalogue import Catalogue
from indexer.compact.writing import read_bases
from indexer.consistency import (
    EXAMPLES,
    Fault,
    faults_of_rows,
    faults_of_vectors,
    listed_items,
    orphans,
)
from indexer.history import segment_files
from indexer.lookup import basis_rows, latest_generation
from indexer.segments import SegmentRows, SegmentWriter
from indexer.storage import FileRecord
from indexer.store import SegmentStore, segment_folder
from indexer.verify import Named


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    """A corpus of 6 pairs and 2 lone sounds in segments of four, then two that changed."""
    folder = write_pairs(tmp_path_factory.mktemp("consistency") / "corpus", 8)
    for n in (6, 7):
        (folder / f"p{n:03d}.png").unlink()
    build(folder, tiny_embedder)
    write_pairs(folder, 1, first=40)
    shutil.move(folder / "p040.png", folder / "p000.png")
    build(folder, tiny_embedder)
    return folder


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "corpus")) / ".retrieval"


def faults(index: Path, repeat: int | None = None) -> list[tuple[str, str, int]]:
    """Return what all checks say; `repeat` is a segment that is taken twice."""
    with Catalogue.open(index) as catalogue, catalogue.reading() as connection:
        generation = latest_generation(connection)
        assert generation is not None
        edition = generation.edition.id
        files = segment_files(connection, edition)
        listed = {
            side: listed_items(connection, edition, generation.id, side)
            for side in ("frame", "sound")
        }
        bases = read_bases(index, basis_rows(connection), files)
    if repeat is not None:
        shutil.copytree(segment_folder(index, repeat), segment_folder(index, 99))
        files[99] = files[repeat]
    with closing(SegmentStore(index, files, bases=bases)) as store:
        found = [
            fault for side, ids in listed.items() for fault in faults_of_rows(store, side, ids)
        ]
        found += faults_of_vectors(store)
    return [(fault.where, fault.wrong, fault.n) for fault in found]


def change(index: Path, *statements: str) -> None:
    """Change the catalogue behind its back."""
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_whole_index_has_no_faults(index: Path) -> None:
    assert faults(index) == []


def test_replaced_and_deleted_items_may_keep_their_rows(index: Path) -> None:
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as connection:
        (n,) = connection.execute(
            "SELECT count(*) FROM items WHERE superseded_in IS NOT NULL"
        ).fetchone()
    assert n  # the second build put another item in the place of p000
    change(index, "UPDATE items SET deleted = 1 WHERE id = 2")
    assert faults(index) == []


def test_an_item_without_its_rows(index: Path) -> None:
    columns = (
        "kind, frame_source, frame_time_s, frame_key, sound_source, sound_key, t0, t1, metadata"
    )
    change(
        index,
        f"INSERT INTO items (id, deleted, {columns}) "
        f"SELECT 900, 0, {columns} FROM items WHERE id = 2",
        "INSERT INTO outcomes SELECT edition, 'new', stamp, 900 FROM outcomes WHERE item = 2",
    )
    assert faults(index) == [("frame", "missing", 1), ("sound", "missing", 1)]


def test_a_row_without_its_item_or_without_that_side(index: Path) -> None:
    change(index, "DELETE FROM items WHERE id = 2", "DELETE FROM outcomes WHERE item = 2")
    assert faults(index) == [("frame", "unknown", 1), ("sound", "unknown", 1)]
    change(index, "UPDATE items SET frame_source = NULL WHERE id = 3")
    assert faults(index) == [("frame", "unknown", 2), ("sound", "unknown", 1)]


def test_a_segment_that_is_there_twice(index: Path) -> None:
    assert faults(index, repeat=1) == [("frame", "repeated", 4), ("sound", "repeated", 4)]


# ------------------------------------------------------------------ vectors


def store_of(folder: Path, rows: SegmentRows) -> SegmentStore:
    inside = segment_folder(folder, 1)
    inside.mkdir(parents=True)
    writer = SegmentWriter(inside, N_CELLS)
    writer.append(rows)
    files: dict[str, FileRecord] = writer.finish()
    return SegmentStore(folder, {1: files})


def rows_of(n: int = 8) -> SegmentRows:
    rng = np.random.default_rng(0)
    ids = list(range(1, n + 1))
    heard = np.ones(n, np.bool_)
    heard[-1] = False
    return SegmentRows(
        sounds=sound_block(rng, ids[:-1]),
        frames=frame_block(rng, ids),
        own_sound=unit_rows(rng, n),
        heard=heard,
    )


def found_in(folder: Path, rows: SegmentRows) -> list[Fault]:
    with closing(store_of(folder, rows)) as store:
        return faults_of_vectors(store)


def test_good_vectors(tmp_path: Path) -> None:
    rows = rows_of()
    rows.own_sound[~rows.heard] = np.nan  # null in the file: no vector at all
    assert found_in(tmp_path, rows) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["sound", "coarse", "own_sound", "h", "map"])
def test_what_is_not_finite(tmp_path: Path, where: str, bad: float) -> None:
    rows = rows_of()
    vectors = {
        "sound": rows.sounds.f_s,
        "coarse": rows.frames.coarse,
        "own_sound": rows.own_sound,
        "h": rows.sounds.h,
        "map": rows.frames.maps.reshape(len(rows.frames.ids), -1),
    }
    vectors[where][2, 5] = bad
    assert found_in(tmp_path, rows) == [Fault(wrong="not finite", where=where, n=1, examples=(3,))]


@pytest.mark.parametrize(
    ("length", "is_fault"), [(1.0009, False), (1.0011, True), (0.9989, True), (0, True)]
)
def test_lengths(tmp_path: Path, length: float, is_fault: bool) -> None:
    rows = rows_of()
    coarse = rows.frames.coarse.copy()
    coarse[4] *= np.float32(length)
    rows = replace(rows, frames=replace(rows.frames, coarse=coarse))
    expected = [Fault(wrong="not of unit length", where="coarse", n=1, examples=(5,))]
    assert found_in(tmp_path, rows) == (expected if is_fault else [])


def test_a_fault_is_one_line_with_some_ids(tmp_path: Path) -> None:
    rows = rows_of()
    rows.sounds.f_s[:] *= 2
    (fault,) = found_in(tmp_path, rows)
    assert (fault.n, len(fault.examples)) == (7, EXAMPLES)
    assert str(fault) == (
        "sound: 7 vectors have another length than 1, so their scores are wrong "
        "(items 1, 2, 3, 4, 5, …)"
    )


# ------------------------------------------------------------------ orphans


def test_files_that_no_row_names(index: Path) -> None:
    with Catalogue.open(index) as catalogue, catalogue.reading() as connection:
        named = Named.read(index, connection).files
    assert orphans(index, named) == []
    (index / "segments" / "000001" / "stray.arrow").write_bytes(b"x")
    shutil.copytree(index / "segments" / "000001", index / "segments" / "000044")
    (index / "faiss" / "g000099").mkdir()
    (index / "faiss" / "g000099" / "sound.faiss").write_bytes(b"x")
    (index / "bases" / "000009.safetensors").write_bytes(b"x")
    (index / "segments" / ".tmp-000045").mkdir()
    (index / "segments" / ".tmp-000045" / "sound.arrow").write_bytes(b"half")
    found = orphans(index, named)
    assert found[0] == "segments/000001/stray.arrow"
    assert {Path(name).parts[1] for name in found} == {
        *("000001", "000044", "000009.safetensors", "g000099")
    }
