"""A catalogue in a schema of its own on a PostgreSQL server, by psycopg and libpq."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError

from indexer.database.kind import Copy
from indexer.database.place import Place
from indexer.database.written import to_json
from indexer.errors import (
    CatalogueUnreachable,
    IndexCorrupt,
    IndexerError,
    IndexLocked,
    StorageError,
)

CONNECT_S = 10
WAIT_S = 10
"""Commits take milliseconds; who waits longer than this waits for a process that hangs."""
NO_DRIVER = (
    "psycopg is not installed; install the extra `postgresql`: "
    "pip install -e '.[postgresql]', or pip install 'psycopg[binary]'"
)
BUSY = ("40001", "40P01", "55P03")  # serialization, deadlock, a lock that was waited for
GONE = ("57P01", "57P02", "57P03", "53300")  # going down, coming up, too many connections
DAMAGED = ("XX001", "XX002")
DISK_FULL, OUT_OF_MEMORY, READ_ONLY, NOT_ALLOWED = "53100", "53200", "25006", "42501"
REFUSALS = (  # what a server says before it lets anybody in has no code, and may be in any language
    ("password", "give the password to libpq by PGPASSWORD or in ~/.pgpass"),
    ("authentication", "log in as a user that pg_hba.conf lets in, by USER@ in the URL or PGUSER"),
    ("pg_hba.conf", "have the server's pg_hba.conf let this user in from here"),
    ("does not exist", "make it with createuser or createdb, or correct the URL"),
)
LOOK = "see that the server runs, that the URL names it, and that it lets you in"


class PostgresqlSchema:
    """A schema, open.

    Parameters
    ----------
    path : the file that says where it is.

    Raises
    ------
    CatalogueUnreachable : psycopg is not installed.
    """

    def __init__(self, path: Path, place: Place) -> None:
        self.path, self.namespace = path, place.namespace
        self.name = place.parsed.set(drivername="postgresql").render_as_string()
        self.empty = f"the index was never finished, or {self.name} does not let you read it"
        self.writers = self._engine(place)
        self.readers: Engine = self.writers.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def begin_writing(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
        number = int(self.namespace.rpartition("_")[2], 16)
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")

    def create(self, connection: Connection) -> None:
        # Without the question, a user that may not make schemas is refused one that is there.
        if self.namespace not in inspect(connection).get_schema_names():
            connection.exec_driver_sql(f"CREATE SCHEMA {self.namespace}")

    def copy(self) -> Copy:
        raise IndexCorrupt(
            self.path,
            f"its catalogue at {self.name} is of an earlier release",
            "run `retrieval build-index CORPUS`, which brings it up to date",
        )

    def check(self, connection: Connection) -> None:
        for table in inspect(connection).get_table_names():
            connection.exec_driver_sql(f'SELECT sum(length(t::text)) FROM "{table}" AS t').scalar()

    def translated(self, error: DBAPIError) -> IndexerError:
        state = getattr(error.orig, "sqlstate", None)
        reason = " ".join(str(error.orig).split())
        where = f"{self.path}: {self.name}"
        if state in BUSY:
            return IndexLocked(f"{where}: in use by another process; wait for it and try again")
        if state == DISK_FULL:
            return StorageError(f"{where}: the server's disk is full; free some space there")
        if state == READ_ONLY:
            return StorageError(f"{where}: it takes no writes; give the server that does")
        if state == NOT_ALLOWED:
            remedy = "have its owner grant CREATE on the database, or USAGE on the schema and more"
            return StorageError(f"{where}: {reason}; {remedy} (docs/catalogue.md)")
        if state in GONE or state == OUT_OF_MEMORY or (state or "08").startswith("08"):
            remedy = next((way for word, way in REFUSALS if word in reason), LOOK)
            return CatalogueUnreachable(f"{where}: {reason}; {remedy}")
        if state in DAMAGED:
            remedy = "restore the server's database from a backup (docs/catalogue.md)"
            return IndexCorrupt(self.path, f"its catalogue is damaged ({reason})", remedy)
        return IndexCorrupt(self.path, f"its catalogue cannot be used ({reason})")

    def close(self) -> None:
        self.writers.dispose()

    def _engine(self, place: Place) -> Engine:
        timeout = {} if "connect_timeout" in place.parsed.query else {"connect_timeout": CONNECT_S}
        try:
            engine = create_engine(
                place.parsed,
                isolation_level="READ COMMITTED",  # a writer that waited sees what it waited for
                connect_args=timeout,
                pool_pre_ping=True,  # the server may have been started again meanwhile
                json_serializer=to_json,
            )
        except ModuleNotFoundError:
            raise CatalogueUnreachable(f"{self.path}: {self.name}: {NO_DRIVER}") from None
        event.listen(engine, "connect", self._settings, insert=True)
        return engine

    def _settings(self, connection: Any, _: object) -> None:
        connection.adapters.register_dumper(str, _text_without_nul())
        connection.autocommit = True  # a setting of the session, not of a transaction
        connection.execute(f"SET search_path TO {self.namespace}")
        connection.autocommit = False


@cache
def _text_without_nul() -> type:
    """Return what sends a replacement for each NUL, the one character that the server cannot hold.

    A label from a file may have one in it.
    """
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    return Dumper
