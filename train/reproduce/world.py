"""The material as a procedural world: every row of the papers at a size that a processor manages.

Half of the scenes have a silent companion that always stands beside its source, as the railway
beside the train (S19 Figure 3), and every scene also shows an object of another kind that keeps
silent: who does not listen looks at the wrong one half of the time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.localization.boxes import box_of
from encoder.localization.ground_truth import GroundTruth, ground_truth
from encoder.localization.splits import disjoint_splits
from encoder.two_stream import TwoStreamEncoder
from train.bank import AGREEMENT_PX, NONE, Bank, OnFile, Regions, counted, fronts, shrink
from train.reproduce.material import Film, Material, Places, Waveform
from train.reproduce.size import Size
from train.world import (
    KINDS,
    Box,
    WorldConfig,
    make_clip,
    make_panorama,
    make_scene,
)

FIRST_SEED, SEEDS_EACH = 30_000, 10
"""Training, demo and tests of the encoder use other worlds."""
N_KINDS = 6
"""Sixteen pairs of a kind in a hundred: more than ten neighbours, fewer than twenty (S19 §5.3)."""
SOUND_S = 2.0
COMPANY = 1.5
"""Sources with a companion are drawn this much larger, since the world shrinks them as much."""
N_CLIPS, N_PANORAMAS = 12, 6
OF_THE_SHIPPED = (
    "Streams come from the shipped encoder, which has learned from labels and boxes of such "
    "scenes: differences between rows count here, not their height."
)
UNLABELLED_AMBIENT = 0.1
"""Pairs that nobody looked at hold sounds without a source, as those of the papers do."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A row to be made: a scene, and which of its sounds is heard (None: the mix)."""

    config: WorldConfig
    index: int
    heard: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Made:
    picture: NDArray[np.uint8]
    waveform: Waveform
    kind: str
    truth: GroundTruth | None


def world_material(
    network: TwoStreamEncoder, size: Size, *, seed: int, on_file: OnFile | None = None
) -> Material:
    """Make the world of one seed, in memory.

    Parameters
    ----------
    network : whose window's rate and sound front are meant.
    """
    plain = _config(size, network, seed)
    n_tests = 3 * size.n_test
    duets = replace(plain, seed=plain.seed + 2, mute_share=0.0, two_source_share=1.0)
    ambient = replace(plain, seed=plain.seed + 3, ambient_share=1.0)
    noisy = replace(plain, seed=plain.seed + 1, ambient_share=UNLABELLED_AMBIENT)
    pairs = [(i, kind) for i in range(size.n_duets) for kind in make_scene(duets, i).kinds]
    parts = [
        *_accompanied_by_turns(plain, n_tests),
        *_accompanied_by_turns(noisy, size.n_unlabelled[1]),
        *[_Part(config=ambient, index=i) for i in range(size.n_test)],
        *[_Part(config=duets, index=i, heard=kind) for i, kind in pairs],
    ]
    made = list(counted(lambda i: _make(parts[i]), len(parts), on_file))
    starts = np.cumsum([0, n_tests, size.n_unlabelled[1], size.n_test])
    annotated, unlabelled, heard = (np.arange(a, b) for a, b in pairwise(starts))
    shown = [*annotated.tolist(), *range(int(starts[-1]), len(parts))]
    truths = {row: truth for row in shown if (truth := made[row].truth) is not None}
    return Material(
        name=f"world, seed {seed}",
        key=_key(plain, size),
        is_world=True,
        bank=_bank(made, truths, annotated, network),
        unlabelled=unlabelled,
        tests=disjoint_splits([f"{i:06d}" for i in annotated], n_samples=size.n_test, seed=seed),
        annotated=annotated,
        truths=truths,
        ambient=heard,
        duets=tuple(
            (int(starts[-1]) + i, int(starts[-1]) + i + 1) for i in range(0, len(pairs), 2)
        ),
        accompanied=annotated[annotated % 2 == 0],
        waveform=lambda row: made[row].waveform,
        clips=lambda: _clips(plain),
        panoramas=lambda: _panoramas(plain),
        remarks=(
            f"The {N_KINDS} kinds {', '.join(plain.kinds)}, {plain.frame_px} px, {SOUND_S:g} s.",
            *([OF_THE_SHIPPED] if size.recipe.frozen else []),
        ),
    )


