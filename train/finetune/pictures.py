"""Held-back frames as PNG files: with their boxes, and their heat maps before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from encoder.heatmap import heatmap, overlay
from encoder.localization.boxes import AnnotatedBox
from encoder.media import read_frame
from indexer.evaluation.localization.items import Candidate
from indexer.paths import from_text
from indexer.reader import IndexReader
from train.finetune.figures import Held

PANEL_PX = 360
"""Longer side of one of the three panels; small pictures are enlarged to it."""
GAP_PX = 8
N_PICTURES = 8
BOX_COLOUR = (120, 255, 160)


def draw_changes(
    reader: IndexReader,
    items: tuple[Candidate, ...],
    before: Held,
    after: Held,
    folder: Path,
    *,
    n_pictures: int = N_PICTURES,
) -> list[Path]:
    """Write `01-0.12-to-0.55-stem.png` and so on, from the greatest gain in cIoU to the worst loss.

    Where there are more items than pictures, these are evenly spread over that order: what went
    wrong is shown as well.

    Raises
    ------
    MediaError, OSError : a picture cannot be read, or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.argsort(before.cious - after.cious, kind="stable")
    places = np.linspace(0, len(order) - 1, min(n_pictures, len(order))).round().astype(np.int64)
    paths = []
    for number, at in enumerate(order[places].tolist(), start=1):
        row = items[at].row
        assert row.image is not None
        pixels = read_frame(reader.locate(row.image), row.frame_time_s or 0.0)
        stem = Path(from_text(row.image)).stem
        values = f"{before.cious[at]:.2f}-to-{after.cious[at]:.2f}"
        paths.append(folder / f"{number:02d}-{values}-{stem}.png")
        three_panels(pixels, items[at].boxes, before.maps[at], after.maps[at]).save(paths[-1])
    return paths


def three_panels(
    pixels: NDArray[np.uint8],
    boxes: tuple[AnnotatedBox, ...],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
) -> Image.Image:
    """Put a picture (H, W, 3) with its boxes, and its two maps (H', W'), side by side."""
    picture = Image.fromarray(pixels)
    factor = PANEL_PX / max(picture.size)
    size = (max(1, round(factor * picture.width)), max(1, round(factor * picture.height)))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    shown = np.asarray(picture)
    panels = [picture, *(_heated(shown, one) for one in (before, after))]
    for panel in panels:
        _outline(panel, boxes)
    width, height = picture.size
    sheet = Image.new("RGB", (3 * width + 2 * GAP_PX, height), (255, 255, 255))
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number * (width + GAP_PX), 0))
    return sheet


def _heated(pixels: NDArray[np.uint8], attention: NDArray[np.float32]) -> Image.Image:
    return overlay(pixels, heatmap(attention.ravel(), (attention.shape[0], attention.shape[1])))


def _outline(panel: Image.Image, boxes: tuple[AnnotatedBox, ...]) -> None:
    pen, (width, height) = ImageDraw.Draw(panel), panel.size
    for box in boxes:
        corners = (box.x0 * width, box.y0 * height, box.x1 * width - 1, box.y1 * height - 1)
        pen.rectangle(corners, outline=BOX_COLOUR, width=2)
