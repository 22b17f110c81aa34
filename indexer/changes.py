"""What became of a corpus since it was indexed: new, changed, renamed, missing files.

A file is known by path, size and time. Where these differ, the content decides: a file that is now
elsewhere, or was only touched, keeps its items with their ids, and is not embedded again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, select

from indexer.catalogue import chunked, sources
from indexer.digest import digest_of
from indexer.history import REMOVED, all_outcomes, known_outcomes, removed_keys
from indexer.lookup import item_rows
from indexer.paths import from_text
from indexer.plan import Move, PlannedItem, Source, item_key
from indexer.retrying import failed_items

AT_ONCE = 5000
"""Items that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """An item that was indexed, and that the corpus as it is now does not give.

    Attributes
    ----------
    item_id : None where nothing of it could be used.
    gone : paths of its files that are not there; none where all are, and make other items now.
    """

    key: str
    item_id: int | None
    gone: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What an update would do.

    Attributes
    ----------
    new, changed : to be embedded; of changed ones the item that was is hidden then.
    moved : renamed or touched; nothing is embedded.
    replaced : their files are there and are cut or paired otherwise now; they are hidden then.
    missing : stay until they are pruned.
    n_unchanged : left alone.
    n_removed : left out, since a person removed them.
    """

    new: list[PlannedItem]
    changed: list[PlannedItem]
    moved: list[Move]
    replaced: list[Lost]
    missing: list[Lost]
    n_unchanged: int
    n_removed: int

    @property
    def to_embed(self) -> list[PlannedItem]:
        return [*self.new, *self.changed]


def find_changes(
    connection: Connection,
    edition: int,
    planned: Sequence[PlannedItem],
    corpus: Path,
    *,
    restore: bool = False,
    retry: bool = False,
) -> Changes:
    """Compare a corpus as it was scanned with what an edition knows of it.

    Parameters
    ----------
    planned : all items of the corpus.
    restore : take in again what was removed.
    retry : take up again what failed.
    """
    stale = stale_items(connection, edition, planned, restore=restore, retry=retry)
    moved = find_moves(connection, edition, stale.items, planned, corpus, restore=restore)
    places = {move.item.key for move in moved}
    left = [item for item in stale.items if item.key not in places]
    lost = _lost(connection, edition, planned, moved)
    return Changes(
        new=[item for item in left if item.key not in stale.known],
        changed=[item for item in left if item.key in stale.known],
        moved=moved,
        replaced=[one for one in lost if not one.gone],
        missing=[one for one in lost if one.gone],
        n_unchanged=stale.n_unchanged,
        n_removed=stale.n_removed,
    )


def _lost(
    connection: Connection, edition: int, planned: Sequence[PlannedItem], moved: Sequence[Move]
) -> list[Lost]:
    """Return what an edition has and the corpus does not give; what was removed does not count."""
    present = {item.key for item in planned} | {move.former.key for move in moved}
    lost = {
        key: one.item
        for key, one in all_outcomes(connection, edition)
        if key not in present and one.stamp != REMOVED
    }
    there = {part.source.path for item in planned for part in item.parts}
    rows = item_rows(connection, [item for item in lost.values() if item is not None])
    found = []
    for key, item in lost.items():
        row = rows.get(item) if item is not None else None
        paths = {path for path in (row.image, row.audio) if path} if row else _paths_in(key)
        gone = tuple(sorted(paths - there))
        found.append(Lost(key=key, item_id=item, gone=gone))
    return found


def _paths_in(key: str) -> set[str]:
    """Return the paths in the key of an item; they may hold what stands between them, too."""
    return {part.rpartition("@")[0] for part in key.split("|") if part}


@dataclass(frozen=True, kw_only=True)
class Stale:
    """Planned items that are not known as they are.

    Attributes
    ----------
    known : keys of those that are known otherwise.
    n_unchanged, n_removed : the others.
    """

    items: list[PlannedItem]
    known: set[str]
    n_unchanged: int
    n_removed: int


def stale_items(
    connection: Connection,
    edition: int,
    planned: Sequence[PlannedItem],
    *,
    restore: bool = False,
    retry: bool = False,
) -> Stale:
    """Return what an edition does not know as it is planned now.

    Parameters
    ----------
    restore : count what was removed as new.
    retry : count what failed as changed.
    """
    stale: list[PlannedItem] = []
    known_keys: set[str] = set()
    n_removed = 0
    for part in chunked(planned, AT_ONCE):
        keys = [item.key for item in part]
        known = known_outcomes(connection, edition, keys)
        removed = set() if restore else removed_keys(connection, keys)
        failed = {item.key for item in failed_items(connection, edition, part)} if retry else set()
        for item in part:
            outcome = known.get(item.key)
            if item.key in removed:
                n_removed += 1
            elif outcome is None or outcome.stamp != item.stamp or item.key in failed:
                stale.append(item)
                known_keys.update(() if outcome is None else (item.key,))
    return Stale(
        items=stale,
        known=known_keys,
        n_unchanged=len(planned) - len(stale) - n_removed,
        n_removed=n_removed,
    )


def find_moves(
    connection: Connection,
    edition: int,
    stale: Sequence[PlannedItem],
    planned: Iterable[PlannedItem],
    corpus: Path,
    *,
    restore: bool = False,
) -> list[Move]:
    """Recognise items by the content of their files.

    Only files are read that are as long as one which is no longer where it was. An item of which
    nothing could be used is tried again in place of being recognised.

    Parameters
    ----------
    stale : planned items that are not known as they are.
    planned : all items of the corpus.
    restore : what was removed is not recognised: it is taken in as new.
    """
    present = {part.source.path for item in planned for part in item.parts}
    wanted = {part.source for item in stale for part in item.parts}
    former, digests = _former_sources(connection, wanted, present, corpus)
    pairs = [(item, was) for item in stale if (was := _as_it_was(item, former)) is not None]
    formers = [was.key for _, was in pairs]
    known, removed = (
        known_outcomes(connection, edition, formers),
        removed_keys(connection, formers),
    )
    moves, taken = [], set[str]()
    for item, was in pairs:
        outcome, is_removed = known.get(was.key), was.key in removed
        is_same = outcome is not None and outcome.stamp == was.stamp and outcome.item is not None
        if was.key in taken or (restore if is_removed else not is_same):
            continue
        taken.add(was.key)
        paths = {part.source.path for part in item.parts}
        moves.append(
            Move(
                item=item,
                former=was,
                item_id=None if is_removed or outcome is None else outcome.item,
                digests={path: digest for path, digest in digests.items() if path in paths},
            )
        )
    return moves


def _former_sources(
    connection: Connection, wanted: Collection[Source], present: Collection[str], corpus: Path
) -> tuple[dict[Source, Source], dict[str, str]]:
    """Return, for files that hold what an indexed file held, that one, and the digests read."""
    by_size: dict[int, list[tuple[Source, str]]] = {}
    paths = {source.path for source in wanted}
    for sizes in chunked(sorted({source.size for source in wanted})):
        rows = connection.execute(
            select(sources)
            .where(sources.c.size.in_(sizes), sources.c.blake2b != "")
            .order_by(sources.c.id.desc())  # the newest state of a path first
        )
        for row in rows:
            if row.path in present and row.path not in paths:
                continue  # it is where it was: many files may be as long
            source = Source(path=row.path, kind=row.kind, size=row.size, mtime_ns=row.mtime_ns)
            by_size.setdefault(row.size, []).append((source, row.blake2b))
    former: dict[Source, Source] = {}
    digests: dict[str, str] = {}
    taken: set[str] = set()
    for source in sorted(wanted, key=lambda one: one.path):
        candidates = [
            (old, digest)
            for old, digest in by_size.get(source.size, [])
            if old.kind == source.kind and old != source
            if old.path == source.path or old.path not in present
        ]
        found = _digest(corpus, source) if candidates else None
        if found is None:
            continue
        digests[source.path] = found
        same = [old for old, digest in candidates if digest == found and old.path not in taken]
        same.sort(key=lambda old: old.path != source.path)  # stable: the same path comes first
        if same:
            former[source] = same[0]
            taken.add(same[0].path)
    return former, digests


def _digest(corpus: Path, source: Source) -> str | None:
    """Return the digest of a file; None where it cannot be read, which the build will report."""
    try:
        return digest_of(corpus / from_text(source.path))
    except OSError:
        return None


def _as_it_was(item: PlannedItem, former: Mapping[Source, Source]) -> PlannedItem | None:
    """Return the plan of an item before its files moved; None where none of them did."""
    frame, sound = item.frame, item.sound
    plain = item_key(frame, sound)
    if not any(part.source in former for part in item.parts) or not item.key.startswith(plain):
        return None
    paths = {part.source.path: former.get(part.source, part.source).path for part in item.parts}
    if frame is not None:
        frame = replace(frame, source=former.get(frame.source, frame.source))
    if sound is not None:
        sound = replace(sound, source=former.get(sound.source, sound.source))
    return replace(
        item,
        frame=frame,
        sound=sound,
        key=item_key(frame, sound) + item.key.removeprefix(plain),  # repetitions are numbered
        failures=tuple(
            replace(failure, path=paths.get(failure.path, failure.path))
            for failure in item.failures
        ),
    )
