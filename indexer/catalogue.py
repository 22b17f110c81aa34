"""The catalogue: which items there are, and the transaction that is the commit.

Tables, and how a catalogue is opened. What a writer does with it is in `ledger`, what a reader asks
in `lookup`, a user's filter in `where`; no other module talks SQL. How the tables came to be what
they are is in `migrations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
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
    MetaData,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.exc import DatabaseError, InterfaceError

from indexer.database.kind import Copy, Database
from indexer.database.place import FILE as PLACE
from indexer.database.place import Place, checked_url, read_place, write_place
from indexer.database.postgresql import PostgresqlSchema
from indexer.database.sqlite import SqliteFile
from indexer.errors import CatalogueUrlError, IndexCorrupt, IndexMissing, StorageError
from indexer.migrations.steps import SCHEMA_VERSION, migrate, version_of
from indexer.migrations.tables import NUMBER, TEXT

T = TypeVar("T")
FILE = "catalogue.sqlite"

schema = MetaData()

meta = Table(  # schema version, corpus, and the counters that make ids never come back
    "meta",
    schema,
    Column("key", TEXT, primary_key=True),
    Column("value", JSON, nullable=False),
)
editions = Table(  # the corpus as one encoder sees it; a second one exists while re-embedding
    "editions",
    schema,
    Column("id", NUMBER, primary_key=True),
    Column("encoder_fingerprint", TEXT, nullable=False),
    Column("encoder_name", TEXT, nullable=False),
    Column("grid_rows", NUMBER, nullable=False),
    Column("grid_columns", NUMBER, nullable=False),
)
segments = Table(
    "segments",
    schema,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("n_items", NUMBER, nullable=False),
    Column("files", JSON, nullable=False),  # name → {"bytes", "blake2b", "rows"}
)
sources = Table(
    "sources",
    schema,
    Column("id", NUMBER, primary_key=True),
    Column("path", TEXT, nullable=False),
    Column("shown", TEXT, nullable=False),  # NFC: what `where` compares
    Column("kind", TEXT, nullable=False),
    Column("size", NUMBER, nullable=False),
    Column("mtime_ns", NUMBER, nullable=False),
    Column("blake2b", TEXT, nullable=False),
    UniqueConstraint("path", "size", "mtime_ns"),  # a file that changes is another source
    Index("sources_by_size", "size"),  # a file that is elsewhere is looked for by it
)
items = Table(
    "items",
    schema,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("kind", TEXT, nullable=False),
    Column("frame_source", ForeignKey("sources.id")),
    Column("frame_time_s", Float),
    Column("frame_key", TEXT),
    Column("sound_source", ForeignKey("sources.id")),
    Column("sound_key", TEXT),
    Column("t0", Float),
    Column("t1", Float),
    Column("metadata", JSON, nullable=False),
    Column("deleted", Boolean, nullable=False, default=False),
    Column("superseded_in", NUMBER),  # the generation from which a newer item stands in its place
    Index("items_by_frame", "frame_key"),
    Index("items_by_sound", "sound_key"),
)
for _name, _column, _hidden in (  # few among many, looked up for every query
    ("items_deleted", items.c.deleted, items.c.deleted),
    ("items_superseded", items.c.superseded_in, items.c.superseded_in.is_not(None)),
):
    Index(_name, _column, sqlite_where=_hidden, postgresql_where=_hidden)
labels = Table(
    "labels",
    schema,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("name", TEXT, primary_key=True),
)
boxes = Table(
    "boxes",
    schema,
    Column("id", NUMBER, primary_key=True),
    Column("item", ForeignKey("items.id"), nullable=False, index=True),
    Column("annotator", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("tag", TEXT, nullable=False),
    *(Column(corner, Float, nullable=False) for corner in ("x0", "y0", "x1", "y1")),
)
outcomes = Table(  # what became of each planned item: the memory that makes a run resume
    "outcomes",
    schema,
    Column("edition", ForeignKey("editions.id"), primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("stamp", TEXT, nullable=False),
    Column("item", ForeignKey("items.id")),  # null where nothing could be used
    Index("outcomes_by_item", "item"),
)
failures = Table(
    "failures",
    schema,
    Column("id", NUMBER, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("key", TEXT, nullable=False),  # of the planned item that met it
    Column("path", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Index("failures_by_key", "edition", "key"),
)
generations = Table(
    "generations",
    schema,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("segments", JSON, nullable=False),  # ids
    Column("n_items", NUMBER, nullable=False),
    Column("calibration", JSON, nullable=False),
    Column("parts", JSON, nullable=False, server_default="[]"),  # ids
)
parts = Table(  # vectors of some segments, derived; a generation is made of one large and few small
    "parts",
    schema,
    Column("id", NUMBER, primary_key=True, autoincrement=False),  # the generation that made it
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("segments", JSON, nullable=False),  # ids
    Column("files", JSON, nullable=False),  # name → {"bytes", "blake2b", "rows"}
    Column("facts", JSON, nullable=False),  # by space: what kind of index, measured how
)
label_sets = Table(  # what one provider, in one version, says of the items
    "label_sets",
    schema,
    Column("id", NUMBER, primary_key=True),
    Column("provider", TEXT, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("origin", TEXT, nullable=False),
    Column("vocabulary", TEXT, nullable=False),
    Column("names", JSON, nullable=False),  # of the vocabulary, by id
    Column("created", TEXT, nullable=False),
    UniqueConstraint("provider", "version"),
)
pseudo_labels = Table(  # read modality by modality, in order of items: that is the key's order
    "pseudo_labels",
    schema,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", TEXT, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("rank", NUMBER, primary_key=True, autoincrement=False),  # from 0
    Column("label", NUMBER),  # null at rank 0: labelled, and nothing was recognised
    Column("score", Float),
    sqlite_with_rowid=False,
)
label_failures = Table(
    "label_failures",
    schema,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", TEXT, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("path", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    sqlite_with_rowid=False,
)
bases = Table(  # what compact maps are written in, `bases/000001.safetensors`
    "bases",
    schema,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
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


class Catalogue:
    """A catalogue, open; safe to share between threads.

    Examples
    --------
    >>> with Catalogue.open(index_dir) as catalogue, catalogue.reading() as connection:
    ...     connection.execute(select(items.c.id)).all()
    """

    def __init__(self, database: Database) -> None:
        self.path, self._database = database.path, database
        self._older: Copy | None = None
        self._frozen: tuple[int, ...] | None = None
        self._looking = Lock()

    @classmethod
    def open(cls, index_dir: Path) -> Catalogue:
        """Open for reading; one of an earlier release is left as it is, and read as this one's.

        Raises
        ------
        IndexMissing : there is no catalogue in the folder, or an empty one.
        IndexCorrupt : it is damaged, or of a newer release.
        CatalogueUnreachable : it is on a server that does not answer, or lets nobody in.
        """
        place = read_place(index_dir)
        if place is not None:
            return cls._looked_at(PostgresqlSchema(index_dir / PLACE, place))
        path = index_dir / FILE
        if not path.is_file():
            raise IndexMissing(index_dir)
        try:
            return cls._looked_at(SqliteFile(path, writes=False))
        except (IndexCorrupt, StorageError):
            # A log cannot be joined where nothing may be written, as on a read-only disk.
            if _state(path)[-1]:  # it has commits that would be missed
                raise
            return cls._frozen_at(path)

    @classmethod
    def _frozen_at(cls, path: Path) -> Catalogue:
        """Open a file as one that nobody writes to, until it is seen that somebody did."""
        state = _state(path)
        catalogue = cls._looked_at(SqliteFile(path, writes=False, immutable=True))
        catalogue._frozen = state
        return catalogue

    @classmethod
    def create(cls, index_dir: Path, *, corpus: str, url: str | None = None) -> Catalogue:
        """Open for writing, made if need be; one process at a time (`indexer.locking`).

        Parameters
        ----------
        url : of a PostgreSQL database, for an index that has no catalogue yet; default a file in
            its folder. Whoever opens the index later finds it there.

        Raises
        ------
        CatalogueUrlError : the URL is not that of the catalogue which the index has.
        """
        catalogue = cls(_to_write(index_dir, url))
        try:
            with catalogue.writing() as connection:
                catalogue._prepare(connection, corpus)
        except BaseException:
            catalogue.close()
            raise
        return catalogue

    def close(self) -> None:
        if self._older is not None:
            self._older.close()
        self._database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the catalogue."""
        with self._errors(), self._current().connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction, committed at the end and undone where anything is raised."""
        with self._errors(), self._database.writers.begin() as connection:
            self._database.begin_writing(connection)
            yield connection

    def check_pages(self) -> None:
        """Read the whole database; raises IndexCorrupt where it contradicts itself."""
        with self._errors(), self._database.readers.connect() as connection:
            self._database.check(connection)

    def _prepare(self, connection: Connection, corpus: str) -> None:
        """Make the tables, or bring them up to date, all in one transaction."""
        self._database.create(connection)
        # A killed first run may have left an empty file: a schema is there or made as one.
        version = self._checked(version_of(connection))
        if version < SCHEMA_VERSION:
            migrate(connection, version)
        if connection.scalar(select(meta.c.value).where(meta.c.key == "corpus")) is None:
            connection.execute(meta.insert(), {"key": "corpus", "value": corpus})

    @classmethod
    def _looked_at(cls, database: Database) -> Catalogue:
        catalogue = cls(database)
        try:
            catalogue._look()
        except BaseException:
            catalogue.close()
            raise
        return catalogue

    def _current(self) -> Engine:
        """Return what has the tables of this release: the file, or a copy made so in memory."""
        with self._looking, self._errors():
            if self._frozen is not None and self._frozen != _state(self.path):
                self._open_again()
            if self._older is not None and self._older.is_stale():
                self._look()
            return self._database.readers if self._older is None else self._older.engine

    def _open_again(self) -> None:
        """Go on with what others have written to a file that was taken for one at rest."""
        now = Catalogue.open(self.path.parent)
        for old in (self._older, self._database):
            if old is not None:
                old.close()
        self._database, self._older, self._frozen = now._database, now._older, now._frozen

    def _look(self) -> None:
        """See what release wrote the catalogue, and copy that of an earlier one."""
        if self._older is not None:
            self._older.close()
            self._older = None
        with self._errors(), self._database.readers.connect() as connection:
            version = self._checked(version_of(connection))
        if version == 0:
            raise IndexMissing(self.path.parent, self._database.empty)
        if version < SCHEMA_VERSION:
            with self._errors():
                self._older = self._database.copy()
                with self._older.engine.begin() as connection:
                    migrate(connection, version)

    def _checked(self, version: int | None) -> int:
        if version is None:
            raise IndexCorrupt(self.path, "the catalogue has no schema version")
        if version > SCHEMA_VERSION:
            raise IndexCorrupt(
                self.path,
                f"written by a newer release (schema {version}, this one reads {SCHEMA_VERSION})",
                "update this program",
            )
        return version

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the database's errors into ours, each with its way out."""
        try:
            yield
        except (DatabaseError, InterfaceError) as error:
            raise self._database.translated(error) from error


