"""From attention to something that a person can look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import InputError

# Black–blue–magenta–orange–yellow in equal steps of lightness: reads in grey too.
STOPS = np.array(
    [
        [0, 0, 4],
        [50, 10, 94],
        [120, 28, 109],
        [187, 55, 84],
        [237, 105, 37],
        [251, 180, 26],
        [252, 255, 164],
    ]
)
COLOURS = np.stack(
    [np.interp(np.linspace(0, 6, 256), np.arange(7), channel) for channel in STOPS.T], axis=1
).astype(np.uint8)
"""(256, 3) uint8, between the stops: one look-up per pixel instead of three interpolations."""
LONGEST_PX = 1600
"""A drawn picture is no larger: more than a screen shows, and it bounds time and memory."""


def heatmap(attention: NDArray[np.floating], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Spread the attention of one frame over [0, 1] (definitions §1, `heatmap`).

    Parameters
    ----------
    attention : (M,) finite, row by row.
    grid : (H', W') with H' W' = M.

    Returns
    -------
    (H', W') float32, minimum 0 and maximum 1; all zero where the attention is the same everywhere.
    """
    if attention.size != grid[0] * grid[1]:
        raise InputError(f"attention: {attention.size} cells do not fill a grid of {grid}")
    values = np.asarray(attention, dtype=np.float32).reshape(grid)
    low, high = float(values.min()), float(values.max())
    return np.zeros_like(values) if high <= low else (values - low) / (high - low)


def resize_map(values: NDArray[np.float32], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a map (H', W') bilinearly to (height, width) pixels."""
    height, width = size_px
    image = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def overlay(
    image: NDArray[np.uint8], values: NDArray[np.float32], *, strength: float = 0.6
) -> Image.Image:
    """Paint a map over a picture: the stronger the map, the more colour and the less picture.

    Parameters
    ----------
    image : (H, W, 3).
    values : (H', W') in [0, 1].
    strength : share of colour where the map is 1, in [0, 1].

    Returns
    -------
    RGB at the picture's size, or shrunk to `LONGEST_PX` on the longer side where it is larger.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    heat = np.clip(resize_map(values, (picture.height, picture.width)), 0, 1)[..., None]
    alpha = np.float32(min(max(strength, 0.0), 1.0)) * heat
    colours = COLOURS[np.rint(255 * heat[..., 0]).astype(np.uint8)]
    # The picture is dimmed where nothing is attended, so that the lit part stands out in print.
    blended = np.asarray(picture) * ((0.55 + 0.45 * heat) * (1 - alpha)) + colours * alpha
    return Image.fromarray(blended.astype(np.uint8))
