"""The exact answer: every item of the gallery is scored by every term, in float32.

f_v(frame, sound) belongs to a pair, so no vector index can hold it. This is the slow twin that
every faster engine is measured against; it is never optimised. It knows neither faiss nor a
catalogue: blocks in, neighbours out, on the device of the embedder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from indexer.blocks import Floats, FrameBlock, SoundBlock
from indexer.neighbours import Neighbours, best_of, cosines, tidy
from indexer.terms import FrameTerm, SoundTerm, weighted

if TYPE_CHECKING:
    from encoder.embedder import Embedder


def rank_frames(
    embedder: Embedder, terms: Sequence[FrameTerm], frames: Iterable[FrameBlock], k: int
) -> Neighbours:
    """Return the k frames that score highest, fewer where the gallery is smaller."""
    return best_of(((block.ids, score_frames(embedder, terms, block)) for block in frames), k)


def rank_sounds(
    embedder: Embedder, terms: Sequence[SoundTerm], sounds: Iterable[SoundBlock], k: int
) -> Neighbours:
    """Return the k sounds that score highest, fewer where the gallery is smaller."""
    return best_of(((block.ids, score_sounds(embedder, terms, block)) for block in sounds), k)


def score_frames(embedder: Embedder, terms: Sequence[FrameTerm], block: FrameBlock) -> Floats:
    """Return the weighted mean of the terms' cosines for each frame of a block, (n,)."""
    shares = zip(weighted(terms), terms, strict=True)
    return tidy(np.sum([w * _frame_cosines(embedder, term, block) for w, term in shares], axis=0))


def score_sounds(embedder: Embedder, terms: Sequence[SoundTerm], block: SoundBlock) -> Floats:
    """Return the weighted mean of the terms' cosines for each sound of a block, (n,)."""
    shares = zip(weighted(terms), terms, strict=True)
    return tidy(np.sum([w * _sound_cosines(embedder, term, block) for w, term in shares], axis=0))


def _frame_cosines(embedder: Embedder, term: FrameTerm, block: FrameBlock) -> Floats:
    if term.h is None or not block.maps.shape[1]:  # no map is kept: attention is uniform
        return cosines(block.coarse, term.target)
    return cosines(embedder.condition(block.maps, term.h[None]).f_v, term.target)


def _sound_cosines(embedder: Embedder, term: SoundTerm, block: SoundBlock) -> Floats:
    target = block.f_s if term.target is None else term.target
    if term.visual_map is None:
        return cosines(block.f_s, target)
    return cosines(embedder.condition(term.visual_map[None], block.h).f_v, target)
