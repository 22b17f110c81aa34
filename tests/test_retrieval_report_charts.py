"""Charts: every value stands where its axis says, whatever the values are."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval_report_fixtures import FEW, HALF, bars, empty_chart, lines

from encoder.intervals import NOTHING, Figure
from retrieval.report import BarChart, BarSeries, LineChart, Reference, Series
from retrieval.report.charts import plot, summary
from retrieval.report.model import Chart, Value
from retrieval.report.shapes import legend

NUMBERS = st.floats(-1e6, 1e6)
FIGURES = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(
    lambda three: Figure(sorted(three)[1], min(three), max(three), 9)
)
VALUES: st.SearchStrategy[Value] = st.one_of(st.none(), NUMBERS, FIGURES, st.just(NOTHING))


def drawn(chart: Chart) -> Element:
    return plot(chart, part_id="s1-c1")


def classed(root: Element, kind: str) -> list[Element]:
    return [one for one in root.iter() if kind in one.get("class", "").split()]


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def mark_places(root: Element) -> list[tuple[float, float]]:
    return [places(one.get("transform", ""))[0] for one in classed(root, "mark")]


def line(*y: Value, **changes: object) -> LineChart:
    series = (Series(name="a", x=tuple(range(len(y))), y=y),)
    parts = {"title": "t", "x_label": "k", "y_label": "y", "series": series} | changes
    return LineChart(**parts)  # type: ignore[arg-type]


def test_points_stand_on_their_axes() -> None:
    # The frame is 48..426 wide with 10 px inside it, and 26..250 high.
    root = drawn(line(0.0, 0.5, 1.0, y_range=(0, 1)))
    assert mark_places(root) == [(58, 250), (237, 138), (416, 26)]
    assert places(classed(root, "curve")[0].get("d", "")) == mark_places(root)
    ticks = {one.text: one.get("y") for one in classed(root, "tick") if one.get("x") == "41"}
    assert ticks == {
        "0.0": "254",
        "0.2": "209.2",
        "0.4": "164.4",
        "0.6": "119.6",
        "0.8": "74.8",
        "1.0": "30",
    }


def test_a_band_lies_between_the_bounds() -> None:
    root = drawn(line(HALF, Figure(0.5, 0.0, 1.0, 9)))
    (band,) = classed(root, "band")
    # HALF is [0.25, 0.75]: first the upper bounds from left to right, then the lower ones back.
    assert places(band.get("d", "")) == [(58, 82), (416, 26), (416, 250), (58, 194)]


def test_a_gap_parts_the_line_and_its_band() -> None:
    root = drawn(line(HALF, FEW, None, HALF, 0.5, HALF, FEW))
    assert [len(places(one.get("d", ""))) for one in classed(root, "curve")] == [2, 4]
    assert [len(places(one.get("d", ""))) for one in classed(root, "band")] == [4, 4]
    assert len(classed(root, "whisker")) == 1  # the fourth, whose neighbours have no interval
    assert len(mark_places(root)) == 6


def test_one_point_has_a_mark_and_a_whisker_and_no_line() -> None:
    root = drawn(line(HALF))
    assert not classed(root, "curve")
    assert len(mark_places(root)) == len(classed(root, "whisker")) == 1


@pytest.mark.parametrize(
    "chart",
    [
        empty_chart(),
        line(None, NOTHING),
        line(series=()),
        BarChart(title="t", name_label="n", value_label="v", names=(), series=()),
        BarChart(
            title="t",
            name_label="n",
            value_label="v",
            names=("a",),
            series=(BarSeries(name="s", values=(None,)),),
        ),
    ],
)
def test_a_chart_without_values_says_so(chart: Chart) -> None:
    assert classed(drawn(chart), "label")[0].text == "no values"
    assert summary(chart)


def test_a_long_line_has_marks_on_some_of_its_points() -> None:
    root = drawn(line(*[n / 20 for n in range(21)]))
    assert len(mark_places(root)) == 11
    assert len(places(classed(root, "curve")[0].get("d", ""))) == 21


def test_a_point_that_no_line_leads_to_always_has_a_mark() -> None:
    values: list[Value] = [n / 40 for n in range(40)]
    values[1] = values[3] = None
    root = drawn(line(*values))
    assert len(classed(root, "curve")) == 1
    assert [x for x, _ in mark_places(root)][:3] == pytest.approx(
        [58 + n * 358 / 39 for n in (0, 2, 4)], abs=0.01
    )
    assert len(mark_places(root)) == 2 + 9


def test_several_bounds_differ_in_their_stroke_as_their_legend_says() -> None:
    bounds = tuple(Series(name=f"{n}", x=(1, 2), y=(n, n), role="reference") for n in range(3))
    chart = line(series=(bounds[0], Series(name="a", x=(1,), y=(1,)), *bounds[1:]))
    made = legend(chart)
    assert made is not None
    strokes = [one.get("stroke-dasharray") for one in classed(drawn(chart), "bound")]
    assert len(set(strokes)) == 3
    assert [one.get("stroke-dasharray") for one in classed(made, "bound")] == strokes


def test_series_differ_in_shape_and_stroke_beside_colour() -> None:
    series = tuple(Series(name=f"{n}", x=(1, 2), y=(n, n)) for n in range(6))
    root = drawn(line(series=series))
    marks = {one.get("d") for one in classed(root, "mark")}
    strokes = {one.get("stroke-dasharray") for one in classed(root, "curve")}
    assert len(marks) == len(strokes) == 6


def test_a_reference_is_drawn_at_its_value_and_named_with_it() -> None:
    chart = line(0.0, 1.0, references=(Reference(name="chance", value=0.5),))
    (level,) = classed(drawn(chart), "level")
    assert (level.get("y1"), level.get("y2")) == ("138", "138")
    made = legend(chart)
    assert made is not None
    assert ["".join(one.itertext()).strip() for one in made.iter("li")] == ["a", "chance 0.500"]
    assert legend(line(0.0)) is None


def test_axes_reach_references_and_bounds() -> None:
    root = drawn(line(Figure(0.5, -1.0, 0.6, 3), references=(Reference(name="best", value=3.0),)))
    ticks = [one.text for one in classed(root, "tick") if one.get("x") == "41"]
    assert ticks == ["\u22121", "0", "1", "2", "3"]


def test_bars_start_at_zero_and_end_at_their_value() -> None:
    root = drawn(bars())
    boxes = [(float(b.get("x", "")), float(b.get("width", ""))) for b in classed(root, "bar")]
    zero, one_px = boxes[0][0], boxes[0][1] / 0.5
    # In the order of the rows: bell a, bell b (below 0), dog a; dog b has no value.
    assert boxes[1] == pytest.approx((zero - 0.25 * one_px, 0.25 * one_px), abs=0.02)
    assert boxes[2] == pytest.approx((zero, 0.125 * one_px), abs=0.02)
    assert len(boxes) == 3
    ends = [float(x) for x in re.findall(r"[MH]([\d.]+)", classed(root, "whisker")[0].get("d", ""))]
    assert ends[:2] == pytest.approx([zero + 0.25 * one_px, zero + 0.75 * one_px], abs=0.02)
    assert [one.text for one in classed(root, "value")] == ["0.500", "\u22120.250", "0.125", "–"]
    fillings = {one.get("class") for one in classed(root, "bar")}
    assert fillings == {"bar c0 solid", "bar c1 hollow"}


def test_a_chart_is_described_in_words() -> None:
    assert summary(lines()) == (
        "Line chart: success over k. sound to picture: 0.500 [0.250, 0.750], n = 40 at 10 to "
        "0.125 [0.000, 0.500], n = 8 (2 undefined) at 20. bound: 0.900 at 10 to 0.900 at 20. "
        "chance: 0.375."
    )
    assert summary(bars()) == (
        "Bar chart: mAP by class, 2 rows. a: 0.125 (dog) to 0.500 (bell). "
        "b: \u22120.250 (bell) to \u22120.250 (bell). chance: 0.062."
    )
    root = drawn(lines())
    described = root.get("aria-labelledby", "").split()
    assert [one.get("id") for one in root if one.tag in ("title", "desc")] == described
    assert root.get("role") == "img"


@given(st.lists(st.tuples(NUMBERS, VALUES), max_size=8, unique_by=lambda pair: pair[0]))
def test_nothing_of_a_line_chart_stands_outside_it(pairs: list[tuple[float, Value]]) -> None:
    x, y = zip(*sorted(pairs, key=lambda pair: pair[0]), strict=True) if pairs else ((), ())
    series = (Series(name="a", x=x, y=y),)
    root = drawn(LineChart(title="t", x_label="k", y_label="y", series=series))
    shapes = [one.get("d", "") for one in root.iter("path") if "mark" not in one.get("class", "")]
    spots = mark_places(root) + [spot for shape in shapes for spot in places(shape)]
    assert all(57.9 <= x <= 416.1 and 25.9 <= y <= 250.1 for x, y in spots)


@given(st.lists(VALUES, max_size=6))
def test_nothing_of_a_bar_chart_stands_outside_it(values: list[Value]) -> None:
    names = tuple(f"class {n}" for n in range(len(values)))
    series = (BarSeries(name="a", values=tuple(values)),)
    chart = BarChart(title="t", name_label="n", value_label="v", names=names, series=series)
    root = drawn(chart)
    height = float(root.get("viewBox", "").split()[3])
    for box in root.iter("rect"):
        x, y, width, tall = (float(box.get(name, "")) for name in ("x", "y", "width", "height"))
        assert width >= 0
        assert 0 <= x <= x + width <= 440.1
        assert 0 <= y <= y + tall <= height
