"""Indexes of earlier releases: opened as they are, gone on with, and no different from new ones."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect
from write_fixture import ANSWERS, ARCHIVE, FIXTURES, OPTIONS, answers, frozen_embedder

from indexer.build import BuildReport, build_index
from indexer.catalogue import FILE, Catalogue, schema
from indexer.compact.codes import FILES as CODE_FILES
from indexer.errors import IndexCorrupt, IndexMissing
from indexer.importing import import_annotations
from indexer.labels.errors import LabelsMissing
from indexer.migrations.steps import SCHEMA_VERSION
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound
from indexer.verify import verify

KEPT = sorted(folder.name for folder in FIXTURES.glob("index-v*"))
LATER_IN_1 = ("pseudo_labels", "label_failures", "label_sets", "efforts")


def unpacked(name: str, to: Path) -> Path:
    with tarfile.open(FIXTURES / name / ARCHIVE) as archive:
        for entry in archive:
            path = to / entry.name
            if entry.isdir():
                path.mkdir()
            elif content := archive.extractfile(entry):
                path.write_bytes(content.read())
                os.utime(path, (entry.mtime, entry.mtime))
    return to / "corpus" / ".retrieval"


@pytest.fixture(params=KEPT)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An index as a release wrote it, with its corpus."""
    return unpacked(request.param, tmp_path)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return unpacked("index-v1", tmp_path)


def expected(name: str) -> Any:
    return json.loads((FIXTURES / name / ANSWERS).read_text(encoding="utf-8"))


def same(found: Any, told: Any) -> bool:
    """Say whether answers agree, scores to rounding."""
    if isinstance(told, dict):
        return found.keys() == told.keys() and all(same(found[key], told[key]) for key in told)
    if isinstance(told, list):
        return len(found) == len(told) and all(map(same, found, told))
    return found == (pytest.approx(told, abs=2e-5) if isinstance(told, float) else told)


def stamp(index: Path) -> tuple[bytes, int]:
    path = index / FILE
    return path.read_bytes(), path.stat().st_mtime_ns


