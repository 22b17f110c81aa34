"""What recall a conditional search has, and the least work that gives it.

Some queries of each kind are answered by every stage in full and by the exact formula. The least
work that finds TARGET of the exact ten best for half of them is taken, and its recall is measured
on the other half: what is reported is not what was chosen by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from indexer.blocks import Floats, Ids
from indexer.compact.effort import LEAST_CANDIDATES, Effort, Side
from indexer.compact.scan import on_cores
from indexer.terms import frames_for_sound, keep_audio, keep_image, sounds_for_frame

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from indexer.compact.engine import Engine

K = 10
LEAST = 64
"""Galleries up to this size are scored exactly, each time."""
FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
RESCORED = (25, 50, 100, 200, 400)
N_QUERIES = 16
"""Of each kind, for choosing and again for measuring."""
MAX_GALLERY = 8192
"""Larger galleries are measured by a sample of this size: the parts that are kept are fractions."""
TARGET = 0.99
TIE = 1e-5
SEED = 20_191_024
FRAMES_AT_ONCE, SOUNDS_AT_ONCE = 32, 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """Queries (Q) of one kind on a gallery (n): what each stage says, and the exact formula."""

    kind: str
    exact: Floats
    by_map: Floats
    by_code: Floats

    def recall(self, fraction: float, rescored: int) -> float:
        """Return the mean share of the exact ten best that come through both stages."""
        n = self.exact.shape[1]
        effort = Effort(
            fraction=fraction, rescored=rescored, recall={}, score_error={}, n_queries=0, n_items=0
        )
        shares = []
        for exact, by_map, by_code in zip(self.exact, self.by_map, self.by_code, strict=True):
            least = np.sort(exact)[-K] - TIE  # copies of a picture are as good as each other
            first = _top(by_code, effort.n_candidates(n, K))
            second = first[_top(by_map[first], effort.n_exact(K))]
            shares.append(min(int((exact[second] >= least).sum()), K) / K)
        return float(np.mean(shares))

    def error(self) -> float:
        """Return the mean |difference| of the last approximate scores, among the hundred best."""
        best = np.argsort(-self.exact, axis=1)[:, :100]
        taken = [np.take_along_axis(scores, best, axis=1) for scores in (self.by_map, self.exact)]
        return float(np.abs(taken[0] - taken[1]).mean())


def measure_efforts(engine: Engine, hidden: Ids, *, min_recall: float) -> dict[Side, Effort]:
    """Choose and measure how each side is searched; sides with up to LEAST items are left out.

    Parameters
    ----------
    min_recall : a side that stays under it with everything tried is searched exactly.
    """
    rng = np.random.default_rng(SEED)
    frames = np.setdiff1d(engine.store.frame_ids, hidden)
    sounds = np.setdiff1d(engine.store.sound_ids, hidden)
    found: dict[Side, Effort] = {}
    if not (len(frames) and len(sounds)):
        return found
    sides: tuple[tuple[Side, Ids, Callable[..., list[Scored]]], ...] = (
        ("frames", frames, scored_frames),
        ("sounds", sounds, scored_sounds),
    )
    for side, ids, scored in sides:
        if len(ids) > LEAST:
            gallery = np.sort(rng.choice(ids, min(MAX_GALLERY, len(ids)), replace=False))
            choosing, judging = (
                scored(
                    engine, gallery, rng.choice(frames, N_QUERIES), rng.choice(sounds, N_QUERIES)
                )
                for _ in range(2)
            )
            found[side] = _chosen(side, choosing, judging, min_recall=min_recall)
    return found


def _chosen(
    side: Side, choosing: list[Scored], judging: list[Scored], *, min_recall: float
) -> Effort:
    n_queries, n = judging[0].exact.shape
    facts = {"n_queries": n_queries, "n_items": n}
    errors = {one.kind: one.error() for one in judging}
    fractions = FRACTIONS if side == "frames" else (1.0,)
    ladder = sorted(product(fractions, RESCORED), key=lambda step: _cost(n, *step))
    for step in ladder:
        if min(one.recall(*step) for one in choosing) < TARGET:
            continue
        recall = {one.kind: one.recall(*step) for one in judging}
        if min(recall.values()) >= min_recall:
            fraction, rescored = step
            return Effort(
                fraction=fraction, rescored=rescored, recall=recall, score_error=errors, **facts
            )
    return Effort(recall=dict.fromkeys(errors, 1.0), score_error=errors, **facts)


def _cost(n: int, fraction: float, rescored: int) -> float:
    """Microseconds on one core, roughly: what the order of the ladder goes by."""
    return 4 * max(fraction * n, LEAST_CANDIDATES) + 150 * rescored


def scored_frames(engine: Engine, gallery: Ids, frames: Ids, sounds: Ids) -> list[Scored]:
    """Score a gallery of frames by every stage, asked by pairs of a frame and a sound (Q)."""
    store, embedder = engine.store, engine.embedder
    heard = [store.sound(int(item)) for item in sounds]
    terms = {
        "audio-image": [frames_for_sound(sound) for sound in heard],
        "associate-audio": [
            keep_audio(embedder, store.frame(int(item)).maps[0], sound.h[0])
            for item, sound in zip(frames, heard, strict=True)
        ],
    }
    contexts = np.concatenate([sound.h for sound in heard])
    targets = {kind: np.stack([term.target for term in asked]) for kind, asked in terms.items()}

    def looked(ids: Ids) -> list[Floats]:
        f_v = matrix(embedder, np.concatenate([store.frame(int(i)).maps for i in ids]), contexts)
        return [np.einsum("nqd,qd->qn", f_v, targets[kind]) for kind in terms]

    exact = _exactly(looked, gallery, FRAMES_AT_ONCE)
    return [
        Scored(
            kind=kind,
            exact=truth,
            by_map=np.stack([aligned(gallery, *engine.frames_by_map([t], gallery)) for t in asked]),
            by_code=np.stack([aligned(gallery, *engine.frames_by_code([t])) for t in asked]),
        )
        for truth, (kind, asked) in zip(exact, terms.items(), strict=True)
    ]


def scored_sounds(engine: Engine, gallery: Ids, frames: Ids, sounds: Ids) -> list[Scored]:
    """Score a gallery of sounds by every stage, asked by pairs of a frame and a sound (Q)."""
    store, embedder = engine.store, engine.embedder
    maps = np.concatenate([store.frame(int(item)).maps for item in frames])
    terms = {
        "image-audio": [sounds_for_frame(one) for one in maps],
        "associate-image": [
            keep_image(embedder, one, store.sound(int(item)).h[0])
            for one, item in zip(maps, sounds, strict=True)
        ],
    }
    targets = np.stack([t.target for t in terms["associate-image"] if t.target is not None])

    def looked(ids: Ids) -> list[Floats]:
        blocks = [store.sound(int(item)) for item in ids]
        f_v = matrix(embedder, maps, np.concatenate([block.h for block in blocks]))
        f_s = np.concatenate([block.f_s for block in blocks])
        return [np.einsum("qnd,nd->qn", f_v, f_s), np.einsum("qnd,qd->qn", f_v, targets)]

    exact = _exactly(looked, gallery, SOUNDS_AT_ONCE)
    return [
        Scored(kind=kind, exact=truth, by_map=coded, by_code=coded)
        for truth, (kind, asked) in zip(exact, terms.items(), strict=True)
        for coded in [
            np.stack([aligned(gallery, *engine.sounds_by_code([term])) for term in asked])
        ]
    ]


def _exactly(looked: Callable[[Ids], list[Floats]], gallery: Ids, size: int) -> list[Floats]:
    """Return the exact scores (Q, n) by kind; `looked` gives those of a part, on one core."""
    parts = np.split(gallery, range(size, len(gallery), size))
    return [np.concatenate(kind, axis=1) for kind in zip(*on_cores(looked, parts), strict=True)]


@torch.inference_mode()
def matrix(embedder: Embedder, maps: NDArray[np.floating], h: Floats) -> Floats:
    """Return f_v of every frame (N, M, 512) with every sound (K, 512): (N, K, 1000), unit norm."""
    on_device = (
        torch.from_numpy(np.array(values, dtype=np.float32)).to(embedder.device)
        for values in (maps, h)
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
