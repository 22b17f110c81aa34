"""retrieval.report: what was measured, as a page, as text and for programs.

It knows nothing of how figures come about: `model` says what a report is made of, `write_report`
writes report.html, report.md and report.json.

Examples
--------
>>> from retrieval.report import Report, Section, write_report
>>> paths = write_report(Report(title="Evaluation", sections=(Section(title="Retrieval"),)), folder)
"""

from __future__ import annotations

from retrieval.report.checks import ReportError
from retrieval.report.html import render_html
from retrieval.report.markdown import render_markdown
from retrieval.report.model import (
    BarChart,
    BarSeries,
    Gallery,
    KeyFigure,
    LineChart,
    Picture,
    PictureRow,
    Reference,
    Report,
    Section,
    Series,
    Table,
)
from retrieval.report.schema import SCHEMA, render_json, report_json
from retrieval.report.thumbnails import Thumbnail, thumbnail
from retrieval.report.writing import ReportPaths, prepare_report_folder, write_report

__all__ = [
    "SCHEMA",
    "BarChart",
    "BarSeries",
    "Gallery",
    "KeyFigure",
    "LineChart",
    "Picture",
    "PictureRow",
    "Reference",
    "Report",
    "ReportError",
    "ReportPaths",
    "Section",
    "Series",
    "Table",
    "Thumbnail",
    "prepare_report_folder",
    "render_html",
    "render_json",
    "render_markdown",
    "report_json",
    "thumbnail",
    "write_report",
]
