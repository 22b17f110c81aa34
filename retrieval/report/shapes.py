"""How the series of a chart are told apart: by shape and stroke, and by colour beside that."""

from __future__ import annotations

from retrieval.report.markup import Child, Element, element, svg_box
from retrieval.report.model import MAX_SERIES, BarChart, Chart, LineChart
from retrieval.report.wording import number

DASHES = ("none", "7 3", "2 3", "9 3 2 3", "5 2", "1.5 2.5")
BOUND_DASHES = ("none", "1 2.5", "6 2 1 2", "3 3")
REFERENCE_DASHES = ("4 4", "1 3", "8 4 1 4", "2 2")
MARKERS = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0Z",  # circle
    "M-3.2,-3.2h6.4v6.4h-6.4Z",  # square
    "M0,-4.2L4,3H-4Z",  # triangle
    "M0,-4.5L4.5,0L0,4.5L-4.5,0Z",  # diamond
    "M0,4.2L4,-3H-4Z",  # triangle on its tip
    "M-3.2,-3.2L3.2,3.2M-3.2,3.2L3.2,-3.2",  # cross
)
FILLS = ("solid", "hollow", "pale")
assert len(DASHES) == len(MARKERS) == MAX_SERIES


def shade(n: int) -> str:
    """Return the class that gives the n-th series its colour (`page.css`)."""
    return f"c{n}"


def marker(n: int, x: float, y: float, *children: Child) -> Element:
    """Return the n-th series' mark."""
    place = f"translate({x:.2f},{y:.2f})"
    return element("path", {"class": "mark", "d": MARKERS[n], "transform": place}, *children)


def bar_class(n: int) -> str:
    """Return the classes of the n-th series' bars: colour and filling."""
    return f"{shade(n)} {FILLS[n % len(FILLS)]}"


def legend(chart: Chart) -> Element | None:
    """Return what each mark means; None where there is one series and nothing beside it."""
    samples = _line_samples(chart) if isinstance(chart, LineChart) else _bar_samples(chart)
    samples += [
        _sample(_level(n), f"{one.name} {number(one.value)}")
        for n, one in enumerate(chart.references)
    ]
    return element("ul", {"class": "legend"}, *samples) if len(samples) > 1 else None


def reference_dash(n: int) -> str:
    """Return the stroke of the n-th reference."""
    return REFERENCE_DASHES[n % len(REFERENCE_DASHES)]


def bound_dash(n: int) -> str:
    """Return the stroke of the n-th series that is a reference."""
    return BOUND_DASHES[n % len(BOUND_DASHES)]


def _line_samples(chart: LineChart) -> list[Element]:
    counts = {"measured": 0, "reference": 0}
    samples = []
    for one in chart.series:
        n = counts[one.role]
        drawn = _bound(n) if one.role == "reference" else _curve(n)
        samples.append(_sample(drawn, one.name))
        counts[one.role] += 1
    return samples


def _curve(n: int) -> list[Element]:
    line = _stroke("curve", DASHES[n])
    return [element("g", {"class": shade(n)}, line, marker(n, 16, 7))]


def _bound(n: int) -> list[Element]:
    return [_stroke("bound", bound_dash(n))]


def _bar_samples(chart: BarChart) -> list[Element]:
    return [
        _sample([svg_box(f"bar {bar_class(n)}", 3, 2, 26, 10)], one.name)
        for n, one in enumerate(chart.series)
    ]


def _level(n: int) -> list[Element]:
    return [_stroke("level", reference_dash(n))]


def _stroke(kind: str, dash: str) -> Element:
    return element("path", {"class": kind, "d": "M2,7H30", "stroke-dasharray": dash})


def _sample(drawn: list[Element], name: str) -> Element:
    sample = element(
        "svg",
        {"viewBox": "0 0 32 14", "width": "32", "height": "14", "aria-hidden": "true"},
        *drawn,
    )
    return element("li", None, sample, " " + name)
