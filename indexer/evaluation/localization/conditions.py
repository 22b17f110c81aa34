"""What changes when the sound does: interactive, ambient and off-screen localization."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import COSINES, Figure, mean_figure, rate_figure
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import GroundTruthError
from encoder.localization.evaluate import (
    MapFigures,
    centre_ious,
    consensus_ious,
    random_ious,
    whole_ious,
)
from encoder.localization.ground_truth import GroundTruth
from encoder.localization.metrics import Values, all_found, auroc_figure
from indexer.evaluation.localization.figures import (
    AmbientFigures,
    InteractiveFigures,
    OnscreenFigures,
)
from indexer.evaluation.localization.items import Candidate, LeftOut, usable_truth
from indexer.evaluation.localization.looks import Looks, finite, look
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.reader import IndexReader

if TYPE_CHECKING:
    from encoder.embedder import Embedder

NO_LONE_SOUND = "interactive: no lone sound of a tag's label"
ONE_REGION = "interactive: several sounds, but boxes that do not say which is where"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One of several things to be found in a frame: whose frame, whose sound, and where."""

    frame: Candidate
    sound: Candidate
    truth: GroundTruth


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Frames with several sources each.

    Attributes
    ----------
    shared : frames that several items show with different sounds.
    by_tag : frames with boxes of several tags.
    """

    shared: tuple[tuple[Source, ...], ...]
    by_tag: tuple[tuple[Source, ...], ...]


# ── interactive ──────────────────────────────────────────────────────────────────────────────────


def find_scenes(
    samples: Sequence[Candidate],
    items: Sequence[Candidate],
    options: LocalizationOptions,
    left_out: LeftOut,
) -> Scenes:
    """Find the frames in which several sounds have their own places.

    A frame that items share counts once, with one sound for each label. A frame whose boxes bear
    several tags is looked at with a sound of each: drawn from the items of that label whose boxes
    name no other sound.

    Parameters
    ----------
    samples : whose frames are looked at.
    items : whose sounds can be drawn.
    """
    of_frame: dict[tuple[str, float], list[Candidate]] = defaultdict(list)
    for sample in samples:
        assert sample.content.frame is not None, "a sample has a frame"
        of_frame[sample.content.frame].append(sample)
    lone = _lone_sounds(items)
    shared, by_tag = [], []
    for group in of_frame.values():
        scene = _shared_scene(group, options)
        if len(scene) > 1:
            if len({source.truth.boxes for source in scene}) > 1:
                shared.append(scene)
            else:
                left_out.add(group[0].name, ONE_REGION)
        elif len(group[0].tags) > 1:
            scene = _tagged_scene(group[0], lone, options)
            if len(scene) == len(group[0].tags):
                by_tag.append(scene)
            else:
                left_out.add(group[0].name, NO_LONE_SOUND)
    return Scenes(shared=tuple(shared), by_tag=tuple(by_tag))


def _lone_sounds(items: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Return by label the items whose sound is known to be that one alone, each sound once."""
    found: dict[str, dict[object, Candidate]] = defaultdict(dict)
    for item in items:
        if item.content.sound is not None and item.row.label and item.tags <= {item.row.label}:
            found[item.row.label].setdefault(item.content.sound, item)
    return {label: list(of_sound.values()) for label, of_sound in found.items()}


def _shared_scene(group: list[Candidate], options: LocalizationOptions) -> tuple[Source, ...]:
    """One source for each label under which the frame stands with another sound."""
    by_label: dict[str, Candidate] = {}
    heard = set()
    for item in group:
        if item.row.label and item.content.sound not in heard:
            by_label.setdefault(item.row.label, item)
            heard.add(item.content.sound)
    sources = []
    for label, item in sorted(by_label.items()):
        truth = _truth_of(item, label, options) if label in item.tags else item.truth
        if truth is not None:
            sources.append(Source(frame=item, sound=item, truth=truth))
    return tuple(sources)


def _tagged_scene(
    item: Candidate, lone: dict[str, list[Candidate]], options: LocalizationOptions
) -> tuple[Source, ...]:
    rng = np.random.default_rng((options.seed, item.key))
    sources = []
    for tag in sorted(item.tags):
        sounds = [one for one in lone.get(tag, []) if one.content.sound != item.content.sound]
        truth = _truth_of(item, tag, options)
        if sounds and truth is not None:
            drawn = sounds[int(rng.integers(len(sounds)))]
            sources.append(Source(frame=item, sound=drawn, truth=truth))
    return tuple(sources)


def _truth_of(item: Candidate, tag: str, options: LocalizationOptions) -> GroundTruth | None:
    boxes: tuple[AnnotatedBox, ...] = tuple(box for box in item.boxes if box.tag == tag)
    try:
        return usable_truth(boxes, options)
    except GroundTruthError:
        return None  # the caller counts a frame that lacks a source


