"""Planned items that failed and may not fail again, for `build-index --retry-failed`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from indexer.catalogue import chunked, failures, outcomes
from indexer.plan import PlannedItem

AT_ONCE = 5000


def failed_items(
    connection: Connection, edition: int, planned: Sequence[PlannedItem]
) -> list[PlannedItem]:
    """Return items that failed, wholly or in part, though they are planned as they were then.

    What failed in the scan that made the plan has just been tried, and does not count.
    """
    found = []
    for items in chunked(planned, AT_ONCE):
        failed = _failures(connection, edition, items)
        for item in items:
            known = {(failure.path, failure.code) for failure in item.failures}
            if failed.get((item.key, item.stamp), set()) - known:
                found.append(item)
    return found


def _failures(
    connection: Connection, edition: int, items: Sequence[PlannedItem]
) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """Return path and code of what failed, by key and stamp."""
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    same = (outcomes.c.edition == failures.c.edition) & (outcomes.c.key == failures.c.key)
    statement = select(failures, outcomes.c.stamp).join(outcomes, same)
    for keys in chunked([item.key for item in items]):
        wanted = (failures.c.edition == edition, failures.c.key.in_(keys))
        for row in connection.execute(statement.where(*wanted)):
            found.setdefault((row.key, row.stamp), set()).add((row.path, row.code))
    return found
