"""A chart as one SVG with a title and a description for who does not see it."""

from __future__ import annotations

from retrieval.report.bars import bar_height_px, bar_plot, bar_summary
from retrieval.report.lines import HEIGHT_PX, WIDTH_PX, line_plot, line_summary
from retrieval.report.markup import Element, element, svg_text
from retrieval.report.model import BarChart, Chart
from retrieval.report.wording import mean_of


def plot(chart: Chart, *, part_id: str) -> Element:
    """Draw a chart, 440 px wide; `part_id` is its own among all of the page."""
    height = bar_height_px(chart) if isinstance(chart, BarChart) else HEIGHT_PX
    if not has_values(chart):
        height = 80
    return element(
        "svg",
        {
            "class": "plot",
            "viewBox": f"0 0 {WIDTH_PX} {height}",
            "width": WIDTH_PX,
            "height": height,
            "role": "img",
            "aria-labelledby": f"{part_id}-title {part_id}-desc",
        },
        element("title", {"id": f"{part_id}-title"}, chart.title),
        element("desc", {"id": f"{part_id}-desc"}, summary(chart)),
        *_drawn(chart),
    )


def summary(chart: Chart) -> str:
    """Return what the chart shows, in words."""
    if isinstance(chart, BarChart):
        return f"Bar chart: {bar_summary(chart)}"
    return f"Line chart: {line_summary(chart)}"


def has_values(chart: Chart) -> bool:
    """Return whether there is anything to draw."""
    return any(mean_of(value) is not None for value in chart.values)


def _drawn(chart: Chart) -> list[Element]:
    if not has_values(chart):
        return [svg_text("label", WIDTH_PX / 2, 44, "no values", anchor="middle")]
    return bar_plot(chart) if isinstance(chart, BarChart) else line_plot(chart)
