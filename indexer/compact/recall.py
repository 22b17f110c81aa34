"""What recall a conditional search has, and the least work that gives it.

Some queries of each kind are answered by every stage in full and by the exact formula. The least
work that finds TARGET of the exact ten best for half of them is taken, and its recall is measured
on the other half. Where that is under the least recall asked for, the next step is taken: only then
is what is reported a little chosen by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from indexer.blocks import Floats, FrameBlock, Ids
from indexer.compact.effort import Effort, Side
from indexer.compact.scan import on_cores
from indexer.terms import (
    FrameTerm,
    frames_for_sound,
    keep_audio,
    keep_image,
    sounds_for_frame,
)

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from indexer.compact.engine import Engine

K = 10
LEAST = 64
"""Galleries up to this size are scored exactly, each time."""
FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
RESCORED = (50, 100, 200, 400, 800)
COSTS: dict[Side, tuple[float, float]] = {"frames": (6, 300), "sounds": (6, 50)}
"""Microseconds on one core that a candidate takes, and an item that is scored exactly."""
N_QUERIES = 32
"""Of each kind, for choosing and again for measuring, in galleries above MAX_GALLERY."""
N_QUERIES_OF_SMALL = 8
LEAST_OF_SMALL = (1 / 4, 100)
"""In smaller ones, where measuring must not take long beside encoding. So few queries choose badly:
they have only the upper steps of the ladder to choose from."""
MAX_GALLERY = 8192
"""Larger galleries are measured by a sample of this size: the parts that are kept are fractions."""
TARGET = 0.99
TIE = 1e-6
SEED = 20_191_024
FRAMES_AT_ONCE, SOUNDS_AT_ONCE = 32, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Queries (Q) of one kind on a gallery (n): what each stage says, and the exact formula.

    Attributes
    ----------
    asked_by : (Q,) the item that each query was made of: finding it again is no merit.
    gallery : (n,).
    exact, by_map, by_code : scores (Q, n).
    """

    kind: str
    asked_by: Ids
    gallery: Ids
    exact: Floats
    by_map: Floats
    by_code: Floats

    def recall(self, fraction: float, rescored: int) -> float:
        """Return the mean share of the exact ten best that come through both stages."""
        n = self.exact.shape[1]
        # Without LEAST_CANDIDATES: in a larger gallery the fraction alone must do.
        n_candidates = max(math.ceil(fraction * n), 2 * rescored)
        shares = []
        others = self.gallery[None] != self.asked_by[:, None]
        stages = (np.where(others, self.exact, -np.inf), self.by_map, self.by_code)
        for exact, by_map, by_code in zip(*stages, strict=True):
            least = np.sort(exact)[-K] - TIE  # copies of a picture are as good as each other
            first = _top(by_code, n_candidates)
            second = first[_top(by_map[first], rescored)]
            shares.append(min(int((exact[second] >= least).sum()), K) / K)
        return float(np.mean(shares))

    def error(self) -> float:
        """Return the mean |difference| of the last approximate scores, among the hundred best."""
        best = np.argsort(-self.exact, axis=1)[:, :100]
        taken = [np.take_along_axis(scores, best, axis=1) for scores in (self.by_map, self.exact)]
        return float(np.abs(taken[0] - taken[1]).mean())


