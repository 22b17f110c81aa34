"""Segments copied under other ids: row by row, some left out, a few record batches in memory."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from indexer.arrow_files import Table, TableWriter, ids_of, rows_of
from indexer.blocks import Ids
from indexer.catalogue import Catalogue
from indexer.compact.maps import BATCH_ROWS, basis_in, file_name
from indexer.compact.writing import basis_file
from indexer.errors import ENCODE_AGAIN, IndexCorrupt, storing
from indexer.history import Edition, next_id
from indexer.ledger import add_basis
from indexer.merge_reading import OpenIndex
from indexer.options import MapForm
from indexer.segments import MAP_ROWS, MAPS, SOUND, VECTOR_ROWS, VISUAL
from indexer.storage import CheckedFile, FileRecord, is_intact, sync_folder

ROWS = {SOUND: VECTOR_ROWS, VISUAL: VECTOR_ROWS, MAPS: MAP_ROWS}
"""Rows of a record batch by file; compact maps have BATCH_ROWS."""
GAPPY = {"own_sound"}
"""Columns that some rows have no value in."""


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
        """Return the rows (k,) of ids (m,) that are copied, and their new ids (k,)."""
        if not len(self.old):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        at = np.minimum(np.searchsorted(self.old, ids), len(self.old) - 1)
        rows = np.flatnonzero(self.old[at] == ids)
        return rows, self.first + at[rows]


def segment_ids(folder: Path, files: dict[str, FileRecord]) -> Ids:
    """Return the ids (n,) that a segment holds, ascending."""
    found = []
    for name in (SOUND, VISUAL):
        with closing(Table(folder / name, files[name], mapped=False)) as table:
            found.append(table.ids())
    return np.union1d(*found)


def copy_segment(
    folder: Path,
    files: dict[str, FileRecord],
    target: Path,
    names: dict[str, str],
    numbers: Renumbered,
) -> dict[str, FileRecord]:
    """Copy files of a segment; return what the catalogue should know of the copies.

    Parameters
    ----------
    names : of the files to copy, to what they are called there.

    Raises
    ------
    IndexCorrupt : a file is gone or damaged.
    """
    return {
        there: _copy(
            folder / name, files[name], target / there, ROWS.get(name, BATCH_ROWS), numbers
        )
        for name, there in names.items()
    }


def _copy(
    path: Path, record: FileRecord, target: Path, rows_per_batch: int, numbers: Renumbered
) -> FileRecord:
    with closing(Table(path, record, mapped=False)) as table:
        writer = TableWriter(target, table.schema, rows_per_batch)
        try:
            for n in range(table.n_batches):
                _append(writer, table.batch(n), numbers)
            return writer.finish()
        finally:
            writer.abandon()


def _append(writer: TableWriter, batch: pa.RecordBatch, numbers: Renumbered) -> None:
    rows, ids = numbers.places(ids_of(batch))
    names = batch.schema.names[1:]
    missing = {
        name: ~np.asarray(batch.column(name).is_valid())[rows] for name in names if name in GAPPY
    }
    columns = {name: np.take(rows_of(batch, name), rows, axis=0) for name in names}
    writer.append(ids, missing, **columns)


def copied_names(files: dict[str, FileRecord], bases: dict[int, int]) -> dict[str, str]:
    """Return which files of a segment are copied, and what they are called there.

    Compact maps are derived anew where the full ones are there.
    """
    names = {name: name for name in files if basis_in([name]) is None}
    basis = basis_in(files)
    if MAPS not in files and basis is not None:
        names[file_name(basis)] = file_name(bases[basis])
    return names


def copy_bases(
    one: OpenIndex, index_dir: Path, catalogue: Catalogue, edition: Edition, form: MapForm
) -> dict[int, int]:
    """Copy the bases that an index has maps in without full ones; return new numbers by old ones.

    Parameters
    ----------
    form : of the maps of all; where there are full ones, a new basis is fitted to these.

    Raises
    ------
    IndexCorrupt : a basis is gone or damaged.
    """
    needed = {
        basis
        for files in one.generation.segments.values()
        if MAPS not in files and (basis := basis_in(files)) is not None
    }
    found = {}
    for basis in sorted(needed):
        path = basis_file(one.path, basis)
        if basis not in one.bases or not is_intact(path, one.bases[basis].file):
            raise IndexCorrupt(path, "the basis of the compact maps is damaged", ENCODE_AGAIN)
        row = one.bases[basis]
        with catalogue.writing() as connection:
            found[basis] = next_id(connection, "basis")
            with storing(index_dir):
                _copy_file(path, basis_file(index_dir, found[basis]))
            facts = row.facts | {"lost_by_segment": {}, "retired": form == "full"}
            add_basis(
                connection, basis=found[basis], edition=edition.id, file=row.file, facts=facts
            )
    return found


def _copy_file(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with closing(CheckedFile(target)) as file:
        file.write(path.read_bytes())
        file.finish()
    sync_folder(target.parent)
