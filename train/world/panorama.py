"""360° panoramas: one sounding object on a known path over the sphere (S19 section 6).

Directions: azimuth 0 is the middle of the picture and positive to the **left**, elevation is
positive upwards, as in ambisonics. A direction lies at x = (1/2 - azimuth/360) W and
y = (1/2 - elevation/180) H, in pixel edges: pixel j spans [j, j + 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.world.backgrounds import coloured
from train.world.config import Stream, WorldConfig, generator
from train.world.layout import balanced_kind
from train.world.props import PROPS
from train.world.sprites import Role, Sprite, Thing, draw
from train.world.synthesis import Waveform
from train.world.voices import make_sound

Directions = NDArray[np.float32]
"""(3, H, W) unit vectors of the pixel centres: ahead, left, up."""

_N_WAVES = 24
_OBJECT_DEG = (36.0, 60.0)
_PROP_DEG = (16.0, 34.0)
_SPRITE_PX_PER_PX = 1.3
"""Sprite pixels per picture pixel at the object's middle; it is sampled bilinearly."""


@dataclass(frozen=True, kw_only=True)
class Panorama:
    """An equirectangular video and the truth about it.

    Parameters
    ----------
    frames : (F, H, 2H, 3) uint8.
    frame_hz : frames per second; frame i is shown at i / frame_hz seconds.
    waveform : (T,) float32 in [-1, 1], mono.
    kind : the sounding kind.
    azimuth_deg : (F,) in [-180, 180), positive to the left.
    elevation_deg : (F,) in [-90, 90].
    """

    frames: NDArray[np.uint8]
    frame_hz: int
    waveform: Waveform
    kind: str
    azimuth_deg: NDArray[np.float64]
    elevation_deg: NDArray[np.float64]


def make_panorama(config: WorldConfig, index: int) -> Panorama:
    """Make one panorama: a function of (config.seed, index) and the settings."""
    rng = generator(config.seed, Stream.PANORAMA, index)
    kind = balanced_kind(config, index, Stream.PANORAMA)
    directions = sphere(config.panorama_px)
    empty = scenery(config, index)
    diameter = rng.uniform(*_OBJECT_DEG)
    sprite = _sprite(config, kind, "source", diameter, rng)
    azimuth, elevation = _path(config, rng)
    frames = np.empty((len(azimuth), *empty.shape[1:], 3), np.uint8)
    for frame, turn, lift in zip(frames, azimuth, elevation, strict=True):
        view = empty.copy()
        paste_on_sphere(view, sprite, directions, turn, lift, diameter)
        frame[:] = np.clip(view, 0, 255).transpose(1, 2, 0)
    return Panorama(
        frames=frames,
        frame_hz=config.video_hz,
        waveform=make_sound(
            kind,
            generator(config.seed, Stream.SOUND, Stream.PANORAMA, index),
            seconds=config.video_s,
            rate_hz=config.rate_hz,
        ),
        kind=kind,
        azimuth_deg=azimuth,
        elevation_deg=elevation,
    )


def paste_on_sphere(
    view: NDArray[np.float32],
    sprite: Sprite,
    directions: Directions,
    azimuth_deg: float,
    elevation_deg: float,
    diameter_deg: float,
) -> None:
    """Draw a sprite into an equirectangular view (3, H, W), in place.

    The sprite stands upright in the plane that touches the sphere in its direction (gnomonic
    projection), the middle of its extent where plane and sphere touch.
    """
    ahead, left, up = _basis(azimuth_deg, elevation_deg)
    half = np.tan(np.radians(diameter_deg / 2))
    reach = np.cos(np.arctan(2 * half))
    rows, columns = np.nonzero(np.tensordot(ahead, directions, 1) > reach)
    seen = directions[:, rows, columns]
    depth = ahead @ seen
    side, (x0, y0, x1, y1) = len(sprite.alpha), sprite.extent()
    scale = side / (2 * half)
    x = (x0 + x1) / 2 - scale * (left @ seen) / depth - 0.5
    y = (y0 + y1) / 2 - scale * (up @ seen) / depth - 0.5
    inside = (x >= 0) & (x <= side - 1.001) & (y >= 0) & (y <= side - 1.001)
    rows, columns, x, y = rows[inside], columns[inside], x[inside], y[inside]
    view[:, rows, columns] *= 1 - _bilinear(sprite.alpha[None], x, y)
    view[:, rows, columns] += _bilinear(sprite.rgb, x, y)


