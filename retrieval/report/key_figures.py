"""The few numbers that the page opens with: large, with their interval and chance on a strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.report.markup import Element, element
from retrieval.report.model import KeyFigure
from retrieval.report.wording import bounds_of, cases, interval, mean_of, middle, number

WIDTH_PX, HEIGHT_PX, INSET_PX = 160, 16, 4


def key_figures(figures: Sequence[KeyFigure]) -> Element | None:
    """Return them side by side; None where there are none."""
    if not figures:
        return None
    return element("dl", {"class": "key-figures"}, *map(_tile, figures))


def _tile(one: KeyFigure) -> Element:
    return element(
        "div",
        None,
        element("dt", None, one.name),
        element(
            "dd",
            None,
            element("span", {"class": "large"}, middle(one.figure)),
            " ",
            element("span", {"class": "interval"}, interval(one.figure)),
            _strip(one),
            *(element("span", {"class": "note"}, text) for text in _remarks(one)),
        ),
    )


def _remarks(one: KeyFigure) -> Iterator[str]:
    parts = []
    if one.chance is not None:
        parts.append(f"chance {number(one.chance)}")
    if n := cases(one.figure):
        parts.append(f"n\u00a0=\u00a0{n}")
    if parts:
        yield ", ".join(parts)
    if one.note:
        yield one.note


def _strip(one: KeyFigure) -> Element | None:
    """Draw how far along its limits a figure is; its text says the same, so it is decoration."""
    mean = mean_of(one.figure)
    if one.limits is None or mean is None:
        return None
    low, high = bounds_of(one.figure) or (mean, mean)
    y = HEIGHT_PX / 2
    ends = {"x1": INSET_PX, "x2": WIDTH_PX - INSET_PX, "y1": y, "y2": y}
    spread = {"x1": _px(one, low), "x2": _px(one, high), "y1": y, "y2": y}
    return element(
        "svg",
        {"class": "strip", "viewBox": f"0 0 {WIDTH_PX} {HEIGHT_PX}", "aria-hidden": "true"},
        element("line", {"class": "track", **ends}),
        element("line", {"class": "spread", **spread}),
        element("circle", {"class": "dot", "cx": _px(one, mean), "cy": y, "r": 4}),
        None if one.chance is None else _chance(_px(one, one.chance)),
    )


def _px(one: KeyFigure, value: float) -> float:
    assert one.limits is not None, "a strip is drawn between limits"
    low, high = one.limits
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return INSET_PX + share * (WIDTH_PX - 2 * INSET_PX)


def _chance(x: float) -> Element:
    return element("line", {"class": "chance", "x1": x, "x2": x, "y1": 2, "y2": HEIGHT_PX - 2})