def measure_efforts(engine: Engine, hidden: Ids, *, min_recall: float) -> dict[Side, Effort]:
    """Choose and measure how each side is searched.

    Sides with up to LEAST items are left out, and what there are no queries for in the index: all
    without one sound, sounds where no frame has a map.

    Parameters
    ----------
    min_recall : a side that stays under it with everything tried is searched exactly.
    """
    rng = np.random.default_rng(SEED)
    frames = np.setdiff1d(engine.store.frame_ids, hidden)
    mapped = np.setdiff1d(engine.store.mapped_ids, hidden)
    sounds = np.setdiff1d(engine.store.sound_ids, hidden)
    asking = mapped if len(mapped) else frames
    found: dict[Side, Effort] = {}
    sides: tuple[tuple[Side, Ids, Callable[..., list[Scored]]], ...] = (
        ("frames", frames, scored_frames),
        ("sounds", sounds if len(mapped) else sounds[:0], scored_sounds),
    )
    for side, ids, scored in sides:
        if len(ids) > LEAST and len(asking) and len(sounds):
            gallery = np.sort(rng.choice(ids, min(MAX_GALLERY, len(ids)), replace=False))
            is_small = len(ids) <= MAX_GALLERY
            n_queries = N_QUERIES_OF_SMALL if is_small else N_QUERIES
            n = min(2 * n_queries, len(asking), len(sounds))
            looks, hears = (rng.choice(all_, n, replace=False) for all_ in (asking, sounds))
            choosing, judging = (
                scored(engine, gallery, looks[half::2], hears[half::2])
                for half in (0, min(1, n - 1))
            )
            least = LEAST_OF_SMALL if is_small else (0.0, 0)
            found[side] = _chosen(side, choosing, judging, min_recall=min_recall, least=least)
    return found


def _chosen(
    side: Side,
    choosing: list[Scored],
    judging: list[Scored],
    *,
    min_recall: float,
    least: tuple[float, int] = (0.0, 0),
) -> Effort:
    n_queries, n = judging[0].exact.shape
    facts = {"n_queries": n_queries, "n_items": n}
    errors = {one.kind: one.error() for one in judging}
    steps = product(
        [fraction for fraction in FRACTIONS if fraction >= least[0]],
        [rescored for rescored in RESCORED if rescored >= least[1]],
    )
    ladder = sorted(steps, key=lambda step: _cost(side, n, *step))
    reached = {step: min(one.recall(*step) for one in choosing) for step in ladder}
    enough = [step for step in ladder if reached[step] >= TARGET]
    for fraction, rescored in enough or [max(ladder, key=lambda step: reached[step])]:
        recall = {one.kind: one.recall(fraction, rescored) for one in judging}
        if min(recall.values()) >= min_recall:  # or the next: exact search would take much longer
            return Effort(
                fraction=fraction, rescored=rescored, recall=recall, score_error=errors, **facts
            )
    return Effort(recall=dict.fromkeys(errors, 1.0), score_error=errors, **facts)


def _cost(side: Side, n: int, fraction: float, rescored: int) -> float:
    """Microseconds on one core, roughly: what the order of the ladder goes by."""
    candidate, exact = COSTS[side]
    return candidate * max(fraction * n, 2 * rescored) + exact * rescored


def scored_frames(engine: Engine, gallery: Ids, frames: Ids, sounds: Ids) -> list[Scored]:
    """Score a gallery of frames by every stage, asked by pairs of a frame and a sound (Q)."""
    store, embedder = engine.store, engine.embedder
    heard = [store.sound(int(item)) for item in sounds]
    terms = {
        "audio-image": [frames_for_sound(sound) for sound in heard],
        "associate-audio": [
            _kept_audio(embedder, store.frame(int(item)), sound.h[0])
            for item, sound in zip(frames, heard, strict=True)
        ],
    }
    contexts = np.concatenate([sound.h for sound in heard])
    targets = {kind: np.stack([term.target for term in asked]) for kind, asked in terms.items()}

    def looked(ids: Ids) -> list[Floats]:
        blocks = list(store.frames(ids))  # each of frames with as many cells
        f_v = np.concatenate([matrix(embedder, block, contexts) for block in blocks])
        found = np.concatenate([block.ids for block in blocks])
        order = np.argsort(found)  # as `ids`
        return [np.einsum("nqd,qd->qn", f_v[order], targets[kind]) for kind in terms]

    exact = _exactly(looked, gallery, FRAMES_AT_ONCE)
    among = partial(np.isin, test_elements=gallery)
    return [
        Scored(
            kind=kind,
            asked_by=frames if kind == "associate-audio" else sounds,
            gallery=gallery,
            exact=truth,
            by_map=np.stack([aligned(gallery, *engine.frames_by_map([t], gallery)) for t in asked]),
            by_code=np.stack([aligned(gallery, *engine.frames_by_code([t], among)) for t in asked]),
        )
        for truth, (kind, asked) in zip(exact, terms.items(), strict=True)
    ]


