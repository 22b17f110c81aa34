"""Files of segments copied row by row, some left out, a few record batches in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from indexer.arrow_files import Table, TableWriter, ids_of, rows_of
from indexer.blocks import Ids
from indexer.compact.maps import BATCH_ROWS
from indexer.segments import MAP_ROWS, MAPS, SOUND, VECTOR_ROWS, VISUAL
from indexer.storage import FileRecord

ROWS = {SOUND: VECTOR_ROWS, VISUAL: VECTOR_ROWS, MAPS: MAP_ROWS}
"""Rows of a record batch by file; compact maps have BATCH_ROWS."""
GAPPY = {"own_sound"}
"""Columns that some rows have no value in."""


class Chosen(Protocol):
    """Which rows are copied, and under which ids."""

    def places(self, ids: Ids) -> tuple[Ids, Ids]:
        """Return the rows (k,) of ids (m,) that are copied, and their new ids (k,)."""
        ...


@dataclass(frozen=True)
class Kept:
    """Ids (n,), ascending, that are copied as they are."""

    ids: Ids

    def places(self, ids: Ids) -> tuple[Ids, Ids]:
        """See `Chosen`."""
        rows = np.flatnonzero(np.isin(ids, self.ids))
        return rows, ids[rows]


@dataclass(frozen=True)
class Renumbered:
    """Which ids are copied, ascending (n,), and the first of the n ids that they get in order."""

    old: Ids
    first: int

    @property
    def new(self) -> dict[int, int]:
        """New ids by old ones."""
        return {int(old): self.first + n for n, old in enumerate(self.old)}

    def places(self, ids: Ids) -> tuple[Ids, Ids]:
        """See `Chosen`."""
        if not len(self.old):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self.old, ids), len(self.old) - 1)
        rows = np.flatnonzero(self.old[at] == ids)
        return rows, self.first + at[rows]


def segment_ids(folder: Path, files: Mapping[str, FileRecord]) -> Ids:
    """Return the ids (n,) that a segment holds, ascending."""
    found = []
    for name in (SOUND, VISUAL):
        with closing(Table(folder / name, files[name], mapped=False)) as table:
            found.append(table.ids())
    return np.union1d(*found)


def copy_rows(
    sources: Sequence[tuple[Path, FileRecord]], target: Path, chosen: Chosen
) -> FileRecord:
    """Write rows of one or more files of a kind into one, in their order.

    Parameters
    ----------
    sources : files of one name, of segments; at least one.

    Raises
    ------
    IndexCorrupt : a file is gone or damaged.
    """
    writer: TableWriter | None = None
    try:
        for path, record in sources:
            with closing(Table(path, record, mapped=False)) as table:
                writer = writer or TableWriter(
                    target, table.schema, ROWS.get(path.name, BATCH_ROWS)
                )
                for n in range(table.n_batches):
                    _append(writer, table.batch(n), chosen)
        assert writer is not None, "at least one file"
        return writer.finish()
    finally:
        if writer is not None:
            writer.abandon()


def _append(writer: TableWriter, batch: pa.RecordBatch, chosen: Chosen) -> None:
    rows, ids = chosen.places(ids_of(batch))
    names = batch.schema.names[1:]
    missing = {
        name: ~np.asarray(batch.column(name).is_valid())[rows] for name in names if name in GAPPY
    }
    columns = {name: np.take(rows_of(batch, name), rows, axis=0) for name in names}
    writer.append(ids, missing, **columns)
