"""Paths of the corpus as text: relative, POSIX, and reversible even for names that are no UTF-8."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

ESCAPED = "bytes:"
"""Opens a path whose bytes are no UTF-8 and stand percent-encoded behind it."""


def to_text(path: Path | str) -> str:
    """Return a path as text that any file or terminal can hold; `from_text` undoes it.

    Examples
    --------
    >>> to_text("küche/a.wav"), to_text("caf\\udce9.wav")
    ('küche/a.wav', 'bytes:caf%E9.wav')
    """
    text = path if isinstance(path, str) else path.as_posix()
    if text.startswith(ESCAPED) or any("\ud800" <= letter <= "\udfff" for letter in text):
        return ESCAPED + quote_from_bytes(os.fsencode(text))
    return text


def from_text(text: str) -> str:
    """Return the path that `to_text` was given."""
    if text.startswith(ESCAPED):
        return os.fsdecode(unquote_to_bytes(text.removeprefix(ESCAPED)))
    return text


def shown(text: str) -> str:
    """Return the composed (NFC) form: what people type, whatever the file system stores."""
    return unicodedata.normalize("NFC", text)


def stored_corpus(corpus: Path, index_dir: Path) -> str:
    """Return how an index names its corpus: relative where the two would be moved together."""
    together = corpus.is_relative_to(index_dir.parent) or index_dir.is_relative_to(corpus)
    return to_text(os.path.relpath(corpus, index_dir) if together else corpus)


def found_corpus(stored: str, index_dir: Path) -> Path:
    """Return the corpus that `stored_corpus` named, seen from where the index is now."""
    return Path(os.path.normpath(index_dir / from_text(stored)))
