"""`report.json`: the one place that knows its fields (docs/evaluation-schema.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from encoder.intervals import Figure
from retrieval.rendering import as_json
from retrieval.report.model import (
    BarChart,
    Cell,
    Chart,
    Gallery,
    Json,
    KeyFigure,
    LineChart,
    Picture,
    Reference,
    Report,
    Section,
    Series,
    Table,
)

SCHEMA = "retrieval.evaluation/1"


def render_json(report: Report) -> str:
    """Return report.json; the same report gives the same text."""
    return as_json(report_json(report)) + "\n"


def report_json(report: Report) -> dict[str, Any]:
    """Return the object that report.json holds; also what `evaluate --json` prints."""
    return {
        "schema": SCHEMA,
        "title": _text(report.title),
        "facts": [{"name": _text(name), "value": _text(value)} for name, value in report.facts],
        "warnings": _all_warnings(report),
        "key_figures": list(map(_key_figure, report.key_figures)),
        "figures": _plain(report.figures),
        "sections": list(map(_section, report.sections)),
    }


def figure_json(value: Figure) -> dict[str, Any]:
    """Return a figure with its interval; null where there was no case."""
    return {
        "mean": _number(value.mean),
        "low": _number(value.low),
        "high": _number(value.high),
        "n": value.n,
        "n_undefined": value.n_undefined,
    }


def _all_warnings(report: Report) -> list[dict[str, Any]]:
    whole = [{"section": None, "text": _text(text)} for text in report.warnings]
    parts = [
        {"section": _text(section.title), "text": _text(text)}
        for section in report.sections
        for text in section.warnings
    ]
    return whole + parts


def _key_figure(one: KeyFigure) -> dict[str, Any]:
    return {
        "name": _text(one.name),
        "figure": _plain(one.figure),
        "chance": _plain(one.chance),
        "note": _text(one.note),
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": _text(section.title),
        "text": list(map(_text, section.text)),
        "tables": list(map(_table, section.tables)),
        "charts": list(map(_chart, section.charts)),
        "galleries": list(map(_gallery, section.galleries)),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": _text(table.title),
        "columns": list(map(_text, table.columns)),
        "rows": [list(map(_plain, row)) for row in table.rows],
        "note": _text(table.note),
    }


def _chart(chart: Chart) -> dict[str, Any]:
    own = _line_chart(chart) if isinstance(chart, LineChart) else _bar_chart(chart)
    references = list(map(_reference, chart.references))
    return (
        {"title": _text(chart.title)} | own | {"references": references, "note": _text(chart.note)}
    )


def _line_chart(chart: LineChart) -> dict[str, Any]:
    return {
        "kind": "line",
        "x_label": _text(chart.x_label),
        "y_label": _text(chart.y_label),
        "series": list(map(_series, chart.series)),
    }


def _series(one: Series) -> dict[str, Any]:
    return {
        "name": _text(one.name),
        "role": one.role,
        "x": list(one.x),
        "y": list(map(_plain, one.y)),
    }


def _bar_chart(chart: BarChart) -> dict[str, Any]:
    return {
        "kind": "bar",
        "name_label": _text(chart.name_label),
        "value_label": _text(chart.value_label),
        "names": list(map(_text, chart.names)),
        "series": [
            {"name": _text(one.name), "values": list(map(_plain, one.values))}
            for one in chart.series
        ],
    }


def _reference(one: Reference) -> dict[str, Any]:
    return {"name": _text(one.name), "value": one.value}


def _gallery(gallery: Gallery) -> dict[str, Any]:
    rows = [
        {
            "title": _text(row.title),
            "asked": list(map(_picture, row.asked)),
            "found": list(map(_picture, row.found)),
            "note": _text(row.note),
        }
        for row in gallery.rows
    ]
    return {"title": _text(gallery.title), "rows": rows, "note": _text(gallery.note)}


def _picture(picture: Picture) -> dict[str, Any]:
    return {"caption": _text(picture.caption), "alt": _text(picture.alt), "right": picture.right}


def _plain(value: Json | Cell) -> Any:
    if isinstance(value, Figure):
        return figure_json(value)
    if isinstance(value, Mapping):
        return {_text(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return _text(value)
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(text: str) -> str:
    # Half of a surrogate pair stands for a byte of a file name, and no JSON reader has to take it.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
