"""What lies behind the objects: textured, cluttered, unevenly lit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Field = NDArray[np.float32]

_OCTAVES = ((3, 0.5), (9, 0.3), (40, 0.2))
"""Cells a side and weight of each octave of noise."""


def background(rng: np.random.Generator, side_px: int) -> Field:
    """Return (3, side_px, side_px) float32 in [0, 255]: a backdrop without any object."""
    picture = coloured(rng, _backdrop(rng, side_px))
    if rng.random() < 0.7:
        picture = _clutter(rng, picture)
    planes = np.asarray(picture).transpose(2, 0, 1).astype(np.float32, order="C")
    if rng.random() < 0.4:
        _lay_ground(rng, planes)
    return planes


def light(rng: np.random.Generator, side_px: int) -> Field:
    """Return (side_px, side_px) float32 factors about 1: uneven light over the whole picture."""
    across, down = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    along = np.linspace(-1, 1, side_px, dtype=np.float32)
    vignette = np.float32(rng.uniform(0, 0.2)) * along**2
    rows = np.float32(rng.uniform(0.75, 1.1)) + down * along - vignette
    factors: Field = rows[:, None] + (across * along - vignette)[None, :]
    return factors


def grain(rng: np.random.Generator, side_px: int) -> Field:
    """Return (side_px, side_px) float32, the noise of a sensor, in grey levels."""
    noise = rng.random((side_px, side_px), dtype=np.float32)
    noise -= np.float32(0.5)
    noise *= np.float32(rng.uniform(2, 24))
    return noise


def _backdrop(rng: np.random.Generator, side: int) -> Field:
    """Return (side, side) float32 in [0, 1]: noise octaves, with a gradient, stripes or checks."""
    octaves, style = _octaves(rng, side), int(rng.integers(4))
    if style == 0:
        return octaves
    share = np.float32(rng.uniform(0.25, 0.8))
    return octaves + share * (_pattern(rng, side, style) - octaves)


def _octaves(rng: np.random.Generator, side: int) -> Field:
    """Return (side, side) float32 in [0, 1], made at quarter size: nothing in it is finer."""
    small = max(_OCTAVES[-1][0], side // 4)
    field = np.zeros((small, small), np.float32)
    for cells, weight in _OCTAVES:
        coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        smooth = np.asarray(coarse.resize((small, small), Image.Resampling.BILINEAR))
        field += np.float32(weight) * smooth
    return np.asarray(Image.fromarray(field).resize((side, side), Image.Resampling.BILINEAR))


def _pattern(rng: np.random.Generator, side: int, style: int) -> Field:
    """Return (side, side) float32 in [0, 1]: a gradient (1), stripes (2), checks (3)."""
    angle, per_frame = rng.uniform(0, np.pi), rng.uniform(3, 14)
    along = np.linspace(0, 1, side, dtype=np.float32)
    x, y = np.float32(np.cos(angle)) * along[None, :], np.float32(np.sin(angle)) * along[:, None]
    if style == 1:
        return np.asarray(np.clip((x + y + 1) / 2, 0, 1), np.float32)
    turn = np.float32(2 * np.pi * per_frame)
    stripes: Field = np.sin(turn * (x + y))
    if style == 2:
        return np.asarray((stripes + 1) / 2, np.float32)
    crossing = np.sin(turn * (along[None, :] - along[:, None]))
    return np.asarray(stripes * crossing > 0, np.float32)


def coloured(rng: np.random.Generator, field: Field) -> Image.Image:
    """Blend between a colour and another of the same family, lighter or darker."""
    first = rng.uniform(40, 215, 3)
    first += rng.uniform(0, 0.7) * (first.mean() - first)
    second = np.clip(first + rng.uniform(-90, 90) + rng.uniform(-35, 35, 3), 10, 245)
    ramp = np.linspace(first, second, 256).round().astype(np.uint8)
    image = Image.fromarray((255 * field).astype(np.uint8))
    image.putpalette(ramp.tobytes())
    return image.convert("RGB")


def _clutter(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Lay blobs and slabs over a picture and blur it: things far behind, none of them an object."""
    side, pencil = image.width, ImageDraw.Draw(image)
    for _ in range(rng.integers(3, 12)):
        x, y = (int(place) for place in rng.integers(0, side, 2))
        half = side * rng.uniform(0.03, 0.16, 2)
        tint = rng.uniform(-45, 45) + rng.uniform(-25, 25, 3)
        fill = tuple((np.array(image.getpixel((x, y))) + tint).clip(0, 255).astype(int).tolist())
        ends = (x - half[0], y - half[1], x + half[0], y + half[1])
        (pencil.ellipse if rng.random() < 0.5 else pencil.rectangle)(ends, fill=fill)
    return image.filter(ImageFilter.BoxBlur(side * rng.uniform(0.004, 0.015)))


def _lay_ground(rng: np.random.Generator, planes: Field) -> None:
    """Darken and tint what lies below a horizon, in place."""
    horizon = round(planes.shape[1] * rng.uniform(0.45, 0.8))
    planes[:, horizon:] *= rng.uniform(0.5, 0.95, (3, 1, 1)).astype(np.float32)