def interactive_figures(
    reader: IndexReader,
    embedder: Embedder,
    scenes: Scenes,
    options: LocalizationOptions,
    left_out: LeftOut,
) -> InteractiveFigures | None:
    """Measure whether the map moves with the sound; None without such frames.

    A frame of which one map is not finite is left out whole.
    """
    frames = [*scenes.shared, *scenes.by_tag]
    sources = [source for scene in frames for source in scene]
    of_frame = np.repeat(np.arange(len(frames)), [len(scene) for scene in frames])
    seen = [source.frame for source in sources]
    looks = look(reader, embedder, seen, [source.sound for source in sources])
    bad_frames = of_frame[~finite(looks, seen, left_out)]
    kept = ~np.isin(of_frame, bad_frames)
    if not kept.any():
        return None
    looks, of_frame = looks.kept(kept), of_frame[kept]
    sources = [source for source, keep in zip(sources, kept, strict=True) if keep]
    truths = [source.truth for source in sources]
    values = consensus_ious(looks.maps(options.map_kind), truths, [options.threshold])[0]
    n_shared = len(np.unique(of_frame[of_frame < len(scenes.shared)]))
    found = rate_figure(all_found(values, of_frame))
    return InteractiveFigures(
        found=found,
        sources=MapFigures.of(values, seed=options.seed),
        chance=_blind(sources, of_frame, options),
        n_shared=n_shared,
        n_by_tag=found.n - n_shared,
    )


def _blind(
    sources: Sequence[Source], of_frame: NDArray[np.int64], options: LocalizationOptions
) -> dict[str, Figure]:
    """Return what the degenerate rows reach: one region for all sounds of a frame."""
    truths = [source.truth for source in sources]
    keys = [source.frame.key for source in sources]
    noise = random_ious(truths, [options.threshold], keys=keys, seed=options.seed)[0]
    values = {
        "random map": noise,
        "centre box": centre_ious(truths),
        "whole picture": whole_ious(truths),
    }
    return {name: rate_figure(all_found(of, of_frame)) for name, of in values.items()}


# ── ambient and off-screen ───────────────────────────────────────────────────────────────────────


def ambient_sounds(
    reader: IndexReader, items: Sequence[Candidate], options: LocalizationOptions
) -> list[Candidate]:
    """Return the items whose sound is ambient, each sound once. Raises FilterError."""
    if options.ambient_where is None:
        found = [item for item in items if item.is_ambient]
    else:
        asked = reader.allowed(options.ambient_where)
        found = [item for item in items if asked is None or item.id in asked]
    distinct = {item.content.sound: item for item in found if item.content.sound is not None}
    return list(distinct.values())


def ambient_figures(
    reader: IndexReader,
    embedder: Embedder,
    samples: Sequence[Candidate],
    looks: Looks,
    sounds: Sequence[Candidate],
    options: LocalizationOptions,
    left_out: LeftOut,
) -> AmbientFigures | None:
    """Feed the frames of the samples with ambient sounds (S19 §5.3); None without any.

    Parameters
    ----------
    looks : at the samples, with their own sounds.
    """
    if not sounds or not samples:
        return None
    drawn = [
        sounds[int(np.random.default_rng((options.seed, sample.key)).integers(len(sounds)))]
        for sample in samples
    ]
    ambient = look(reader, embedder, samples, drawn)
    usable = finite(ambient, samples, left_out)
    if not usable.any():
        return None
    (own_max, own_mean), (other_max, other_mean) = (
        _strengths(of.kept(usable)) for of in (looks, ambient)
    )
    seed = options.seed
    return AmbientFigures(
        object_max=mean_figure(own_max, seed=seed, within=COSINES),
        ambient_max=mean_figure(other_max, seed=seed, within=COSINES),
        object_mean=mean_figure(own_mean, seed=seed, within=COSINES),
        ambient_mean=mean_figure(other_mean, seed=seed, within=COSINES),
        auroc_max=auroc_figure(own_max, other_max, paired=True, seed=seed),
        auroc_mean=auroc_figure(own_mean, other_mean, paired=True, seed=seed),
        n_ambient_sounds=len(sounds),
    )


def onscreen_figures(
    reader: IndexReader,
    embedder: Embedder,
    items: Sequence[Candidate],
    options: LocalizationOptions,
    left_out: LeftOut,
) -> OnscreenFigures | None:
    """Compare frames that show what is heard with frames that do not; None without both.

    The manifest's `onscreen` says which is which. Ambient sounds have no place on or off screen and
    are left out.
    """
    told = [item for item in items if item.is_pair and not item.is_ambient]
    shown = [item for item in told if item.is_onscreen is True]
    hidden = [item for item in told if item.is_onscreen is False]
    if not shown or not hidden:
        return None
    greatest = []
    for which in (shown, hidden):
        looks = look(reader, embedder, which, which)
        greatest.append(_strengths(looks.kept(finite(looks, which, left_out)))[0])
    on, off = greatest
    return OnscreenFigures(
        onscreen_max=mean_figure(np.sort(on), seed=options.seed, within=COSINES),
        offscreen_max=mean_figure(np.sort(off), seed=options.seed, within=COSINES),
        auroc=auroc_figure(on, off, seed=options.seed),
    )


def _strengths(looks: Looks) -> tuple[Values, Values]:
    """Return the greatest and the mean response of each look."""
    response = looks.response.astype(np.float64)
    return response.max(axis=(1, 2)), response.mean(axis=(1, 2))
