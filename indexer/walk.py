"""Which files of a folder are media: all below it but junk, what is ignored, and links outwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from encoder.media import kind_of
from indexer.ignoring import EXCLUDED, IN_FILE, Choice, IgnoreFiles
from indexer.paths import to_text

FOLDER, JUNK_FOLDER = "folder", "junk folder"
JUNK = {"thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin", "system volume information"}
UNREADABLE = "folder that may not be read"


def is_inside(path: Path, corpus: Path) -> bool:
    """Say whether a path stays in the corpus once its links are followed."""
    try:
        return path.resolve().is_relative_to(corpus)
    except (OSError, RuntimeError):  # a loop of links
        return False


class Walk:
    """One way through a corpus.

    Parameters
    ----------
    corpus : absolute, without links in it.
    skipped : a folder to leave out.
    follow_symlinks : go where links lead out of the corpus, into each folder once. A link to a
        folder inside is not followed: the folder is found by its own name.
    ignored : counts, by reason, what is passed over.
    unread : gets the paths of folders that cannot be listed, each ending in a slash.
    """

    def __init__(
        self,
        corpus: Path,
        *,
        skipped: Path | None,
        choice: Choice,
        follow_symlinks: bool,
        ignored: Counter[str],
        unread: list[str],
    ) -> None:
        self.corpus, self.skipped = corpus, skipped.resolve() if skipped else None
        self.choice, self.follow_symlinks = choice, follow_symlinks
        self.ignored, self.unread = ignored, unread
        self._seen: set[tuple[int, int]] = set()
        if self.skipped is not None:
            self._was_here(self.skipped)

    def media_files(self) -> Iterator[list[str]]:
        """Yield the media files of each folder, folder by folder, in order of name."""
        yield from self._below(self.corpus, "", IgnoreFiles())

    def _below(self, folder: Path, at: str, above: IgnoreFiles) -> Iterator[list[str]]:
        """Go through a folder at `at`, which is empty or ends in a slash."""
        if self._was_here(folder):
            self.ignored["folder seen already"] += 1
            return
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            self.ignored[UNREADABLE] += 1
            self.unread.append(to_text(at))
            return
        ignores = above.of_folder(folder, at)
        media: list[str] = []
        folders: list[str] = []
        for entry in entries:
            reason = self._why_not(entry, at + entry.name, ignores)
            if not reason:
                media.append(entry.path)
            elif reason == FOLDER:
                folders.append(entry.name)
            elif reason != JUNK_FOLDER:
                self.ignored[reason] += 1
        yield media
        for name in folders:
            yield from self._below(folder / name, f"{at}{name}/", ignores)

    def _was_here(self, folder: Path) -> bool:
        """Say whether links led here before; asked only where they are followed."""
        if not self.follow_symlinks:
            return False
        try:
            found = folder.stat()
        except OSError:  # the listing fails next, and counts it
            return False
        known = (found.st_dev, found.st_ino) in self._seen
        self._seen.add((found.st_dev, found.st_ino))
        return known

    def _why_not(self, entry: os.DirEntry[str], path: str, ignores: IgnoreFiles) -> str:
        """Return why an entry is no media file, empty where it is one."""
        link = entry.is_symlink()
        out = link and not is_inside(Path(entry.path), self.corpus)
        if out and not self.follow_symlinks:
            return "link out of the corpus"
        if os.path.isdir(entry.path) if link else entry.is_dir():  # False for a loop of links
            if link and not out:
                return "link to a folder"
            return self._why_not_folder(entry, f"{path}/", ignores)
        if _is_junk(entry.name):
            return "hidden or junk"
        if kind_of(Path(entry.name)) is None:
            return "not media"
        # A link that leads nowhere is looked at later, and then named as a failure.
        if not (link or entry.is_file()):
            return "not a file"
        return IN_FILE if ignores.hide(path) else self.choice.why_not(path)

    def _why_not_folder(self, entry: os.DirEntry[str], path: str, ignores: IgnoreFiles) -> str:
        if _is_junk(entry.name) or Path(entry.path) == self.skipped:
            return JUNK_FOLDER
        if ignores.hide(path):
            return f"folder {IN_FILE}"
        return f"folder {EXCLUDED}" if self.choice.leaves_out(path) else FOLDER


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK
