"""The world that the project makes: scenes whose every truth is known.

A procedural audio-visual world for the demo, the tests, the benchmarks and as training material:
objects of ten kinds over textured backgrounds, each kind with its own family of sounds, silent
distractors, ambient and off-screen sounds, two sources at once, boxes by three annotators, clips,
and 360° panoramas with a known path. Everything is a function of a seed.

It knows nothing of networks, and it only writes media; reading is the encoder's.
"""

from train.world.clips import Clip, make_clip
from train.world.config import AMBIENT_LABEL, AMBIENT_SOUNDS, KINDS, WorldConfig, WorldError
from train.world.folder import WorldReport, write_world
from train.world.panorama import Panorama, make_panorama
from train.world.scenes import Box, Scene, make_scene
from train.world.voices import make_sound

__all__ = [
    "AMBIENT_LABEL",
    "AMBIENT_SOUNDS",
    "KINDS",
    "Box",
    "Clip",
    "Panorama",
    "Scene",
    "WorldConfig",
    "WorldError",
    "WorldReport",
    "make_clip",
    "make_panorama",
    "make_scene",
    "make_sound",
    "write_world",
]
