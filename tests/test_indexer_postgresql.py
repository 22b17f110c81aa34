"""A catalogue on a server: where it is, who may, and what is said when something is in the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ExitCode, assert_one_line, run
from indexer_fixtures import build, write_pairs
from postgresql_server import programs
from sqlalchemy import create_engine, make_url, select, text, update
from test_indexer_migrations import expected, same, shape, unpacked
from write_fixture import answers

import indexer.database.postgresql
from encoder.embedder import Embedder
from indexer.catalogue import FILE, Catalogue, labels, meta, outcomes, schema
from indexer.database.place import FILE as PLACE
from indexer.database.place import Place, checked_url, read_place, write_place
from indexer.database.postgresql import PostgresqlSchema
from indexer.errors import (
    CatalogueUnreachable,
    CatalogueUrlError,
    IndexCorrupt,
    IndexerError,
    IndexLocked,
    IndexMissing,
    StorageError,
)
from indexer.migrations.tables import create_first, first
from indexer.reader import IndexReader
from indexer.verify import verify

Ask = Callable[[str], None]


@pytest.fixture
def ask(postgresql_url: str) -> Iterator[Ask]:
    """Runs a statement as the server's owner, outside of any transaction."""
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement: connection.execute(text(statement)) and None  # type: ignore[func-returns-value]
    engine.dispose()


@pytest.fixture
def user(ask: Ask) -> Iterator[str]:
    """A user that must say its password, `secret`."""
    ask("CREATE ROLE visitor LOGIN PASSWORD 'secret'")
    yield "visitor"
    ask("DROP OWNED BY visitor")
    ask("DROP ROLE visitor")


@pytest.fixture
def index(tmp_path: Path, postgresql_url: str, tiny_embedder: Embedder) -> Path:
    corpus = write_pairs(tmp_path / "corpus", 3)
    return build(corpus, tiny_embedder, catalogue=postgresql_url).index_dir


def namespace(index: Path) -> str:
    place = read_place(index)
    assert place is not None
    return place.namespace


def moved(index: Path, **changes: str) -> Path:
    """Change a part of the URL by hand, as after a move of the server."""
    place = json.loads((index / PLACE).read_text())
    place["url"] = make_url(place["url"]).set(**changes).render_as_string()  # type: ignore[arg-type]
    (index / PLACE).write_text(json.dumps(place))
    return index


def opened(index: Path) -> list[int]:
    with IndexReader.open(index) as reader:
        return [int(item) for item in reader.ids]


# ── where it is ──────────────────────────────────────────────────────────────────────────────────


def test_indexes_share_a_database_and_nothing_else(
    index: Path, tmp_path: Path, postgresql_url: str, tiny_embedder: Embedder
) -> None:
    other = write_pairs(tmp_path / "other", 5, first=10)
    second = build(other, tiny_embedder, catalogue=postgresql_url).index_dir
    assert (opened(index), opened(second)) == ([1, 2, 3], [1, 2, 3, 4, 5])
    assert namespace(index) != namespace(second)
    assert not (index / FILE).exists()
    assert verify(index).is_intact
    assert verify(second).is_intact


def test_the_index_knows_its_server_from_then_on(
    index: Path, postgresql_url: str, tiny_embedder: Embedder
) -> None:
    write_pairs(index.parent, 1, first=3)
    assert build(index.parent, tiny_embedder).n_items == 4
    again = postgresql_url.replace("+psycopg", "")
    assert build(index.parent, tiny_embedder, catalogue=again).n_skipped == 4
    with pytest.raises(CatalogueUrlError, match="stays there"):
        build(index.parent, tiny_embedder, catalogue=f"{postgresql_url}2")


