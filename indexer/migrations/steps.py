"""The steps from an empty database to the schema of this release, numbered from 1."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    table,
    text,
    update,
)
from sqlalchemy.sql import column

from indexer.migrations.tables import NUMBER, create_first, first, generations

META = table("meta", column("key", String), column("value", JSON))


def version_of(connection: Connection) -> int | None:
    """Return how many steps a catalogue has behind it: 0 if it is empty, None if it won't say."""
    if not inspect(connection).has_table(META.name):
        return 0
    found = connection.scalar(select(META.c.value).where(META.c.key == "schema_version"))
    return found if isinstance(found, int) else None


def migrate(connection: Connection, version: int) -> None:
    """Take a catalogue from a version to `SCHEMA_VERSION`, within the caller's transaction."""
    for step in STEPS[version:]:
        step(connection)
    row = {"key": "schema_version", "value": SCHEMA_VERSION}
    if version == 0:
        connection.execute(insert(META), row)
    else:
        connection.execute(update(META).where(META.c.key == row["key"]).values(value=row["value"]))


def _parts(connection: Connection) -> None:
    """Let a generation consist of parts, each with the files derived from some of its segments.

    Files that are elsewhere are looked for by their size.
    """
    create_first(connection)
    later = MetaData()
    first.tables["editions"].to_metadata(later)
    parts = Table(
        "parts",
        later,
        Column("id", NUMBER, primary_key=True, autoincrement=False),
        Column("edition", ForeignKey("editions.id"), nullable=False),
        Column("segments", JSON, nullable=False),
        Column("files", JSON, nullable=False),
        Column("facts", JSON, nullable=False),
    )
    parts.create(connection)
    connection.execute(text("ALTER TABLE generations ADD COLUMN parts JSON DEFAULT '[]' NOT NULL"))
    now = table("generations", column("id"), column("parts", JSON))
    for row in connection.execute(select(generations)).all():
        whole = {"id": row.id, "edition": row.edition, "segments": row.segments}
        connection.execute(insert(parts), whole | {"files": row.files, "facts": {}})
        connection.execute(update(now).where(now.c.id == row.id).values(parts=[row.id]))
    connection.execute(text("ALTER TABLE generations DROP COLUMN files"))
    connection.execute(text("CREATE INDEX sources_by_size ON sources (size)"))


STEPS: tuple[Callable[[Connection], None], ...] = (create_first, _parts)
SCHEMA_VERSION = len(STEPS)
