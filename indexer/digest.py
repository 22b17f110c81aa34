"""What a file holds, as a short text: equal files have equal digests, whatever they are called."""

from __future__ import annotations

import hashlib
from pathlib import Path

WHOLE_BYTES = 64 << 20
"""Files up to this size are digested whole, longer ones by size and three samples of 1 MiB."""
SAMPLE_BYTES = 1 << 20


def digest_of(path: Path) -> str:
    """Return a file's blake2b in hexadecimal, marked where only samples of it were read.

    Raises
    ------
    OSError : it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        size = path.stat().st_size
        if size <= WHOLE_BYTES:
            while chunk := file.read(SAMPLE_BYTES):
                digest.update(chunk)
            return digest.hexdigest()
        digest.update(str(size).encode())
        for start in (0, size // 2, size - SAMPLE_BYTES):
            file.seek(start)
            digest.update(file.read(SAMPLE_BYTES))
        return f"sampled:{digest.hexdigest()}"
