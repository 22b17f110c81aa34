"""Files that are there whole or not at all: checksummed, fsynced, renamed into place."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from indexer.errors import REBUILD_ALL, IndexCorrupt, StorageError, storing

TEMPORARY = ".tmp-"
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """What the catalogue knows of a file that belongs to it."""

    bytes: int
    blake2b: str
    rows: int = 0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FileRecord:
        return cls(bytes=values["bytes"], blake2b=values["blake2b"], rows=values.get("rows", 0))

    def to_json(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "blake2b": self.blake2b, "rows": self.rows}


class CheckedFile:
    """A file under construction that digests what passes through it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.blake2b(digest_size=32)
        self.n_bytes = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, content: Any) -> int:
        self._digest.update(content)
        n_written = self._file.write(content)
        self.n_bytes += n_written
        return n_written

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Close without another write, which a full disk would refuse: `finish` keeps a file."""
        self._file.raw.close()

    def finish(self, rows: int = 0) -> FileRecord:
        """Flush to the disk itself and close."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileRecord(bytes=self.n_bytes, blake2b=self._digest.hexdigest(), rows=rows)


def temporary(path: Path) -> Path:
    """Return where `path` is built; leftovers of a killed run are removed."""
    draft = path.with_name(TEMPORARY + path.name)
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    return draft


def put_in_place(draft: Path, path: Path) -> None:
    """Rename a finished folder to its name, durably."""
    sync_folder(draft)
    if path.exists():  # no row names it: the rest of a run that was killed before its commit
        shutil.rmtree(path)
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a draft of the folder that a person names; renamed at the end, deleted after an error.

    Raises
    ------
    StorageError : something is there, or comes while it is written; or it cannot be written.
    """
    if path.is_symlink():
        raise StorageError(f"{path}: this is a link; give the name of a folder")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorageError(f"{path}: there is something already; give another folder")
    draft = path.with_name(f"{TEMPORARY}{path.name}-{uuid4().hex}")
    with storing(path):
        draft.mkdir(parents=True)
        try:
            yield draft
            sync_folder(draft)
            _make_way(path)
            draft.replace(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(path.parent)


def _make_way(path: Path) -> None:
    """Remove a folder that is empty, and nothing else."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(
            f"{path}: something came there meanwhile ({error.strerror}); give another folder"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable; Windows keeps them so without asking."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unnamed(folder: Path, keep: Collection[str]) -> list[Path]:
    """Return every entry of `folder` that no row of the catalogue names."""
    there = folder.iterdir() if folder.is_dir() else ()
    return [entry for entry in there if entry.name not in keep]


def sweep(folder: Path, keep: Collection[str]) -> None:
    """Delete every entry of `folder` that no row of the catalogue names."""
    for entry in unnamed(folder, keep):
        shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()


def open_checked(path: Path, record: FileRecord, *, remedy: str = REBUILD_ALL) -> BinaryIO:
    """Open a file; raise IndexCorrupt where it is not there or not as long as it was written."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise IndexCorrupt(path, "the file is gone", remedy) from None
    found = os.fstat(file.fileno()).st_size
    if found != record.bytes:
        file.close()
        raise IndexCorrupt(path, f"{found} bytes where {record.bytes} were written", remedy)
    return file


def is_intact(path: Path, record: FileRecord) -> bool:
    """Read a file from end to end and compare it with its record."""
    digest = hashlib.blake2b(digest_size=32)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.hexdigest() == record.blake2b
