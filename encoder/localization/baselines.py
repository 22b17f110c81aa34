"""What knows nothing of sound or picture: the degenerate rows that stand beside every result.

A random map, a centred box of half the sides, the whole picture. On a set of large objects they
score well, and a figure says nothing without them (definitions §4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoder.localization.boxes import AnnotatedBox, Mask, mask_of_boxes

CENTRE = AnnotatedBox(x0=0.25, y0=0.25, x1=0.75, y1=0.75)
"""Half the sides, a quarter of the area (S19 Table 1: "half of the image size")."""


def random_maps(
    keys: Sequence[int], size_px: tuple[int, int], *, seed: int = 0
) -> NDArray[np.float32]:
    """Draw noise (N, H, W) in [0, 1), pixel by pixel, as S19's random pattern.

    Parameters
    ----------
    keys : what each map belongs to, ≥ 0; its noise depends on the key and the seed alone.
    """
    return np.stack(
        [np.random.default_rng((seed, key)).random(size_px, dtype=np.float32) for key in keys]
    )


def centre_box(size_px: tuple[int, int]) -> Mask:
    """Return the region (H, W) of the centred box."""
    return mask_of_boxes([CENTRE], size_px)


def whole_picture(size_px: tuple[int, int]) -> Mask:
    """Return the region (H, W) that is everything."""
    return np.ones(size_px, dtype=np.bool_)


def left_half(size_px: tuple[int, int]) -> Mask:
    """Return the region (H, W) that is the left half, the middle column of an odd width with it."""
    half = np.zeros(size_px, dtype=np.bool_)
    half[:, : (size_px[1] + 1) // 2] = True
    return half


def right_half(size_px: tuple[int, int]) -> Mask:
    """Return the region (H, W) that is the right half."""
    return ~left_half(size_px)
