"""Tables and charts as rows of written cells: what the page and the text print alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from encoder.intervals import Figure
from retrieval.report.model import BarChart, Cell, Chart, LineChart, Table
from retrieval.report.wording import cases, interval, middle

N_COLUMN = "n"


@dataclass(frozen=True, kw_only=True)
class Written:
    """One cell: what it says, and in smaller letters its interval."""

    text: str
    interval: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table ready to print.

    Attributes
    ----------
    is_number : of each column, whether it holds numbers alone and is set to the right.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Written, ...], ...]
    is_number: tuple[bool, ...]


def grid(table: Table) -> Grid:
    """Write a table's cells; n gets a column of its own where it is the same along every row."""
    has_n = N_COLUMN in table.columns
    own_n = not has_n and _has_figures(table) and _agree_on_n(table)
    with_n = not has_n and not own_n
    rows = [tuple(_written(cell, with_n=with_n) for cell in row) for row in table.rows]
    if own_n:
        counts = [next(filter(None, map(cases, row)), "") for row in table.rows]
        rows = [(*row, Written(text=n)) for row, n in zip(rows, counts, strict=True)]
    numbers = [_is_number_column([row[i] for row in table.rows]) for i in range(len(table.columns))]
    return Grid(
        columns=(*table.columns, N_COLUMN) if own_n else table.columns,
        rows=tuple(rows),
        is_number=(*numbers, True) if own_n else tuple(numbers),
    )


def values_of(chart: Chart) -> Table:
    """Return what a chart shows as a table: x or the names down, the series across."""
    if isinstance(chart, BarChart):
        return _bar_values(chart)
    return _line_values(chart)


def _bar_values(chart: BarChart) -> Table:
    across = [one.values for one in chart.series]
    return Table(
        title=chart.title,
        columns=(chart.name_label, *(one.name for one in chart.series)),
        rows=tuple((name, *values) for name, *values in zip(chart.names, *across, strict=True)),
    )


def _line_values(chart: LineChart) -> Table:
    by_x = [dict(zip(one.x, one.y, strict=True)) for one in chart.series]
    xs = sorted({x for one in chart.series for x in one.x})
    are_whole = all(x == int(x) for x in xs)
    return Table(
        title=chart.title,
        columns=(chart.x_label, *(one.name for one in chart.series)),
        rows=tuple((int(x) if are_whole else x, *(values.get(x) for values in by_x)) for x in xs),
    )


def _written(cell: Cell, *, with_n: bool) -> Written:
    if isinstance(cell, bool):
        return Written(text="yes" if cell else "no")
    if isinstance(cell, str):
        return Written(text=cell)
    n = f" n = {cases(cell)}" if with_n and isinstance(cell, Figure) else ""
    return Written(text=middle(cell), interval=(interval(cell) + n).strip())


def _has_figures(table: Table) -> bool:
    return any(isinstance(cell, Figure) for row in table.rows for cell in row)


def _agree_on_n(table: Table) -> bool:
    return all(len(set(map(cases, row)) - {""}) <= 1 for row in table.rows)


def _is_number_column(cells: Sequence[Cell]) -> bool:
    return any(_is_value(cell) for cell in cells) and all(
        cell is None or _is_value(cell) for cell in cells
    )


def _is_value(cell: Cell) -> bool:
    return isinstance(cell, int | float | Figure) and not isinstance(cell, bool)
