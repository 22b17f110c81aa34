"""What a catalogue asks of the database that it is kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from indexer.errors import IndexerError


class Copy(Protocol):
    """A catalogue of an earlier release as it is now, somewhere it may be changed."""

    engine: Engine

    def is_stale(self) -> bool:
        """Say whether somebody has written to the original since."""

    def close(self) -> None:
        """Let go of it, and of the original."""


class Database(Protocol):
    """A database, open; safe to share between threads.

    Attributes
    ----------
    path : the file of the index folder that says where the catalogue is; errors name it.
    empty : what it means that there are no tables.
    readers : gives connections that see one state, from their first question to their end.
    writers : gives transactions.
    """

    path: Path
    empty: str
    readers: Engine
    writers: Engine

    def begin_writing(self, connection: Connection) -> None:
        """Wait until nobody else writes, and keep it so until the transaction ends."""

    def create(self, connection: Connection) -> None:
        """Make the place for the tables, if need be."""

    def copy(self) -> Copy:
        """Copy all of it; raises IndexCorrupt where that cannot be."""

    def check(self, connection: Connection) -> None:
        """Read all of it; raises IndexCorrupt where it contradicts itself."""

    def translated(self, error: DBAPIError) -> IndexerError:
        """Return one of our errors for one of the driver's, with its way out."""

    def close(self) -> None:
        """Close every connection that is not in use."""
