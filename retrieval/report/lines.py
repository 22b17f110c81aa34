"""Line charts as SVG: lines with marks, bands for their intervals, levels to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from retrieval.report.markup import Element, element, svg_line, svg_text
from retrieval.report.model import LineChart, Series, Value
from retrieval.report.scale import Axis, exact_axis, round_axis
from retrieval.report.shapes import DASHES, bound_dash, marker, reference_dash, shade
from retrieval.report.wording import bounds_of, extent, in_full, mean_of, number

WIDTH_PX, HEIGHT_PX = 440, 290
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 48, 14, 26, 40
INSET_PX = 10
"""Between the frame and the first and last x, so that no mark stands on the frame."""
MAX_MARKS = 12
"""More marks than this on one line hide the line: then every second, third … has one."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value of a series and where it is drawn."""

    x: float
    value: Value
    mean: float
    x_px: float
    y_px: float


def line_plot(chart: LineChart) -> list[Element]:
    """Return the parts of a line chart, back to front, within `WIDTH_PX` × `HEIGHT_PX`."""
    x_axis, y_axis = _x_axis(chart), _y_axis(chart)
    x_middle = (LEFT_PX + WIDTH_PX - RIGHT_PX) / 2
    return [
        *_grid_lines(y_axis),
        *_x_ticks(x_axis),
        svg_text("label", 2, 14, chart.y_label),
        svg_text("label", x_middle, HEIGHT_PX - 5, chart.x_label, anchor="middle"),
        *_levels(chart, y_axis),
        *_drawn_series(chart, x_axis, y_axis),
    ]


def line_summary(chart: LineChart) -> str:
    """Return a sentence for each series: where it starts and ends."""
    parts = [f"{chart.y_label} over {chart.x_label}."]
    for one in chart.series:
        known = [(x, y) for x, y in zip(one.x, one.y, strict=True) if mean_of(y) is not None]
        if not known:
            parts.append(f"{one.name}: no values.")
            continue
        ends = [f"{in_full(y)} at {_plain(x)}" for x, y in dict.fromkeys((known[0], known[-1]))]
        parts.append(f"{one.name}: {' to '.join(ends)}.")
    parts += [f"{one.name}: {number(one.value)}." for one in chart.references]
    return " ".join(parts)


def _x_axis(chart: LineChart) -> Axis:
    xs = [x for one in chart.series for x in one.x]
    right_px = WIDTH_PX - RIGHT_PX - INSET_PX
    return exact_axis(xs, start_px=LEFT_PX + INSET_PX, end_px=right_px, n_ticks=6)


def _y_axis(chart: LineChart) -> Axis:
    levels = [one.value for one in chart.references]
    values = [*(chart.y_range or ()), *levels, *extent(chart.values)]
    return round_axis(values, start_px=HEIGHT_PX - BOTTOM_PX, end_px=TOP_PX, n_ticks=5)


def _across(kind: str, y: float, *, dash: str = "") -> Element:
    return svg_line(kind, (LEFT_PX, y), (WIDTH_PX - RIGHT_PX, y), dash=dash)


def _grid_lines(axis: Axis) -> Iterator[Element]:
    for tick, label in zip(axis.ticks, axis.labels(), strict=True):
        y = axis.px(tick)
        yield _across("grid", y)
        yield svg_text("tick", LEFT_PX - 7, y + 4, label, anchor="end")


def _x_ticks(axis: Axis) -> Iterator[Element]:
    floor = HEIGHT_PX - BOTTOM_PX
    yield _across("axis", floor)
    for tick, label in zip(axis.ticks, axis.labels(), strict=True):
        x = axis.px(tick)
        yield svg_line("axis", (x, floor), (x, floor + 4))
        yield svg_text("tick", x, floor + 17, label, anchor="middle")


def _levels(chart: LineChart, axis: Axis) -> Iterator[Element]:
    for n, one in enumerate(chart.references):
        yield _across("level", axis.px(one.value), dash=reference_dash(n))


def _drawn_series(chart: LineChart, x_axis: Axis, y_axis: Axis) -> list[Element]:
    measured = [one for one in chart.series if one.role == "measured"]
    bounds = [one for one in chart.series if one.role == "reference"]
    return [
        *(_bound(n, one, _stretches(one, x_axis, y_axis)) for n, one in enumerate(bounds)),
        *(
            element("g", {"class": shade(n)}, *_bands(one, x_axis, y_axis))
            for n, one in enumerate(measured)
        ),
        *(_measured(n, one, x_axis, y_axis) for n, one in enumerate(measured)),
    ]


def _bound(n: int, series: Series, stretches: list[list[Point]]) -> Element:
    line = {
        "class": "bound",
        "d": "".join(map(_path, stretches)),
        "stroke-dasharray": bound_dash(n),
    }
    return element("path", line, element("title", None, series.name))


def _measured(n: int, series: Series, x_axis: Axis, y_axis: Axis) -> Element:
    stretches = _stretches(series, x_axis, y_axis)
    lines = [
        element("path", {"class": "curve", "d": _path(part), "stroke-dasharray": DASHES[n]})
        for part in stretches
        if len(part) > 1
    ]
    marks = [
        marker(n, point.x_px, point.y_px, element("title", None, _told(series, point)))
        for point in _marked(stretches)
    ]
    return element("g", {"class": shade(n)}, *lines, *marks)


def _marked(stretches: list[list[Point]]) -> Iterator[Point]:
    """Give the points that get a mark: some of a long line, and each that no line leads to."""
    every = -(-sum(map(len, stretches)) // MAX_MARKS)
    for part in stretches:
        yield from part[::every]


def _told(series: Series, point: Point) -> str:
    return f"{series.name}, {_plain(point.x)}: {in_full(point.value)}"


def _stretches(series: Series, x_axis: Axis, y_axis: Axis) -> list[list[Point]]:
    """Return the points of a series, parted where a value is missing."""
    points: list[Point | None] = []
    for x, value in zip(series.x, series.y, strict=True):
        mean = mean_of(value)
        points.append(
            None
            if mean is None
            else Point(x=x, value=value, mean=mean, x_px=x_axis.px(x), y_px=y_axis.px(mean))
        )
    parts = [list(part) for _, part in groupby(points, key=lambda point: point is None)]
    return [[one for one in part if one is not None] for part in parts if part[0] is not None]


def _bands(series: Series, x_axis: Axis, y_axis: Axis) -> Iterator[Element]:
    for part in _stretches(series, x_axis, y_axis):
        for has_bounds, points in groupby(
            part, key=lambda point: bounds_of(point.value) is not None
        ):
            if has_bounds:
                yield _band(list(points), y_axis)


def _band(points: list[Point], axis: Axis) -> Element:
    """Return the area between the bounds; over one point, which has no area, a whisker."""
    bounds = [bounds_of(point.value) or (point.mean, point.mean) for point in points]
    lows = [(point.x_px, axis.px(low)) for point, (low, _) in zip(points, bounds, strict=True)]
    highs = [(point.x_px, axis.px(high)) for point, (_, high) in zip(points, bounds, strict=True)]
    if len(points) == 1:
        return element("path", {"class": "whisker", "d": _joined([*lows, *highs])})
    return element("path", {"class": "band", "d": _joined([*highs, *reversed(lows)]) + "Z"})


def _path(points: Sequence[Point]) -> str:
    return _joined([(point.x_px, point.y_px) for point in points])


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in places)


def _plain(x: float) -> str:
    return number(int(x)) if x == int(x) else number(x)
