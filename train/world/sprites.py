"""One object as pixels: a look, its colours, its pose, the light on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from train.world.config import KINDS
from train.world.looks import LOOKS, Look
from train.world.pen import Pen, random_paint
from train.world.props import PROPS

Role = Literal["source", "mute", "prop"]
"""A sounding object, one of `KINDS` that keeps silent, or a thing that never sounds."""

_REACH = 0.94
"""Looks reach a little beyond their unit disc here and there; this keeps them on the canvas."""

_TEXTURE_GRID = 12


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object of a scene, before it is drawn.

    Parameters
    ----------
    name : one of `KINDS`, or a silent thing.
    look : seed of its colours, parts, pose and texture.
    side_px : side of the square in which it lies, whatever its pose.
    x_px, y_px : the square's left upper corner in the frame.
    upright : whether the pose is fixed: no rotation, mirroring, squeezing or texture.
    """

    name: str
    role: Role
    look: tuple[int, ...]
    side_px: int
    x_px: int
    y_px: int
    upright: bool = False


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """A drawn object.

    Parameters
    ----------
    rgb : (3, S, S) float32 in [0, 255], premultiplied by alpha.
    alpha : (S, S) float32 in [0, 1].
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]

    def extent(self) -> tuple[int, int, int, int]:
        """Return x0, y0, x1, y1 of what is at least half opaque; x1 and y1 are exclusive."""
        solid = self.alpha >= 0.5
        columns, rows = np.flatnonzero(solid.any(axis=0)), np.flatnonzero(solid.any(axis=1))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def draw(thing: Thing) -> Sprite:
    """Draw a thing."""
    rng = np.random.default_rng(thing.look)
    paint = random_paint(rng)
    pose = np.eye(2) if thing.upright else _pose(rng)
    pen = Pen(thing.side_px, _REACH * pose, paint, rng.uniform(0.0, 0.045))
    _look(thing.name)(pen, rng)
    planes = pen.pixels().transpose(2, 0, 1).astype(np.float32, order="C")
    light = _shading(rng, planes.shape[1])
    if not thing.upright:
        light *= _texture(rng, planes.shape[1])
    planes[:3] *= light
    np.minimum(planes[:3], planes[3], out=planes[:3])
    return Sprite(rgb=planes[:3], alpha=planes[3] / np.float32(255))


def _look(name: str) -> Look:
    return LOOKS[name] if name in KINDS else PROPS[name]


def _pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation by up to 25°, a mirroring at random, and a squeeze by up to a quarter."""
    angle = np.radians(rng.uniform(-25, 25))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    squeeze = np.ones(2)
    squeeze[rng.integers(2)] = rng.uniform(0.75, 1.0)
    mirror = np.array([rng.choice((-1.0, 1.0)), 1.0])
    pose: NDArray[np.float64] = turn * (squeeze * mirror)
    return pose


def _shading(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return (S, S) factors about 1: light from one side."""
    towards, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.35)
    along = np.linspace(-strength, strength, side, dtype=np.float32)
    x, y = np.float32(np.cos(towards)), np.float32(np.sin(towards))
    return 1 + x * along[None, :] + y * along[:, None]


def _texture(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return (S, S) factors about 1: nothing, grain, or stripes."""
    strength = np.float32(rng.uniform(0.03, 0.16))
    style = rng.integers(3)
    if style == 0:
        return np.ones((side, side), np.float32)
    if style == 1:
        grain = rng.random((_TEXTURE_GRID, _TEXTURE_GRID), dtype=np.float32)
        places = np.arange(side) * _TEXTURE_GRID // side
        return 1 + strength * (2 * grain[places][:, places] - 1)
    across, down = rng.uniform(-40, 40, 2) / side
    rows, columns = np.arange(side, dtype=np.float32)[:, None], np.arange(side, dtype=np.float32)
    stripes = np.sin(np.float32(across) * columns + np.float32(down) * rows)
    return (1 + strength * stripes).astype(np.float32)
