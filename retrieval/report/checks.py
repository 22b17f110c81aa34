"""What every part of a report must fulfil when it is made, and the error for what does not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import pairwise
from typing import NoReturn

from encoder.intervals import Figure


class ReportError(ValueError):
    """A report was put together wrongly: a defect of the program, never of what it measured."""


def refuse(message: str) -> NoReturn:
    """Raise ReportError."""
    raise ReportError(message)


def check_title(part: str, text: str) -> None:
    """Refuse a part without a name."""
    if not text.strip():
        refuse(f"a {part} has no name")


def check_unique(what: str, names: Iterable[str]) -> None:
    """Refuse a name that stands twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            refuse(f"{what}: {name!r} stands twice")
        seen.add(name)


def check_same_length(what: str, first: Sized, second: Sized) -> None:
    """Refuse two sequences of different lengths."""
    if len(first) != len(second):
        refuse(f"{what} differ in length: {len(first)} and {len(second)}")


def check_rising(what: str, values: Sequence[float]) -> None:
    """Refuse numbers that are not finite, or do not rise from each to the next."""
    check_numbers(what, values)
    if any(after <= before for before, after in pairwise(values)):
        refuse(f"{what} does not rise")


def check_range(what: str, limits: tuple[float, float]) -> None:
    """Refuse a range that is empty or not finite."""
    check_numbers(f"{what}: range", limits)
    if not limits[0] < limits[1]:
        refuse(f"{what}: the range {limits} is empty")


def check_numbers(what: str, values: Iterable[object]) -> None:
    """Refuse what is no finite number."""
    for value in values:
        if not _is_number(value):
            refuse(f"{what}: {_shown(value)} is no finite int or float")


def check_values(what: str, values: Iterable[object]) -> None:
    """Refuse what is no value of a report: see `model` for which those are."""
    for value in values:
        if value is not None and not (_is_number(value) or _is_figure(value)):
            refuse(f"{what}: {_shown(value)} is no finite int or float, Figure or None")


def check_cells(what: str, cells: Iterable[object]) -> None:
    """Refuse a table's cell that is neither text nor yes or no nor a number."""
    check_values(what, (cell for cell in cells if not isinstance(cell, str | bool)))


def check_figures(where: str, value: object) -> None:
    """Refuse what cannot be written as JSON; NaN and infinities may stand, and become null."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                refuse(f"{where}: the name {_shown(name)} is no text")
            check_figures(f"{where}.{name}", inner)
    elif isinstance(value, list | tuple):
        for n, inner in enumerate(value):
            check_figures(f"{where}[{n}]", inner)
    elif value is not None and not isinstance(value, str | bool | int | float | Figure):
        refuse(f"{where}: {_shown(value)} cannot be written as JSON")


def _is_number(value: object) -> bool:
    # numpy's own scalars other than float64 are refused: JSON would not take them either.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_figure(value: object) -> bool:
    if not isinstance(value, Figure):
        return False
    parts = (value.mean, value.low, value.high)
    if not all(isinstance(part, int | float) for part in parts) or not isinstance(value.n, int):
        return False
    if math.isnan(value.mean):
        return value.n == 0
    return not any(map(math.isinf, parts))


def _shown(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"
