"""The report as Markdown, read back by a parser of Markdown."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from retrieval_report_fixtures import EVIL, SEEN, full_report

from retrieval.report import Report, Section, Table, render_markdown
from retrieval.report.markdown import escaped
from retrieval.report.wording import readable

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
SIGNS = st.text(st.sampled_from("*_`~<>[]()!|#&;+-=$\\\"' 1.)ab\n"), max_size=12)


def inline_tokens(text: str) -> list[Token]:
    tokens = [token for token in PARSER.parse(text) if token.type == "inline"]
    return [child for token in tokens for child in token.children or ()]


def kinds(text: str) -> list[str]:
    return [token.type for token in PARSER.parse(text)]


def cells(text: str) -> list[str]:
    """Return the contents of all cells, row by row."""
    tokens = PARSER.parse(text)
    return [
        "".join(child.content for child in after.children or ())
        for before, after in pairwise(tokens)
        if before.type in ("th_open", "td_open")
    ]


@given(WORDS | SIGNS)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    expected = readable(text).strip()
    assert "".join(one.content for one in inline_tokens(escaped(text))) == expected
    assert kinds(escaped(text)) in ([], ["paragraph_open", "inline", "paragraph_close"])


@given(WORDS | SIGNS, WORDS | SIGNS)
def test_any_text_fits_into_a_cell(first: str, second: str) -> None:
    table = Table(title="t", columns=("a", "b"), rows=((first, second),))
    report = Report(title="r", sections=(Section(title="s", tables=(table,)),))
    expected = ["a", "b", readable(first).strip(), readable(second).strip()]
    assert cells(render_markdown(report)) == expected


def test_the_whole_report() -> None:
    assert render_markdown(full_report()).splitlines() == EXPECTED.splitlines()


def test_a_hostile_name_changes_nothing_but_the_text() -> None:
    plain, evil = render_markdown(full_report()), render_markdown(full_report(EVIL))
    assert kinds(evil) == kinds(plain)
    assert [one.type for one in inline_tokens(evil) if "text" not in one.type] == [
        one.type for one in inline_tokens(plain) if "text" not in one.type
    ]
    assert SEEN in cells(evil)


EXPECTED = """\
# Evaluation of bell

> **Warning:** bell

> **Warning** (bell: retrieval): bell: leaks

- **bell: mAP:** 0.500 [0.250, 0.750], n = 40; chance 0.062; bell
- **none:** –, n = 0

| what | value |
| --- | --- |
| index | bell |
| bell: fact | 0 |

## bell: retrieval

bell

> **Warning:** bell: leaks

### bell: table

| reason | bell: column | share | n |
| --- | --- | ---: | ---: |
| bell | 12 | 0.500 [0.250, 0.750] | 40 |
| others | yes | 0.250 |  |

bell

### Success at k

| k | bell | bound | n |
| ---: | ---: | ---: | ---: |
| 10 | 0.500 [0.250, 0.750] | 0.900 | 40 |
| 15 | – | – |  |
| 20 | 0.125 [0.000, 0.500] | 0.900 | 8 (2 undefined) |

- chance: 0.375

per neighbour

### mAP by class

| class | a | b | n |
| --- | ---: | ---: | ---: |
| bell | 0.500 [0.250, 0.750] | −0.250 | 40 |
| dog | 0.125 [0.000, 0.500] | – | 8 (2 undefined) |

- chance: 0.062

### bell: worst

bell

- **bell: query** (bell)
  - asked: bell
  1. right: 0.734 bell
  2. wrong: 0.5 bell

## Localization

### Nothing

| k | empty |
| --- | --- |
"""
