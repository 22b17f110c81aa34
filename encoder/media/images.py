"""Pictures, by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from encoder.media.formats import webp_pixels
from encoder.media.source import MediaProbe, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFile import ImageFile

# Opened by class, not through `Image.open`: the format is known already, and the limit on pixels
# is ours, which through `Image.open` would be a setting of the whole process, and a warning.
_PLUGINS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
# Pillow has no base class for "this file is damaged". These are what its readers let through:
# OSError for most, SyntaxError for headers, RuntimeError for AVIF, ValueError for PNG's limits, and
# what `Image.open` and `ImageFile` themselves take for signs of a damaged file.
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation; 1 is upright, from 5 on width and height are exchanged."""


def probed(source: Source) -> MediaProbe:
    """Read the header."""
    with _opened(source) as image:
        width, height = image.size
        if _orientation(image) >= 5 and image.format != "TIFF":  # which Pillow turns by itself
            width, height = height, width
    return MediaProbe(kind="image", width_px=width, height_px=height, has_frames=True)


def pixels(source: Source) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 RGB, upright."""
    with _opened(source) as image:
        image.load()
        turn = _TURNS.get(_orientation(image))
        return _rgb(image if turn is None else image.transpose(turn))


@contextmanager
def _opened(source: Source) -> Iterator[ImageFile]:
    """Open an image whose size is within the limits; no pixel is decoded yet."""
    if source.format.name == "WebP":
        source.check_pixels(*webp_pixels(source.file))
        source.file.seek(0)
    try:
        with _PLUGINS[source.format.name](source.file) as image:
            source.check_pixels(*image.size)
            yield image
    except Image.DecompressionBombError as error:
        raise source.error("too-large", str(error)) from error
    except _PILLOW_ERRORS as error:
        # All readers that notice the end of the file say so in this word.
        code = "truncated" if "truncat" in str(error).lower() else "corrupt"
        raise source.error(code, f"Pillow: {error}") from error


def _orientation(image: ImageFile) -> int:
    """EXIF orientation, 1 to 8; damaged EXIF says nothing about the picture."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # `getexif` would decode the pixels to look behind them
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except _PILLOW_ERRORS:
        return 1
    return value if value in _TURNS else 1


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 from any mode."""
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image) / 65535)
    if image.mode in ("I", "F"):
        return _grey(_stretched(np.asarray(image, np.float64)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _stretched(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least value to 0, greatest to 1: 32-bit grey has no agreed white. NaN becomes 0."""
    finite = np.isfinite(grey)
    low, high = (grey[finite].min(), grey[finite].max()) if finite.any() else (0.0, 0.0)
    return np.where(finite, (grey - low) / max(high - low, 1e-30), 0.0)


def _grey(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W) in [0, 1] → (H, W, 3)."""
    grey: NDArray[Any] = np.rint(levels * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)
