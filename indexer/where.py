"""`where` texts to SQL: `label = 'dog' and (t0 < 30 or not split in ('train', 'val'))`.

    or      := and ('or' and)*
    and     := not ('and' not)*
    not     := 'not' not | '(' or ')' | test
    test    := name ('=' | '!=' | '<' | '<=' | '>' | '>=') literal
             | name ['not'] 'like' string | name ['not'] 'in' '(' literal (',' literal)* ')'

A name is a column (id, label, image, audio, path, kind, t0, t1) or else a key of the metadata,
quoted as "any name", or written `metadata.name` where a column is in the way. Literals are 'text'
(a quote is doubled) or numbers, and reach SQL as bound parameters only. An item that lacks a value
fails every test but `!=` and `not`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)

from indexer.catalogue import items, labels, sources
from indexer.database.expressions import Alike, MetadataText, WrittenNumber
from indexer.errors import FilterError
from indexer.paths import shown

Condition = ColumnElement[bool]
METADATA = "metadata."
MAX_DEPTH = 50
"""Parentheses and `not`s inside each other: more than people write, less than the stack holds."""
MAX_TOKENS = 1500
"""Words, signs and literals: SQLite refuses a condition of a thousand tests."""

TOKENS = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"[^"\\\x00-\x1f]+")
      | (?P<name>[^\W\d][\w.\-]*)
      | (?P<sign><=|>=|!=|=|<|>|\(|\)|,)""",
    re.VERBOSE,
)
ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
WORDS = {"and", "or", "not", "in", "like"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Condition:
    """Turn a `where` text into a condition on `catalogue.items`.

    Raises
    ------
    FilterError : it does not parse; the position is named.
    """
    return _Parser(text).whole()


def _path_of(column: Any) -> ColumnElement[Any]:
    return select(sources.c.shown).where(sources.c.id == column).scalar_subquery()


NUMBERS: dict[str, ColumnElement[Any]] = {"id": items.c.id, "t0": items.c.t0, "t1": items.c.t1}
TEXTS: dict[str, ColumnElement[Any]] = {
    "kind": items.c.kind,
    "label": select(func.min(labels.c.name)).where(labels.c.item == items.c.id).scalar_subquery(),
    "image": _path_of(items.c.frame_source),
    "audio": _path_of(items.c.sound_source),
    "path": _path_of(func.coalesce(items.c.frame_source, items.c.sound_source)),
}


class _Parser:
    """Recursive descent over the grammar at the top of this file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.place = 0
        self.depth = 0

    def whole(self) -> Condition:
        condition = self.any_of()
        if self.next.kind != "end":
            raise self.error("expected `and`, `or` or the end")
        return condition

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def takes(self, word: str) -> bool:
        found = self.next.kind in ("sign", "word") and self.next.text == word
        self.place += found
        return found

    def error(self, reason: str, token: _Token | None = None) -> FilterError:
        return FilterError(self.text, (token or self.next).position, reason)

    def any_of(self) -> Condition:
        parts = [self.all_of()]
        while self.takes("or"):
            parts.append(self.all_of())
        return or_(*parts) if len(parts) > 1 else parts[0]

    def all_of(self) -> Condition:
        parts = [self.negated()]
        while self.takes("and"):
            parts.append(self.negated())
        return and_(*parts) if len(parts) > 1 else parts[0]

    def negated(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"more than {MAX_DEPTH} levels of parentheses or `not`")
        if self.takes("not"):
            condition = not_(self.negated())
        elif self.takes("("):
            condition = self.any_of()
            if not self.takes(")"):
                raise self.error("expected `)`")
        else:
            condition = self.test()
        self.depth -= 1
        return condition

    def test(self) -> Condition:
        name = self.take()
        if name.kind not in ("name", "quoted"):
            raise self.error("expected a column or a metadata key", name)
        if self.takes("not"):
            return not_(self.membership(name))
        if self.next.text in ("in", "like") and self.next.kind == "word":
            return self.membership(name)
        return self.comparison(name)

    def membership(self, name: _Token) -> Condition:
        if self.takes("like"):
            return self.like(name)
        if not self.takes("in"):
            raise self.error("expected `in` or `like`")
        if not self.takes("("):
            raise self.error("expected `(`")
        tests = [self.equals(name)]
        while self.takes(","):
            tests.append(self.equals(name))
        if not self.takes(")"):
            raise self.error("expected `,` or `)`")
        return or_(*tests)

    def comparison(self, name: _Token) -> Condition:
        sign = self.take()
        if sign.text == "=" and sign.kind == "sign":
            return self.equals(name)
        if sign.text == "!=" and sign.kind == "sign":
            return not_(self.equals(name))
        if sign.text not in ORDERED or sign.kind != "sign":
            raise self.error("expected one of = != < <= > >= like in", sign)
        value, column = self.operands(name)
        return func.coalesce(ORDERED[sign.text](column, value), false())

    def equals(self, name: _Token) -> Condition:
        value, column = self.operands(name)
        return func.coalesce(column == value, false())

    def like(self, name: _Token) -> Condition:
        pattern = self.take()
        if pattern.kind != "text":
            raise self.error("expected 'text' after like", pattern)
        if name.kind == "name" and name.text in NUMBERS:
            raise self.error(f"{name.text} is compared with a number", pattern)
        found = Alike(_column(name, numeric=False), literal(_unquoted(pattern)))
        return func.coalesce(found, false())

    def operands(self, name: _Token) -> tuple[Any, ColumnElement[Any]]:
        token = self.take()
        if token.kind not in ("text", "number"):
            raise self.error("expected 'text' or a number", token)
        numeric = token.kind == "number"
        if name.kind == "name" and name.text in NUMBERS and not numeric:
            raise self.error(f"{name.text} is compared with a number", token)
        if numeric and name.kind == "name" and name.text in TEXTS:
            return literal(token.text), _column(name, numeric=False)
        value = float(token.text) if numeric else _unquoted(token)
        return literal(value), _column(name, numeric=numeric)


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text):
        found = TOKENS.match(text, position)
        if not found:
            reason = (
                "a quote that never ends" if text[position] in "'\"" else "unexpected character"
            )
            raise FilterError(text, position, reason)
        kind, word = str(found.lastgroup), found.group()
        if kind == "name" and word.lower() in WORDS:
            kind, word = "word", word.lower()
        if kind != "space":
            tokens.append(_Token(kind, word, position))
        if len(tokens) > MAX_TOKENS:
            raise FilterError(text, position, f"more than {MAX_TOKENS} words and signs")
        position = found.end()
    return [*tokens, _Token("end", "", len(text))]


def _unquoted(token: _Token) -> str:
    return shown(token.text[1:-1].replace("''", "'")).encode("utf-8", "replace").decode()


def _column(name: _Token, *, numeric: bool) -> ColumnElement[Any]:
    """Return a column, or a key of the metadata read as a number or as text."""
    text = name.text if name.kind == "name" else name.text[1:-1]
    if name.kind == "name" and text in NUMBERS | TEXTS:
        return (NUMBERS | TEXTS)[text]
    if name.kind == "name":
        text = text.removeprefix(METADATA)
    value = MetadataText(items.c.metadata, literal(text))
    return WrittenNumber(value) if numeric else value
