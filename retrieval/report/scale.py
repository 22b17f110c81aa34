"""From values to pixels: an axis with ticks at 1, 2 or 5 times a power of ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from retrieval.report.wording import MINUS, grouped

MIN_TICK_GAP = 0.08
"""Share of an axis that two labels need between them."""
TINY = 1e-100
"""Below it a difference is none: steps of it would fall out of the floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Values from `low` to `high` along pixels from `start_px` to `end_px`, either way round."""

    low: float
    high: float
    ticks: tuple[float, ...]
    start_px: float
    end_px: float

    def px(self, value: float) -> float:
        """Return where a value stands."""
        share = (value - self.low) / (self.high - self.low)
        return self.start_px + share * (self.end_px - self.start_px)

    def labels(self) -> tuple[str, ...]:
        """Return the ticks as text, all with the decimals that the finest of them needs."""
        if all(tick == 0 or 1e-6 <= abs(tick) < 1e7 for tick in self.ticks):
            decimals = max(map(_decimals, self.ticks), default=0)
            sizes = [grouped(abs(tick), decimals=decimals) for tick in self.ticks]
        else:
            sizes = [f"{abs(tick):#.{_digits(self.ticks)}g}" for tick in self.ticks]
        return tuple(_signed(*pair) for pair in zip(self.ticks, sizes, strict=True))


def round_axis(values: Sequence[float], *, start_px: float, end_px: float, n_ticks: int) -> Axis:
    """Return an axis that ends on ticks around the values, about `n_ticks` of them."""
    low, high = _spread(values)
    step = _step((high - low) / n_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(_tick(n, step) for n in range(first, last + 1))
    return Axis(low=ticks[0], high=ticks[-1], ticks=ticks, start_px=start_px, end_px=end_px)


def exact_axis(values: Sequence[float], *, start_px: float, end_px: float, n_ticks: int) -> Axis:
    """Return an axis from the least to the greatest value; few whole values are its ticks."""
    low, high = _spread(values)
    distinct = tuple(sorted(set(values)))
    if not _can_be_ticks(distinct):
        step = _step((high - low) / n_ticks)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        distinct = tuple(_tick(n, step) for n in range(first, last + 1))
    return Axis(low=low, high=high, ticks=distinct, start_px=start_px, end_px=end_px)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis, apart even where the values are none, one, or all the same."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), TINY):
        half = 0.5 * abs(low) if abs(low) > TINY else 0.5
        return low - half, high + half
    return low, high


def _step(raw: float) -> float:
    """Return the least of 1, 2, 5, 10 times a power of ten that is no less than `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(
        factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= raw * (1 - 1e-9)
    )


def _tick(n: int, step: float) -> float:
    # 3 × 0.1 is not 0.3: the label and the comparison of two reports both want the decimal.
    return float(f"{n * step:.12g}")


def _can_be_ticks(values: tuple[float, ...]) -> bool:
    if not values or any(value != int(value) for value in values):
        return False
    gaps = [after - before for before, after in pairwise(values)]
    return all(gap >= MIN_TICK_GAP * (values[-1] - values[0]) for gap in gaps)


def _decimals(tick: float) -> int:
    _, _, fraction = f"{abs(tick):.12f}".rstrip("0").partition(".")
    return len(fraction)


def _digits(ticks: tuple[float, ...]) -> int:
    """Return the digits at which no two ticks read the same."""
    return next(n for n in range(2, 18) if len({f"{tick:.{n}g}" for tick in ticks}) == len(ticks))


def _signed(tick: float, size: str) -> str:
    return MINUS + size if tick < 0 else size
