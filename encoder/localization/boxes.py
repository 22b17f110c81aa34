"""Boxes that people drew, as fractions of their frame, and the pixels that lie in them.

Fractions, so that a frame may be squeezed to a square without its boxes being drawn anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoder.localization.errors import GroundTruthError

BoxKind = Literal["object", "ambient"]
Mask = NDArray[np.bool_]

ROUNDING = 0.005
"""How far a corner may lie outside the frame and still be taken for its edge: 1 px of 224."""
NO_AREA = "a box without area"
OUTSIDE = "a box outside its frame"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedBox:
    """Where one annotator saw the source of a sound, as fractions of the frame.

    Attributes
    ----------
    x0, y0, x1, y1 : in [0, 1], x0 < x1 and y0 < y1; x grows to the right, y downwards.
    kind : `object`, or `ambient` for a sound that no place in the picture makes.
    tag : what sounds there; empty where nobody said.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    annotator: str = ""
    kind: BoxKind = "object"
    tag: str = ""


def box_of(
    corners: Sequence[float],
    *,
    size: tuple[float, float] = (1.0, 1.0),
    annotator: str = "",
    kind: BoxKind = "object",
    tag: str = "",
) -> AnnotatedBox:
    """Make a box from corners (x0, y0, x1, y1) on a frame of `size` (width, height).

    A corner up to `ROUNDING` outside the frame is taken for its edge. Nothing else is clipped: a
    box that leaves its frame was drawn on another picture, or its numbers are broken.

    Raises
    ------
    GroundTruthError : no area, outside the frame, or not finite.

    Examples
    --------
    >>> box_of((10, 0, 20, 41), size=(40, 41))
    AnnotatedBox(x0=0.25, y0=0.0, x1=0.5, y1=1.0, annotator='', kind='object', tag='')
    """
    x0, y0, x1, y1 = (float(corner) for corner in corners)
    width, height = size
    x0, y0, x1, y1 = x0 / width, y0 / height, x1 / width, y1 / height
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise GroundTruthError(f"{OUTSIDE}: corners {list(corners)} are not finite")
    if min(x0, y0, x1, y1) < -ROUNDING or max(x0, y0, x1, y1) > 1 + ROUNDING:
        raise GroundTruthError(f"{OUTSIDE}: {list(corners)} on {width:g} × {height:g}")
    x0, y0, x1, y1 = (min(max(corner, 0.0), 1.0) for corner in (x0, y0, x1, y1))
    if not (x0 < x1 and y0 < y1):
        raise GroundTruthError(f"{NO_AREA}: {list(corners)}")
    return AnnotatedBox(x0=x0, y0=y0, x1=x1, y1=y1, annotator=annotator, kind=kind, tag=tag)


def mask_of_boxes(boxes: Iterable[AnnotatedBox], size_px: tuple[int, int]) -> Mask:
    """Fill boxes into a grid (H, W): the union, as one annotator meant it.

    A pixel belongs to a box where its centre does, edges at the left and top included: the pixel
    in column c where x0 ≤ (c + ½) / W < x1. No box grows or shrinks on average. (Published
    evaluators cut corners down to whole pixels, which moves boxes half a pixel up and left.)
    """
    height, width = size_px
    mask = np.zeros(size_px, dtype=np.bool_)
    for box in boxes:
        rows = slice(_first(box.y0, height), _first(box.y1, height))
        columns = slice(_first(box.x0, width), _first(box.x1, width))
        mask[rows, columns] = True
    return mask


def boxes_json(boxes: Iterable[AnnotatedBox], size_px: tuple[int, int]) -> str:
    """Write boxes as a manifest's `boxes` column holds them, in pixels of a (height, width) frame.

    Examples
    --------
    >>> boxes_json([AnnotatedBox(x0=0, y0=0, x1=0.5, y1=1, tag="dog")], (10, 20))
    '[{"box": [0.0, 0.0, 10.0, 10.0], "annotator": "", "kind": "object", "tag": "dog"}]'
    """
    height, width = size_px
    return json.dumps(
        [
            {
                "box": [
                    round(float(corner), 6)
                    for corner in (b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height)
                ],
                "annotator": b.annotator,
                "kind": b.kind,
                "tag": b.tag,
            }
            for b in boxes
        ],
        ensure_ascii=False,
    )


def _first(edge: float, n: int) -> int:
    """Return the first of n cells whose centre is not before an edge in [0, 1]."""
    # Rounded first: 0.3 · 10 − ½ is 2.4999999999999996, and which side it falls on is no accident.
    return math.ceil(round(edge * n - 0.5, 9))