def _bilinear(
    planes: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sample (C, S, S) at points inside it: (C, N)."""
    left, top = x.astype(np.int64), y.astype(np.int64)
    right_share, low_share = x - left, y - top
    upper = planes[:, top, left] * (1 - right_share) + planes[:, top, left + 1] * right_share
    lower = planes[:, top + 1, left] * (1 - right_share)
    lower += planes[:, top + 1, left + 1] * right_share
    return upper * (1 - low_share) + lower * low_share  # type: ignore[no-any-return]


def _path(
    config: WorldConfig, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return azimuth and elevation (F,) in degrees: a steady turn with a slow swing on both."""
    times = np.arange(round(config.video_s * config.video_hz)) / config.video_hz
    swings = np.sin(2 * np.pi * (rng.uniform(0.1, 0.3, (2, 1)) * times + rng.random((2, 1))))
    speed = rng.choice((-1, 1)) * rng.uniform(10, 40)
    azimuth = rng.uniform(-180, 180) + speed * times + rng.uniform(0, 12) * swings[0]
    elevation = rng.uniform(-20, 20) + rng.uniform(0, 20) * swings[1]
    return (azimuth + 180) % 360 - 180, elevation


def sphere(height: int) -> Directions:
    """Return the direction of every pixel centre of an equirectangular picture (H, 2H)."""
    azimuth = np.pi * (1 - (np.arange(2 * height) + 0.5) / height)
    elevation = np.pi * (0.5 - (np.arange(height) + 0.5) / height)[:, None]
    flat = np.cos(elevation)
    vectors = (flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) + 0 * azimuth)
    return np.stack(vectors).astype(np.float32)


def _basis(azimuth_deg: float, elevation_deg: float) -> Directions:
    """Return three unit vectors: towards a direction, to the left of it, and up from it."""
    turn, lift = np.radians(azimuth_deg), np.radians(elevation_deg)
    return np.array(
        [
            [np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)],
            [-np.sin(turn), np.cos(turn), 0.0],
            [-np.sin(lift) * np.cos(turn), -np.sin(lift) * np.sin(turn), np.cos(lift)],
        ],
        np.float32,
    )


def scenery(config: WorldConfig, index: int) -> NDArray[np.float32]:
    """Return (3, H, W), what surrounds the object: seamless noise, ground below, silent things."""
    rng = generator(config.seed, Stream.PANORAMA, index, 1)
    directions = sphere(config.panorama_px)
    view = _surroundings(directions, rng)
    for _ in range(round(2 * config.distractor_rate)):
        diameter = rng.uniform(*_PROP_DEG)
        prop = _sprite(config, str(rng.choice(tuple(PROPS))), "prop", diameter, rng)
        azimuth, elevation = rng.uniform(-180, 180), rng.uniform(-45, 45)
        paste_on_sphere(view, prop, directions, azimuth, elevation, diameter)
    return view


def _surroundings(directions: Directions, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (3, H, W): plane waves through the sphere, coloured; the lower half darker."""
    field = np.zeros(directions.shape[1:], np.float32)
    for frequency in rng.uniform(1.5, 22, _N_WAVES):
        wave = frequency * rng.standard_normal(3)
        phase = np.tensordot(wave.astype(np.float32), directions, 1)
        field += np.cos(phase + np.float32(rng.uniform(0, 2 * np.pi))) / np.float32(frequency**0.5)
    span = float(field.max() - field.min())
    picture = coloured(rng, (field - field.min()) / np.float32(span))
    view = np.asarray(picture).transpose(2, 0, 1).astype(np.float32, order="C")
    view[:, view.shape[1] // 2 :] *= rng.uniform(0.55, 0.95, (3, 1, 1)).astype(np.float32)
    return view


def _sprite(
    config: WorldConfig, name: str, role: Role, diameter_deg: float, rng: np.random.Generator
) -> Sprite:
    """Draw a thing as large as it needs to be sampled finely."""
    plane_px = 2 * np.tan(np.radians(diameter_deg / 2)) * config.panorama_px / np.pi
    side = max(16, round(_SPRITE_PX_PER_PX * plane_px))
    look = (*(int(part) for part in rng.integers(0, 2**32, 2)),)
    return draw(Thing(name=name, role=role, look=look, side_px=side, x_px=0, y_px=0))
