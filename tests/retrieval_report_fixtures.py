"""A report that uses every part, and a reader of HTML that refuses what does not nest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np

from encoder.intervals import NOTHING, Figure
from retrieval.report import (
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
    thumbnail,
)

HALF = Figure(0.5, 0.25, 0.75, 40)
FEW = Figure(0.125, 0.0, 0.5, 8, 2)
EVIL = "<script>alert('1')</script>|\x1b[31m\n*\udce9.wav"
SEEN = "<script>alert('1')</script>|\\x1b[31m\\n*\\udce9.wav"
"""EVIL as a person sees it."""
VOID = {"meta", "img"}


def picture(caption: str = "0.734 bell", *, right: bool | None = None) -> Picture:
    pixels = np.full((8, 12, 3), 120, np.uint8)
    return Picture(
        caption=caption, alt=f"{caption}, seen", thumbnail=thumbnail(pixels), right=right
    )


def lines(name: str = "sound to picture") -> LineChart:
    return LineChart(
        title="Success at k",
        x_label="k",
        y_label="success",
        series=(
            Series(name=name, x=(10, 15, 20), y=(HALF, None, FEW)),
            Series(name="bound", x=(10, 20), y=(0.9, 0.9), role="reference"),
        ),
        y_range=(0, 1),
        references=(Reference(name="chance", value=0.375),),
        note="per neighbour",
    )


def bars(name: str = "bell") -> BarChart:
    return BarChart(
        title="mAP by class",
        name_label="class",
        value_label="mAP",
        names=(name, "dog"),
        series=(BarSeries(name="a", values=(HALF, FEW)), BarSeries(name="b", values=(-0.25, None))),
        references=(Reference(name="chance", value=0.0625),),
    )


def full_report(word: str = "bell") -> Report:
    """Return a report with every part; `word` stands wherever a text comes from outside."""
    row = PictureRow(
        title=f"{word}: query",
        asked=(picture(word),),
        found=(picture(right=True), picture(f"0.5 {word}", right=False)),
        note=word,
    )
    table = Table(
        title=f"{word}: table",
        columns=("reason", f"{word}: column", "share"),
        rows=((word, 12, HALF), ("others", True, 0.25)),
        note=word,
    )
    retrieval = Section(
        title=f"{word}: retrieval",
        text=(word,),
        warnings=(f"{word}: leaks",),
        tables=(table,),
        charts=(lines(word), bars(word)),
        galleries=(Gallery(title=f"{word}: worst", rows=(row,), note=word),),
    )
    return Report(
        title=f"Evaluation of {word}",
        facts=(("index", word), (f"{word}: fact", "0")),
        warnings=(word,),
        key_figures=(
            KeyFigure(name=f"{word}: mAP", figure=HALF, chance=0.0625, limits=(0, 1), note=word),
            KeyFigure(name="none", figure=NOTHING, limits=(0, 1)),
        ),
        sections=(retrieval, Section(title="Localization", charts=(empty_chart(),))),
        figures={"leak_free": {word: (HALF, float("nan"), None, "yes", 3)}},
    )


def empty_chart() -> LineChart:
    nothing = Series(name="empty", x=(), y=())
    return LineChart(title="Nothing", x_label="k", y_label="success", series=(nothing,))


@dataclass
class Node:
    """An element as a browser reads it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child

    def all(self, tag: str) -> list[Node]:
        return [node for node in self if node.tag == tag]

    def classed(self, name: str) -> list[Node]:
        return [node for node in self if name in node.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("root")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(page: str) -> Node:
    """Parse a page; an end tag that closes another element is an error."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert [node.tag for node in reader.open] == ["root"], "an element is never closed"
    return reader.open[0]
