"""Text and JSON for what the engine returns. Columns only, no frames: pipes and grep come first."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from indexer.paths import shown

NUMERIC = {"rank", "score", "better than", "n", "files", "items"}
"""Columns that are set to the right."""


def as_json(value: Any) -> str:
    """Return indented JSON in ASCII: it survives every terminal and every pipe."""
    return json.dumps(value, indent=2, allow_nan=False)


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows under their heads, two spaces apart; wide letters count double.

    Examples
    --------
    >>> columns(["rank", "path"], [["1", "a.wav"]])
    ['rank  path', '   1  a.wav']
    """
    cells = [list(heads), *(list(map(printable, row)) for row in rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(heads))]
    lines = []
    for row in cells:
        padded = []
        for head, cell, width in zip(heads, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if head in NUMERIC else cell + space)
        lines.append("  ".join(padded).rstrip())
    return lines


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Align names and values, one pair to a line."""
    width = max(cell_len(name) for name, _ in pairs)
    return [f"{name}{' ' * (width - cell_len(name))}  {printable(value)}" for name, value in pairs]


def printable(text: str) -> str:
    """Return text with control characters escaped: a file name must not steer the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown(text)
    )


def command_line(*arguments: str | Path) -> str:
    """Return a call of this program that a shell takes as it stands.

    Where `retrieval` is not on PATH (an environment that is not active), by its full path.
    """
    program = ["retrieval"] if shutil.which("retrieval") else _running_program()
    return shlex.join([*program, *map(str, arguments)])


def _running_program() -> list[str]:
    script = Path(sys.argv[0]).absolute()
    beside = Path(sys.executable).with_name("retrieval")
    for candidate in (script, beside):
        if candidate.stem == "retrieval" and candidate.is_file():
            return [str(candidate)]
    return [sys.executable, "-m", "retrieval.cli"]


def byte_size(n_bytes: int) -> str:
    """Return bytes in binary units.

    Examples
    --------
    >>> byte_size(512), byte_size(3 * 2**20)
    ('512 B', '3.0 MiB')
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(max(n_bytes.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{n_bytes / 1024**power:.{min(power, 1)}f} {units[power]}"


def span(t0: float | None, t1: float | None) -> str:
    """Return a time span in seconds; empty where the whole file is meant."""
    if t0 is None and t1 is None:
        return ""
    end = "" if t1 is None else f"{t1:.1f}"
    return f"{t0 or 0.0:.1f}–{end} s"
