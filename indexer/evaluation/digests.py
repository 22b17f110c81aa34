"""Which long files are equal, byte by byte: where the catalogue has samples, whole files are read.

The catalogue knows a long file by its size and a digest of samples of it. Files whose samples
differ are different; those whose samples agree may be equal, and are read to the end.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from indexer.blocks import Ids
from indexer.catalogue import Catalogue, chunked, items, sources
from indexer.reader import IndexReader

SAMPLED = "sampled:"
"""How the digest of a file begins that was not read whole."""
READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class WholeDigests:
    """What tells files apart whose samples agree.

    Attributes
    ----------
    by_source : digest of the whole file by the number of its source.
    n_unread : files that are gone or have changed since they were indexed. They cannot be compared
        any more: what they agree with counts as equal, lest a copy pass for an answer.
    """

    by_source: Mapping[int, str] = field(default_factory=dict)
    n_unread: int = 0


def whole_digests(reader: IndexReader, ids: Ids) -> WholeDigests:
    """Read those files of some items whole that samples alone cannot tell apart."""
    with Catalogue.open(reader.path) as catalogue, catalogue.reading() as connection:
        sampled = _sampled_sources(connection, ids)
    alike: dict[str, list[Row[Any]]] = defaultdict(list)
    for source in sampled:
        alike[source.blake2b].append(source)
    by_source: dict[int, str] = {}
    n_unread = 0
    for group in alike.values():
        digests = {s.id: _digest(reader, s) for s in group} if len(group) > 1 else {}
        n_missing = sum(not digest for digest in digests.values())
        by_source |= {} if n_missing else digests
        n_unread += n_missing
    return WholeDigests(by_source=by_source, n_unread=n_unread)


def _sampled_sources(connection: Connection, ids: Ids) -> list[Row[Any]]:
    """Return the sources of these items of which the catalogue has samples: few, they are long."""
    found = connection.execute(select(sources).where(sources.c.blake2b.startswith(SAMPLED))).all()
    used: set[int] = set()
    wanted = set(ids.tolist())
    for part in chunked([row.id for row in found]):
        of_part = or_(items.c.frame_source.in_(part), items.c.sound_source.in_(part))
        for row in connection.execute(
            select(items.c.id, items.c.frame_source, items.c.sound_source).where(of_part)
        ):
            used |= {row.frame_source, row.sound_source} if row.id in wanted else set()
    return [row for row in found if row.id in used]


def _digest(reader: IndexReader, source: Row[Any]) -> str:
    """blake2b of a whole file; empty where it is not what was indexed any more."""
    path = reader.locate(source.path)
    digest = hashlib.blake2b(digest_size=32)
    try:
        state = path.stat()
        if (state.st_size, state.st_mtime_ns) != (source.size, source.mtime_ns):
            return ""
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                digest.update(part)
    except OSError:
        return ""  # counted: the index can be evaluated without its corpus
    return digest.hexdigest()