def test_a_catalogue_in_a_file_stays_there(
    tmp_path: Path, postgresql_url: str, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    build(corpus, tiny_embedder)
    with pytest.raises(CatalogueUrlError, match=re.escape(FILE)):
        build(corpus, tiny_embedder, catalogue=postgresql_url)
    assert build(corpus, tiny_embedder).n_items == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://me:secret@host/media", "PGPASSWORD"),
        ("postgresql+psycopg://host/media?password=secret", "PGPASSWORD"),
        ("mysql://host/media", "not a database that a catalogue"),
        ("sqlite:///media.sqlite", "no URL for a file"),
        ("media", "does not parse"),
        ("postgresql://host:port/media", "does not parse"),
    ],
)
def test_a_url_that_will_not_do(
    url: str, reason: str, tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    with pytest.raises(CatalogueUrlError, match=reason) as caught:
        build(corpus, tiny_embedder, catalogue=url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (corpus / ".retrieval").exists()


def test_urls_as_people_write_them() -> None:
    assert checked_url("postgres://me@host/media?sslmode=require") == (
        "postgresql+psycopg://me@host/media?sslmode=require"
    )


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"url": "postgresql://host/media"}',
        '{"url": "postgresql://me:secret@host/media", "namespace": "retrieval_00000000000000"}',
        '{"url": "postgresql://host/media", "namespace": "public; DROP TABLE items"}',
    ],
)
def test_a_file_that_does_not_say_where(content: str, tmp_path: Path) -> None:
    (tmp_path / PLACE).write_text(content)
    with pytest.raises(IndexCorrupt, match="does not say where") as caught:
        Catalogue.open(tmp_path)
    assert "\n" not in str(caught.value)


# ── who may ──────────────────────────────────────────────────────────────────────────────────────


def test_passwords_are_left_to_libpq(
    index: Path, user: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(f"GRANT SELECT ON ALL TABLES IN SCHEMA {namespace(index)} TO {user}")
    moved(index, username=user)
    with pytest.raises(CatalogueUnreachable, match="give the password to libpq"):
        opened(index)
    monkeypatch.setenv("PGPASSWORD", "guessed")
    with pytest.raises(CatalogueUnreachable, match="give the password to libpq") as caught:
        opened(index)
    assert "guessed" not in str(caught.value)
    monkeypatch.setenv("PGPASSWORD", "secret")
    with pytest.raises(IndexMissing, match="does not let you read it"):
        opened(index)
    ask(f"GRANT USAGE ON SCHEMA {namespace(index)} TO {user}")
    assert opened(index) == [1, 2, 3]
    with (
        pytest.raises(StorageError, match="grant"),
        Catalogue.create(index, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        connection.execute(meta.delete())


def test_a_user_that_may_not_make_a_schema_is_told(
    tmp_path: Path, postgresql_url: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    url = make_url(postgresql_url).set(username=user).render_as_string()
    with pytest.raises(StorageError, match=r"permission denied for database.*grant"):
        Catalogue.create(tmp_path, corpus="..", url=url)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"port": 1}, "see that the server runs"),
        ({"host": "nowhere.invalid"}, "see that the server runs"),
        ({"username": "nobody-here"}, "password|createuser"),
        ({"database": "nothing-here"}, "createdb"),
    ],
)
def test_a_server_out_of_reach_is_told_in_one_line(
    changes: dict[str, str], remedy: str, tmp_path: Path, postgresql_url: str
) -> None:
    url = make_url(postgresql_url).set(**changes).render_as_string()  # type: ignore[arg-type]
    with pytest.raises(CatalogueUnreachable, match=remedy) as caught:
        Catalogue.create(tmp_path, corpus="..", url=url)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / PLACE) in str(caught.value)
    assert not (tmp_path / PLACE).exists()


