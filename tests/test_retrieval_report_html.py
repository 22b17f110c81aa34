"""The page: whole, safe with any file name, and of use to people who see it differently or not."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from retrieval_report_fixtures import EVIL, SEEN, full_report, read_html

from retrieval.report import (
    BarChart,
    BarSeries,
    Report,
    Section,
    Table,
    render_html,
    render_json,
    render_markdown,
)
from retrieval.report.html import CSS

PAGE = read_html(render_html(full_report()))
EVIL_PAGE = render_html(full_report(EVIL))


def test_a_hostile_name_is_only_ever_text() -> None:
    root = read_html(EVIL_PAGE)
    assert "script" not in {node.tag for node in root}
    assert {node.tag for node in root} == {node.tag for node in PAGE}
    names = {name for node in root for name in node.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert {letter for letter in EVIL_PAGE if unicodedata.category(letter)[0] == "C"} == {"\n"}
    EVIL_PAGE.encode("utf-8")


def test_a_hostile_name_is_seen_wherever_a_name_is_shown() -> None:
    root = read_html(EVIL_PAGE)
    shown = {node.tag for node in root if node.text == SEEN}
    assert {"li", "dd", "p", "th", "figcaption", "title"} <= shown
    assert {node.attributes["alt"] for node in root.all("img")} >= {f"{SEEN}, seen"}
    # As often as a harmless one, but for the name of a bar, which is cut.
    assert root.text.count(SEEN) == PAGE.text.count("bell") - n_bells_of_the_fixture() - 1


def n_bells_of_the_fixture() -> int:
    return read_html(render_html(full_report("other"))).text.count("bell")


def test_the_page_needs_nothing_but_itself() -> None:
    for node in PAGE:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = node.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/jpeg;base64,")), f"{node.tag} {name}={value}"
    assert not re.search(r"url\(|@import|https?:", CSS.read_text(encoding="utf-8"))
    policy = [node for node in PAGE.all("meta") if "http-equiv" in node.attributes]
    assert policy[0].attributes["content"].startswith("default-src 'none'")


def test_every_picture_is_one_and_has_a_text() -> None:
    pictures = PAGE.all("img")
    assert len(pictures) == full_report().n_pictures
    for node in pictures:
        assert node.attributes["alt"]
        content = base64.b64decode(node.attributes["src"].partition(",")[2], validate=True)
        with Image.open(io.BytesIO(content)) as image:
            size = (node.attributes["width"], node.attributes["height"])
            assert size == tuple(map(str, image.size))


def test_names_of_parts_are_unique_and_lead_somewhere() -> None:
    ids = [node.attributes["id"] for node in PAGE if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    links = [node.attributes["href"].removeprefix("#") for node in PAGE.all("a")]
    described = [
        part for node in PAGE for part in node.attributes.get("aria-labelledby", "").split()
    ]
    assert {*links, *described} <= set(ids)
    assert {"s1", "s2"} <= set(links)


def test_headings_are_one_h1_and_skip_no_level() -> None:
    levels = [int(node.tag[1]) for node in PAGE if re.fullmatch("h[1-6]", node.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_tables_name_their_rows_and_columns() -> None:
    for table in PAGE.all("table"):
        head, *rows = table.all("tr")
        assert {(one.tag, one.attributes.get("scope")) for one in head} == {("th", "col")}
        for row in rows:
            cells = [one for one in row if one.tag in ("th", "td")]
            assert cells[0].attributes.get("scope") == "row"
            assert len(cells) == len(head.all("th"))
    assert all(node.attributes["tabindex"] == "0" for node in PAGE.classed("scroll"))


def test_warnings_stand_before_every_figure() -> None:
    (main,) = PAGE.all("main")
    first = next(node for node in main if node.tag == "section")
    assert first.attributes["class"] == "warnings"
    assert [one.text for one in first.all("li")] == ["bell", "bell: leaks (bell: retrieval)"]
    assert len(PAGE.classed("warning")) == 1  # and once more in its section


def test_without_warnings_there_is_no_warning() -> None:
    page = read_html(render_html(Report(title="r", sections=(Section(title="s"),))))
    assert not page.classed("warnings")
    assert "arning" not in page.all("body")[0].text


def test_right_and_wrong_are_told_by_more_than_colour() -> None:
    (found,) = PAGE.classed("found")
    captions = [one.text for one in found.all("figcaption")]
    assert captions == ["✓right: 0.734 bell", "✗wrong: 0.5 bell"]


def test_key_figures_show_interval_chance_and_n() -> None:
    figure, nothing = PAGE.classed("key-figures")[0].all("dd")
    parts = [one.text for one in figure.all("span")]
    assert parts == ["0.500", "[0.250, 0.750]", "chance 0.062, n\u00a0=\u00a040", "bell"]
    assert [one.text for one in nothing.all("span")] == ["–", "", "n\u00a0=\u00a00"]
    dot = next(node for node in figure.all("circle"))
    assert dot.attributes["cx"] == "80"  # half way along 4..156
    assert not nothing.all("svg")


def test_charts_offer_their_values_as_a_table() -> None:
    heads = [[th.text for th in node.all("th")[:3]] for node in PAGE.all("details")]
    assert heads == [["k", "bell", "bound"], ["class", "a", "b"]]


@pytest.mark.parametrize(("n", "scrolls"), [(30, False), (31, True)])
def test_many_bars_scroll_in_a_frame_of_their_own(n: int, scrolls: bool) -> None:
    names = tuple(f"class {i}" for i in range(n))
    series = (BarSeries(name="a", values=tuple(0.5 for _ in names)),)
    chart = BarChart(title="t", name_label="n", value_label="v", names=names, series=series)
    page = read_html(
        render_html(Report(title="r", sections=(Section(title="s", charts=(chart,)),)))
    )
    assert bool(page.classed("tall")) == scrolls
    assert (f"{n} rows: the chart scrolls." in page.text) == scrolls


def test_a_table_without_rows_says_so() -> None:
    table = Table(title="t", columns=("a", "b"), rows=())
    page = render_html(Report(title="r", sections=(Section(title="s", tables=(table,)),)))
    assert read_html(page).all("td")[0].text == "no rows"


def test_the_same_report_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests'); import hashlib\n"
        "from retrieval_report_fixtures import full_report\n"
        "from retrieval.report import render_html, render_json, render_markdown\n"
        "text = ''.join(f(full_report()) for f in (render_html, render_markdown, render_json))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    surroundings = os.environ | {"PYTHONHASHSEED": "7", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo"}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=surroundings,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    here = "".join(form(full_report()) for form in (render_html, render_markdown, render_json))
    assert found.stdout.strip() == hashlib.sha256(here.encode()).hexdigest()


def test_the_report_loads_without_the_engine() -> None:
    code = (
        "import sys, retrieval.report\n"
        "print(sorted({'torch', 'faiss', 'sqlalchemy', 'streamlit', 'jinja2'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# Machado, Oliveira & Fernandes 2009, "A physiologically-based model for simulation of color vision
# deficiency", severity 1.0, for linear RGB.
SEEN_BY = {
    "everybody": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> NDArray[np.float64]:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast of WCAG 2.2, from 1 to 21."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CIELAB of linear sRGB under D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ rgb.clip(0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def theme(name: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS.read_text(encoding="utf-8"), re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#\w{6})", light if name == "light" else dark))


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_series_stand_out_from_their_paper(name: str) -> None:
    colours = theme(name)
    for text, paper in [
        *itertools.product(("ink", "faint", "accent"), ("paper", "surface")),
        *itertools.product(("ink", "accent", "warn-line"), ("warn-paper",)),
        ("right", "paper"),
        ("wrong", "paper"),
    ]:
        assert contrast(colours[text], colours[paper]) >= 4.5, f"{text} on {paper}"
    for n in range(6):
        assert contrast(colours[f"c{n}"], colours["paper"]) >= 3.5, f"c{n}"


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("who", SEEN_BY)
def test_colours_of_series_are_told_apart_by(who: str, name: str) -> None:
    colours = theme(name)
    seen = [lab(np.array(SEEN_BY[who]) @ linear(colours[f"c{n}"])) for n in range(6)]
    for one, other in itertools.combinations(range(6), 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 15, f"c{one} and c{other}"


def test_the_page_uses_no_style_that_is_not_there() -> None:
    used = {name for node in PAGE for name in node.attributes.get("class", "").split()}
    styled = set(re.findall(r"\.([a-z][\w-]*)", CSS.read_text(encoding="utf-8")))
    assert used - styled == {"name", "found", "gallery"}  # which look as they do by default
