"""The exact answer to conditional queries: every item of the gallery is scored (definitions §3).

f_v(frame, sound) belongs to a pair, so no vector index can hold it. This is the slow twin that
every faster engine is measured against. It knows neither faiss nor a catalogue: blocks in,
neighbours out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import Floats, FrameBlock, SoundBlock
from indexer.neighbours import Neighbours, best_of, cosines

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Map = NDArray[np.floating]


def rank_frames(
    embedder: Embedder, query: SoundBlock, frames: Iterable[FrameBlock], k: int
) -> Neighbours:
    """Rank frames for a sound by cos(f_s(X_s), f_v(Y_v, X_s)): `audio→image, conditional`.

    Parameters
    ----------
    query : a block of one sound, which conditions every frame.
    frames : the gallery.

    Returns
    -------
    Neighbours, fewer than k where the gallery is smaller.
    """
    return best_of(
        (
            (block.ids, cosines(embedder.condition(block.maps, query.h).f_v, query.f_s[0]))
            for block in frames
        ),
        k,
    )


def rank_sounds(
    embedder: Embedder, visual_map: Map, sounds: Iterable[SoundBlock], k: int
) -> Neighbours:
    """Rank sounds for a frame (M, 512) by cos(f_v(X_v, Y_s), f_s(Y_s)): `image→audio, conditional`.

    Every candidate conditions the frame that it is compared with.
    """
    return best_of(
        (
            (block.ids, cosines(embedder.condition(visual_map[None], block.h).f_v, block.f_s))
            for block in sounds
        ),
        k,
    )


def associate_sounds(
    embedder: Embedder, visual_map: Map, h: Floats, sounds: Iterable[SoundBlock], k: int
) -> Neighbours:
    """Keep the frame (M, 512), change its sound (512,): rank by cos(f_v(X_v, X_s), f_v(X_v, Y_s)).

    S19 §5.3, `associate --keep image`.
    """
    asked = embedder.condition(visual_map[None], h[None]).f_v[0]
    return best_of(
        (
            (block.ids, cosines(embedder.condition(visual_map[None], block.h).f_v, asked))
            for block in sounds
        ),
        k,
    )


def associate_frames(
    embedder: Embedder, visual_map: Map, h: Floats, frames: Iterable[FrameBlock], k: int
) -> Neighbours:
    """Keep the sound (512,), change its frame (M, 512): rank by cos(f_v(X_v, X_s), f_v(Y_v, X_s)).

    S19 §5.3, `associate --keep audio`.
    """
    asked = embedder.condition(visual_map[None], h[None]).f_v[0]
    return best_of(
        (
            (block.ids, cosines(embedder.condition(block.maps, h[None]).f_v, asked))
            for block in frames
        ),
        k,
    )
