"""What the sounding kinds look like: one function per kind, drawn from parts that vary.

A kind is told by its shape and parts. Its colours, size, rotation, mirroring and aspect ratio are
drawn at random, so that none of them gives it away.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from train.world.pen import Pen, arc, box, colour, curve, mirrored

Look = Callable[[Pen, np.random.Generator], None]


def _bell(pen: Pen, rng: np.random.Generator) -> None:
    paint, flare, waist = pen.paint, rng.uniform(0.62, 0.76), rng.uniform(0.26, 0.36)
    pen.stroke(arc(0, -0.68, 0.15, 0.17, 0.0, 1.0), 0.08, paint.metal)
    pen.disc(0, 0.7, 0.17, fill=paint.shade)
    right = [(0.0, -0.58), *curve((waist * 0.6, -0.56), (waist * 1.5, -0.5), (waist * 1.35, -0.1))]
    right += curve((waist * 1.35, -0.1), (waist * 1.45, 0.36), (flare, 0.5))
    pen.shape(mirrored([*right, (flare, 0.6)]), paint.body)
    pen.patch(mirrored([(flare * 0.93, 0.46), (flare * 0.97, 0.56)]), paint.accent)
    for y in np.linspace(-0.15, 0.3, rng.integers(1, 4)):
        half = 1.28 * waist + 0.06 * max(0.0, y)
        pen.stroke([(-half, y), (half, y)], 0.05, paint.shade)
    pen.patch(curve((-0.2, -0.45), (-0.36, 0.0), (-0.34, 0.38)), paint.light)


def _drum(pen: Pen, rng: np.random.Generator) -> None:
    paint, half, top, low = pen.paint, rng.uniform(0.6, 0.74), -0.18, rng.uniform(0.42, 0.6)
    taper = rng.uniform(0.85, 1.0)
    bottom = arc(0, low, half * taper, 0.2, 0.0, 0.5)
    pen.shape([(half, top), *bottom, (-half, top)], paint.body)
    n_zigzag = 2 * rng.integers(3, 6) + 1
    xs = half * 0.96 * np.linspace(-1, 1, n_zigzag)
    sag = 0.18 * np.sqrt(np.clip(1 - (xs / half) ** 2, 0, 1))
    ys = np.where(np.arange(n_zigzag) % 2 == 0, top + sag + 0.04, low + sag - 0.06)
    pen.stroke(np.stack([xs, ys], axis=1), 0.05, paint.light)
    pen.stroke(arc(0, low - 0.03, half * taper, 0.2, 0.0, 0.5), 0.09, paint.accent)
    pen.stroke(arc(0, top + 0.04, half, 0.2, 0.0, 0.5), 0.1, paint.accent)
    pen.disc(0, top, half, 0.2, fill=paint.light)
    for side in (-1, 1):
        tip = (side * rng.uniform(0.05, 0.25), top - 0.02)
        grip = (side * rng.uniform(0.5, 0.65), rng.uniform(-0.72, -0.6))
        pen.stroke([grip, tip], 0.07, paint.shade)
        pen.disc(*tip, 0.08, fill=paint.metal)


def _car(pen: Pen, rng: np.random.Generator) -> None:
    paint, roof = pen.paint, rng.uniform(-0.42, -0.3)
    back, front = rng.uniform(-0.75, -0.42), rng.uniform(0.12, 0.34)
    cabin = [(back - 0.12, -0.02), (back, roof), (front, roof), (front + 0.24, -0.02)]
    hull = [(-0.93, 0.02), *cabin, (0.8, 0.04), (0.93, 0.16), (0.93, 0.36), (-0.93, 0.36)]
    pen.shape(hull, paint.body)
    low, high, split = -0.03, roof + 0.07, (back + front) / 2 + rng.uniform(-0.06, 0.1)
    pen.shape(
        [(back - 0.02, low), (back + 0.05, high), (split - 0.03, high), (split - 0.03, low)],
        paint.glass,
    )
    pen.shape(
        [(split + 0.03, low), (split + 0.03, high), (front - 0.03, high), (front + 0.14, low)],
        paint.glass,
    )
    pen.patch(box(-0.9, 0.25, 0.9, 0.34), paint.shade)
    pen.stroke([(split, 0.02), (split, 0.3)], 0.03, paint.ink)
    pen.stroke([(split - 0.16, 0.09), (split - 0.06, 0.09)], 0.04, paint.ink)
    pen.spot(0.88, 0.17, 0.06, 0.05, fill=paint.light)
    pen.patch(box(-0.93, 0.1, -0.85, 0.2), paint.accent)
    wheel = rng.uniform(0.19, 0.24)
    for x in (-0.52, 0.54):
        pen.disc(x, 0.36, wheel, fill=paint.ink)
        pen.spot(x, 0.36, 0.55 * wheel, fill=paint.metal)
        pen.spot(x, 0.36, 0.2 * wheel, fill=paint.ink)


def _bird(pen: Pen, rng: np.random.Generator) -> None:
    paint, chest, tail = pen.paint, rng.uniform(0.34, 0.42), rng.uniform(-0.3, 0.14)
    head = (rng.uniform(0.38, 0.46), rng.uniform(-0.42, -0.32))
    for x in (-0.02, 0.14):
        pen.stroke([(x, 0.3), (x + 0.03, 0.72), (x + 0.14, 0.74)], 0.05, paint.ink)
    pen.shape(
        [(-0.35, 0.0), (-0.92, tail), (-0.9, tail + 0.16), (-0.84, tail + 0.27), (-0.3, 0.22)],
        paint.shade,
    )
    beak = rng.uniform(0.22, 0.34)
    tip = (head[0] + 0.2 + beak, head[1] + 0.05)
    pen.shape(
        [(head[0] + 0.18, head[1] - 0.1), tip, (head[0] + 0.17, head[1] + 0.13)], paint.accent
    )
    pen.disc(0, 0.08, 0.52, chest, fill=paint.body)
    pen.disc(*head, 0.27, fill=paint.body)
    pen.spot(head[0] - 0.12, head[1] + 0.2, 0.22, 0.16, fill=paint.body)
    pen.spot(0.22, 0.2, 0.24, 0.2, fill=paint.light)
    wing = [
        *curve((0.2, -0.1), (0.1, 0.36), (-0.58, 0.22)),
        *curve((-0.58, 0.22), (-0.3, -0.25), (0.2, -0.1)),
    ]
    pen.shape(wing, paint.shade)
    pen.stroke(curve((0.05, 0.0), (0.0, 0.18), (-0.42, 0.17)), 0.035, paint.accent)
    pen.spot(head[0] + 0.09, head[1] - 0.05, 0.075, fill=paint.light)
    pen.spot(head[0] + 0.1, head[1] - 0.05, 0.045, fill=paint.ink)


def _fountain(pen: Pen, rng: np.random.Generator) -> None:
    paint, water = pen.paint, colour(0.53 + rng.uniform(-0.05, 0.05), 0.3, 1.0, 0.9)
    foam = colour(0.53, 0.08, 1.0)
    bowl, height = rng.uniform(0.68, 0.78), rng.uniform(-0.85, -0.65)
    pen.shape(mirrored([(0.1, -0.1), (0.08, 0.1), (0.16, 0.5)]), paint.metal)
    pen.shape(
        [*arc(0, 0.4, bowl, 0.16, 0.5, 1.0), *arc(0, 0.42, bowl * 0.85, 0.42, 0.0, 0.5)], paint.body
    )
    pen.disc(0, 0.42, bowl, 0.13, fill=water)
    pen.shape(arc(0, -0.12, 0.34, 0.2, 0.0, 0.5), paint.body)
    pen.disc(0, -0.12, 0.34, 0.07, fill=water)
    reaches = np.linspace(0.18, bowl * 0.85, rng.integers(3, 5))
    for reach in reaches:
        for side in (-1, 1):
            path = curve((0, -0.14), (side * reach * 0.75, 2 * height + 0.5), (side * reach, 0.4))
            pen.stroke(path, rng.uniform(0.035, 0.06), water)
            pen.stroke(path[1::2], 0.018, foam)
    pen.stroke([(0, -0.12), (0, height)], 0.07, foam)
    for x, y in zip(rng.uniform(-0.6, 0.6, 8), rng.uniform(height, 0.3, 8), strict=True):
        pen.spot(x, y, 0.035, 0.05, fill=foam)
    pen.stroke(arc(0, 0.47, bowl * 0.98, 0.15, 0.04, 0.46), 0.07, paint.accent)


def _siren(pen: Pen, rng: np.random.Generator) -> None:
    paint, half, top = pen.paint, rng.uniform(0.32, 0.42), rng.uniform(-0.42, -0.3)
    glow = colour(rng.choice((0.0, 0.6, 0.08, 0.14)), 0.35, 1.0)
    n_rays = int(rng.integers(5, 8))
    for turn in np.linspace(0.52, 0.98, n_rays):
        direction = np.array([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)])
        reach = rng.uniform(0.84, 0.95)
        pen.stroke(
            [tuple(direction * 0.62 + (0, 0.08)), tuple(direction * reach + (0, 0.08))], 0.085, glow
        )
    dome = [
        (half, 0.3),
        (half, top + 0.3),
        *reversed(arc(0, top + 0.3, half, 0.3, 0.5, 1.0)),
        (-half, 0.3),
    ]
    pen.shape(dome, paint.body)
    pen.patch([(0, top + 0.15), (0.12, 0.28), (-0.12, 0.28)], glow)
    pen.spot(0, top + 0.28, 0.13, fill=glow)
    pen.stroke(arc(0, top + 0.3, half * 0.72, 0.22, 0.55, 0.72), 0.06, paint.light)
    pen.shape(box(-half - 0.1, 0.28, half + 0.1, 0.42), paint.metal)
    pen.shape(
        [(-half - 0.12, 0.42), (half + 0.12, 0.42), (half + 0.24, 0.68), (-half - 0.24, 0.68)],
        paint.ink,
    )
    for x in (-0.25, 0.25):
        pen.spot(x, 0.55, 0.05, fill=paint.metal)


def _clock(pen: Pen, rng: np.random.Generator) -> None:
    paint, radius = pen.paint, rng.uniform(0.62, 0.7)
    if rng.random() < 0.5:
        _alarm_bells(pen)
    else:
        pen.shape(mirrored([(0.5, 0.5), (0.62, 0.78)]), paint.shade)
    pen.disc(0, 0.05, radius, fill=paint.body)
    pen.disc(0, 0.05, 0.8 * radius, fill=paint.light)
    for hour in range(12):
        angle = 2 * np.pi * hour / 12
        way = np.array([np.cos(angle), np.sin(angle)])
        inner = 0.62 if hour % 3 else 0.54
        ends = way * radius * np.array([[inner], [0.74]]) + (0, 0.05)
        pen.stroke(ends, 0.035 if hour % 3 else 0.06, paint.ink)
    for length, width in ((0.36, 0.075), (0.55, 0.05)):
        angle = rng.uniform(0, 2 * np.pi)
        tip = (radius * length * np.cos(angle), 0.05 + radius * length * np.sin(angle))
        pen.stroke([(0, 0.05), tip], width, paint.ink)
    pen.spot(0, 0.05, 0.06, fill=paint.accent)


def _alarm_bells(pen: Pen) -> None:
    for side in (-1, 1):
        pen.stroke([(side * 0.4, 0.5), (side * 0.56, 0.78)], 0.11, pen.paint.shade)
        pen.disc(side * 0.44, -0.56, 0.24, fill=pen.paint.accent)
    pen.stroke([(0, -0.5), (0, -0.82)], 0.07, pen.paint.metal)


def _guitar(pen: Pen, rng: np.random.Generator) -> None:
    paint, waist = pen.paint, rng.uniform(0.17, 0.23)
    lower, upper = rng.uniform(0.36, 0.42), rng.uniform(0.27, 0.32)
    right = [*curve((0.0, -0.12), (upper + 0.06, -0.14), (upper, 0.12))]
    right += curve((upper, 0.12), (waist - 0.02, 0.26), (lower - 0.05, 0.4))
    right += curve((lower - 0.05, 0.4), (lower + 0.1, 0.92), (0.0, 0.9))
    pen.shape(mirrored(right), paint.body)
    pen.shape(box(-0.065, -0.78, 0.065, 0.14), paint.shade)
    pen.shape([(-0.08, -0.95), (0.08, -0.95), (0.11, -0.74), (-0.11, -0.74)], paint.accent)
    for y in (-0.9, -0.8):
        for side in (-1, 1):
            pen.spot(side * 0.13, y, 0.04, fill=paint.metal)
    for y in np.linspace(-0.68, 0.02, 7):
        pen.stroke([(-0.06, y), (0.06, y)], 0.02, paint.metal)
    pen.disc(0, 0.24, 0.13, fill=paint.ink)
    pen.patch(box(-0.16, 0.6, 0.16, 0.67), paint.ink)
    for x in (-0.04, 0.0, 0.04):
        pen.stroke([(x, -0.78), (x, 0.62)], 0.012, paint.light)


def _kettle(pen: Pen, rng: np.random.Generator) -> None:
    paint, half = pen.paint, rng.uniform(0.46, 0.54)
    pen.stroke(arc(-0.08, -0.22, half * 0.85, 0.52, 0.53, 0.97), 0.1, paint.ink)
    pen.shape([(0.25, 0.3), (0.3, 0.0), (0.72, -0.34), (0.88, -0.22), (0.5, 0.34)], paint.shade)
    right = [*curve((0.16, -0.26), (half, -0.22), (half + 0.06, 0.36)), (half, 0.62)]
    pen.shape([(x - 0.08, y) for x, y in mirrored(right)], paint.body)
    pen.patch(box(-0.1 - half, 0.5, half - 0.06, 0.58), paint.accent)
    pen.shape([(x - 0.08, y) for x, y in arc(0, -0.24, 0.26, 0.12, 0.5, 1.0)], paint.metal)
    pen.disc(-0.08, -0.38, 0.07, fill=paint.ink)
    pen.stroke(curve((-0.4, 0.4), (-0.44, 0.0), (-0.26, -0.12)), 0.06, paint.light)
    for x in rng.uniform((0.74, 0.84), (0.8, 0.9)):
        wisp = [
            *curve((x, -0.38), (x + 0.12, -0.5), (x - 0.02, -0.58)),
            *curve((x - 0.02, -0.58), (x - 0.16, -0.66), (x - 0.1, -0.78)),
        ]
        pen.stroke([(0.9 * px, py) for px, py in wisp], 0.045, paint.light)


def _bee(pen: Pen, rng: np.random.Generator) -> None:
    paint, n_bands = pen.paint, int(rng.integers(3, 5))
    veil = colour(paint.hue + 0.5, 0.12, 1.0, 0.72)
    for x, tilt in ((-0.12, -0.32), (0.18, 0.06)):
        root, tip = (x + 0.02, -0.15), (x + tilt, -0.9 + 0.2 * rng.random())
        left, right = (x + tilt - 0.36, -0.55), (x + tilt + 0.36, -0.55)
        pen.shape([*curve(root, left, tip), *curve(tip, right, root)], veil)
    pen.shape([(-0.6, 0.02), (-0.9, 0.14), (-0.6, 0.2)], paint.ink)
    half, fat = 0.56, rng.uniform(0.3, 0.38)
    pen.disc(-0.12, 0.12, half, fat, fill=paint.body)
    for x in np.linspace(-0.42, 0.24, n_bands):
        tall = fat * np.sqrt(max(0.0, 1 - ((x + 0.12) / half) ** 2))
        pen.stroke([(x, 0.12 - tall), (x + 0.03, 0.12), (x, 0.12 + tall)], 0.1, paint.ink)
    pen.disc(0.5, 0.06, 0.23, fill=paint.shade)
    pen.spot(0.58, 0.0, 0.085, fill=paint.light)
    pen.spot(0.6, 0.0, 0.05, fill=paint.ink)
    for lift in (0.0, 0.14):
        pen.stroke(
            curve((0.5 + lift, -0.14), (0.6 + lift, -0.36), (0.7 + lift, -0.38)), 0.04, paint.ink
        )


LOOKS: dict[str, Look] = {
    "bell": _bell,
    "drum": _drum,
    "car": _car,
    "bird": _bird,
    "fountain": _fountain,
    "siren": _siren,
    "clock": _clock,
    "guitar": _guitar,
    "kettle": _kettle,
    "bee": _bee,
}
"""The look of each of `KINDS`."""
