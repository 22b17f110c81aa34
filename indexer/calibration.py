"""What scores mean: quantiles of the scores of random pairs of the collection itself.

A cosine of 0.4 says little; "above 99.2 % of random pairs" does. Stored with each generation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from encoder.embedder import Embedder
from indexer.blocks import Floats, FrameBlock, Ids
from indexer.ledger import Calibration
from indexer.neighbours import cosines
from indexer.store import SegmentStore

N_GROUPS = 16
GROUP = 16
"""Each group looks at 16 frames with 16 sounds: at most 4096 pairs, about a second of work."""
PERCENTS = np.unique(np.concatenate([np.linspace(0, 99, 100), np.linspace(99, 100, 41)]))
"""Where quantiles are kept: the upper end, where answers are, forty times as densely."""
SEED = 20_191_024


def calibrate(store: SegmentStore, embedder: Embedder, hidden: Ids) -> Calibration:
    """Measure the scores of random pairs for every ranking (definitions §3).

    Returns
    -------
    Ranking name → quantiles at `PERCENTS`; rankings without a pair in the collection are left out.
    """
    rng = np.random.default_rng(SEED)
    frames = np.setdiff1d(store.frame_ids, hidden)
    sounds = np.setdiff1d(store.sound_ids, hidden)
    scores: dict[str, list[Floats]] = {}
    for _ in range(min(N_GROUPS, -(-max(len(frames), len(sounds)) // GROUP))):
        group = _Group(store, embedder, _drawn(rng, frames), _drawn(rng, sounds))
        for names, score in RANKINGS:
            for name in names:
                scores.setdefault(name, []).append(score(group))
    joined = {name: np.concatenate(parts) for name, parts in scores.items()}
    return {
        name: np.percentile(values, PERCENTS).tolist()
        for name, values in joined.items()
        if values.size
    }


def percentiles(
    calibration: Calibration, ranking: str, scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return which share of random pairs scores lower, (n,) in [0, 100].

    NaN where the collection had no pairs to measure, such as a gallery without one sound.
    """
    if ranking not in calibration:
        return np.full(len(scores), np.nan)
    shares: NDArray[np.float64] = np.interp(scores, calibration[ranking], PERCENTS)
    return shares


def _drawn(rng: np.random.Generator, ids: Ids) -> Ids:
    return rng.choice(ids, min(GROUP, len(ids)), replace=False)


class _Group:
    """F frames and S sounds drawn at random, and every frame looked at with every sound.

    Attributes
    ----------
    f_v : (F, S, 1000).
    coarse, own_sound : (F, 1000); the rows of `own_sound` that `heard` (F,) does not mark are 0.
    f_s : (S, 1000).
    """

    def __init__(self, store: SegmentStore, embedder: Embedder, frames: Ids, sounds: Ids) -> None:
        self.frames, self.sounds = frames, sounds
        blocks = [store.sound(int(item)) for item in sounds]
        self.f_s = np.concatenate([np.empty((0, F_S), np.float32), *(b.f_s for b in blocks)])
        contexts = np.concatenate([np.empty((0, D), np.float32), *(b.h for b in blocks)])
        self.f_v = np.zeros((len(frames), len(sounds), F_V), np.float32)
        self.coarse = np.zeros((len(frames), F_V), np.float32)
        self.own_sound = np.zeros((len(frames), F_V), np.float32)
        self.heard = np.isin(frames, store.sound_ids)
        for row, item in enumerate(frames):
            block = store.frame(int(item))
            self.coarse[row] = block.coarse[0]
            if len(sounds):
                self.f_v[row] = _looked(embedder, block, contexts)
            if self.heard[row]:
                self.own_sound[row] = _looked(embedder, block, store.sound(int(item)).h)[0]

    @property
    def strangers(self) -> NDArray[np.bool_]:
        """(F, S), False where the frame and the sound are of one item."""
        different: NDArray[np.bool_] = self.frames[:, None] != self.sounds[None, :]
        return different


def _looked(embedder: Embedder, frame: FrameBlock, h: Floats) -> Floats:
    """Return f_v (n, 1000) of a block of one frame with each sound (n, 512)."""
    if not frame.maps.shape[1]:  # no map is kept: the frame alone stands for every look at it
        return np.broadcast_to(frame.coarse, (len(h), F_V))
    return embedder.condition(frame.maps, h).f_v


def _conditional(group: _Group) -> Floats:
    """cos(f_v(frame, sound), f_s(sound)): both directions of the leak-free ranking."""
    chosen = group.strangers
    f_s = np.broadcast_to(group.f_s, group.f_v.shape)
    return cosines(group.f_v[chosen], f_s[chosen])


def _own_sound(group: _Group) -> Floats:
    """cos(f_v(frame, its own sound), f_s(another sound))."""
    frames, sounds = np.nonzero(group.strangers & group.heard[:, None])
    return cosines(group.own_sound[frames], group.f_s[sounds])


def _associate_image(group: _Group) -> Floats:
    """One frame with two sounds."""
    return _neighbouring(group.f_v.swapaxes(0, 1))


def _associate_audio(group: _Group) -> Floats:
    """One sound with two frames."""
    return _neighbouring(group.f_v)


def _neighbouring(vectors: Floats) -> Floats:
    """Cosines of each vector (n, …, 1000) with the next one along the first axis."""
    width = vectors.shape[-1]
    return cosines(vectors[:-1].reshape(-1, width), vectors[1:].reshape(-1, width))


def _among(vectors: Floats) -> Floats:
    """Cosines of every vector (n, 1000) with every other."""
    first, second = np.triu_indices(len(vectors), 1)
    return cosines(vectors[first], vectors[second])


RANKINGS: tuple[tuple[tuple[str, ...], Callable[[_Group], Floats]], ...] = (
    (("audio-image", "image-audio"), _conditional),
    (("audio-image/own-sound", "image-audio/own-sound"), _own_sound),
    (("audio-audio",), lambda group: _among(group.f_s)),
    (("image-image",), lambda group: _among(group.coarse)),
    (("image-image/own-sound",), lambda group: _among(group.own_sound[group.heard])),
    (("associate-image",), _associate_image),
    (("associate-audio",), _associate_audio),
)
