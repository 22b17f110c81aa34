"""What a made world holds: the kinds, the settings, and the one way from a seed to randomness."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from train.errors import TrainError

KINDS: tuple[str, ...] = (
    "bell",
    "drum",
    "car",
    "bird",
    "fountain",
    "siren",
    "clock",
    "guitar",
    "kettle",
    "bee",
)
"""Objects that can be seen and heard. The order is part of the format: it seeds the choice."""

AMBIENT_SOUNDS: tuple[str, ...] = ("wind", "hum", "babble")
"""Sounds without a visible source."""

AMBIENT_LABEL = "ambient"
"""The label of a scene that sounds without any source in it."""


class WorldError(TrainError):
    """A world cannot be made: its settings are impossible or its folder cannot be written."""


class Stream(IntEnum):
    """Independent sources of randomness. The numbers are part of the format: never reuse one."""

    LABEL = 0
    SCENE = 1
    SOUND = 2
    VIDEO = 3
    PANORAMA = 4
    LIGHT = 5
    ANNOTATOR = 6


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """Return the generator of one stream of one thing: a function of its arguments alone.

    The count of indices is part of the entropy, since numpy takes (1, 2) and (1, 2, 0) as one.
    """
    return np.random.default_rng((seed, int(stream), len(indices), *indices))


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Settings of a made world.

    Parameters
    ----------
    n_scenes, n_videos, n_panoramas : how many of each `write_world` makes.
    frame_px : side of the square frames, pixels, even, at least 32.
    sound_s : length of a scene's sound, seconds.
    rate_hz : sampling rate of every sound.
    seed : the world's number, in [0, 2³²). A scene depends on (seed, index) and on the settings
        of looks and shares, never on `n_scenes`.
    two_source_share : share of scenes with two sounding objects of different kinds.
    offscreen_share : share of scenes whose sounding object is not in the picture.
    ambient_share : share of scenes with an ambient sound and no source at all.
    mute_share : share of scenes that also show an object of `KINDS` which makes no sound.
    distractor_rate : mean number of silent distractors in a scene, in [0, 6].
    noise_level : strength of the sounds' noise floor, in [0, 1].
    object_size : smallest and largest diameter of the disc around a lone source, as a share of
        `frame_px`. Two sources in one picture are smaller by a third.
    kinds : the sounding kinds in use, a subset of `KINDS`.
    correlated_distractor : a silent companion with a fixed look for its kind always stands
        beside its source, as the railway beside the train (S19 Figure 3).
    video_s, video_hz : length of clips and panoramas in seconds, frames per second.
    panorama_px : height of panoramas, even; they are twice as wide (S19 section 6: 480).

    Raises
    ------
    WorldError : a value lies outside its range; the message names it.
    """

    n_scenes: int = 60
    n_videos: int = 6
    n_panoramas: int = 2
    frame_px: int = 256
    sound_s: float = 5.0
    rate_hz: int = 22_050
    seed: int = 0
    two_source_share: float = 0.15
    offscreen_share: float = 0.05
    ambient_share: float = 0.05
    mute_share: float = 0.0
    distractor_rate: float = 1.5
    noise_level: float = 0.3
    object_size: tuple[float, float] = (0.35, 0.85)
    kinds: tuple[str, ...] = KINDS
    correlated_distractor: bool = False
    video_s: float = 4.0
    video_hz: int = 12
    panorama_px: int = 480

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_shares()
        self._check_sizes()

    def _check_kinds(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds or len(set(self.kinds)) != len(self.kinds):
            raise WorldError(
                f"kinds: {', '.join(self.kinds) or 'none'} is not a set of known kinds; "
                f"choose among {', '.join(KINDS)}"
            )
        if len(self.kinds) < 2 and (self.two_source_share or self.mute_share):
            raise WorldError("kinds: one kind only; set two_source_share and mute_share to 0")

    def _check_shares(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_share", "_level")) and not 0.0 <= value <= 1.0:
                raise WorldError(f"{field.name}: {value} is outside [0, 1]")
        if self.two_source_share + self.offscreen_share + self.ambient_share > 1.0:
            raise WorldError("two_source_share + offscreen_share + ambient_share: more than 1")
        if not 0.0 <= self.distractor_rate <= 6.0:
            raise WorldError(f"distractor_rate: {self.distractor_rate} is outside [0, 6]")

    def _check_sizes(self) -> None:
        least = {
            "seed": 0,
            "n_scenes": 0,
            "n_videos": 0,
            "n_panoramas": 0,
            "frame_px": 32,
            "panorama_px": 32,
            "rate_hz": 8_000,
            "sound_s": 0.5,
            "video_s": 0.5,
            "video_hz": 1,
        }
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise WorldError(f"{name}: {getattr(self, name)} is below {smallest}")
        if self.seed >= 2**32:
            raise WorldError(f"seed: {self.seed} is not below 2³²")
        for name in ("frame_px", "panorama_px"):
            if getattr(self, name) % 2:
                raise WorldError(f"{name}: {getattr(self, name)} is odd; video needs even sides")
        small, large = self.object_size
        if not 0.1 <= small <= large <= 0.95:
            raise WorldError(f"object_size: {self.object_size} is not ordered within [0.1, 0.95]")
