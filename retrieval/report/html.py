"""The report as one HTML file: no script, no other file, nothing from the network."""

from __future__ import annotations

from pathlib import Path

from retrieval.report.charts import has_values, plot
from retrieval.report.grid import values_of
from retrieval.report.key_figures import key_figures
from retrieval.report.markup import Element, as_html, element, style
from retrieval.report.model import BarChart, Chart, Report, Section
from retrieval.report.pictures import gallery_block
from retrieval.report.shapes import legend
from retrieval.report.tables import scrolled, table_block

CSS = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load for this page: its own style and its own pictures."""
TALL = 30
"""Bars from which on a chart scrolls inside its own frame."""
READING = (
    "Brackets hold 95 % intervals; n is the number of cases that a figure is over. "
    "A dash says that there is no value."
)


def render_html(report: Report) -> str:
    """Return the page; the same report gives the same text."""
    return as_html(element("html", {"lang": "en"}, _head(report), _body(report)))


def _head(report: Report) -> Element:
    return element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, report.title),
        style(CSS.read_text(encoding="utf-8")),
    )


def _body(report: Report) -> Element:
    return element(
        "body",
        None,
        element("a", {"class": "skip", "href": "#main"}, "Skip to the figures"),
        element("header", None, element("h1", None, report.title)),
        _contents(report),
        element(
            "main",
            {"id": "main"},
            _all_warnings(report),
            key_figures(report.key_figures),
            _facts(report),
            *(_section(n, one) for n, one in enumerate(report.sections, start=1)),
            element("footer", None, element("p", None, READING)),
        ),
    )


def _contents(report: Report) -> Element:
    entries = [
        element("li", None, element("a", {"href": f"#s{n}"}, one.title))
        for n, one in enumerate(report.sections, start=1)
    ]
    heading = element("h2", {"id": "contents"}, "Contents")
    return element("nav", {"aria-labelledby": "contents"}, heading, element("ol", None, *entries))


def _all_warnings(report: Report) -> Element | None:
    lines = [element("li", None, text) for text in report.warnings]
    for n, section in enumerate(report.sections, start=1):
        for text in section.warnings:
            link = element("a", {"href": f"#s{n}"}, section.title)
            lines.append(element("li", None, f"{text} (", link, ")"))
    if not lines:
        return None
    title = "Warning" if len(lines) == 1 else f"{len(lines)} warnings"
    heading = element("h2", {"id": "warnings"}, title)
    return element(
        "section",
        {"class": "warnings", "aria-labelledby": "warnings"},
        heading,
        element("ul", None, *lines),
    )


def _facts(report: Report) -> Element | None:
    if not report.facts:
        return None
    pairs = [
        element("div", None, element("dt", None, name), element("dd", None, value))
        for name, value in report.facts
    ]
    return element("dl", {"class": "facts"}, *pairs)


def _section(n: int, section: Section) -> Element:
    warnings = [
        element("p", {"class": "warning"}, element("strong", None, "Warning: "), text)
        for text in section.warnings
    ]
    tables = [
        table_block(one, part_id=f"s{n}-t{m}") for m, one in enumerate(section.tables, start=1)
    ]
    charts = [_chart(one, f"s{n}-c{m}") for m, one in enumerate(section.charts, start=1)]
    return element(
        "section",
        {"id": f"s{n}", "aria-labelledby": f"s{n}-h"},
        element("h2", {"id": f"s{n}-h"}, section.title),
        *(element("p", None, text) for text in section.text),
        *warnings,
        *tables,
        element("div", {"class": "charts"}, *charts) if charts else None,
        *map(gallery_block, section.galleries),
    )


def _chart(chart: Chart, part_id: str) -> Element:
    note = element("p", {"class": "note"}, chart.note) if chart.note else None
    values = _values(chart, part_id) if has_values(chart) else None
    # Always these three parts: they line up with those of the chart beside.
    parts = (
        element("h3", {"id": part_id}, chart.title),
        element("div", None, legend(chart)),
        element("div", None, *_drawn(chart, part_id), note, values),
    )
    return element("div", {"class": "chart"}, *parts)


def _drawn(chart: Chart, part_id: str) -> list[Element]:
    drawn = plot(chart, part_id=part_id)
    if not isinstance(chart, BarChart) or len(chart.names) <= TALL:
        return [drawn]
    place = {"class": "tall", "role": "region", "aria-labelledby": part_id, "tabindex": "0"}
    told = f"{len(chart.names)} rows: the chart scrolls."
    return [element("div", place, drawn), element("p", {"class": "note on-screen"}, told)]


def _values(chart: Chart, part_id: str) -> Element:
    opener = element("summary", None, "Values")
    return element("details", None, opener, scrolled(values_of(chart), labelled_by=part_id))
