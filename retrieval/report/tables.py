"""Tables as HTML: heads with their scope, numbers to the right, intervals in smaller letters."""

from __future__ import annotations

from typing import Literal

from retrieval.report.grid import Grid, Written, grid
from retrieval.report.markup import Element, element
from retrieval.report.model import Table

Kind = Literal["text", "number", "interval"]
LONG = 40
"""Rows from which on a table scrolls inside its own frame."""


def table_block(table: Table, *, part_id: str) -> Element:
    """Return a table with its heading and its note."""
    heading = element("h3", {"id": part_id}, table.title)
    note = element("p", {"class": "note"}, table.note) if table.note else None
    return element("div", {"class": "block"}, heading, scrolled(table, labelled_by=part_id), note)


def scrolled(table: Table, *, labelled_by: str) -> Element:
    """Return a table in a frame that scrolls where it is too wide or too long, by keyboard too."""
    kind = "scroll long" if len(table.rows) > LONG else "scroll"
    place = {"class": kind, "role": "region", "aria-labelledby": labelled_by, "tabindex": "0"}
    return element("div", place, _table(grid(table), labelled_by))


def _table(cells: Grid, labelled_by: str) -> Element:
    kinds = [_kind(cells, n) for n in range(len(cells.columns))]
    heads = [
        element("th", {"scope": "col"} | _styled(kind), name)
        for name, kind in zip(cells.columns, kinds, strict=True)
    ]
    rows = [_row(row, kinds) for row in cells.rows]
    if not rows:
        nothing = element("td", {"colspan": str(len(cells.columns))}, "no rows")
        rows = [element("tr", None, nothing)]
    return element(
        "table",
        {"aria-labelledby": labelled_by},
        element("thead", None, element("tr", None, *heads)),
        element("tbody", None, *rows),
    )


def _kind(cells: Grid, n: int) -> Kind:
    if not cells.is_number[n]:
        return "text"
    return "interval" if any(row[n].interval for row in cells.rows) else "number"


def _row(row: tuple[Written, ...], kinds: list[Kind]) -> Element:
    first, *others = zip(row, kinds, strict=True)
    return element(
        "tr",
        None,
        element("th", {"scope": "row"} | _styled(first[1]), *_content(*first)),
        *(element("td", _styled(kind), *_content(cell, kind)) for cell, kind in others),
    )


def _content(cell: Written, kind: Kind) -> list[Element | str]:
    if kind != "interval" and not cell.interval:
        return [cell.text]
    # Also where there is no interval: its empty place keeps the numbers under each other.
    return [f"{cell.text} ", element("span", {"class": "interval"}, cell.interval)]


def _styled(kind: Kind) -> dict[str, str]:
    return {} if kind == "text" else {"class": "number"}
