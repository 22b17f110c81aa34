"""Scenes: the picture, the mix of sounds, and the annotators' boxes, from a plan.

A scene is planned first and drawn after, so that it can be drawn again without one object: the
difference is exactly that object's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from train.world.backgrounds import background, grain, light
from train.world.config import KINDS, Stream, WorldConfig, generator
from train.world.layout import ScenePlan, plan_scene
from train.world.sprites import Sprite, Thing, draw
from train.world.synthesis import Waveform, in_room, peak, rms, unit_rms
from train.world.voices import PEAK, make_sound

N_ANNOTATORS = 3
"""As in the papers' data (S19 section 5.1)."""

_LOOSE = (-0.02, 0.05)
"""How far an annotator's edge lies outside the true one, as a share of the box: people draw loose.
Any two annotators of one object then agree to an IoU above 0.75, rounding aside."""

Tag = Literal["object", "ambient"]
Extent = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Box:
    """What one annotator drew (S19 section 5.1).

    Parameters
    ----------
    x0, y0, x1, y1 : pixels; x1 and y1 are exclusive.
    annotator : 1, 2 or 3.
    tag : `object`, or `ambient` where nothing in the picture makes the sound.
    kind : what sounds: one of `KINDS` or of `AMBIENT_SOUNDS`.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    annotator: int
    tag: Tag
    kind: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture and what is heard with it.

    Parameters
    ----------
    image : (H, W, 3) uint8.
    sounds : (T,) float32 for each thing heard, as loud as in the mix, without the noise floor.
    waveform : (T,) float32 in [-1, 1], the mix with its noise floor.
    kind : the label: the first sounding kind, or "ambient".
    kinds : the sounding kinds that are seen.
    boxes : three annotators' boxes for each thing heard and seen, or for an ambient sound.
    onscreen : whether anything that is heard is also seen.
    """

    image: NDArray[np.uint8]
    sounds: dict[str, Waveform]
    waveform: Waveform
    kind: str
    kinds: tuple[str, ...]
    boxes: tuple[Box, ...]
    onscreen: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A scene ready to be shot: everything drawn, nothing put together.

    Parameters
    ----------
    backdrop : (3, H, W) float32 in [0, 255].
    light, grain : (H, W) float32, factors about 1 and grey levels about 0.
    things, sprites : what stands before it, from back to front.
    """

    backdrop: NDArray[np.float32]
    light: NDArray[np.float32]
    grain: NDArray[np.float32]
    things: tuple[Thing, ...]
    sprites: tuple[Sprite, ...]


def make_scene(config: WorldConfig, index: int) -> Scene:
    """Make one scene: a function of (config.seed, index) and the settings, in any order.

    Safe to call from several threads.
    """
    plan = plan_scene(config, index)
    stage = set_stage(config, plan)
    sounds, waveform = mix(config, plan, seconds=config.sound_s)
    kinds = tuple(thing.name for thing in plan.sources)
    return Scene(
        image=shoot(stage),
        sounds=sounds,
        waveform=waveform,
        kind=plan.label,
        kinds=kinds,
        boxes=annotate(config, plan, stage),
        onscreen=bool(kinds),
    )


def set_stage(config: WorldConfig, plan: ScenePlan) -> Stage:
    """Draw everything that a plan names. The backdrop does not depend on the things before it."""
    rng = generator(config.seed, Stream.LIGHT, plan.stream, plan.index)
    return Stage(
        backdrop=background(rng, config.frame_px),
        light=light(rng, config.frame_px),
        grain=grain(rng, config.frame_px),
        things=plan.things,
        sprites=tuple(draw(thing) for thing in plan.things),
    )


def shoot(stage: Stage, shift_px: tuple[int, int] = (0, 0)) -> NDArray[np.uint8]:
    """Put a stage together into a picture (H, W, 3); `shift_px` moves the sources, x and y."""
    picture = stage.backdrop.copy()
    for thing, sprite in zip(stage.things, stage.sprites, strict=True):
        x, y = shift_px if thing.role == "source" else (0, 0)
        _paste(picture, sprite, thing.x_px + x, thing.y_px + y)
    picture *= stage.light
    picture += stage.grain
    np.clip(picture, 0, 255, out=picture)
    return np.ascontiguousarray(picture.astype(np.uint8).transpose(1, 2, 0))


def mix(
    config: WorldConfig, plan: ScenePlan, *, seconds: float
) -> tuple[dict[str, Waveform], Waveform]:
    """Return each sound of a plan and their mix over a noise floor, peaks below `PEAK`."""
    rng = generator(config.seed, Stream.SOUND, plan.stream, plan.index)
    sounds = {
        name: make_sound(name, rng, seconds=seconds, rate_hz=config.rate_hz) for name in plan.heard
    }
    _balance(rng, sounds)
    together: Waveform = np.stack(list(sounds.values())).sum(axis=0)
    white = rng.random(len(together), dtype=np.float32) - np.float32(0.5)
    floor = unit_rms(in_room(rng, white, config.rate_hz))
    together += np.float32(config.noise_level * rng.random() ** 2 * rms(together)) * floor
    calm = np.float32(min(1.0, PEAK / peak(together)))
    return {name: calm * sound for name, sound in sounds.items()}, calm * together


def annotate(
    config: WorldConfig, plan: ScenePlan, stage: Stage, shift_px: tuple[int, int] = (0, 0)
) -> tuple[Box, ...]:
    """Return three boxes for each source; for an ambient sound, three about the whole picture."""
    rng = generator(config.seed, Stream.ANNOTATOR, plan.stream, plan.index)
    boxes: list[Box] = []
    for thing, sprite in zip(stage.things, stage.sprites, strict=True):
        if thing.role == "source":
            x, y = thing.x_px + shift_px[0], thing.y_px + shift_px[1]
            x0, y0, x1, y1 = sprite.extent()
            extent = (x0 + x, y0 + y, x1 + x, y1 + y)
            boxes += _annotators(rng, config.frame_px, extent, thing.name, "object")
    if plan.heard[0] not in KINDS:
        margin = config.frame_px // 20
        inner = (margin, margin, config.frame_px - margin, config.frame_px - margin)
        boxes += _annotators(rng, config.frame_px, inner, plan.heard[0], "ambient")
    return tuple(boxes)


def _annotators(
    rng: np.random.Generator, frame_px: int, extent: Extent, kind: str, tag: Tag
) -> list[Box]:
    x0, y0, x1, y1 = extent
    wide, high = x1 - x0, y1 - y0
    boxes = []
    for annotator in range(1, N_ANNOTATORS + 1):
        left, top, right, bottom = rng.uniform(*_LOOSE, 4)
        boxes.append(
            Box(
                x0=max(0, round(x0 - left * wide)),
                y0=max(0, round(y0 - top * high)),
                x1=min(frame_px, round(x1 + right * wide)),
                y1=min(frame_px, round(y1 + bottom * high)),
                annotator=annotator,
                tag=tag,
                kind=kind,
            )
        )
    return boxes


def _balance(rng: np.random.Generator, sounds: dict[str, Waveform]) -> None:
    """Bring every sound to within 6 dB of the first, in place, so that none drowns."""
    first, *others = sounds.values()
    for other in others:
        other *= np.float32(rms(first) / rms(other) * 10 ** (rng.uniform(-6, 6) / 20))


def _paste(picture: NDArray[np.float32], sprite: Sprite, x_px: int, y_px: int) -> None:
    side = len(sprite.alpha)
    behind = picture[:, y_px : y_px + side, x_px : x_px + side]
    behind *= 1 - sprite.alpha
    behind += sprite.rgb
