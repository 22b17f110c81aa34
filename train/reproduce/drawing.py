"""Pictures in rows with heat maps, boxes and captions, and curves: the same input, the same PNG.

Pillow's own font is used: there is none that every machine has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from encoder.heatmap import heatmap, overlay, resize_map
from encoder.localization.ground_truth import GroundTruth

CELL_PX, GAP_PX, LINE_PX = 144, 6, 16
PAPER, INK, FAINT = (255, 255, 255), (25, 25, 30), (200, 200, 206)
COLOURS = ((66, 135, 245), (235, 120, 40), (60, 170, 90), (180, 70, 170), (120, 120, 125))
"""Annotators and curves, in this order."""
Map = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """A row of a sheet: a title on its left, pictures with a line under each."""

    title: str
    pictures: Sequence[Image.Image]
    captions: Sequence[str] = ()


def sheet(strips: Sequence[Strip], *, heads: Sequence[str] = ()) -> Image.Image:
    """Lay strips out under each other; `heads` stand above the columns."""
    aspect = strips[0].pictures[0].width / strips[0].pictures[0].height
    cell = (round(CELL_PX * aspect), CELL_PX)
    left = GAP_PX + max(_width(strip.title) for strip in strips) + GAP_PX
    rows_px = [CELL_PX + GAP_PX + (LINE_PX if strip.captions else 0) for strip in strips]
    n_columns = max(len(strip.pictures) for strip in strips)
    top = GAP_PX + (LINE_PX if heads else 0)
    page = Image.new("RGB", (left + n_columns * (cell[0] + GAP_PX), top + sum(rows_px)), PAPER)
    draw = ImageDraw.Draw(page)
    for column, head in enumerate(heads):
        draw.text((left + column * (cell[0] + GAP_PX), 2), head, fill=INK, font=_font())
    for strip, row_px in zip(strips, rows_px, strict=True):
        draw.text((GAP_PX, top + CELL_PX // 2 - 7), strip.title, fill=INK, font=_font())
        for column, picture in enumerate(strip.pictures):
            at = (left + column * (cell[0] + GAP_PX), top)
            page.paste(picture.resize(cell, Image.Resampling.BILINEAR), at)
            if strip.captions:
                text = strip.captions[column]
                draw.text((at[0], top + CELL_PX + 1), text, fill=INK, font=_font())
        top += row_px
    return page


def plain(picture: Tensor) -> Image.Image:
    """Return a bank's picture (3, px, px)."""
    return Image.fromarray(_pixels(picture))


def heated(picture: Tensor, attention: Map) -> Image.Image:
    """Paint a map (H', W') over a picture (3, px, px), spread over its own range."""
    return overlay(_pixels(picture), heatmap(attention.ravel(), _shape(attention)))


def grey(values: Map, *, highest: float) -> Image.Image:
    """Show a map (H', W') in grey on an absolute scale: 0 and below black, `highest` white."""
    large = resize_map(values, (CELL_PX, CELL_PX))
    shades = np.clip(large / highest, 0, 1)
    return Image.fromarray((255 * shades).astype(np.uint8)).convert("RGB")


def with_boxes(image: Image.Image, truth: GroundTruth) -> Image.Image:
    """Draw what each annotator drew, a colour for each."""
    shown = image.resize((CELL_PX, CELL_PX), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(shown)
    for boxes, colour in zip(truth.boxes, COLOURS, strict=False):
        for box in boxes:
            corners = [round(side * (CELL_PX - 1)) for side in (box.x0, box.y0, box.x1, box.y1)]
            draw.rectangle(corners, outline=colour, width=2)
    return shown


def framed(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Draw a border: red marks the query, as in S19 Figure 11."""
    shown = image.resize((CELL_PX, CELL_PX), Image.Resampling.BILINEAR)
    ImageDraw.Draw(shown).rectangle((0, 0, CELL_PX - 1, CELL_PX - 1), outline=colour, width=4)
    return shown


def whitened(image: Image.Image) -> Image.Image:
    """Bleach a picture that is shown for reference alone (S19 Figures 11 and 12)."""
    return Image.blend(image.convert("RGB"), Image.new("RGB", image.size, PAPER), 0.6)


def curves(
    x: Sequence[float], lines: Sequence[tuple[str, Sequence[float]]], *, x_label: str, y_label: str
) -> Image.Image:
    """Draw lines over [0, 1] × [0, 1] with a legend."""
    width, height, left, low = 560, 400, 52, 352
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)

    def at(across: float, up: float) -> tuple[float, float]:
        return left + across * (width - left - 20), low - up * (low - 20)

    for tick in np.linspace(0, 1, 6).tolist():
        draw.line([at(0, tick), at(1, tick)], fill=FAINT)
        draw.text((18, at(0, tick)[1] - 8), f"{tick:.1f}", fill=INK, font=_font())
        draw.text((at(tick, 0)[0] - 8, low + 5), f"{tick:.1f}", fill=INK, font=_font())
    for number, (name, values) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        draw.line([at(a, b) for a, b in zip(x, values, strict=True)], fill=colour, width=3)
        top = 24 + 18 * number
        draw.line([(width - 240, top + 8), (width - 216, top + 8)], fill=colour, width=3)
        draw.text((width - 210, top), name, fill=INK, font=_font())
    draw.text((width // 2, height - 24), x_label, fill=INK, font=_font())
    draw.text((8, 2), y_label, fill=INK, font=_font())
    return page


def _pixels(picture: Tensor) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = picture.permute(1, 2, 0).contiguous().numpy()
    return pixels


def _shape(values: Map) -> tuple[int, int]:
    return values.shape[0], values.shape[1]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=12)


def _width(text: str) -> int:
    return round(_font().getlength(text)) if text else 0
