"""How bright a picture is, how far its colours reach, and how much a video moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.media.spans import MOTION_PX, MovingFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 0.98
"""Part of the pixels that speaks for a picture: FFmpeg's `blackdetect` asks for as many."""
CELLS = 16
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one picture looks like.

    Attributes
    ----------
    brightness : the grey level, 0 to 255, that `MOST` of its pixels do not exceed.
    reach : levels between the 1st and the 99th percentile, in the channel where that is most:
        `MOST` of its pixels lie so near together.
    """

    width_px: int
    height_px: int
    brightness: float
    reach: int


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What a video shows, looked at every so often.

    Attributes
    ----------
    times_s : (n,) ascending, n ≥ 1.
    looks : (n,) what it shows then.
    changes : (n,) how far grey levels, 0 to 255, are from the look before, on average over that
        cell of 16 × 16 of the picture where it is most; the first is 0.
    """

    times_s: NDArray[np.float64]
    looks: tuple[Look, ...]
    changes: NDArray[np.float64]

    @classmethod
    def still(cls, look: Look) -> Motion:
        """Return the motion of a picture that does not move."""
        return cls(times_s=np.zeros(1), looks=(look,), changes=np.zeros(1))

    def change_between(self, t0_s: float, t1_s: float | None) -> float | None:
        """Return what three quarters of the changes in a span do not exceed; None without any.

        Not the greatest: the pictures of a still clip jump where its codec begins anew.
        """
        inside = self.times_s >= t0_s - 1e-6
        if t1_s is not None:
            inside &= self.times_s <= t1_s + 1e-6
        changes = self.changes[np.flatnonzero(inside)[1:]]
        return float(np.quantile(changes, 0.75)) if len(changes) else None

    def at(self, time_s: float) -> Look:
        """Return the look at a time that was asked for."""
        return self.looks[int(np.abs(self.times_s - time_s).argmin())]


def look_of(pixels: NDArray[np.uint8]) -> Look:
    """Look at a picture (H, W, 3) uint8 RGB."""
    height, width = pixels.shape[:2]
    low, high = zip(*(_percentiles(pixels[..., channel]) for channel in range(3)), strict=True)
    grey = pixels.reshape(-1, 3) @ np.array(LUMA, np.float32)
    return Look(
        width_px=width,
        height_px=height,
        brightness=float(np.quantile(grey, MOST)),
        reach=max(b - a for a, b in zip(low, high, strict=True)),
    )


def motion_of(frames: Iterable[MovingFrame]) -> Motion:
    """Look at the frames of a video, at least one; one frame is held at a time."""
    times_s, looks, changes = [], [], []
    before: NDArray[np.int16] | None = None
    for frame in frames:
        small = frame.small.astype(np.int16)
        times_s.append(frame.time_s)
        looks.append(look_of(frame.pixels))
        changes.append(0.0 if before is None else _change(before, small))
        before = small
    return Motion(times_s=np.array(times_s), looks=tuple(looks), changes=np.array(changes))


def _change(before: NDArray[np.int16], now: NDArray[np.int16]) -> float:
    side = MOTION_PX // CELLS
    cells = np.abs(now - before).reshape(CELLS, side, CELLS, side)
    return float(cells.mean(axis=(1, 3)).max())


def _percentiles(levels: NDArray[np.uint8]) -> tuple[int, int]:
    """Levels below and above which lie no more than 1 % of the pixels each."""
    reached = np.cumsum(np.bincount(levels.reshape(-1), minlength=256))
    tail = (1 - MOST) / 2 * levels.size
    return int(np.searchsorted(reached, tail, "right")), int(
        np.searchsorted(reached, levels.size - tail)
    )
