"""Which files of a folder are media: everything below it but junk, and links that lead out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from encoder.media import kind_of

FOLDER = "folder"
JUNK = {"thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin", "system volume information"}


def media_files(corpus: Path, skipped: Path | None, ignored: Counter[str]) -> Iterator[list[str]]:
    """Yield the media files of each folder below, folder by folder, in order of name.

    Parameters
    ----------
    corpus : absolute, without links in it.
    skipped : a folder to leave out.
    ignored : counts, by reason, what is passed over.
    """
    yield from _below(corpus, corpus, skipped.resolve() if skipped else None, ignored)


def is_inside(path: Path, corpus: Path) -> bool:
    """Say whether a path stays in the corpus once its links are followed."""
    try:
        return path.resolve().is_relative_to(corpus)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _below(
    folder: Path, corpus: Path, skipped: Path | None, ignored: Counter[str]
) -> Iterator[list[str]]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        ignored["folder that may not be read"] += 1
        return
    media: list[str] = []
    folders: list[Path] = []
    for entry in entries:
        reason = _why_not(entry, corpus)
        if not reason:
            media.append(entry.path)
        elif reason != FOLDER:
            ignored[reason] += 1
        elif not _is_junk(entry.name) and Path(entry.path) != skipped:
            folders.append(Path(entry.path))
    yield media
    for path in folders:
        yield from _below(path, corpus, skipped, ignored)


def _why_not(entry: os.DirEntry[str], corpus: Path) -> str:
    """Return why an entry is no media file, empty where it is one."""
    link = entry.is_symlink()
    if link and not is_inside(Path(entry.path), corpus):
        return "link out of the corpus"
    if entry.is_dir():
        return "link to a folder" if link else FOLDER
    if _is_junk(entry.name):
        return "hidden or junk"
    if kind_of(Path(entry.name)) is None:
        return "not media"
    # A link that leads nowhere is looked at later, and then named as a failure.
    return "" if link or entry.is_file() else "not a file"


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK
