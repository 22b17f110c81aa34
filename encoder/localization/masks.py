"""From a map to the region that it claims: resizing, and the three thresholds (definitions §4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoder.localization.errors import MapError, ShapeError, ThresholdError

Maps = NDArray[np.floating]
Masks = NDArray[np.bool_]
SIZE_PX = (224, 224)
"""Height and width at which maps and boxes meet, as in the published evaluators."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """How a map becomes a region.

    * `median`: what is strictly more than the value at the middle rank, at most half the area (what
      the published numbers use).
    * `fixed`: what is strictly more than `value` on the map spread over [0, 1] (what the papers'
      text says).
    * `adaptive`: as many pixels as the ground truth has, exactly; where equal values compete for
      the last places, those that the ground truth wants least go first (pessimistic), then row by
      row.
    """

    kind: Literal["median", "fixed", "adaptive"]
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "fixed" and not 0 <= self.value < 1:
            raise ThresholdError(f"threshold fixed:{self.value}: give a value in [0, 1)")

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read `median`, `adaptive` or `fixed:0.5`. Raises ThresholdError.

        Examples
        --------
        >>> str(Threshold.parse("fixed:0.5")), Threshold.parse("median") == MEDIAN
        ('fixed:0.5', True)
        """
        name, _, value = text.partition(":")
        if text in ("median", "adaptive"):
            return cls("median" if text == "median" else "adaptive")
        try:
            if name == "fixed":
                return cls("fixed", float(value))
        except ValueError:
            pass
        raise ThresholdError(f"threshold {text!r}: give median, adaptive or fixed:0.5")

    def __str__(self) -> str:
        return f"fixed:{self.value:g}" if self.kind == "fixed" else self.kind


ADAPTIVE, MEDIAN, HALF = Threshold("adaptive"), Threshold("median"), Threshold("fixed", 0.5)


def resize_maps(maps: Maps, size_px: tuple[int, int] = SIZE_PX) -> NDArray[np.float32]:
    """Resize maps (N, H', W') bilinearly to (N, height, width), as Pillow and OpenCV do.

    Cells are areas, not points: the outermost half cell keeps its value. All maps at once, by one
    matrix per side. Raises what `check_maps` does.
    """
    check_maps(maps)
    down, across = (
        _interpolation(n, size) for n, size in zip(maps.shape[1:], size_px, strict=True)
    )
    resized: NDArray[np.float32] = down @ maps.astype(np.float32) @ across.T
    return resized


def check_maps(maps: Maps) -> None:
    """Refuse what is no set of maps (N, H', W').

    Raises
    ------
    MapError : a map holds NaN or infinity; it is named by its number.
    ShapeError : not three axes, or an empty one.
    """
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ShapeError(f"maps: shape {maps.shape}; give (N, H', W')")
    bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
    if len(bad):
        raise MapError(f"map {bad[0]}: holds NaN or infinity; look at what made it")


@lru_cache(maxsize=32)
def _interpolation(n_from: int, n_to: int) -> NDArray[np.float32]:
    """Weights (n_to, n_from) of bilinear resizing; a triangle as wide as the coarser grid."""
    scale = n_from / n_to
    centres = (np.arange(n_to) + 0.5) * scale
    away = np.abs(centres[:, None] - (np.arange(n_from) + 0.5)) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - away)
    normed: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed


def spread(maps: Maps) -> NDArray[np.float32]:
    """Spread each map (N, H, W) over [0, 1]; all zero where it is the same everywhere."""
    low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    flat = high <= low
    spread_out: NDArray[np.float32] = np.where(
        flat, np.float32(0), (maps - low) / np.where(flat, np.float32(1), high - low)
    )
    return spread_out


def masks_of(maps: Maps, threshold: Threshold, truths: Maps | None = None) -> Masks:
    """Cut regions (N, H, W) out of maps of that size.

    Parameters
    ----------
    maps : (N, H, W), at the size of the ground truths.
    truths : (N, H, W) agreements; `adaptive` alone needs them.

    Raises
    ------
    ShapeError : maps and ground truths differ in size.
    ThresholdError : `adaptive` without ground truths.
    """
    if truths is not None and maps.shape != truths.shape:
        raise ShapeError(f"maps {maps.shape} against ground truths {truths.shape}")
    if threshold.kind == "fixed":
        return spread(maps) > np.float32(threshold.value)
    if threshold.kind == "median":
        return _above_median(maps)
    if truths is None:
        raise ThresholdError("threshold adaptive: needs the ground truths, whose size it takes")
    return np.stack([_as_large(one, truth) for one, truth in zip(maps, truths, strict=True)])


def _above_median(maps: Maps) -> Masks:
    flat = maps.reshape(len(maps), -1)
    middle = flat.shape[1] // 2
    kept: Masks = maps > np.partition(flat, middle, axis=1)[:, middle, None, None]
    return kept


def _as_large(values: Maps, truth: Maps) -> Masks:
    """Keep as many pixels as the ground truth has above zero; see `Threshold` for ties."""
    n_kept, flat, wanted = int(np.count_nonzero(truth)), values.ravel(), truth.ravel()
    mask = np.zeros(flat.shape, dtype=np.bool_)
    if n_kept:
        last = np.partition(flat, flat.size - n_kept)[flat.size - n_kept]
        mask = flat > last
        ties = np.flatnonzero(flat == last)
        in_order = ties[np.argsort(wanted[ties], kind="stable")]
        mask[in_order[: n_kept - int(np.count_nonzero(mask))]] = True
    return mask.reshape(values.shape)
