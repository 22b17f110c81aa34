"""An open media file, checked as far as bytes go, and watched while it is read.

Refused here, before any decoder sees it: what is no regular file (a FIFO would hang, a device
never end), empty, over the limits, of no known format, or shorter than its own header says.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from encoder.errors import MediaError
from encoder.media.formats import Format, Kind, declared_end, identify

_MAX_IMAGE_BYTES = 1 << 30
"""Pillow reads a whole WebP or AVIF into memory."""


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """What is refused from the header, before anything is allocated for it, and what is stopped.

    Parameters
    ----------
    max_bytes : of the file; an image has 1 GiB at most in any case.
    max_pixels : of an image or a frame, width × height.
    max_seconds : that a file declares, and that one span may give.
    timeout_s : for one picture or span of sound, and as much again for every 50 minutes that lie
        before the end of the span; `encoder.sandbox` alone can stop a decoder.
    max_memory_bytes : address space of a decoding process of `encoder.sandbox`.
    """

    max_bytes: int = 8 << 30
    max_pixels: int = 100_000_000
    max_seconds: float = 6 * 3600.0
    timeout_s: float = 60.0
    max_memory_bytes: int = 6 << 30


DEFAULT_LIMITS = MediaLimits()


@dataclass(frozen=True, kw_only=True)
class MediaProbe:
    """What the headers of a file say.

    Parameters
    ----------
    width_px, height_px : of an image, upright; of a video, before its display rotation.
    duration_s : None for an image, and where the file does not say.
    has_sound, has_frames : there is a stream that can be decoded; cover art is no frame.
    """

    kind: Kind
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None
    has_sound: bool = False
    has_frames: bool = False


@dataclass(frozen=True, kw_only=True)
class Source:
    """An open file that has passed what can be checked without a decoder."""

    path: Path
    file: BinaryIO
    format: Format
    limits: MediaLimits

    def error(self, code: str, reason: str) -> MediaError:
        return MediaError(self.path, code, reason)

    def check_pixels(self, width: int, height: int) -> None:
        if width * height > self.limits.max_pixels:
            reason = f"{width} x {height} pixels, the limit is {self.limits.max_pixels}"
            raise self.error("too-large", reason)

    def check_seconds(self, seconds: float) -> None:
        if seconds > self.limits.max_seconds:
            reason = f"{seconds:.0f} s, the limit is {self.limits.max_seconds:.0f}"
            raise self.error("too-large", reason)


class _Bounded(io.BufferedReader):
    """A file that is never asked for more than it has.

    Python sets aside what a reader asks for before it reads: a damaged length of 4 GiB in a PNG of
    one kilobyte would take as much.
    """

    def __init__(self, file: io.FileIO, n_bytes: int) -> None:
        super().__init__(file)
        self._n_bytes = n_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size if size is None else min(size, self._n_bytes))


@contextmanager
def opened(path: Path | str, limits: MediaLimits) -> Iterator[Source]:
    """Open a regular file and watch that it stays the same while it is read."""
    path = Path(path)
    before = _status(path)
    _check_regular(path, before, limits)
    try:
        with _Bounded(path.open("rb", buffering=0), before.st_size) as file:
            yield _identified(path, file, before.st_size, limits)
    except MediaError as error:
        _check_unchanged(path, before, error)
        raise
    except OSError as error:
        _check_unchanged(path, before, error)
        raise _unreadable(path, error) from error
    _check_unchanged(path, before)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a NUL in the name
        raise MediaError(path, "missing", "no file can have this name") from error


def _unreadable(path: Path, error: OSError) -> MediaError:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        return MediaError(path, "permission", reason, "allow this user to read it")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MediaError(path, "missing", reason)
    return MediaError(path, "corrupt", f"reading fails: {reason}")


def _check_regular(path: Path, status: os.stat_result, limits: MediaLimits) -> None:
    """Refuse what would hang (a FIFO), never end (a device) or take too long."""
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise MediaError(path, "unsupported", f"it is {what}, not a file")
    if status.st_size == 0:
        raise MediaError(path, "empty", "the file has no bytes")
    if status.st_size > limits.max_bytes:
        reason = f"{status.st_size} bytes, the limit is {limits.max_bytes}"
        raise MediaError(path, "too-large", reason)


def _identified(path: Path, file: BinaryIO, size: int, limits: MediaLimits) -> Source:
    found = identify(file)
    if found is None:
        reason = "neither an image, a sound nor a video by its content"
        raise MediaError(path, "unsupported", reason)
    if found.reader == "none":
        reason, remedy = f"{found.name} cannot be decoded here", "convert it to JPEG or MP4"
        raise MediaError(path, "unsupported", reason, remedy)
    if found.reader == "pillow" and size > _MAX_IMAGE_BYTES:
        raise MediaError(path, "too-large", f"{size} bytes in one image")
    end = declared_end(file, found, size)
    if end > size:
        raise MediaError(path, "truncated", f"{size} bytes of the {end} that its header promises")
    file.seek(0)
    return Source(path=path, file=file, format=found, limits=limits)


def _check_unchanged(path: Path, before: os.stat_result, cause: Exception | None = None) -> None:
    try:
        now = path.stat()
    except OSError as error:
        raise MediaError(path, "changed", "it vanished while it was read") from error
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise MediaError(
            path, "changed", "it was written while it was read", "try again"
        ) from cause
