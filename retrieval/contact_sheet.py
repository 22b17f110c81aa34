"""Several pictures on one sheet with words under them, to look at after a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL_PX, GAP_PX, TEXT_PX = 160, 10, 18
PANEL_PX = (480, 360)
"""A panel of `side_by_side` fits this width and height."""
INK, FAINT, PAPER = (25, 25, 30), (110, 110, 120), (255, 255, 255)
RIGHT, WRONG = (40, 140, 70), (200, 60, 50)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """A picture with a line under it; `right` frames it green or red, None leaves it plain."""

    picture: Image.Image
    caption: str
    right: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetRow:
    """A question and what was found, left to right."""

    title: str
    cells: Sequence[Cell]


def contact_sheet(rows: Sequence[SheetRow]) -> Image.Image:
    """Lay rows out under each other, each with its title above and captions below."""
    row_px = TEXT_PX + CELL_PX + TEXT_PX + GAP_PX
    width = GAP_PX + max(len(row.cells) for row in rows) * (CELL_PX + GAP_PX)
    sheet = Image.new("RGB", (width, GAP_PX + len(rows) * row_px), PAPER)
    for n, row in enumerate(rows):
        _draw_row(sheet, row, top_px=GAP_PX + n * row_px)
    return sheet


def side_by_side(cells: Sequence[Cell]) -> Image.Image:
    """Lay pictures next to each other in their own proportions, each with its caption below."""
    panels = [_panel(cell.picture) for cell in cells]
    widths = [
        max(panel.width, math.ceil(font().getlength(cell.caption)))
        for panel, cell in zip(panels, cells, strict=True)
    ]
    picture_px = max(panel.height for panel in panels)
    size_px = (GAP_PX + sum(width + GAP_PX for width in widths), GAP_PX + picture_px + 2 * TEXT_PX)
    sheet = Image.new("RGB", size_px, PAPER)
    draw, left = ImageDraw.Draw(sheet), GAP_PX
    for panel, cell, width in zip(panels, cells, widths, strict=True):
        sheet.paste(panel, (left, GAP_PX + (picture_px - panel.height) // 2))
        caption_at = (left, GAP_PX + picture_px + TEXT_PX // 2)
        draw.text(caption_at, cell.caption, fill=FAINT, font=font())
        left += width + GAP_PX
    return sheet


def waveform_picture(sound: NDArray[np.float32]) -> Image.Image:
    """Draw a sound (T,) as its envelope, a column for each of `CELL_PX` stretches."""
    picture = Image.new("RGB", (CELL_PX, CELL_PX), (244, 245, 248))
    draw = ImageDraw.Draw(picture)
    peaks = [float(np.abs(part).max(initial=0.0)) for part in np.array_split(sound, CELL_PX)]
    loudest = max(peaks) or 1.0
    for x, peak in enumerate(peaks):
        half = 0.45 * CELL_PX * peak / loudest
        draw.line([(x, CELL_PX / 2 - half), (x, CELL_PX / 2 + half)], fill=(60, 90, 160))
    return picture


@cache
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font: there is none that every machine has."""
    return ImageFont.load_default(size=13)


def _panel(picture: Image.Image) -> Image.Image:
    """Scale a picture to fit a panel, however thin it is."""
    scale = min(PANEL_PX[0] / picture.width, PANEL_PX[1] / picture.height)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _draw_row(sheet: Image.Image, row: SheetRow, top_px: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, top_px), row.title, fill=INK, font=font())
    for n, cell in enumerate(row.cells):
        left, top = GAP_PX + n * (CELL_PX + GAP_PX), top_px + TEXT_PX
        sheet.paste(cell.picture.resize((CELL_PX, CELL_PX)), (left, top))
        if cell.right is not None:
            corners = (left, top, left + CELL_PX - 1, top + CELL_PX - 1)
            draw.rectangle(corners, outline=RIGHT if cell.right else WRONG, width=3)
        draw.text((left, top + CELL_PX + 2), cell.caption, fill=FAINT, font=font())