def _to_write(index_dir: Path, url: str | None) -> Database:
    """Return the database of an index, or a new one where the URL says; raises as `create`."""
    wanted = None if url is None else checked_url(url)
    place, path = read_place(index_dir), index_dir / FILE
    there = place.url if place else path.name if path.exists() else None
    if wanted is not None and there not in (None, wanted):
        raise CatalogueUrlError(
            f"{index_dir}: its catalogue is at {there}, and stays there; leave out --catalogue, or "
            "build another index with --index"
        )
    if place is not None:
        return PostgresqlSchema(index_dir / PLACE, place)
    if wanted is None:
        return SqliteFile(path, writes=True)
    place = Place.new(wanted)
    database = PostgresqlSchema(index_dir / PLACE, place)
    try:
        with Catalogue(database).reading():  # a URL that leads nowhere is not written down
            write_place(index_dir, place)
    except BaseException:
        database.close()
        raise
    return database


def _state(path: Path) -> tuple[int, ...]:
    """Return time and length of a catalogue's file, and the length of its write-ahead log."""
    found, log = path.stat(), path.with_name(f"{path.name}-wal")
    return found.st_mtime_ns, found.st_size, log.stat().st_size if log.exists() else 0


def chunked(values: Sequence[T], size: int = 500) -> Iterator[Sequence[T]]:
    """Cut a list into parts that fit SQLite's limit on bound parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
