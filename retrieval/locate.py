"""Where the index is, when a person names a corpus, an index, or nothing. No heavy imports."""

from __future__ import annotations

from pathlib import Path

from indexer.errors import IndexMissing

INDEX_FOLDER = ".retrieval"
CATALOGUES = ("catalogue.sqlite", "catalogue.json")
"""The catalogue itself, or where it is."""


def find_index(given: Path | None = None) -> Path:
    """Return the index folder that `given` means.

    An index folder is itself; a corpus means the index inside it; None means the `.retrieval` of
    the current folder or of its nearest parent, as git finds its own.

    Raises
    ------
    IndexMissing : there is none; the message says how to build one.
    """
    if given is not None:
        return _index_of(given)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if is_index(folder / INDEX_FOLDER):
            return folder / INDEX_FOLDER
    raise IndexMissing(here, "no index here or in a folder above it")


def _index_of(folder: Path) -> Path:
    if is_index(folder):
        return folder
    if is_index(folder / INDEX_FOLDER):
        return folder / INDEX_FOLDER
    reason = "no index here" if folder.exists() else "no such folder"
    raise IndexMissing(folder, reason)


def is_index(folder: Path) -> bool:
    """Say whether a folder is an index."""
    return any((folder / name).is_file() for name in CATALOGUES)