@pytest.mark.parametrize("name", KEPT)
def test_it_is_read_as_it_is_and_a_writer_goes_on_with_it(name: str, tmp_path: Path) -> None:
    index, told = unpacked(name, tmp_path), expected(name)
    before = stamp(index)
    with IndexReader.open(index) as reader:
        assert same(json.loads(json.dumps(answers(reader))), told)
        assert verify(index).is_intact
        assert stamp(index) == before
        assert built(index).n_new == 0
        assert version_in(index) == SCHEMA_VERSION
        assert reader.ids.tolist() == told["ids"]  # opened before, and it goes on, too
    assert verify(index).is_intact
    with IndexReader.open(index) as reader:
        assert same(json.loads(json.dumps(answers(reader))), told)
    with (index.parent / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.write('{"image": "p1.png", "audio": "s2.wav"}\n')
    assert built(index).n_new == 1
    assert verify(index).is_intact
    with IndexReader.open(index) as reader:
        assert len(reader.ids) == len(told["ids"]) + 1


def built(index: Path) -> BuildReport:
    manifest = index.parent / "manifest.jsonl"
    return build_index(manifest, embedder=frozen_embedder(), options=OPTIONS)


def version_in(index: Path) -> int:
    with closing(sqlite3.connect(index / FILE)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(row[0])


def test_a_writer_of_an_earlier_release_is_seen_by_readers(first: Path) -> None:
    with IndexReader.open(first) as reader:
        assert 2 in reader.ids
        with closing(sqlite3.connect(first / FILE)) as connection, connection:
            connection.execute("UPDATE items SET deleted = 1 WHERE id = 2")
        assert 2 not in reader.ids
        assert version_in(first) == 1


def test_a_dry_import_leaves_it_as_it_is(first: Path, tmp_path: Path) -> None:
    before, table = stamp(first), tmp_path / "t.jsonl"
    table.write_text('{"id": 1, "label": "never seen"}\n', encoding="utf-8")
    with IndexReader.open(first) as reader:
        assert import_annotations(reader, table, dry_run=True).n_changed == 1
        assert stamp(first) == before
        assert import_annotations(reader, table).n_changed == 1
    assert version_in(first) == SCHEMA_VERSION


def test_what_came_while_the_version_stayed_is_made_up_for(first: Path) -> None:
    with closing(sqlite3.connect(first / FILE)) as connection, connection:
        for table in LATER_IN_1:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DROP INDEX items_superseded")
    with IndexReader.open(first) as reader:
        assert reader.label_sets() == []
        assert reader.effort("frames") is None
        with pytest.raises(LabelsMissing, match="retrieval label"):
            reader.pseudo_labels("bins")
    with closing(sqlite3.connect(first / FILE)) as connection, connection:
        connection.execute("DROP TABLE bases")
    assert set(migrated(first)) == set(schema.tables)


def as_from_before(index: Path) -> None:
    """Make an index one that was written before there were codes, bases and efforts."""
    with closing(sqlite3.connect(index / FILE)) as connection, connection:
        connection.execute("DROP TABLE bases")
        connection.execute("DROP TABLE efforts")
        connection.execute("DELETE FROM meta WHERE key = 'next_basis'")
        for table in ("segments", "generations"):
            for name in ("compact-000001.arrow", *CODE_FILES):
                connection.execute(
                    f"UPDATE {table} SET files = json_remove(files, ?)", [f'$."{name}"']
                )
    shutil.rmtree(index / "bases")
    for path in [*index.rglob("compact-*.arrow"), *index.rglob("*codes*")]:
        path.unlink()


def test_an_index_from_before_is_searched_exactly_and_brought_up_to_date(first: Path) -> None:
    told = expected("index-v1")["frames"]["ids"]
    as_from_before(first)
    with IndexReader.open(first) as reader:
        assert reader.verify() == []
        assert reader.info()["conditional"] == {}
        assert not reader.kept_maps.bases
        found = reader.answer(frozen_embedder(), [frames_for_sound(reader.sound(1))], 3)
        assert found.exact
        assert found.neighbours.ids.tolist() == told
    assert built(first).n_new == 0
    with IndexReader.open(first) as reader:
        assert reader.verify() == []
        assert reader.kept_maps.bases
        assert reader._codes is not None
        found = reader.answer(frozen_embedder(), [frames_for_sound(reader.sound(1))], 3)
        assert found.neighbours.ids.tolist() == told


def shape(connection: Connection) -> dict[str, Any]:
    """All that tells two schemas apart, in an order that does not matter to a database."""
    found = inspect(connection)

    def listed(rows: Any) -> list[str]:
        return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)

    return {
        name: {
            "columns": listed(found.get_columns(name)),
            "key": found.get_pk_constraint(name)["constrained_columns"],
            "foreign": listed(found.get_foreign_keys(name)),
            "indexes": listed(found.get_indexes(name)),
            "unique": listed(found.get_unique_constraints(name)),
            "options": found.get_table_options(name),
        }
        for name in found.get_table_names()
    }


def migrated(index: Path) -> dict[str, Any]:
    with Catalogue.create(index, corpus="") as catalogue, catalogue.reading() as connection:
        return shape(connection)


def test_a_migrated_catalogue_is_like_a_new_one(index: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = migrated(tmp_path / "new")
    assert migrated(index) == new
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        schema.create_all(connection)
        assert shape(connection) == new
    engine.dispose()


def test_each_release_that_changes_the_schema_leaves_an_index_behind() -> None:
    assert {f"index-v{n}" for n in range(1, SCHEMA_VERSION + 1)} <= set(KEPT)


def test_a_build_that_was_killed_before_it_began(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with pytest.raises(IndexMissing, match="never finished"):
        Catalogue.open(tmp_path)
    Catalogue.create(tmp_path, corpus="..").close()
    assert version_in(tmp_path) == SCHEMA_VERSION


def test_a_step_that_fails_leaves_the_catalogue_as_it_was(first: Path) -> None:
    with closing(sqlite3.connect(first / FILE)) as connection, connection:
        connection.execute("CREATE TABLE parts (id INTEGER)")
    with pytest.raises(Exception, match="parts"):
        Catalogue.create(first, corpus="")
    with closing(sqlite3.connect(first / FILE)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(generations)")]
    assert "files" in names
    assert "parts" not in names


@pytest.mark.parametrize("page", [4, 10, 20])
def test_an_older_index_that_is_damaged_is_told(first: Path, page: int) -> None:
    path = first / FILE
    content = bytearray(path.read_bytes())
    content[page * 4096 : -4096] = b"\xa5" * (len(content) - 4096 - page * 4096)
    path.write_bytes(content)
    with pytest.raises(IndexCorrupt, match="damaged"):
        verify(first)


def test_many_threads_read_one_older_index(first: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with IndexReader.open(first) as reader, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: reader.allowed("split = 'val'").tolist(), range(64)))  # type: ignore[union-attr]
    assert found == [[2, 4]] * 64


def test_an_older_index_on_a_disk_that_is_read_only(first: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(first, tmp_path / "copy"))
    (copy / FILE).chmod(0o444)
    copy.chmod(0o555)
    with Catalogue.open(copy) as catalogue, catalogue.reading() as connection:
        assert set(shape(connection)) == set(schema.tables)
