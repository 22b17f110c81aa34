"""Plans: which kinds sound in a scene, and what stands where. No pixel, no sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.world.config import (
    AMBIENT_LABEL,
    AMBIENT_SOUNDS,
    KINDS,
    Stream,
    WorldConfig,
    generator,
)
from train.world.props import PROPS
from train.world.sprites import Role, Thing

_GOLDEN = (5**0.5 - 1) / 2
_CROWDED = 2 / 3
"""Objects are smaller by this factor where two of `KINDS` share a picture."""

_COMPANION_SIZE = 0.55
_PROP_SIZE = (0.16, 0.36)
_LEAST_PX = 8
"""Nothing is drawn smaller: it would have no opaque pixel."""

_TRIES, _SHRINK = 40, 0.85


@dataclass(frozen=True, kw_only=True)
class ScenePlan:
    """A scene before it is drawn and sounded.

    Parameters
    ----------
    stream, index : which scene of the world it is.
    label : the first sounding kind, or "ambient".
    heard : what sounds: names of `KINDS`, or one of `AMBIENT_SOUNDS`.
    things : what is seen, from back to front.
    """

    stream: Stream
    index: int
    label: str
    heard: tuple[str, ...]
    things: tuple[Thing, ...]

    @property
    def sources(self) -> tuple[Thing, ...]:
        return tuple(thing for thing in self.things if thing.role == "source")


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """Who appears: kinds that sound and are seen, kinds seen but mute, and all that is heard."""

    seen: tuple[str, ...]
    mute: tuple[str, ...]
    heard: tuple[str, ...]


def plan_scene(config: WorldConfig, index: int, *, stream: Stream = Stream.SCENE) -> ScenePlan:
    """Plan one scene: a function of (config.seed, stream, index) and the settings alone."""
    cast = _cast(config, index, stream)
    rng = generator(config.seed, stream, index)
    sources = _place_sources(config, cast, rng)
    companions = (
        [_companion(config, thing) for thing in sources if thing.role == "source"]
        if config.correlated_distractor
        else []
    )
    props = _place_props(config, [*sources, *companions], rng)
    return ScenePlan(
        stream=stream,
        index=index,
        label=cast.heard[0] if cast.heard[0] in KINDS else AMBIENT_LABEL,
        heard=cast.heard,
        things=(*props, *companions, *sources),
    )


def balanced_kind(config: WorldConfig, index: int, stream: Stream) -> str:
    """Return the kind of one scene: every block of as many scenes as kinds holds each kind once."""
    block, place = divmod(index, len(config.kinds))
    order = generator(config.seed, Stream.LABEL, stream, block).permutation(len(config.kinds))
    return config.kinds[int(order[place])]


def _cast(config: WorldConfig, index: int, stream: Stream) -> _Cast:
    """Choose the sounding kinds.

    Multiples of the golden ratio, modulo 1, fill [0, 1) evenly: the shares hold for any run of
    scenes, without a scene knowing of the others.
    """
    rng = generator(config.seed, Stream.LABEL, stream, index, 1)
    kind = balanced_kind(config, index, stream)
    others = [name for name in config.kinds if name != kind]
    start = generator(config.seed, Stream.LABEL, stream).random()
    dice = (start + _GOLDEN * index) % 1.0
    mute = (str(rng.choice(others)),) if rng.random() < config.mute_share else ()
    if dice < config.ambient_share:
        return _Cast(seen=(), mute=mute, heard=(str(rng.choice(AMBIENT_SOUNDS)),))
    if dice < config.ambient_share + config.offscreen_share:
        return _Cast(seen=(), mute=mute, heard=(kind,))
    if dice < config.ambient_share + config.offscreen_share + config.two_source_share:
        both = (kind, str(rng.choice(others)))
        return _Cast(seen=both, mute=(), heard=both)
    return _Cast(seen=(kind,), mute=mute, heard=(kind,))


def _place_sources(config: WorldConfig, cast: _Cast, rng: np.random.Generator) -> list[Thing]:
    """Place the kinds so that the discs around them do not touch; shrink them until that holds."""
    roles: list[tuple[str, Role]] = [(name, "source") for name in cast.seen]
    roles += [(name, "mute") for name in cast.mute]
    scale = config.frame_px * (_CROWDED if len(roles) > 1 else 1.0)
    if config.correlated_distractor:
        scale *= _CROWDED
    sides = [max(_LEAST_PX, round(scale * rng.uniform(*config.object_size))) for _ in roles]
    while True:
        for _ in range(_TRIES):
            things = [
                _thing(config, name, role, side, rng)
                for (name, role), side in zip(roles, sides, strict=True)
            ]
            apart = not any(_close(a, b, 1.0) for i, a in enumerate(things) for b in things[:i])
            if apart and all(_has_room_beside(config, thing) for thing in things):
                return things
        sides = [max(_LEAST_PX, round(_SHRINK * side)) for side in sides]


def _place_props(config: WorldConfig, taken: list[Thing], rng: np.random.Generator) -> list[Thing]:
    """Place silent things where they hide nothing; those that find no room are left out."""
    props: list[Thing] = []
    names = tuple(PROPS)
    for _ in range(min(6, rng.poisson(config.distractor_rate))):
        side = max(_LEAST_PX, round(config.frame_px * rng.uniform(*_PROP_SIZE)))
        for _ in range(_TRIES // 4):
            prop = _thing(config, str(rng.choice(names)), "prop", side, rng)
            if not any(_close(prop, other, 0.85) for other in (*taken, *props)):
                props.append(prop)
                break
    return props


def _thing(
    config: WorldConfig, name: str, role: Role, side: int, rng: np.random.Generator
) -> Thing:
    x, y = rng.integers(0, config.frame_px - side + 1, 2)
    look = (*(int(part) for part in rng.integers(0, 2**32, 2)),)
    return Thing(name=name, role=role, look=look, side_px=side, x_px=int(x), y_px=int(y))


def _has_room_beside(config: WorldConfig, thing: Thing) -> bool:
    room_right = config.frame_px - thing.x_px - thing.side_px
    needed = _companion_side(thing) if config.correlated_distractor else 0
    return max(thing.x_px, room_right) >= needed


def _companion_side(source: Thing) -> int:
    return max(_LEAST_PX, round(_COMPANION_SIZE * source.side_px))


def _companion(config: WorldConfig, source: Thing) -> Thing:
    """Return the silent thing that stands beside every source of one kind, always alike."""
    kind, side = KINDS.index(source.name), _companion_side(source)
    room_right = config.frame_px - source.x_px - source.side_px
    x = source.x_px + source.side_px if room_right >= source.x_px else source.x_px - side
    return Thing(
        name=tuple(PROPS)[kind % len(PROPS)],
        role="prop",
        look=(kind,),
        side_px=side,
        x_px=x,
        y_px=source.y_px + source.side_px - side,
        upright=True,
    )


def _close(a: Thing, b: Thing, share: float) -> bool:
    """Tell whether two things' discs, shrunk by `share`, touch."""
    apart = np.hypot(
        a.x_px + a.side_px / 2 - b.x_px - b.side_px / 2,
        a.y_px + a.side_px / 2 - b.y_px - b.side_px / 2,
    )
    return bool(apart < share * (a.side_px + b.side_px) / 2)
