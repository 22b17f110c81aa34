"""Decoded pictures and sounds on disk: every file is decoded once, however many trainings follow.

A shelf holds records of one shape in one file, and a line for each that says which file it is of.
Records are written and synced before their lines: whatever ends the process, at most a block is
decoded again. It knows neither pictures nor networks: files in, arrays kept.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from encoder.errors import MediaError
from indexer.digest import digest_of
from indexer.options import n_cores
from train.errors import RoomError
from train.records import Entry, Records, Span, Wanted, entry_of

FORMAT = 1
BLOCK = 128
"""Records that are committed at a time, 14 MB of pictures: what a killed run decodes again."""
Record = NDArray[np.uint8] | NDArray[np.float32]
OnDone = Callable[[int], None]


@dataclass(kw_only=True)
class Filled:
    """Where each part's record lies, its file's digest, and which parts cannot be decoded."""

    places: NDArray[np.int64]
    digests: list[str]
    failures: list[MediaError] = field(default_factory=list)


class Shelf:
    """Records of one kind in a folder of their own.

    Parameters
    ----------
    cache : folder that holds shelves, for any number of collections.
    kind : `pictures` or `sounds`, for people.
    parameters : whatever else decides what a record is. JSON.
    shape, dtype : of a record.

    What was decoded otherwise lies on another shelf. Of a file that has changed since, the old
    record stays where it is and is not used again; the folder may be deleted at any time.
    """

    def __init__(
        self,
        cache: Path,
        *,
        kind: str,
        parameters: dict[str, Any],
        shape: tuple[int, ...],
        dtype: type[np.uint8] | type[np.float32],
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._header = {
            "format": FORMAT,
            "kind": kind,
            "shape": list(shape),
            "dtype": self.dtype.name,
            "parameters": parameters,
        }
        text = json.dumps(self._header, sort_keys=True)
        self.folder = cache / f"{kind}-{sha256(text.encode()).hexdigest()[:12]}"
        self.records, self.lines = self.folder / "records.bin", self.folder / "entries.jsonl"
        self.record_bytes = self.dtype.itemsize * int(np.prod(shape))

    def filled(
        self,
        wanted: Sequence[Wanted],
        decode: Callable[[int], Record],
        on_done: OnDone = lambda done: None,
    ) -> Filled:
        """Decode what is not there yet. Other processes that fill the shelf wait meanwhile.

        Parameters
        ----------
        decode : from a number of `wanted` to its record; called from several threads.
        on_done : told how many of `wanted` are there.

        Raises
        ------
        RoomError : the disk has no room for what is missing, or the folder cannot be written.
        """
        with self._held():
            entries = self._entries()
            place = 1 + max((entry.at for entry in entries.values()), default=-1)
            found = self._usable(wanted, entries)
            filled = Filled(
                places=np.array([-1 if e is None else e.at for e in found], np.int64),
                digests=["" if e is None else e.digest for e in found],
            )
            missing = [i for i, entry in enumerate(found) if entry is None]
            self._check_room(len(missing))
            n_there = len(wanted) - len(missing)
            on_done(n_there)
            for numbers in _blocks(missing):
                place = self._decoded(wanted, numbers, decode, place, filled)
                n_there += len(numbers)
                on_done(n_there)
        return filled

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep other processes out. Raises RoomError."""
        lock = FileLock(self.folder / "lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            self._check_header()
        except OSError as error:
            lock.release()
            raise self._no_room(error) from None
        try:
            yield
        finally:
            lock.release()

    def reader(self) -> Records:
        """Open the records to be read."""
        return Records(self.records, self.shape, self.dtype)

    def _check_header(self) -> None:
        """Begin anew where the header is damaged: nothing then says what the records are."""
        path = self.folder / "header.json"
        if _read_json(path) == self._header:
            return
        self.records.unlink(missing_ok=True)
        self.lines.unlink(missing_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self._header, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)

    def _entries(self) -> dict[tuple[str, Span], Entry]:
        """Read the lines, the last of a part counting; damaged ones say nothing."""
        found, n_records = {}, len(self.reader())
        text = self.lines.read_bytes() if self.lines.exists() else b""
        if text and not text.endswith(b"\n"):
            self.lines.write_bytes(text[: text.rfind(b"\n") + 1])
        for line in text.splitlines():
            entry = entry_of(line)
            if entry is not None and entry.at < n_records:
                found[entry.path, entry.span] = entry
        return found

    def _usable(
        self,
        wanted: Sequence[Wanted],
        entries: dict[tuple[str, Span], Entry],
    ) -> list[Entry | None]:
        """Return the entries of files that are as they were and of records that are whole."""
        records, usable = self.reader(), []
        for part in wanted:
            entry = entries.get((str(part.path.absolute()), part.span))
            is_whole = (
                entry is not None
                and _state(part.path) == (entry.size, entry.mtime_ns)
                and zlib.crc32(records.take(np.array([entry.at])).numpy().data) == entry.crc32
            )
            usable.append(entry if is_whole else None)
        return usable

    def _check_room(self, n_missing: int) -> None:
        needed, free = n_missing * self.record_bytes, shutil.disk_usage(self.folder).free
        if needed > free:
            raise RoomError(
                f"{self.folder}: {n_missing} decoded files take {needed / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free; give a cache folder on another disk, or none"
            )

    def _decoded(
        self,
        wanted: Sequence[Wanted],
        numbers: list[int],
        decode: Callable[[int], Record],
        place: int,
        filled: Filled,
    ) -> int:
        """Decode a block, commit it from `place` on, and return the next place."""
        with ThreadPoolExecutor(n_cores()) as pool:
            results = list(pool.map(lambda i: self._record(wanted[i], i, decode), numbers))
        entries: list[Entry] = []
        records: list[Record] = []
        for i, result in zip(numbers, results, strict=True):
            if isinstance(result, MediaError):
                filled.failures.append(result)
                continue
            entry = replace(result[0], at=place + len(entries))
            filled.places[i], filled.digests[i] = entry.at, entry.digest
            entries.append(entry)
            records.append(result[1])
        self._commit(place, records, entries)
        return place + len(entries)

    def _record(
        self, part: Wanted, number: int, decode: Callable[[int], Record]
    ) -> tuple[Entry, Record] | MediaError:
        """Decode one part; its entry has no place yet."""
        state = _state(part.path)
        try:
            record = np.ascontiguousarray(decode(number), self.dtype)
            digest = content_digest(part.path)
        except MediaError as error:
            return error
        size, mtime_ns = state or (-1, -1)  # a file that came only now is decoded again next time
        entry = Entry(
            at=-1,
            path=str(part.path.absolute()),
            span=part.span,
            size=size,
            mtime_ns=mtime_ns,
            digest=digest,
            crc32=zlib.crc32(record.data),
        )
        return entry, record

    def _commit(self, place: int, records: list[Record], entries: list[Entry]) -> None:
        """Write records, then the lines that make them count."""
        try:
            with self.records.open("r+b" if self.records.exists() else "w+b") as file:
                file.seek(place * self.record_bytes)
                for record in records:
                    file.write(record.data)
                file.flush()
                os.fsync(file.fileno())
            with self.lines.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps(asdict(entry)) + "\n" for entry in entries)
                lines.flush()
                os.fsync(lines.fileno())
        except OSError as error:
            raise self._no_room(error) from None

    def _no_room(self, error: OSError) -> RoomError:
        return RoomError(
            f"{self.folder}: the cache cannot be written ({error.strerror}); give a cache folder "
            "on another disk, or none"
        )


def _blocks(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), BLOCK):
        yield numbers[start : start + BLOCK]


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def content_digest(path: Path) -> str:
    """Return the digest of a file (`indexer.digest`). Raises MediaError."""
    try:
        return digest_of(path)
    except OSError as error:
        raise MediaError(path, "missing", error.strerror or "it cannot be read") from None


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
