"""Makes banks: pictures and sounds decoded once, and kept in memory or in a packed cache.

No file of the collection is opened after a bank is made. Pictures are kept a little larger than a
training crop, sounds as what the sound stream's weightless front gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.two_stream import TwoStreamEncoder
from train.bank_rows import AGREEMENT_PX as AGREEMENT_PX
from train.bank_rows import NONE as NONE
from train.bank_rows import Bank as Bank
from train.bank_rows import Contents as Contents
from train.bank_rows import Features as Features
from train.bank_rows import PackedBank as PackedBank
from train.bank_rows import Regions as Regions
from train.bank_rows import join as join
from train.cache import Filled, Shelf
from train.decoding import Memory, Pictures, Sounds
from train.decoding import OnFile as OnFile
from train.decoding import counted as counted
from train.decoding import fronts as fronts
from train.decoding import shrink as shrink
from train.decoding import span_key as span_key
from train.errors import PairsError
from train.pairs import Pair, Picture, Span
from train.world import WorldConfig, make_scene
from train.world.layout import plan_scene

PICTURE_PX = 192
"""Side of a kept picture: more than a training crop, so that a crop shows detail."""


def bank_of_pairs(
    pairs: Sequence[Pair],
    network: TwoStreamEncoder,
    *,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
    cache: Path | None = None,
) -> Bank:
    """Decode every file of the rows once; of a sound longer than a window, its first window.

    Parameters
    ----------
    picture_px : side of a kept picture; the index's `frame_px` gives what an index would hold.
    on_file : called with the number of files done and in all.
    cache : folder to keep what is decoded in (`train.cache`): memory is then bounded by the batch,
        and a later bank decodes only what is new. None keeps it in memory.

    Raises
    ------
    PairsError : some files cannot be read: how many, and the first of them with its code.
    RoomError : the cache has no room.
    """
    pictures = sorted({pair.picture for pair in pairs if pair.picture is not None})
    sounds = sorted({p.sound for p in pairs if p.sound is not None}, key=span_key)
    kinds = Pictures(pictures, picture_px), Sounds(sounds, network)
    names = tuple(sorted({pair.label for pair in pairs if pair.label is not None}))
    rows = Bank(
        pictures=torch.empty(0),
        sounds=torch.empty(0),
        picture_of=_places([pair.picture for pair in pairs], pictures),
        sound_of=_places([pair.sound for pair in pairs], sounds),
        labels=_places([pair.label for pair in pairs], names),
        names=names,
    )
    if cache is None:
        in_memory = [Memory(kind) for kind in kinds]
        seen, heard = _filled(kinds, in_memory, on_file)
        rows = replace(rows, contents=_contents(pictures, sounds, seen, heard))
        return replace(rows, pictures=in_memory[0].tensor(), sounds=in_memory[1].tensor())
    shelves = [kind.shelf(cache) for kind in kinds]
    seen, heard = _filled(kinds, shelves, on_file)
    rows = replace(rows, contents=_contents(pictures, sounds, seen, heard))
    return PackedBank(
        **vars(rows),
        picture_records=shelves[0].reader(),
        sound_records=shelves[1].reader(),
        picture_places=seen.places,
        sound_places=heard.places,
    )


def _filled(
    kinds: Sequence[Pictures | Sounds],
    shelves: Sequence[Memory | Shelf],
    on_file: OnFile | None,
) -> list[Filled]:
    """Decode what is missing. Raises PairsError for what cannot be decoded."""
    total, before = sum(len(kind.wanted) for kind in kinds), 0
    filled: list[Filled] = []
    for kind, shelf in zip(kinds, shelves, strict=True):
        filled.append(
            shelf.filled(kind.wanted, kind.decode, partial(_tell, on_file, before, total))
        )
        before += len(kind.wanted)
    failures = [error for one in filled for error in one.failures]
    if failures:
        raise PairsError(
            f"{len(failures)} of {total} training files cannot be read, the first {failures[0]}; "
            "take their rows out of the manifest"
        )
    return filled


def _tell(on_file: OnFile | None, before: int, total: int, done: int) -> None:
    if on_file is not None:
        on_file(before + done, total)


def _contents(
    pictures: Sequence[Picture], sounds: Sequence[Span], seen: Filled, heard: Filled
) -> Contents:
    return Contents(
        pictures=tuple(
            (digest, picture.time_s) for digest, picture in zip(seen.digests, pictures, strict=True)
        ),
        sounds=tuple(
            (digest, *span_key(span)[1:])
            for digest, span in zip(heard.digests, sounds, strict=True)
        ),
    )


def world_config(
    network: TwoStreamEncoder, *, n_scenes: int, seed: int, two_source_share: float = 0.0
) -> WorldConfig:
    """Return the world that a network is trained on: every scene shows what is heard."""
    return WorldConfig(
        n_scenes=n_scenes,
        seed=seed,
        two_source_share=two_source_share,
        offscreen_share=0.0,
        ambient_share=0.0,
        sound_s=network.config.window_s,
        rate_hz=network.config.rate_hz,
    )


def bank_of_world(
    network: TwoStreamEncoder,
    *,
    n_scenes: int,
    seed: int,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
    two_source_share: float = 0.0,
) -> Bank:
    """Make scenes of the procedural world, a row for each source, in the order of `world_rows`.

    A scene of one source comes with its noise, each of two sources sounds alone.
    """
    config = world_config(network, n_scenes=n_scenes, seed=seed, two_source_share=two_source_share)
    rows = world_rows(config)
    scenes = np.array([scene for scene, _ in rows], np.int64)
    pictures = np.empty((n_scenes, 3, picture_px, picture_px), np.uint8)
    sounds = np.empty((len(rows), network.config.window_samples), np.float32)

    def make(i: int) -> None:
        scene = make_scene(config, i)
        pictures[i] = shrink(scene.image, picture_px)
        alone = list(scene.sounds.values()) if len(scene.sounds) > 1 else [scene.waveform]
        for row, sound in zip(np.flatnonzero(scenes == i), alone, strict=True):
            sounds[row] = sound[: sounds.shape[1]]

    for _ in counted(make, n_scenes, on_file):
        pass
    kinds = [kind for _, kind in rows]
    names = tuple(sorted(set(kinds)))
    return Bank(
        pictures=torch.from_numpy(pictures),
        sounds=fronts(network, sounds),
        picture_of=scenes,
        sound_of=np.arange(len(rows)),
        labels=_places(kinds, names),
        names=tuple(f"world: {name}" for name in names),
    )


def world_rows(config: WorldConfig) -> list[tuple[int, str]]:
    """Return the scene and the kind of every source of a made world, scene by scene."""
    return [(i, kind) for i in range(config.n_scenes) for kind in plan_scene(config, i).heard]


def _places(values: Sequence[object], of: Sequence[object]) -> NDArray[np.int64]:
    place = {value: i for i, value in enumerate(of)}
    return np.array([NONE if value is None else place[value] for value in values], dtype=np.int64)
