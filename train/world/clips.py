"""Clips: a scene whose sounding object moves a little while it sounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from train.world.config import Stream, WorldConfig, generator
from train.world.layout import plan_scene
from train.world.scenes import Box, annotate, mix, set_stage, shoot
from train.world.sprites import Thing
from train.world.synthesis import Waveform

_REACH = 0.12
"""How far an object strays from its place, as a share of the frame."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A short video with one sounding object.

    Parameters
    ----------
    frames : (F, H, W, 3) uint8.
    frame_hz : frames per second.
    waveform : (T,) float32 in [-1, 1].
    kind : the sounding kind.
    boxes : the annotators' boxes on the middle frame, `frames[F // 2]`.
    """

    frames: NDArray[np.uint8]
    frame_hz: int
    waveform: Waveform
    kind: str
    boxes: tuple[Box, ...]


def make_clip(config: WorldConfig, index: int) -> Clip:
    """Make one clip: a function of (config.seed, index) and the settings."""
    lone = replace(config, two_source_share=0.0, offscreen_share=0.0, ambient_share=0.0)
    plan = plan_scene(lone, index, stream=Stream.VIDEO)
    stage = set_stage(config, plan)
    shifts = _wander(config, plan.sources[0], index)
    return Clip(
        frames=np.stack([shoot(stage, shift) for shift in shifts]),
        frame_hz=config.video_hz,
        waveform=mix(config, plan, seconds=config.video_s)[1],
        kind=plan.label,
        boxes=annotate(config, plan, stage, shifts[len(shifts) // 2]),
    )


def _wander(config: WorldConfig, thing: Thing, index: int) -> list[tuple[int, int]]:
    """Return the shift (x, y) in pixels of each frame; the object stays inside the picture."""
    rng = generator(config.seed, Stream.VIDEO, index, 1)
    times = np.arange(round(config.video_s * config.video_hz)) / config.video_hz
    room = config.frame_px - thing.side_px
    shifts = []
    for place in (thing.x_px, thing.y_px):
        swing = np.sin(2 * np.pi * (rng.uniform(0.15, 0.5) * times + rng.random()))
        shift = np.round(_REACH * config.frame_px * rng.random() * swing).astype(int)
        shifts.append(np.clip(shift, -place, room - place).tolist())
    return list(zip(*shifts, strict=True))
