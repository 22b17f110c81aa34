"""Elements of HTML and SVG, escaped by construction: text can only become text."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from retrieval.report.wording import readable

Element = ElementTree.Element
Child = Element | str
Attributes = Mapping[str, str | float]

INLINE = frozenset({"a", "span", "strong"})
"""Elements within a line. All others end theirs where no text stands around them: files compare."""


def element(tag: str, attributes: Attributes | None = None, *children: Child | None) -> Element:
    """Return an element around its children; None among them is left out.

    Numbers among the attributes are coordinates, in pixels to a hundredth.
    """
    made = Element(tag, {name: _attribute(value) for name, value in (attributes or {}).items()})
    for child in children:
        if isinstance(child, str):
            _add_text(made, readable(child))
        elif child is not None:
            made.append(child)
    _end_lines(made)
    return made


def style(css: str) -> Element:
    """Return a style sheet of our own, the one text that is not escaped."""
    made = Element("style")
    made.text = css
    return made


def hidden(text: str) -> Element:
    """Return text for screen readers alone."""
    return element("span", {"class": "hidden"}, text)


def svg_text(kind: str, x: float, y: float, text: str, *, anchor: str = "start") -> Element:
    """Return letters whose baseline stands at y, in the style that `page.css` gives their kind."""
    return element("text", {"class": kind, "x": x, "y": y, "text-anchor": anchor}, text)


def svg_line(
    kind: str, start: tuple[float, float], end: tuple[float, float], *, dash: str = ""
) -> Element:
    """Return a straight line between two places (x, y)."""
    (x1, y1), (x2, y2) = start, end
    stroke = {"stroke-dasharray": dash} if dash else {}
    return element("line", {"class": kind, "x1": x1, "y1": y1, "x2": x2, "y2": y2, **stroke})


def svg_box(kind: str, x: float, y: float, width: float, height: float) -> Element:
    """Return a rectangle from its upper left corner."""
    return element("rect", {"class": kind, "x": x, "y": y, "width": width, "height": height})


def as_html(root: Element) -> str:
    """Return a whole document."""
    return "<!doctype html>\n" + ElementTree.tostring(root, encoding="unicode", method="html")


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return readable(value)
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _add_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _end_lines(parent: Element) -> None:
    if parent.text or any(child.tail for child in parent):
        return
    for child in parent:
        if child.tag not in INLINE:
            parent.text = child.tail = "\n"
