"""Bar charts as SVG: horizontal bars by name, whiskers for their intervals, lines for chance."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from retrieval.report.markup import Element, element, svg_box, svg_line, svg_text
from retrieval.report.model import BarChart, Value
from retrieval.report.scale import Axis, round_axis
from retrieval.report.shapes import bar_class, reference_dash
from retrieval.report.wording import bounds_of, extent, in_full, mean_of, middle, number, readable

WIDTH_PX = 440
TOP_PX, BOTTOM_PX = 44, 6
BAR_PX, GAP_PX, SINGLE_BAR_PX = 13, 9, 15
VALUE_PX = 46
"""For the number at the end of a row."""
MAX_NAME_CELLS, CELL_PX = 18, 7.4
"""A letter takes 7.4 px in the widest usual font; a wide one (Chinese, Japanese) is two cells."""


def bar_plot(chart: BarChart) -> list[Element]:
    """Return the parts of a bar chart, back to front, within `WIDTH_PX` × `bar_height_px`."""
    axis = _axis(chart)
    parts = [*_grid_lines(chart, axis), *_levels(chart, axis)]
    for n, name in enumerate(chart.names):
        parts += _row(chart, n, name, axis)
    return parts


def bar_height_px(chart: BarChart) -> int:
    """Return the height that all rows take."""
    return TOP_PX + len(chart.names) * _row_px(chart) + BOTTOM_PX


def bar_summary(chart: BarChart) -> str:
    """Return how many bars there are and where the longest and the shortest are."""
    parts = [f"{chart.value_label} by {chart.name_label}, {len(chart.names)} rows."]
    for one in chart.series:
        known = [
            (mean, name)
            for name, value in zip(chart.names, one.values, strict=True)
            if (mean := mean_of(value)) is not None
        ]
        if not known:
            parts.append(f"{one.name}: no values.")
            continue
        (low, lowest), (high, highest) = min(known), max(known)
        parts.append(f"{one.name}: {number(low)} ({lowest}) to {number(high)} ({highest}).")
    parts += [f"{one.name}: {number(one.value)}." for one in chart.references]
    return " ".join(parts)


def clipped(name: str, *, max_cells: int = MAX_NAME_CELLS) -> str:
    """Return a name that fits beside its bar; wide letters count double.

    Examples
    --------
    >>> clipped("bell"), clipped("a very long name of a class")
    ('bell', 'a very long name…')
    """
    if cell_len(name) <= max_cells:
        return name
    while cell_len(name) >= max_cells:
        name = name[:-1]
    return name.rstrip() + "…"


def _axis(chart: BarChart) -> Axis:
    levels = [one.value for one in chart.references]
    values = [0.0, *(chart.value_range or ()), *levels, *extent(chart.values)]
    longest = max((cell_len(clipped(readable(name))) for name in chart.names), default=0)
    start_px = 10 + CELL_PX * longest
    return round_axis(values, start_px=start_px, end_px=WIDTH_PX - VALUE_PX - 8, n_ticks=5)


def _bar_px(chart: BarChart) -> int:
    return BAR_PX if len(chart.series) > 1 else SINGLE_BAR_PX


def _row_px(chart: BarChart) -> int:
    return max(len(chart.series), 1) * _bar_px(chart) + GAP_PX


def _down(kind: str, x: float, chart: BarChart, *, dash: str = "") -> Element:
    return svg_line(kind, (x, TOP_PX - 6), (x, bar_height_px(chart)), dash=dash)


def _grid_lines(chart: BarChart, axis: Axis) -> Iterator[Element]:
    middle_px = (axis.start_px + axis.end_px) / 2
    yield svg_text("label", middle_px, 13, chart.value_label, anchor="middle")
    for tick, label in zip(axis.ticks, axis.labels(), strict=True):
        x = axis.px(tick)
        yield svg_text("tick", x, 32, label, anchor="middle")
        yield _down("axis" if tick == 0 else "grid", x, chart)


def _levels(chart: BarChart, axis: Axis) -> Iterator[Element]:
    for n, one in enumerate(chart.references):
        yield _down("level", axis.px(one.value), chart, dash=reference_dash(n))


def _row(chart: BarChart, n: int, name: str, axis: Axis) -> Iterator[Element]:
    top = TOP_PX + n * _row_px(chart)
    centre = top + (_row_px(chart) - GAP_PX) / 2
    label = svg_text("name", axis.start_px - 8, centre + 4, clipped(readable(name)), anchor="end")
    label.append(element("title", None, name))
    yield label
    for m, one in enumerate(chart.series):
        told = f"{name}, {one.name}: {in_full(one.values[n])}"
        yield _bar(one.values[n], m, axis, top + m * _bar_px(chart), _bar_px(chart), told)


def _bar(value: Value, n: int, axis: Axis, top: float, height: int, told: str) -> Element:
    parts = [element("title", None, told)]
    mean = mean_of(value)
    if mean is not None:
        left, right = sorted((axis.px(0), axis.px(mean)))
        kind = f"bar {bar_class(n)}"
        parts.append(svg_box(kind, left, top + 1, right - left, height - 2))
    bounds = bounds_of(value)
    if bounds is not None:
        parts.append(_whisker(axis.px(bounds[0]), axis.px(bounds[1]), top + height / 2))
    base = top + height / 2 + 4
    parts.append(svg_text("value", WIDTH_PX - 2, base, middle(value), anchor="end"))
    return element("g", None, *parts)


def _whisker(low_px: float, high_px: float, y: float) -> Element:
    caps = "".join(f"M{x:.2f},{y - 3:.2f}V{y + 3:.2f}" for x in (low_px, high_px))
    line = f"M{low_px:.2f},{y:.2f}H{high_px:.2f}{caps}"
    # The paler line beneath keeps it visible on the bar and beside it, in both themes.
    halo = element("path", {"class": "halo", "d": line})
    return element("g", None, halo, element("path", {"class": "whisker", "d": line}))
