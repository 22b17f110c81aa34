"""From attention to something that a person can look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import InputError

# Black–blue–magenta–orange–yellow in equal steps of lightness: reads in grey too.
COLOURS = np.array(
    [
        [0, 0, 4],
        [50, 10, 94],
        [120, 28, 109],
        [187, 55, 84],
        [237, 105, 37],
        [251, 180, 26],
        [252, 255, 164],
    ],
    dtype=np.float32,
)


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
    """
    heat = np.clip(resize_map(values, image.shape[:2]), 0, 1)
    stops = heat * (len(COLOURS) - 1)
    channels = [np.interp(stops, np.arange(len(COLOURS)), COLOURS[:, c]) for c in range(3)]
    alpha = (strength * heat)[..., None]
    # The picture is dimmed where nothing is attended, so that the lit part stands out in print.
    blended = image * (0.55 + 0.45 * heat[..., None]) * (1 - alpha) + np.stack(channels, -1) * alpha
    return Image.fromarray(np.clip(blended, 0, 255).astype(np.uint8))
