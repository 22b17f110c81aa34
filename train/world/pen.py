"""Drawing: polygons, discs and strokes in an object's own coordinates, antialiased.

An object is drawn in a plane where it fills the unit disc, x to the right and y down. The pen maps
that plane to pixels, so that no look knows its size, rotation, mirroring or aspect ratio.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int, int]
"""Red, green, blue, alpha in [0, 255], colour premultiplied by alpha."""

OVERSAMPLING = 2
"""Canvas pixels per picture pixel and axis. Three looked the same and took twice the time."""

_CIRCLE = np.exp(2j * np.pi * np.arange(48) / 48)


def colour(hue: float, saturation: float, value: float, alpha: float = 1.0) -> Colour:
    """Return a premultiplied colour; hue wraps, the rest in [0, 1]."""
    rgb = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    red, green, blue = (round(255 * channel * alpha) for channel in rgb)
    return red, green, blue, round(255 * alpha)


@dataclass(frozen=True, kw_only=True)
class Paint:
    """The colours of one object: its body, shaded body, second colour, ink, light, and a glass."""

    body: Colour
    shade: Colour
    accent: Colour
    ink: Colour
    light: Colour
    metal: Colour
    glass: Colour
    hue: float


def random_paint(rng: np.random.Generator) -> Paint:
    """Draw colours in which body, accent and ink can be told apart."""
    hue, apart = rng.random(), rng.uniform(0.2, 0.8)
    saturation, value = rng.uniform(0.45, 0.95), rng.uniform(0.6, 0.95)
    return Paint(
        body=colour(hue, saturation, value),
        shade=colour(hue, min(1.0, saturation + 0.1), 0.65 * value),
        accent=colour(hue + apart, rng.uniform(0.4, 0.9), rng.uniform(0.55, 0.95)),
        ink=colour(hue + 0.5, 0.3, rng.uniform(0.05, 0.2)),
        light=colour(hue + 0.1, rng.uniform(0.0, 0.15), rng.uniform(0.9, 1.0)),
        metal=colour(hue, rng.uniform(0.0, 0.2), rng.uniform(0.55, 0.8)),
        glass=colour(hue + 0.5, 0.25, 0.95, rng.uniform(0.5, 0.75)),
        hue=hue,
    )


class Pen:
    """Draws on a square canvas of `side_px` picture pixels, in the coordinates of the unit disc.

    Parameters
    ----------
    side_px : side of the square that the unit disc fills.
    transform : (2, 2) float, from object to unit disc: rotation, mirroring, aspect ratio.
    outline : width of the ink around shapes, in object units; 0 draws none.
    """

    def __init__(
        self, side_px: int, transform: NDArray[np.float64], paint: Paint, outline: float
    ) -> None:
        self.paint = paint
        self.outline = outline
        self._half = OVERSAMPLING * side_px / 2.0
        self._matrix = transform.T * self._half
        self._scale = float(np.sqrt(abs(np.linalg.det(transform)))) * self._half
        side = OVERSAMPLING * side_px
        self._canvas = Image.new("RGBa", (side, side))
        self._draw = ImageDraw.Draw(self._canvas)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the (side_px, side_px, 4) drawing, colours premultiplied by alpha."""
        return np.asarray(self._canvas.reduce(OVERSAMPLING))

    def shape(self, points: Sequence[Point] | NDArray[np.float64], fill: Colour) -> None:
        """Fill a polygon and ink its edge."""
        flat = self._to_canvas(points)
        self._draw.polygon(flat, fill=fill)
        if self.outline:
            self._stroke([*flat, *flat[:4]], self.outline, self.paint.ink)

    def patch(self, points: Sequence[Point] | NDArray[np.float64], fill: Colour) -> None:
        """Fill a polygon without an edge."""
        self._draw.polygon(self._to_canvas(points), fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, *, fill: Colour) -> None:
        """Fill an ellipse and ink its edge."""
        self.shape(ellipse(x, y, rx, ry), fill)

    def spot(self, x: float, y: float, rx: float, ry: float | None = None, *, fill: Colour) -> None:
        """Fill an ellipse without an edge."""
        self.patch(ellipse(x, y, rx, ry), fill)

    def stroke(
        self, points: Sequence[Point] | NDArray[np.float64], width: float, fill: Colour
    ) -> None:
        """Draw an open line with round joints, `width` in object units."""
        self._stroke(self._to_canvas(points), width, fill)

    def _stroke(self, flat: list[float], width: float, fill: Colour) -> None:
        self._draw.line(flat, fill=fill, width=max(1, round(width * self._scale)), joint="curve")

    def _to_canvas(self, points: Sequence[Point] | NDArray[np.float64]) -> list[float]:
        mapped = np.asarray(points, np.float64) @ self._matrix + self._half
        flat: list[float] = mapped.ravel().tolist()
        return flat


def ellipse(x: float, y: float, rx: float, ry: float | None = None) -> NDArray[np.float64]:
    """Return the outline (48, 2) of an ellipse; `ry` defaults to `rx`."""
    height = rx if ry is None else ry
    return np.stack([x + rx * _CIRCLE.real, y + height * _CIRCLE.imag], axis=1)


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> list[Point]:
    """Return points on an ellipse from angle `start` to `stop`, in turns, clockwise from +x."""
    angles = 2 * np.pi * np.linspace(start, stop, 16)
    return list(zip(x + rx * np.cos(angles), y + ry * np.sin(angles), strict=True))


def curve(start: Point, middle: Point, stop: Point) -> list[Point]:
    """Return points on the quadratic Bezier curve from `start` to `stop`, pulled to `middle`."""
    t = np.linspace(0.0, 1.0, 14)[:, None]
    a, b, c = (np.asarray(point) for point in (start, middle, stop))
    points = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    return [(float(x), float(y)) for x, y in points]


def mirrored(right: Sequence[Point]) -> list[Point]:
    """Close an outline that is symmetric about the y axis, from its right half, top to bottom."""
    return [*right, *((-x, y) for x, y in reversed(right))]


def box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """Return the corners of a rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
