"""A catalogue in a file of the index folder: SQLite, with a write-ahead log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import QueuePool

from indexer.database.written import WRITTEN_NUMBER, to_json, written_number
from indexer.errors import IndexCorrupt, IndexerError, IndexLocked, StorageError

BUSY_S = 10.0
"""Commits take milliseconds; who waits longer than this waits for a process that hangs."""


class SqliteFile:
    """A file, open.

    Parameters
    ----------
    path : the file.
    writes : whether it is made if need be, and may be written to.
    immutable : nobody writes; needed on a read-only disk, where no write-ahead log can be joined.
    """

    empty = "the index was never finished"

    def __init__(self, path: Path, *, writes: bool, immutable: bool = False) -> None:
        self.path = path
        mode = "rwc" if writes else "ro&immutable=1" if immutable else "ro"
        self.readers = self.writers = _engine(f"{path.absolute().as_uri()}?mode={mode}", writes)

    def begin_writing(self, connection: Connection) -> None:
        """Nothing is left to do: `BEGIN IMMEDIATE` waits for other writers."""

    def create(self, connection: Connection) -> None:
        """Nothing is left to do: the file is made as it is opened."""

    def copy(self) -> MemoryCopy:
        return MemoryCopy(self.readers)

    def check(self, connection: Connection) -> None:
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if found != "ok":
            raise IndexCorrupt(self.path, f"the catalogue is damaged ({found})")

    def translated(self, error: DBAPIError) -> IndexerError:
        path, reason = self.path, str(error.orig)
        variant = getattr(error.orig, "sqlite_errorcode", 0)
        code = variant & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return IndexLocked(f"{path}: in use by another process; wait for it and try again")
        if code == sqlite3.SQLITE_FULL or variant == sqlite3.SQLITE_IOERR_SHMSIZE:
            return StorageError(f"{path}: the disk is full; free some space and run it again")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return StorageError(
                f"{path}: {reason}; see that the folder and its files may be written"
            )
        if code == sqlite3.SQLITE_IOERR:
            return StorageError(f"{path}: {reason}; look at the disk and run it again")
        return IndexCorrupt(path, f"the catalogue is damaged ({reason})")

    def close(self) -> None:
        self.readers.dispose()


class MemoryCopy:
    """A file as it is now, in memory, where it may be changed; safe to share between threads."""

    def __init__(self, of: Engine) -> None:
        self.engine = _engine(f"file:{uuid4()}?mode=memory&cache=shared", False)
        self._of = of.raw_connection()
        self._kept = self.engine.raw_connection()  # memory is freed with the last connection
        with _as_of_sqlalchemy():
            _sqlite(self._of).backup(_sqlite(self._kept))
        self._version = self._data_version()

    def is_stale(self) -> bool:
        """Say whether somebody has written to the file since."""
        return bool(self._data_version() != self._version)

    def close(self) -> None:
        for connection in (self._kept, self._of):
            connection.close()
        self.engine.dispose()

    def _data_version(self) -> Any:
        with _as_of_sqlalchemy():
            return _sqlite(self._of).execute("PRAGMA data_version").fetchone()


@contextmanager
def _as_of_sqlalchemy() -> Iterator[None]:
    """Raise errors as they come from every other question to the catalogue."""
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(None, None, error) from error


def _sqlite(connection: Any) -> sqlite3.Connection:
    found = connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def _engine(uri: str, writes: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False)

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        json_serializer=to_json,
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        connection.create_function(WRITTEN_NUMBER, 1, written_number, deterministic=True)
        if writes:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")  # the commit survives a power cut
            connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