def test_without_the_driver(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(CatalogueUnreachable, match="extra `postgresql`"):
        opened(index)


# ── transactions ─────────────────────────────────────────────────────────────────────────────────


def test_a_reader_sees_one_state_and_the_next_one_the_next(index: Path) -> None:
    value = select(meta.c.value).where(meta.c.key == "corpus")
    with Catalogue.open(index) as reading, Catalogue.create(index, corpus="") as writing:
        with reading.reading() as reader:
            before = reader.scalar(value)
            with writing.writing() as writer:
                writer.execute(update(meta).where(meta.c.key == "corpus").values(value="later"))
            assert reader.scalar(value) == before != "later"
        with reading.reading() as reader:
            assert reader.scalar(value) == "later"


def test_a_reader_cannot_write(index: Path) -> None:
    with (
        pytest.raises(StorageError, match="takes no writes"),
        Catalogue.open(index) as catalogue,
        catalogue.reading() as connection,
    ):
        connection.execute(labels.delete())


def test_writers_wait_for_each_other(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer.database.postgresql, "WAIT_S", 0.2)
    with (
        Catalogue.create(index, corpus="") as first,
        Catalogue.create(index, corpus="") as second,
        first.writing(),
        pytest.raises(IndexLocked, match="in use by another process"),
        second.writing(),
    ):
        pytest.fail("two wrote at once")


def test_what_is_undone_leaves_nothing(index: Path) -> None:
    def fail(catalogue: Catalogue) -> None:
        with catalogue.writing() as connection:
            connection.execute(meta.delete())
            raise ZeroDivisionError

    with Catalogue.create(index, corpus="") as catalogue:
        with pytest.raises(ZeroDivisionError):
            fail(catalogue)
        with catalogue.reading() as connection:
            assert connection.scalar(select(meta.c.value).where(meta.c.key == "corpus"))


def test_rows_that_point_nowhere_are_refused(index: Path) -> None:
    row = {"edition": 99, "key": "k", "stamp": "s"}
    with (
        pytest.raises(IndexCorrupt, match="foreign key"),
        Catalogue.create(index, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        connection.execute(outcomes.insert(), row)


def test_a_server_that_was_started_again_is_joined_again(index: Path, ask: Ask) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    others += " AND backend_type = 'client backend'"
    with IndexReader.open(index) as reader:
        assert reader.n_items == 3
        ask(others)
        assert reader.n_items == 3

    def read(catalogue: Catalogue) -> None:
        with catalogue.reading() as connection:
            ask(others)
            connection.execute(select(meta))

    with Catalogue.open(index) as catalogue, pytest.raises(CatalogueUnreachable) as caught:
        read(catalogue)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "error", "reason"),
    [
        ("40001", IndexLocked, "try again"),
        ("40P01", IndexLocked, "try again"),
        ("53100", StorageError, "disk is full"),
        ("25006", StorageError, "takes no writes"),
        ("53300", CatalogueUnreachable, "see that the server"),
        ("57P01", CatalogueUnreachable, "see that the server"),
        ("XX001", IndexCorrupt, "backup"),
        ("22012", IndexCorrupt, "cannot be used"),
    ],
)
def test_what_a_server_says_becomes_one_line(
    index: Path, state: str, error: type[IndexerError], reason: str
) -> None:
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'one\ntwo' USING ERRCODE = '{state}'; END $$"
    with (
        pytest.raises(error, match=reason) as caught,
        Catalogue.create(index, corpus="") as catalogue,
        catalogue.writing() as connection,
    ):
        connection.exec_driver_sql(raised)
    assert "\n" not in str(caught.value)


# ── what is in it ────────────────────────────────────────────────────────────────────────────────


def test_a_character_that_the_server_cannot_hold(index: Path) -> None:
    with Catalogue.create(index, corpus="") as catalogue, catalogue.writing() as connection:
        connection.execute(labels.insert(), {"item": 1, "name": "a\0b"})
    with IndexReader.open(index) as reader:
        assert [row.label for row in reader.rows([1])] == ["a\ufffdb"]
        assert [int(item) for item in reader.allowed("label = 'a\0b'") or ()] == [1]


def test_the_tables_are_those_of_this_release(index: Path, postgresql_url: str) -> None:
    with Catalogue.open(index) as catalogue, catalogue.reading() as connection:
        found = shape(connection)
    engine = create_engine(postgresql_url)
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA fresh"))
        connection.execute(text("SET search_path TO fresh"))
        schema.create_all(connection)
        expected = json.loads(json.dumps(shape(connection)).replace("fresh.", ""))
        connection.rollback()
    engine.dispose()
    assert json.loads(json.dumps(found).replace(f"{namespace(index)}.", "")) == expected


def test_an_older_schema_is_read_after_a_writer_was_there(index: Path) -> None:
    with Catalogue.create(index, corpus="") as catalogue, catalogue.writing() as connection:
        older = update(meta).where(meta.c.key == "schema_version").values(value=1)
        connection.execute(older)
    with pytest.raises(IndexCorrupt, match=r"earlier release.*brings it up to date"):
        Catalogue.open(index)


def test_the_steps_move_rows_on_a_server_too(tmp_path: Path, postgresql_url: str) -> None:
    """A catalogue of version 1 as it would be there, from the rows of the one in a file."""
    index = unpacked("index-v1", tmp_path)
    place = Place.new(postgresql_url)
    server = PostgresqlSchema(index / PLACE, place)
    with (
        closing(server),
        create_engine(f"sqlite:///{index / FILE}").connect() as file,
        server.writers.begin() as connection,
    ):
        server.create(connection)
        create_first(connection)
        for table in first.sorted_tables:
            rows = [dict(row) for row in file.execute(table.select()).mappings()]
            if rows:
                connection.execute(table.insert(), rows)
        file.engine.dispose()
    (index / FILE).unlink()
    write_place(index, place)
    Catalogue.create(index, corpus="").close()
    with IndexReader.open(index) as reader:
        assert same(json.loads(json.dumps(answers(reader))), expected("index-v1"))
    assert verify(index).is_intact


def test_a_schema_that_is_gone(index: Path, ask: Ask) -> None:
    ask(f"DROP TABLE {namespace(index)}.items CASCADE")
    with pytest.raises(IndexCorrupt, match="items"):
        opened(index)
    ask(f"DROP SCHEMA {namespace(index)} CASCADE")
    with pytest.raises(IndexMissing, match="never finished"):
        opened(index)


def test_a_backup_comes_back(index: Path, postgresql_url: str, ask: Ask) -> None:
    programs_there = programs()
    assert programs_there is not None
    url = postgresql_url.replace("+psycopg", "")
    dump = [programs_there / "pg_dump", f"--schema={namespace(index)}", f"--dbname={url}"]
    saved = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    ask(f"DROP SCHEMA {namespace(index)} CASCADE")
    restore = [programs_there / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={url}"]
    subprocess.run(restore, input=saved, capture_output=True, text=True, check=True)
    assert opened(index) == [1, 2, 3]
    assert verify(index).is_intact


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_finds_it_by_itself(
    tmp_path: Path, postgresql_url: str, tiny_checkpoint: Path
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    encoder = ("--checkpoint", tiny_checkpoint)
    built = run("build-index", corpus, *encoder, "--catalogue", postgresql_url)
    assert built.exit_code == 0, built.output
    asked = run("query", corpus, *encoder, "--audio", corpus / "p000.wav", "--json")
    assert asked.exit_code == 0, asked.output
    assert run("verify", corpus).exit_code == 0
    moved(corpus / ".retrieval", port=1)  # type: ignore[arg-type]
    assert_one_line(run("info", corpus), ExitCode.INDEX, "see that the server runs")


def test_a_password_on_the_command_line_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    url = "postgresql://me:secret@127.0.0.1/media"
    ended = run("build-index", corpus, "--checkpoint", tiny_checkpoint, "--catalogue", url)
    assert_one_line(ended, ExitCode.USAGE, "PGPASSWORD")
    assert "secret" not in ended.output
