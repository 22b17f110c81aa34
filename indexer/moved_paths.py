"""Paths and keys of a corpus, seen from a folder above it: what merging indexes does to names."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from indexer.errors import MergeError
from indexer.paths import from_text, to_text

ITEM_KEY = re.compile(
    r"(?:(?P<frame>.*)(?P<at>@\d+\.\d{3}))?\|(?:(?P<sound>.*)(?P<span>@\d+\.\d{3}-(?:\d+\.\d{3})?))?"
    r"(?P<repeated>#\d+)?",
    re.DOTALL,
)
"""The key of an item that has a frame, a sound or both (`indexer.plan.item_key`)."""


@dataclass(frozen=True)
class Moved:
    """Names of a corpus that is the folder `prefix` of another one; empty where it is that one."""

    prefix: str = ""

    def path(self, text: str) -> str:
        """Return a path, in the text form of `indexer.paths`; one that is absolute stays.

        Examples
        --------
        >>> Moved("talks").path("a.wav"), Moved("talks").path("/mnt/b.wav")
        ('talks/a.wav', '/mnt/b.wav')
        """
        name = from_text(text)
        if not self.prefix or PurePosixPath(name).is_absolute():
            return text
        return to_text(posixpath.join(self.prefix, name))

    def part(self, key: str | None) -> str | None:
        """Return the key of a frame or a sound: a path, `@` and a time."""
        if key is None:
            return None
        path, at, span = key.rpartition("@")
        return f"{self.path(path)}{at}{span}"

    def key(self, key: str) -> str:
        """Return the key of a planned item, usable or not."""
        if not self.prefix:
            return key
        if found := ITEM_KEY.fullmatch(key):
            frame = self.path(found["frame"]) + found["at"] if found["at"] else ""
            sound = self.path(found["sound"]) + found["span"] if found["span"] else ""
            return f"{frame}|{sound}{found['repeated'] or ''}"
        names = key.split("|")  # files that could not be used, or a row of a manifest
        return "|".join(name if name == "None" else self.path(name) for name in names)

    def message(self, text: str, path: str) -> str:
        """Return a message about a path."""
        return text.replace(path, self.path(path), 1) if self.prefix else text


def common_corpus(corpora: Sequence[Path], given: Path | None = None) -> Path:
    """Return the folder that holds several corpora: the corpus itself where all are the same.

    Parameters
    ----------
    given : a folder that a person knows all paths to be relative to.

    Raises
    ------
    MergeError : they have none but the root of the file system.
    """
    if given is not None:
        return given.resolve()
    try:
        common = Path(os.path.commonpath(corpora))
    except ValueError:  # drives of Windows
        common = Path(corpora[0].anchor)
    if common == common.parent and len(set(corpora)) > 1:
        named = ", ".join(str(corpus) for corpus in dict.fromkeys(corpora))
        raise MergeError(
            f"corpora {named}: no folder holds them all but the root; give --corpus FOLDER where "
            "they are one corpus under several names, or move them below one folder and build anew"
        )
    return common


def moves(corpora: Sequence[Path], common: Path, given: Path | None = None) -> list[Moved]:
    """Return for each corpus how its names are seen from the common one."""
    if given is not None:
        return [Moved() for _ in corpora]
    prefixes = [Path(os.path.relpath(corpus, common)).as_posix() for corpus in corpora]
    return [Moved() if prefix == "." else Moved(prefix) for prefix in prefixes]