def scored_sounds(engine: Engine, gallery: Ids, frames: Ids, sounds: Ids) -> list[Scored]:
    """Score a gallery of sounds by every stage, asked by pairs of a frame and a sound (Q)."""
    store, embedder = engine.store, engine.embedder
    looking = [store.frame(int(item)) for item in frames]
    terms = {
        "image-audio": [sounds_for_frame(one.maps[0]) for one in looking],
        "associate-image": [
            keep_image(embedder, one.maps[0], store.sound(int(item)).h[0])
            for one, item in zip(looking, sounds, strict=True)
        ],
    }
    targets = np.stack([t.target for t in terms["associate-image"] if t.target is not None])

    def looked(ids: Ids) -> list[Floats]:
        blocks = [store.sound(int(item)) for item in ids]
        h = np.concatenate([block.h for block in blocks])
        f_v = np.concatenate([matrix(embedder, one, h) for one in looking])
        f_s = np.concatenate([block.f_s for block in blocks])
        return [np.einsum("qnd,nd->qn", f_v, f_s), np.einsum("qnd,qd->qn", f_v, targets)]

    exact = _exactly(looked, gallery, SOUNDS_AT_ONCE)
    among = partial(np.isin, test_elements=gallery)
    return [
        Scored(
            kind=kind,
            asked_by=sounds if kind == "associate-image" else frames,
            gallery=gallery,
            exact=truth,
            by_map=np.stack(
                [aligned(gallery, *engine.sounds_by_layers([t], gallery)) for t in asked]
            ),
            by_code=np.stack([aligned(gallery, *engine.sounds_by_code([t], among)) for t in asked]),
        )
        for truth, (kind, asked) in zip(exact, terms.items(), strict=True)
    ]


def _exactly(looked: Callable[[Ids], list[Floats]], gallery: Ids, size: int) -> list[Floats]:
    """Return the exact scores (Q, n) by kind; `looked` gives those of a part, on one core."""
    parts = np.split(gallery, range(size, len(gallery), size))
    return [np.concatenate(kind, axis=1) for kind in zip(*on_cores(looked, parts), strict=True)]


def _kept_audio(embedder: Embedder, frame: FrameBlock, h: Floats) -> FrameTerm:
    """Return `keep_audio` of a block of one frame, by f_v⁰ where it has no map."""
    if not frame.maps.shape[1]:
        return FrameTerm(target=frame.coarse[0], h=h)
    return keep_audio(embedder, frame.maps[0], h)


@torch.inference_mode()
def matrix(embedder: Embedder, frames: FrameBlock, h: Floats) -> Floats:
    """Return f_v of every frame (N) with every sound (K, 512): (N, K, 1000), unit norm.

    It is f_v⁰ of frames without maps, as in `indexer.conditional`.
    """
    if not frames.maps.shape[1]:
        return np.repeat(frames.coarse[:, None], len(h), axis=1)
    on_device = (
        torch.from_numpy(np.array(values, dtype=np.float32)).to(embedder.device)
        for values in (frames.maps, h)
    )
    looked: Floats = (
        normalize(embedder.network.condition_matrix(*on_device).f_v, dim=2).cpu().numpy()
    )
    return looked


def aligned(gallery: Ids, ids: Ids, scores: Floats) -> Floats:
    """Bring scores of ids (m,) into the order of a gallery (n,), ascending and among them."""
    order = np.argsort(ids)
    placed: Floats = scores[order[np.searchsorted(ids, gallery, sorter=order)]]
    return placed


def _top(scores: Floats, n: int) -> NDArray[np.int64]:
    """Return the places of the n highest, in no order."""
    if n >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(-scores, n)[:n]
