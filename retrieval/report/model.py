"""What a report of measured figures is made of: sections of text, tables, charts and pictures.

It knows neither retrieval nor localization: whoever measured fills it in, and the same report is
then written as a page (`html`), as text (`markdown`) and for programs (`schema`). Whatever is put
together wrongly is refused when it is made, with the name of the part.

A number is an int, a float, or a `Figure` with its 95 % interval and n. None says that there is no
value. A plain number is finite: NaN stands only in a Figure over no case. Ids belong in as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from encoder.intervals import Figure
from retrieval.report.checks import (
    check_cells,
    check_figures,
    check_numbers,
    check_range,
    check_rising,
    check_same_length,
    check_title,
    check_unique,
    check_values,
    refuse,
)
from retrieval.report.thumbnails import Thumbnail

Value = int | float | Figure | None
Cell = str | bool | Value
Json = Mapping[str, "Json"] | tuple["Json", ...] | list["Json"] | Cell
"""What `Report.figures` may hold: JSON, with a Figure as a leaf and NaN for null."""

MAX_SERIES = 6
"""More lines than this cannot be told apart by shape and shade."""
MAX_PICTURES = 256
"""Of at most `thumbnails.MAX_BYTES` each: the pictures of a page stay under 11 MiB."""


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One of the few numbers that the report opens with.

    Attributes
    ----------
    chance : what guessing would give.
    limits : lowest and highest possible value, where a strip should show how far along it is.
    """

    name: str
    figure: Value
    chance: float | None = None
    limits: tuple[float, float] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_title("key figure", self.name)
        check_values(self.name, [self.figure])
        check_numbers(self.name, [] if self.chance is None else [self.chance])
        if self.limits is not None:
            check_range(self.name, self.limits)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Named columns; the first cell of a row names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        check_title("table", self.title)
        check_unique(f"{self.title}: columns", self.columns)
        if not self.columns:
            refuse(f"{self.title}: a table has at least one column")
        for n, row in enumerate(self.rows, start=1):
            check_same_length(f"{self.title}: row {n} and the columns", row, self.columns)
            check_cells(f"{self.title}: row {n}", row)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line: x rising, y with an interval where it is a Figure, None where it has a gap.

    Attributes
    ----------
    role : `reference` is drawn thin and grey: chance, a bound, what a paper claims.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[Value, ...]
    role: Literal["measured", "reference"] = "measured"

    def __post_init__(self) -> None:
        check_title("series", self.name)
        check_same_length(f"{self.name}: x and y", self.x, self.y)
        check_rising(f"{self.name}: x", self.x)
        check_values(f"{self.name}: y", self.y)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A level to compare with, drawn straight across a chart."""

    name: str
    value: float

    def __post_init__(self) -> None:
        check_title("reference", self.name)
        check_numbers(self.name, [self.value])


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Lines over a common x.

    Attributes
    ----------
    y_range : what the axis shows at least; None is what the values need.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    y_range: tuple[float, float] | None = None
    references: tuple[Reference, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        check_title("chart", self.title)
        names = (self.x_label, *(one.name for one in self.series))
        check_unique(f"{self.title}: x and the series", names)
        if sum(one.role == "measured" for one in self.series) > MAX_SERIES:
            refuse(f"{self.title}: more than {MAX_SERIES} lines; make two charts of them")
        if self.y_range is not None:
            check_range(self.title, self.y_range)

    @property
    def values(self) -> tuple[Value, ...]:
        """Every value of every series."""
        return tuple(value for one in self.series for value in one.y)


@dataclass(frozen=True, kw_only=True)
class BarSeries:
    """A bar for each name of the chart, None where there is none; whiskers where it is a Figure."""

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        check_title("series", self.name)
        check_values(self.name, self.values)


@dataclass(frozen=True, kw_only=True)
class BarChart:
    """Horizontal bars from 0, in the order of `names`; several series stand under each other.

    Attributes
    ----------
    value_range : what the axis shows at least, beside 0; None is what the values need.
    """

    title: str
    name_label: str
    value_label: str
    names: tuple[str, ...]
    series: tuple[BarSeries, ...]
    value_range: tuple[float, float] | None = None
    references: tuple[Reference, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        check_title("chart", self.title)
        columns = (self.name_label, *(one.name for one in self.series))
        check_unique(f"{self.title}: name_label and the series", columns)
        check_unique(f"{self.title}: names", self.names)
        for one in self.series:
            check_same_length(f"{self.title}: {one.name} and the names", one.values, self.names)
        if len(self.series) > MAX_SERIES:
            refuse(f"{self.title}: more than {MAX_SERIES} series; make two charts of them")
        if self.value_range is not None:
            check_range(self.title, self.value_range)

    @property
    def values(self) -> tuple[Value, ...]:
        """Every value of every series."""
        return tuple(value for one in self.series for value in one.values)


Chart = LineChart | BarChart


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture with a line under it.

    Attributes
    ----------
    alt : what is seen, for who does not see it.
    right : whether it is a right answer; None where that is not the question.
    """

    caption: str
    alt: str
    thumbnail: Thumbnail = field(repr=False)
    right: bool | None = None

    def __post_init__(self) -> None:
        check_title("text for who does not see the picture", self.alt)


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """A question and its answers, best first: `asked` is a frame and its heat map, or a sound."""

    title: str
    asked: tuple[Picture, ...] = ()
    found: tuple[Picture, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        check_title("row of pictures", self.title)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of pictures under one heading, such as the worst queries."""

    title: str
    rows: tuple[PictureRow, ...]
    note: str = ""

    def __post_init__(self) -> None:
        check_title("gallery", self.title)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A chapter: paragraphs of plain text, then tables, charts and galleries."""

    title: str
    text: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    galleries: tuple[Gallery, ...] = ()

    def __post_init__(self) -> None:
        check_title("section", self.title)
        parts = [part.title for part in (*self.tables, *self.charts, *self.galleries)]
        check_unique(f"{self.title}: titles", parts)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of it.

    Attributes
    ----------
    facts : what was measured, how, by which command: names and values. A time only stands in a
        report whose maker wrote it here.
    warnings : of the whole; those of the sections are shown beside them at the top.
    figures : what programs read, under stable names; it is written in report.json alone.
    """

    title: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    key_figures: tuple[KeyFigure, ...] = ()
    figures: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_title("report", self.title)
        check_unique("sections", [one.title for one in self.sections])
        check_unique("facts", [name for name, _ in self.facts])
        check_unique("key figures", [one.name for one in self.key_figures])
        check_figures("figures", self.figures)
        if self.n_pictures > MAX_PICTURES:
            refuse(f"{self.n_pictures} pictures; a report holds {MAX_PICTURES} at most")

    @property
    def n_pictures(self) -> int:
        """How many pictures all galleries hold together."""
        return sum(
            len(row.asked) + len(row.found)
            for section in self.sections
            for gallery in section.galleries
            for row in gallery.rows
        )
