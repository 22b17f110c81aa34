"""Numbers, names, tables and axes, as both the page and the text write them."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrieval_report_fixtures import EVIL, FEW, HALF, SEEN, bars, lines

from encoder.intervals import NOTHING, Figure
from retrieval.report import Table
from retrieval.report.bars import clipped
from retrieval.report.grid import Written, grid, values_of
from retrieval.report.scale import exact_axis, round_axis
from retrieval.report.wording import cases, in_full, interval, middle, number, readable

NUMBERS = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9999, "9999"),
        (441_000, "441\u202f000"),
        (-7, "\u22127"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (1.0, "1.000"),
        (0.0654, "0.065"),
        (0.00021, "0.00021"),
        (-0.0000123, "\u22121.2e-05"),
        (61.25, "61.25"),
        (123.45, "123.5"),
        (98_765.4, "98\u202f765"),
        (2.5e17, "2.5e+17"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_figure_is_written_with_its_interval_and_n() -> None:
    assert in_full(HALF) == "0.500 [0.250, 0.750], n = 40"
    assert (middle(FEW), interval(FEW), cases(FEW)) == (
        "0.125",
        "[0.000, 0.500]",
        "8 (2 undefined)",
    )
    assert (middle(NOTHING), interval(NOTHING), cases(NOTHING)) == ("–", "", "0")
    assert in_full(Figure(0.5, math.nan, math.nan, 1)) == "0.500, n = 1"
    assert in_full(None) == "–"


def test_names_are_shown_with_what_cannot_be_seen_escaped() -> None:
    assert readable(EVIL) == SEEN
    assert readable("ku\u0308che\u202e") == "küche\\u202e"  # composed; no turning of the direction


@given(st.text(st.characters()))
def test_readable_text_can_be_written_and_steers_nothing(text: str) -> None:
    shown = readable(text)
    shown.encode("utf-8")
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert readable(shown) == shown


def test_n_gets_a_column_where_it_is_the_same_along_each_row() -> None:
    table = Table(
        title="t", columns=("what", "mAP", "R@1"), rows=(("a", HALF, HALF), ("b", FEW, None))
    )
    made = grid(table)
    assert made.columns == ("what", "mAP", "R@1", "n")
    assert made.is_number == (False, True, True, True)
    assert made.rows[0] == (
        Written(text="a"),
        Written(text="0.500", interval="[0.250, 0.750]"),
        Written(text="0.500", interval="[0.250, 0.750]"),
        Written(text="40"),
    )
    assert [cell.text for cell in made.rows[1]] == ["b", "0.125", "–", "8 (2 undefined)"]


def test_n_stands_in_the_cell_where_it_differs_along_a_row() -> None:
    table = Table(title="t", columns=("what", "mAP", "R@1"), rows=(("a", HALF, FEW),))
    made = grid(table)
    assert made.columns == table.columns
    assert made.rows[0][1].interval == "[0.250, 0.750] n = 40"
    assert made.rows[0][2].interval == "[0.000, 0.500] n = 8 (2 undefined)"


def test_a_table_with_an_n_of_its_own_gets_no_second() -> None:
    made = grid(Table(title="t", columns=("what", "n", "mAP"), rows=(("a", 40, HALF),)))
    assert made.columns == ("what", "n", "mAP")
    assert made.rows[0][2].interval == "[0.250, 0.750]"


def test_yes_and_no_are_words_and_no_numbers() -> None:
    made = grid(Table(title="t", columns=("what", "right"), rows=((1, True), (2, False))))
    assert [row[1].text for row in made.rows] == ["yes", "no"]
    assert made.is_number == (True, False)


def test_charts_as_tables_have_a_row_for_every_x_and_every_name() -> None:
    assert values_of(lines()).rows == ((10, HALF, 0.9), (15, None, None), (20, FEW, 0.9))
    assert values_of(lines()).columns == ("k", "sound to picture", "bound")
    assert values_of(bars()).rows == (("bell", HALF, -0.25), ("dog", FEW, None))


def test_long_names_are_cut_by_the_cells_that_they_take() -> None:
    assert clipped("x" * 18) == "x" * 18
    assert clipped("x" * 19) == "x" * 17 + "…"
    assert clipped("音" * 10) == "音" * 8 + "…"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0, 1), ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        ((0.36, 0.437), ("0.36", "0.38", "0.40", "0.42", "0.44")),
        ((-1200, 5000), ("\u22122000", "0", "2000", "4000", "6000")),
        ((), ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        ((0.3,), ("0.1", "0.2", "0.3", "0.4", "0.5")),
        ((2.0e8, 2.002e8), ("2.0000e+08", "2.0005e+08", "2.0010e+08", "2.0015e+08", "2.0020e+08")),
        ((5e-324,), ("\u22120.6", "\u22120.4", "\u22120.2", "0.0", "0.2", "0.4", "0.6")),
        ((0, 0), ("\u22120.6", "\u22120.4", "\u22120.2", "0.0", "0.2", "0.4", "0.6")),
    ],
)
def test_ticks(values: tuple[float, ...], ticks: tuple[str, ...]) -> None:
    assert round_axis(values, start_px=0, end_px=1, n_ticks=5).labels() == ticks


def test_few_whole_values_are_their_own_ticks() -> None:
    def labels(*values: float) -> tuple[str, ...]:
        return exact_axis(values, start_px=0, end_px=1, n_ticks=5).labels()

    assert labels(20, 10, 15, 10) == ("10", "15", "20")
    assert labels(7) == ("7",)
    assert labels(1, 2, 100) == ("20", "40", "60", "80", "100")  # 1 and 2 would collide
    assert labels(0.0, 0.05, 1.0) == ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_an_axis_covers_its_values_in_steps_of_1_2_or_5(values: list[float]) -> None:
    axis = round_axis(values, start_px=200, end_px=10, n_ticks=5)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert 2 <= len(axis.ticks) <= 8
    assert all(10 - 1e-3 <= axis.px(value) <= 200 + 1e-3 for value in values)
    step = (axis.high - axis.low) / (len(axis.ticks) - 1)
    lead = step / 10 ** math.floor(math.log10(step) + 1e-6)
    assert min(abs(lead - one) for one in (1, 2, 5)) < 1e-3
    assert all(abs(tick - axis.low - n * step) <= slack for n, tick in enumerate(axis.ticks))
    assert len(set(axis.labels())) == len(axis.ticks)
