"""Checks of what surrounds the program: disk, locale, names of files."""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
from pathlib import Path

from retrieval.doctor.check import Check

FREE_BYTES = 2 * 2**30
NAME = "prüfung-音-🎵.wav"
"""Letters beyond ASCII, beyond Latin, and beyond the basic plane."""


def disk_space(folder: Path) -> Check:
    """Free bytes where an index would be written."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(
            name="disk",
            status="fail",
            found=f"{folder}: {error.strerror or error}",
            remedy="give --index a folder on a disk that is there",
        )
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < FREE_BYTES:
        return Check(
            name="disk",
            status="warn",
            found=found,
            remedy="`retrieval scan CORPUS` says what an index takes: choose --maps compact, or "
            "--index on a larger disk",
        )
    return Check(name="disk", status="ok", found=found)


def text_encoding() -> Check:
    """What terminal and files take for text."""
    return encoding_check(
        sys.stdout.encoding or "none",
        locale.getpreferredencoding(False),
        sys.getfilesystemencoding(),
    )


def encoding_check(stdout: str, preferred: str, file_system: str) -> Check:
    """Judge the three encodings; what is not UTF-8 shows or finds some names escaped."""
    found = f"stdout {stdout.lower()}, locale {preferred}, file names {file_system}"
    if all(name.lower().replace("-", "") == "utf8" for name in (stdout, preferred, file_system)):
        return Check(name="text", status="ok", found=found)
    return Check(
        name="text",
        status="warn",
        found=found,
        remedy="set PYTHONUTF8=1 and a UTF-8 locale (LC_ALL=C.UTF-8), or some paths are shown "
        "escaped",
    )


def file_names() -> Check:
    """Write and find a file whose path is not ASCII in the temporary folder."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory() as inside:
            path = Path(inside, NAME, NAME)
            path.parent.mkdir()
            path.write_bytes(b"ok")
            (named,) = os.listdir(path.parent)
    except (OSError, UnicodeError) as error:
        return Check(
            name="file names",
            status="fail",
            found=f"{folder}: {error}",
            remedy="set TMPDIR to a folder that you may write to, and PYTHONUTF8=1",
        )
    return Check(name="file names", status="ok", found=f"{folder} takes {named}")
