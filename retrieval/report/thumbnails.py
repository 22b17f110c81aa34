"""Small pictures of bounded size, to stand inside a report."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_PX = 224
"""Longest side: what the networks were shown, and sharp at the half of it on dense screens."""
MAX_BYTES = 32 * 1024
QUALITIES = (82, 70, 60, 45)
"""JPEG qualities, tried in this order: photographs take 8 KiB at 82 (median of 200), and noise of
black and white pixels, the worst there is, 30 KiB at 60."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A JPEG file and its size."""

    jpeg: bytes = field(repr=False)
    width_px: int
    height_px: int


def thumbnail(
    picture: NDArray[np.uint8] | Image.Image, *, longest_px: int = THUMBNAIL_PX
) -> Thumbnail:
    """Shrink a picture, never enlarge it; the same pixels give the same bytes (of one Pillow).

    Parameters
    ----------
    picture : (H, W, 3) or (H, W) uint8, or a picture of Pillow in any mode.
    longest_px : longest side, in [1, 224].

    Returns
    -------
    Thumbnail : of at most `MAX_BYTES`; quality falls until it fits.
    """
    assert 1 <= longest_px <= THUMBNAIL_PX, "a thumbnail is small, or its size is not bounded"
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    small = _without_transparency(image)
    small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # Pixels alone: a comment or a profile of the file must not travel along.
    plain = Image.fromarray(np.asarray(small))
    return Thumbnail(jpeg=_jpeg(plain), width_px=plain.width, height_px=plain.height)


def _without_transparency(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


def _jpeg(image: Image.Image) -> bytes:
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
