"""Things that never sound: silent distractors, drawn like the kinds but told apart from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from train.world.looks import Look
from train.world.pen import Pen, arc, box, curve, ellipse, mirrored


def _ball(pen: Pen, rng: np.random.Generator) -> None:
    paint, n_sectors = pen.paint, 2 * int(rng.integers(2, 5))
    pen.disc(0, 0, 0.85, fill=paint.light)
    for i in range(0, n_sectors, 2):
        rim = arc(0, 0, 0.82, 0.82, i / n_sectors, (i + 1) / n_sectors)
        pen.patch([(0.1, -0.15), *rim], paint.body if i % 4 else paint.accent)
    pen.spot(-0.3, -0.4, 0.16, 0.12, fill=paint.light)


def _crate(pen: Pen, rng: np.random.Generator) -> None:
    paint, depth = pen.paint, rng.uniform(0.2, 0.34)
    pen.shape([(-0.7, -0.3), (-0.7 + depth, -0.65), (0.7, -0.65), (0.4, -0.3)], paint.light)
    pen.shape([(0.4, -0.3), (0.7, -0.65), (0.7, 0.3), (0.4, 0.65)], paint.shade)
    pen.shape(box(-0.7, -0.3, 0.4, 0.65), paint.body)
    pen.stroke([(-0.7, -0.3), (0.4, 0.65)], 0.1, paint.accent)
    pen.stroke([(0.4, -0.3), (-0.7, 0.65)], 0.1, paint.accent)


def _cone(pen: Pen, rng: np.random.Generator) -> None:
    paint, half = pen.paint, rng.uniform(0.42, 0.55)
    pen.shape(box(-0.68, 0.55, 0.68, 0.7), paint.shade)
    pen.shape(mirrored([(0.08, -0.85), (half, 0.56)]), paint.body)
    for top in (-0.35, 0.1):
        wide = [0.08 + (half - 0.08) * (y + 0.85) / 1.41 for y in (top, top + 0.22)]
        pen.patch(mirrored([(wide[0], top), (wide[1], top + 0.22)]), paint.light)


def _plant(pen: Pen, rng: np.random.Generator) -> None:
    paint = pen.paint
    for turn in np.linspace(0.55, 0.95, rng.integers(5, 9)):
        tip = (0.9 * np.cos(2 * np.pi * turn), 0.9 * np.sin(2 * np.pi * turn))
        bend = (0.5 * tip[0] - 0.16, 0.7 * tip[1]), (0.5 * tip[0] + 0.16, 0.5 * tip[1])
        leaf = [*curve((0, 0.2), bend[0], tip), *curve(tip, bend[1], (0, 0.2))]
        pen.shape(leaf, paint.body if rng.random() < 0.5 else paint.shade)
    pen.shape(mirrored([(0.42, 0.15), (0.28, 0.82)]), paint.accent)
    pen.shape(box(-0.47, 0.08, 0.47, 0.24), paint.accent)


def _umbrella(pen: Pen, rng: np.random.Generator) -> None:
    paint, n_gores = pen.paint, int(rng.integers(4, 7))
    pen.stroke([(0, -0.2), (0, 0.66), *arc(-0.12, 0.66, 0.12, 0.16, 0.0, 0.5)], 0.07, paint.ink)
    pen.shape(arc(0, 0.1, 0.88, 0.88, 0.5, 1.0), paint.body)
    edges = np.linspace(-0.88, 0.88, n_gores + 1)
    for i in range(n_gores - 1, -1, -2):
        pen.patch([(0, -0.76), (edges[i], 0.08), (edges[i + 1], 0.08)], paint.accent)
    for left, right in pairwise(edges):
        pen.stroke(arc((left + right) / 2, 0.1, (right - left) / 2, 0.1, 0.5, 1.0), 0.03, paint.ink)


def _mug(pen: Pen, rng: np.random.Generator) -> None:
    paint, half = pen.paint, rng.uniform(0.38, 0.5)
    pen.stroke(arc(half - 0.1, 0.05, 0.36, 0.32, -0.25, 0.25), 0.13, paint.shade)
    pen.shape(
        [(-half, -0.55), (half - 0.1, -0.55), (half - 0.12, 0.6), (-half + 0.02, 0.6)], paint.body
    )
    pen.disc(-0.05, -0.55, half - 0.05, 0.12, fill=paint.ink)
    pen.patch(box(-half + 0.02, -0.05, half - 0.12, 0.22), paint.accent)


def _stool(pen: Pen, rng: np.random.Generator) -> None:
    paint, spread = pen.paint, rng.uniform(0.5, 0.7)
    for x0, x1 in ((-0.4, -spread), (0.4, spread), (-0.14, -0.22), (0.14, 0.22)):
        pen.stroke([(x0, -0.35), (x1, 0.75)], 0.1, paint.shade)
    pen.stroke([(-0.5, 0.25), (0.5, 0.25)], 0.07, paint.shade)
    pen.shape(ellipse(0, -0.38, 0.68, 0.2), paint.body)
    pen.spot(0, -0.42, 0.5, 0.11, fill=paint.light)


def _kite(pen: Pen, rng: np.random.Generator) -> None:
    paint, wide = pen.paint, rng.uniform(0.42, 0.55)
    pen.shape([(0, -0.9), (wide, -0.3), (0, 0.5), (-wide, -0.3)], paint.body)
    pen.patch([(0, -0.84), (wide * 0.9, -0.3), (0, -0.3)], paint.accent)
    pen.patch([(0, 0.42), (-wide * 0.9, -0.3), (0, -0.3)], paint.accent)
    tail = [*curve((0, 0.5), (0.25, 0.6), (0.05, 0.7)), *curve((0.05, 0.7), (-0.2, 0.8), (0, 0.95))]
    pen.stroke(tail, 0.04, paint.ink)


PROPS: dict[str, Look] = {
    "ball": _ball,
    "crate": _crate,
    "cone": _cone,
    "plant": _plant,
    "umbrella": _umbrella,
    "mug": _mug,
    "stool": _stool,
    "kite": _kite,
}
"""The look of each silent thing."""
