"""The catalogue: which items there are, and the transaction that is the commit.

Tables, and how a catalogue is opened. What a writer does with it is in `ledger`, what a reader asks
in `lookup`, a user's filter in `where`; no other module talks SQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    select,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from indexer.errors import IndexCorrupt, IndexLocked, IndexMissing, StorageError

T = TypeVar("T")
FILE = "catalogue.sqlite"
SCHEMA_VERSION = 1
BUSY_S = 10.0
"""Commits take milliseconds; who waits longer than this waits for a process that hangs."""

schema = MetaData()

meta = Table(  # schema version, corpus, and the counters that make ids never come back
    "meta",
    schema,
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)
editions = Table(  # the corpus as one encoder sees it; a second one exists while re-embedding
    "editions",
    schema,
    Column("id", Integer, primary_key=True),
    Column("encoder_fingerprint", String, nullable=False),
    Column("encoder_name", String, nullable=False),
    Column("grid_rows", Integer, nullable=False),
    Column("grid_columns", Integer, nullable=False),
)
segments = Table(
    "segments",
    schema,
    Column("id", Integer, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("n_items", Integer, nullable=False),
    Column("files", JSON, nullable=False),  # name → {"bytes", "blake2b", "rows"}
)
sources = Table(
    "sources",
    schema,
    Column("id", Integer, primary_key=True),
    Column("path", String, nullable=False),
    Column("shown", String, nullable=False),  # NFC: what `where` compares
    Column("kind", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("blake2b", String, nullable=False),
    UniqueConstraint("path", "size", "mtime_ns"),  # a file that changes is another source
    Index("sources_by_size", "size"),  # a file that is elsewhere is looked for by it
)
items = Table(
    "items",
    schema,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("frame_source", ForeignKey("sources.id")),
    Column("frame_time_s", Float),
    Column("frame_key", String),
    Column("sound_source", ForeignKey("sources.id")),
    Column("sound_key", String),
    Column("t0", Float),
    Column("t1", Float),
    Column("metadata", JSON, nullable=False),
    Column("deleted", Boolean, nullable=False, default=False),
    Column("superseded_in", Integer),  # the generation from which a newer item stands in its place
    Index("items_by_frame", "frame_key"),
    Index("items_by_sound", "sound_key"),
)
HIDDEN = (  # few among many, looked up for every query
    Index("items_deleted", items.c.deleted, sqlite_where=items.c.deleted),
    Index(
        "items_superseded",
        items.c.superseded_in,
        sqlite_where=items.c.superseded_in.is_not(None),
    ),
)
labels = Table(
    "labels",
    schema,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("name", String, primary_key=True),
)
boxes = Table(
    "boxes",
    schema,
    Column("id", Integer, primary_key=True),
    Column("item", ForeignKey("items.id"), nullable=False, index=True),
    Column("annotator", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("tag", String, nullable=False),
    *(Column(corner, Float, nullable=False) for corner in ("x0", "y0", "x1", "y1")),
)
outcomes = Table(  # what became of each planned item: the memory that makes a run resume
    "outcomes",
    schema,
    Column("edition", ForeignKey("editions.id"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("stamp", String, nullable=False),
    Column("item", ForeignKey("items.id")),  # null where nothing could be used
    Index("outcomes_by_item", "item"),
)
failures = Table(
    "failures",
    schema,
    Column("id", Integer, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("key", String, nullable=False),  # of the planned item that met it
    Column("path", String, nullable=False),
    Column("code", String, nullable=False),
    Column("message", String, nullable=False),
    Index("failures_by_key", "edition", "key"),
)
generations = Table(
    "generations",
    schema,
    Column("id", Integer, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("segments", JSON, nullable=False),  # ids
    Column("n_items", Integer, nullable=False),
    Column("parts", JSON, nullable=False),  # ids
    Column("calibration", JSON, nullable=False),
)
parts = Table(  # vectors of some segments, derived; a generation is made of one large and few small
    "parts",
    schema,
    Column("id", Integer, primary_key=True, autoincrement=False),  # the generation that made it
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("segments", JSON, nullable=False),  # ids
    Column("files", JSON, nullable=False),  # name → {"bytes", "blake2b", "rows"}
    Column("facts", JSON, nullable=False),  # by space: what kind of index, measured how
)
label_sets = Table(  # what one provider, in one version, says of the items
    "label_sets",
    schema,
    Column("id", Integer, primary_key=True),
    Column("provider", String, nullable=False),
    Column("version", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("vocabulary", String, nullable=False),
    Column("names", JSON, nullable=False),  # of the vocabulary, by id
    Column("created", String, nullable=False),
    UniqueConstraint("provider", "version"),
)
pseudo_labels = Table(  # read modality by modality, in order of items: that is the key's order
    "pseudo_labels",
    schema,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", String, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("rank", Integer, primary_key=True),  # from 0
    Column("label", Integer),  # null at rank 0: labelled, and nothing was recognised
    Column("score", Float),
    sqlite_with_rowid=False,
)
label_failures = Table(
    "label_failures",
    schema,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", String, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("path", String, nullable=False),
    Column("code", String, nullable=False),
    Column("message", String, nullable=False),
    sqlite_with_rowid=False,
)
bases = Table(  # what compact maps are written in, `bases/000001.safetensors`
    "bases",
    schema,
    Column("id", Integer, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("file", JSON, nullable=False),  # {"bytes", "blake2b"}
    Column("facts", JSON, nullable=False),  # how it was fitted and how well it fits
)
efforts = Table(  # how hard a generation searches for conditional queries, and with what recall
    "efforts",
    schema,
    Column("generation", ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("kinds", JSON, nullable=False),
)
"""The tables of labels, of bases and of efforts came after the first release. An index without them
has no labels or is searched exactly, and a release that does not know them leaves them alone, so
`SCHEMA_VERSION` stays as it was."""


class Catalogue:
    """A catalogue, open; safe to share between threads.

    Examples
    --------
    >>> with Catalogue.open(index_dir) as catalogue, catalogue.reading() as connection:
    ...     connection.execute(select(items.c.id)).all()
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path, self.engine = path, engine

    @classmethod
    def open(cls, index_dir: Path) -> Catalogue:
        """Open for reading.

        Raises
        ------
        IndexMissing : there is no catalogue in the folder.
        IndexCorrupt : it is damaged, or of a newer release.
        """
        path = index_dir / FILE
        if not path.is_file():
            raise IndexMissing(index_dir)
        catalogue = cls(path, _engine(path, mode="ro"))
        try:
            catalogue._check_version()
        except (IndexCorrupt, StorageError):
            catalogue.close()
            # A write-ahead log cannot be joined on a read-only disk; nobody writes there either.
            catalogue = cls(path, _engine(path, mode="ro", immutable=True))
            catalogue._check_version()
        return catalogue

    @classmethod
    def create(cls, index_dir: Path, *, corpus: str) -> Catalogue:
        """Open for writing, made if need be; one process at a time (`indexer.locking`)."""
        path = index_dir / FILE
        catalogue = cls(path, _engine(path, mode="rwc"))
        with catalogue.writing() as connection:
            # A killed first run may have left an empty file: a schema is there or made as one.
            schema.create_all(connection)
            for index in HIDDEN:  # one of them came later, which `create_all` adds to no old table
                index.create(connection, checkfirst=True)
            facts = {"schema_version": SCHEMA_VERSION, "corpus": corpus}
            known = {row.key for row in connection.execute(select(meta.c.key))}
            rows = [{"key": k, "value": v} for k, v in facts.items() if k not in known]
            if rows:
                connection.execute(meta.insert(), rows)
        catalogue._check_version()
        return catalogue

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the catalogue."""
        with self._errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction, committed at the end and undone where anything is raised."""
        with self._errors(), self.engine.begin() as connection:
            yield connection

    def check_pages(self) -> None:
        """Read the whole database; raises IndexCorrupt where it contradicts itself."""
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if found != "ok":
            raise IndexCorrupt(self.path, f"the catalogue is damaged ({found})")

    def _check_version(self) -> None:
        with self.reading() as connection:
            found = connection.scalar(select(meta.c.value).where(meta.c.key == "schema_version"))
        if not isinstance(found, int):
            raise IndexCorrupt(self.path, "the catalogue has no schema version")
        if found > SCHEMA_VERSION:
            raise IndexCorrupt(
                self.path,
                f"written by a newer release (schema {found}, this one reads {SCHEMA_VERSION})",
                "update this program",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, each with its way out."""
        try:
            yield
        except DatabaseError as error:
            raise _translated(self.path, error) from error


def _translated(path: Path, error: DatabaseError) -> Exception:
    reason = str(error.orig)
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the rest tells variants apart
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return IndexLocked(f"{path}: in use by another process; wait for it and try again")
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"{path}: the disk is full; free some space and run it again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(f"{path}: {reason}; see that the folder and its files may be written")
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(f"{path}: {reason}; look at the disk and run it again")
    return IndexCorrupt(path, f"the catalogue is damaged ({reason})")


def _engine(path: Path, *, mode: str, immutable: bool = False) -> Engine:
    uri = f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        # Keys of the metadata are looked up inside SQLite, which does not undo \u escapes there.
        json_serializer=partial(json.dumps, ensure_ascii=False),
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        if mode != "ro":
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # the commit survives a power cut
            connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if mode == "ro" else "BEGIN IMMEDIATE")

    return engine


def chunked(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Cut a list into parts that fit SQLite's limit on bound parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