def _config(size: Size, network: TwoStreamEncoder, seed: int) -> WorldConfig:
    """Scenes with one source and one mute object, without a companion."""
    return WorldConfig(
        n_scenes=0,
        frame_px=size.recipe.crop_px,
        sound_s=min(SOUND_S, network.config.window_s),
        rate_hz=network.config.rate_hz,
        seed=FIRST_SEED + SEEDS_EACH * seed,
        two_source_share=0.0,
        offscreen_share=0.0,
        ambient_share=0.0,
        mute_share=1.0,
        distractor_rate=0.5,
        object_size=(0.5, 0.63),
        kinds=KINDS[:N_KINDS],
    )


def _accompanied_by_turns(config: WorldConfig, n: int) -> list[_Part]:
    """Every other scene has a companion beside its source."""
    small, large = config.object_size
    beside = replace(
        config,
        correlated_distractor=True,
        object_size=(COMPANY * small, min(0.95, COMPANY * large)),
        seed=config.seed + SEEDS_EACH // 2,
    )
    return [_Part(config=config if i % 2 else beside, index=i) for i in range(n)]


def _make(part: _Part) -> _Made:
    scene = make_scene(part.config, part.index)
    boxes = [box for box in scene.boxes if part.heard in (None, box.kind)]
    sound = scene.waveform if part.heard is None else scene.sounds[part.heard]
    on_stage = bool(boxes) and boxes[0].tag == "object"
    return _Made(
        picture=shrink(scene.image, part.config.frame_px),
        waveform=sound,
        kind=part.heard or scene.kind,
        truth=_truth(boxes, part.config.frame_px) if on_stage else None,
    )


def _truth(boxes: Sequence[Box], side_px: int) -> GroundTruth:
    return ground_truth(
        box_of(
            (box.x0, box.y0, box.x1, box.y1),
            size=(side_px, side_px),
            annotator=str(box.annotator),
            kind=box.tag,
            tag=box.kind,
        )
        for box in boxes
    )


def _bank(
    made: Sequence[_Made],
    truths: dict[int, GroundTruth],
    annotated: Places,
    network: TwoStreamEncoder,
) -> Bank:
    names = tuple(sorted({one.kind for one in made}))
    agreements = np.stack(
        [truths[row].score_map((AGREEMENT_PX, AGREEMENT_PX)) for row in annotated]
    )
    of = np.full(len(made), NONE)
    of[annotated] = np.arange(len(annotated))
    return Bank(
        pictures=torch.from_numpy(np.stack([one.picture for one in made])),
        sounds=fronts(network, np.stack([one.waveform for one in made])),
        picture_of=np.arange(len(made)),
        sound_of=np.arange(len(made)),
        labels=np.array([names.index(one.kind) for one in made]),
        names=names,
        regions=Regions(
            maps=torch.from_numpy((255 * agreements).round().astype(np.uint8))[:, None], of=of
        ),
    )


def _clips(config: WorldConfig) -> tuple[Film, ...]:
    config = replace(config, video_s=4.0, video_hz=4)
    films = []
    for index in range(N_CLIPS):
        clip = make_clip(config, index)
        middle = len(clip.frames) // 2
        shown = np.unique(np.append(np.arange(0, len(clip.frames), 2), middle))
        films.append(
            Film(
                name=f"{index}-{clip.kind}",
                frames=clip.frames[shown],
                times_s=shown / clip.frame_hz,
                waveform=clip.waveform,
                rate_hz=config.rate_hz,
                window_s=config.sound_s,
                truths={
                    int(np.flatnonzero(shown == middle)[0]): _truth(clip.boxes, config.frame_px)
                },
            )
        )
    return tuple(films)


def _panoramas(config: WorldConfig) -> tuple[Film, ...]:
    config = replace(config, panorama_px=config.frame_px, video_s=4.0, video_hz=2)
    films = []
    for index in range(N_PANORAMAS):
        panorama = make_panorama(config, index)
        films.append(
            Film(
                name=f"{index}-{panorama.kind}",
                frames=panorama.frames,
                times_s=np.arange(len(panorama.frames)) / panorama.frame_hz,
                waveform=panorama.waveform,
                rate_hz=config.rate_hz,
                window_s=config.sound_s,
                truths={},
                azimuth_deg=panorama.azimuth_deg,
                elevation_deg=panorama.elevation_deg,
            )
        )
    return tuple(films)


def _key(config: WorldConfig, size: Size) -> str:
    """Whatever changes a scene changes the key."""
    facts = json.dumps([asdict(config), size.n_test, size.n_unlabelled, size.n_duets, COMPANY])
    return "world-" + hashlib.sha256(facts.encode()).hexdigest()[:12]
