"""The report as Markdown: the same tables; charts as their values, pictures as their captions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.report.grid import Grid, Written, grid, values_of
from retrieval.report.model import (
    Chart,
    Gallery,
    KeyFigure,
    Picture,
    PictureRow,
    Report,
    Section,
    Table,
)
from retrieval.report.wording import in_full, number, readable

SPECIAL = re.compile(r"[\\`*\[\]<|~$]|&(?=[#A-Za-z])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
LINE_START = re.compile(r"^(?:[#>]|[-+=](?=[-+=\s]|$)|\d+(?=[.)](?:\s|$)))")
VERDICTS = {True: "right: ", False: "wrong: ", None: ""}


def render_markdown(report: Report) -> str:
    """Return the text; the same report gives the same text."""
    blocks = [f"# {escaped(report.title)}", *map(_warning, report.warnings)]
    for section in report.sections:
        blocks += [
            f"> **Warning** ({escaped(section.title)}): {escaped(one)}" for one in section.warnings
        ]
    if report.key_figures:
        blocks.append("\n".join(map(_key_figure, report.key_figures)))
    if report.facts:
        blocks.append(_facts(report))
    for section in report.sections:
        blocks += _section(section)
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line.

    Examples
    --------
    >>> escaped("a|b <i>"), escaped("1. *bell*")
    ('a\\\\|b \\\\<i>', '1\\\\. \\\\*bell\\\\*')
    """
    plain = SPECIAL.sub(r"\\\g<0>", readable(text).strip())
    return LINE_START.sub(_not_special, plain)


def _not_special(found: re.Match[str]) -> str:
    start = found.group()
    return f"{start}\\" if start.isdigit() else f"\\{start}"


def _warning(text: str) -> str:
    return f"> **Warning:** {escaped(text)}"


def _key_figure(one: KeyFigure) -> str:
    chance = "" if one.chance is None else f"; chance {number(one.chance)}"
    note = f"; {escaped(one.note)}" if one.note else ""
    return f"- **{escaped(one.name)}:** {in_full(one.figure)}{chance}{note}"


def _facts(report: Report) -> str:
    facts = Table(title="Facts", columns=("what", "value"), rows=report.facts)
    return _grid(grid(facts))


def _section(section: Section) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    yield from map(escaped, section.text)
    yield from map(_warning, section.warnings)
    for table in section.tables:
        yield from _titled(table.title, _grid(grid(table)), table.note)
    for chart in section.charts:
        yield from _titled(chart.title, _chart(chart), chart.note)
    for gallery in section.galleries:
        yield from _gallery(gallery)


def _titled(title: str, body: str, note: str) -> Iterator[str]:
    yield f"### {escaped(title)}"
    yield body
    if note:
        yield escaped(note)


def _chart(chart: Chart) -> str:
    levels = [f"- {escaped(one.name)}: {number(one.value)}" for one in chart.references]
    return "\n\n".join([_grid(grid(values_of(chart))), *(["\n".join(levels)] if levels else [])])


def _grid(cells: Grid) -> str:
    heads = [escaped(name) for name in cells.columns]
    rules = ["---:" if is_number else "---" for is_number in cells.is_number]
    rows = [[_cell(cell) for cell in row] for row in cells.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rules, *rows])


def _cell(cell: Written) -> str:
    return " ".join(filter(None, [escaped(cell.text), cell.interval]))


def _gallery(gallery: Gallery) -> Iterator[str]:
    yield f"### {escaped(gallery.title)}"
    if gallery.note:
        yield escaped(gallery.note)
    if gallery.rows:
        yield "\n".join(line for row in gallery.rows for line in _row(row))


def _row(row: PictureRow) -> Iterator[str]:
    note = f" ({escaped(row.note)})" if row.note else ""
    yield f"- **{escaped(row.title)}**{note}"
    yield from (f"  - asked: {_caption(one)}" for one in row.asked)
    yield from (f"  {n}. {_caption(one)}" for n, one in enumerate(row.found, start=1))


def _caption(picture: Picture) -> str:
    return VERDICTS[picture.right] + escaped(picture.caption)
