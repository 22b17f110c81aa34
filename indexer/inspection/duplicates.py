"""Files with the same bytes: compared by size first, digested only where sizes meet."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from encoder.errors import MediaError
from indexer.inspection.findings import Finding
from indexer.inspection.uses import SourceUse

CHUNK = 1 << 20


def with_equal_sizes(uses: Iterable[SourceUse]) -> set[str]:
    """Return the paths of files that are not the only one of their size."""
    uses = list(uses)
    n_of_size = Counter(use.source.size for use in uses)
    return {use.source.path for use in uses if n_of_size[use.source.size] > 1}


def whole_digest(path: Path) -> str:
    """Return the blake2b of all bytes of a file in hexadecimal.

    Raises
    ------
    MediaError : it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=32)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise MediaError(path, "changed", f"it cannot be read again: {error.strerror}") from error
    return digest.hexdigest()


def duplicates(uses: Sequence[SourceUse], digests: dict[str, str]) -> list[Finding]:
    """Return every file that repeats one before it.

    Parameters
    ----------
    digests : path → digest, of the files whose sizes meet.
    """
    first: dict[str, str] = {}
    found = []
    for use in uses:
        digest = digests.get(use.source.path)
        if digest is None:
            continue
        original = first.setdefault(digest, use.source.path)
        if original != use.source.path:
            found.append(
                Finding(
                    kind="duplicate",
                    path=use.source.path,
                    message=f"the same bytes as {original}",
                    same_as=original,
                    items=use.items,
                )
            )
    return found
