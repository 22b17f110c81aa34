"""Writes a report into a folder: whole files or none, and none over one that is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from retrieval.errors import OutputExists
from retrieval.report.html import render_html
from retrieval.report.markdown import render_markdown
from retrieval.report.model import Report
from retrieval.report.schema import render_json

NAMES = ("report.html", "report.md", "report.json")


@dataclass(frozen=True, kw_only=True)
class ReportPaths:
    """What was written."""

    html: Path
    markdown: Path
    json: Path


def prepare_report_folder(folder: Path) -> None:
    """Make the folder, and raise now what `write_report` would raise after the measuring.

    Raises
    ------
    OutputExists : a report is there already.
    OSError : the folder cannot be made or written.
    """
    for name in NAMES:
        if os.path.lexists(folder / name):
            raise OutputExists(f"{folder / name}: is there already; give --report an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    probe = _partial(folder / NAMES[0])
    probe.touch()
    probe.unlink()


def write_report(report: Report, folder: Path) -> ReportPaths:
    """Write report.html, report.md and report.json.

    Each appears whole, report.json last: who waits for it finds the others.

    Raises
    ------
    OutputExists : one of them is there already; nothing was written then.
    OSError : the folder cannot be written; no part of a file is left.
    """
    texts = (render_html(report), render_markdown(report), render_json(report))
    prepare_report_folder(folder)
    paths = [folder / name for name in NAMES]
    try:
        for path, text in zip(paths, texts, strict=True):
            _write_through(_partial(path), text)
        for path in paths:
            _partial(path).rename(path)
    finally:
        for path in paths:
            _partial(path).unlink(missing_ok=True)
    return ReportPaths(html=paths[0], markdown=paths[1], json=paths[2])


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def _write_through(path: Path, text: str) -> None:
    with path.open("wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
