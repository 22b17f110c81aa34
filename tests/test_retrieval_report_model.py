"""What a report refuses when it is put together."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from retrieval_report_fixtures import HALF, full_report, picture

from encoder.intervals import Figure
from retrieval.report import (
    BarChart,
    BarSeries,
    Gallery,
    KeyFigure,
    LineChart,
    PictureRow,
    Reference,
    Report,
    ReportError,
    Section,
    Series,
    Table,
)


def line_chart(**changes: object) -> LineChart:
    parts = {"title": "t", "x_label": "k", "y_label": "y", "series": ()} | changes
    return LineChart(**parts)  # type: ignore[arg-type]


def bar_chart(**changes: object) -> BarChart:
    parts = {"title": "t", "name_label": "class", "value_label": "y", "names": (), "series": ()}
    return BarChart(**(parts | changes))  # type: ignore[arg-type]


def table(*rows: tuple[object, ...], columns: tuple[str, ...] = ("a",)) -> Table:
    return Table(title="t", columns=columns, rows=rows)  # type: ignore[arg-type]


def series(y: object, x: object = (1,)) -> Series:
    return Series(name="s", x=x, y=y)  # type: ignore[arg-type]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: table(("x", 1)), "row 1 and the columns differ in length: 2 and 1"),
    (lambda: table((math.nan,)), "row 1: nan .float. is no finite"),
    (lambda: table((np.float32(0.5),)), "float32. is no finite"),
    (lambda: table((Figure(math.inf, 0.0, 1.0, 3),)), "no finite"),
    (lambda: table((Figure(math.nan, 0.0, 1.0, 3),)), "no finite"),
    (lambda: table(columns=("a", "a")), "columns: 'a' stands twice"),
    (lambda: table(columns=()), "at least one column"),
    (lambda: series((0.5, 0.5)), "x and y differ in length: 1 and 2"),
    (lambda: series((0.5, 0.5), x=(2, 1)), "x does not rise"),
    (lambda: series((0.5,), x=(HALF,)), "s: x"),
    (lambda: series((True,)), "True .bool."),
    (lambda: series((math.inf,)), "inf"),
    (lambda: Series(name=" ", x=(), y=()), "a series has no name"),
    (lambda: Reference(name="chance", value=math.nan), "chance: nan"),
    (lambda: line_chart(y_range=(1, 1)), "range .1, 1. is empty"),
    (lambda: line_chart(series=(series((), x=()),) * 2), "'s' stands twice"),
    (lambda: line_chart(series=(Series(name="k", x=(), y=()),)), "'k' stands twice"),
    (
        lambda: line_chart(series=tuple(Series(name=f"{n}", x=(), y=()) for n in range(7))),
        "more than 6 lines; make two charts",
    ),
    (lambda: bar_chart(names=("a", "a")), "names: 'a' stands twice"),
    (
        lambda: bar_chart(names=("a",), series=(BarSeries(name="s", values=()),)),
        "s and the names differ in length: 0 and 1",
    ),
    (
        lambda: bar_chart(series=tuple(BarSeries(name=f"{n}", values=()) for n in range(7))),
        "more than 6 series",
    ),
    (lambda: KeyFigure(name="mAP", figure=math.nan), "mAP: nan"),
    (lambda: KeyFigure(name="mAP", figure=1, limits=(1, 0)), "is empty"),
    (lambda: Section(title="s", charts=(line_chart(),), tables=(table(),)), "'t' stands twice"),
    (lambda: Report(title="r", sections=(Section(title="s"),) * 2), "sections: 's' stands twice"),
    (lambda: Report(title="r", sections=(), facts=(("a", "1"), ("a", "2"))), "'a' stands twice"),
    (lambda: Report(title="", sections=()), "a report has no name"),
    (
        lambda: Report(title="r", sections=(), figures={"a": [{"b": np.int64(1)}]}),  # type: ignore[list-item, dict-item]
        r"figures.a\[0\].b: .* cannot be written as JSON",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_put_together_wrongly_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        make()


def test_a_report_holds_a_bounded_number_of_pictures() -> None:
    def report(n: int) -> Report:
        row = PictureRow(title="row", asked=(one,), found=(one,) * (n - 1))
        galleries = (Gallery(title="worst", rows=(row,)),)
        return Report(title="r", sections=(Section(title="s", galleries=galleries),))

    one = picture()
    assert report(256).n_pictures == 256
    with pytest.raises(ReportError, match="257 pictures; a report holds 256 at most"):
        report(257)


def test_references_do_not_count_as_lines() -> None:
    measured = tuple(Series(name=f"{n}", x=(), y=()) for n in range(6))
    bounds = tuple(Series(name=f"b{n}", x=(), y=(), role="reference") for n in range(3))
    assert len(line_chart(series=measured + bounds).series) == 9


def test_a_report_with_every_part_is_accepted() -> None:
    assert full_report().n_pictures == 3
