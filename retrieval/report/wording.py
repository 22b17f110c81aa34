"""How numbers and names are written, the same on the page and in the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from encoder.intervals import Figure
from retrieval.report.model import Cell, Value

NO_VALUE = "–"
THIN_SPACE, MINUS = "\u202f", "\u2212"


def readable(text: str) -> str:
    """Return text with whatever is not seen escaped: a file name must not steer a page.

    Examples
    --------
    >>> readable("a\\x1b[31m\\n\\udce9.wav")
    'a\\\\x1b[31m\\\\n\\\\udce9.wav'
    """
    return "".join(
        letter
        if letter.isprintable() or unicodedata.category(letter) == "Zs"
        else letter.encode("unicode_escape").decode("ascii")
        for letter in unicodedata.normalize("NFC", text)
    )


def number(value: int | float) -> str:
    """Return a number: whole ones as they are, others to three decimals or four digits.

    Examples
    --------
    >>> number(0.5), number(61.25), number(0.00021), number(12345), number(-2)
    ('0.500', '61.25', '0.00021', '12\\u202f345', '\\u22122')
    """
    size = abs(value)
    if isinstance(value, int):
        text = grouped(size, decimals=0)
    elif 0 < size < 0.001 or size >= 1e15:
        text = f"{size:.2g}"
    else:
        text = grouped(size, decimals=_decimals(size))
    return MINUS + text if value < 0 else text


def grouped(size: int | float, *, decimals: int) -> str:
    """Return a number of 0 or more with its thousands apart, from five digits on."""
    text = f"{size:,.{decimals}f}"
    return text.replace(",", THIN_SPACE if size >= 10_000 else "")


def middle(value: Value) -> str:
    """Return the number itself, without its interval; a dash where there is none.

    Examples
    --------
    >>> middle(Figure(0.5, 0.15, 0.85, 4)), middle(Figure(float("nan"), 0, 0, 0)), middle(None)
    ('0.500', '–', '–')
    """
    mean = mean_of(value)
    return NO_VALUE if mean is None else number(mean)


def interval(value: Cell) -> str:
    """Return the 95 % interval; empty where there is none.

    Examples
    --------
    >>> interval(Figure(0.5, 0.15, 0.85, 4)), interval(0.5)
    ('[0.150, 0.850]', '')
    """
    bounds = bounds_of(value)
    return "" if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def cases(value: Cell) -> str:
    """Return n, and how many cases were left out as undefined; empty for a plain number.

    Examples
    --------
    >>> cases(Figure(0.5, 0.15, 0.85, 4)), cases(Figure(0.5, 0.15, 0.85, 4, 2)), cases(0.5)
    ('4', '4 (2 undefined)', '')
    """
    if not isinstance(value, Figure):
        return ""
    left_out = f" ({number(value.n_undefined)} undefined)" if value.n_undefined else ""
    return number(value.n) + left_out


def in_full(value: Value) -> str:
    """Return the number with its interval and n, as a sentence takes it.

    Examples
    --------
    >>> in_full(Figure(0.5, 0.15, 0.85, 4)), in_full(0.5)
    ('0.500 [0.150, 0.850], n = 4', '0.500')
    """
    n = f", n = {cases(value)}" if isinstance(value, Figure) else ""
    return f"{middle(value)} {interval(value)}".rstrip() + n


def mean_of(value: Value) -> int | float | None:
    """Return the number itself, None where a Figure is over no case."""
    if isinstance(value, Figure):
        return None if value.mean != value.mean else value.mean
    return value


def bounds_of(value: Cell) -> tuple[float, float] | None:
    """Return a Figure's interval, None where it has none."""
    if not isinstance(value, Figure):
        return None
    if value.mean != value.mean or value.low != value.low or value.high != value.high:
        return None
    return value.low, value.high


def extent(values: Iterable[Value]) -> list[float]:
    """Return every number and every bound of an interval: what an axis must reach."""
    reached: list[float] = []
    for value in values:
        mean = mean_of(value)
        reached += [*(bounds_of(value) or ()), *(() if mean is None else (float(mean),))]
    return reached


def _decimals(size: float) -> int:
    return next((d for d, under in ((3, 10), (2, 100), (1, 1000)) if size < under), 0)
