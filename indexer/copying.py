"""Segments and bases of one index copied into another, under other ids."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from indexer.catalogue import Catalogue
from indexer.compact.maps import basis_in, file_name
from indexer.compact.writing import basis_file
from indexer.errors import ENCODE_AGAIN, IndexCorrupt, storing
from indexer.history import Edition, next_id
from indexer.ledger import add_basis
from indexer.merge_reading import OpenIndex
from indexer.options import MapForm
from indexer.row_copies import Renumbered, copy_rows
from indexer.segments import MAPS
from indexer.storage import CheckedFile, FileRecord, is_intact, sync_folder


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
        there: copy_rows([(folder / name, files[name])], target / there, numbers)
        for name, there in names.items()
    }


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
