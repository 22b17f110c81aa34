"""The tables of schema version 1, as they stay for ever; `indexer.catalogue` has those of today."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""Whole numbers of 64 bits; SQLite makes ids of its own for a column of INTEGER alone."""
TEXT = String().with_variant(String(collation="C"), "postgresql")
"""Text that is compared and sorted byte by byte, whatever language a server was set up for."""

first = MetaData()

Table(
    "meta",
    first,
    Column("key", TEXT, primary_key=True),
    Column("value", JSON, nullable=False),
)
Table(
    "editions",
    first,
    Column("id", NUMBER, primary_key=True),
    Column("encoder_fingerprint", TEXT, nullable=False),
    Column("encoder_name", TEXT, nullable=False),
    Column("grid_rows", NUMBER, nullable=False),
    Column("grid_columns", NUMBER, nullable=False),
)
segments = Table(
    "segments",
    first,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("n_items", NUMBER, nullable=False),
    Column("files", JSON, nullable=False),
)
Table(
    "sources",
    first,
    Column("id", NUMBER, primary_key=True),
    Column("path", TEXT, nullable=False),
    Column("shown", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("size", NUMBER, nullable=False),
    Column("mtime_ns", NUMBER, nullable=False),
    Column("blake2b", TEXT, nullable=False),
    UniqueConstraint("path", "size", "mtime_ns"),
)
items = Table(
    "items",
    first,
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
    Column("deleted", Boolean, nullable=False),
    Column("superseded_in", NUMBER),
    Index("items_by_frame", "frame_key"),
    Index("items_by_sound", "sound_key"),
)
LATER_INDEXES = (
    Index(
        "items_deleted",
        items.c.deleted,
        sqlite_where=items.c.deleted,
        postgresql_where=items.c.deleted,
    ),
    Index(
        "items_superseded",
        items.c.superseded_in,
        sqlite_where=items.c.superseded_in.is_not(None),
        postgresql_where=items.c.superseded_in.is_not(None),
    ),
)
Table(
    "labels",
    first,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("name", TEXT, primary_key=True),
)
Table(
    "boxes",
    first,
    Column("id", NUMBER, primary_key=True),
    Column("item", ForeignKey("items.id"), nullable=False, index=True),
    Column("annotator", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("tag", TEXT, nullable=False),
    *(Column(corner, Float, nullable=False) for corner in ("x0", "y0", "x1", "y1")),
)
Table(
    "outcomes",
    first,
    Column("edition", ForeignKey("editions.id"), primary_key=True),
    Column("key", TEXT, primary_key=True),
    Column("stamp", TEXT, nullable=False),
    Column("item", ForeignKey("items.id")),
    Index("outcomes_by_item", "item"),
)
Table(
    "failures",
    first,
    Column("id", NUMBER, primary_key=True),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("key", TEXT, nullable=False),
    Column("path", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    Index("failures_by_key", "edition", "key"),
)
generations = Table(
    "generations",
    first,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("segments", JSON, nullable=False),
    Column("n_items", NUMBER, nullable=False),
    Column("files", JSON, nullable=False),
    Column("calibration", JSON, nullable=False),
)
Table(
    "label_sets",
    first,
    Column("id", NUMBER, primary_key=True),
    Column("provider", TEXT, nullable=False),
    Column("version", TEXT, nullable=False),
    Column("origin", TEXT, nullable=False),
    Column("vocabulary", TEXT, nullable=False),
    Column("names", JSON, nullable=False),
    Column("created", TEXT, nullable=False),
    UniqueConstraint("provider", "version"),
)
Table(
    "pseudo_labels",
    first,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", TEXT, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("rank", NUMBER, primary_key=True, autoincrement=False),
    Column("label", NUMBER),
    Column("score", Float),
    sqlite_with_rowid=False,
)
Table(
    "label_failures",
    first,
    Column("label_set", ForeignKey("label_sets.id"), primary_key=True),
    Column("modality", TEXT, primary_key=True),
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("path", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("message", TEXT, nullable=False),
    sqlite_with_rowid=False,
)
Table(
    "bases",
    first,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("edition", ForeignKey("editions.id"), nullable=False),
    Column("file", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
)
Table(
    "efforts",
    first,
    Column("generation", ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("kinds", JSON, nullable=False),
)


def create_first(connection: Connection) -> None:
    """Make all of version 1 that is missing: some of it came later, with the version unchanged."""
    first.create_all(connection)
    for index in LATER_INDEXES:
        index.create(connection, checkfirst=True)
