"""The rankings themselves: a plan and an embedded query in, neighbours out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import SoundBlock
from indexer.conditional import rank_frames, rank_sounds
from indexer.neighbours import Neighbours
from indexer.reader import IndexReader
from indexer.terms import (
    FrameTerm,
    SoundTerm,
    frames_for_sound,
    frames_like,
    keep_audio,
    keep_image,
    sounds_for_frame,
    sounds_like,
)
from retrieval.plan import Ranking
from retrieval.query_media import EmbeddedQuery

if TYPE_CHECKING:
    from encoder.embedder import Embedder

CONDITIONAL: tuple[Ranking, ...] = (
    "audio-image",
    "image-audio",
    "associate-image",
    "associate-audio",
)
"""Answered by conditioning candidates; the others by the vectors as they are stored."""


Ranker = Callable[[int], Neighbours]
"""Gives the k best, for any k."""


def ranker(
    ranking: Ranking,
    reader: IndexReader,
    embedder: Embedder,
    query: EmbeddedQuery,
    allowed: NDArray[np.int64] | None,
) -> Ranker:
    """Return what gives the best items of a ranking (`retrieval.plan` has the formulas)."""
    if ranking in CONDITIONAL:
        return rank_terms(reader, embedder, [term_of(ranking, embedder, query)], allowed)
    return lambda k: _stored(ranking, reader, embedder, query, k, allowed)


def rank_terms(
    reader: IndexReader,
    embedder: Embedder,
    terms: Sequence[FrameTerm | SoundTerm],
    allowed: NDArray[np.int64] | None,
) -> Ranker:
    """Return what gives the best items by the weighted mean of terms, all of one kind.

    Every candidate is scored now, once, whatever k will be asked for; their ids and scores are
    kept: 12 bytes an item.
    """
    frames = [term for term in terms if isinstance(term, FrameTerm)]
    sounds = [term for term in terms if isinstance(term, SoundTerm)]
    if frames:
        scored = rank_frames(embedder, frames, reader.frame_blocks(allowed), reader.n_items)
    else:
        scored = rank_sounds(embedder, sounds, reader.sound_blocks(allowed), reader.n_items)
    return lambda k: Neighbours(scored.ids[:k], scored.scores[:k])


def term_of(ranking: Ranking, embedder: Embedder, query: EmbeddedQuery) -> FrameTerm | SoundTerm:
    """Return the formula of a ranking that looks at no item's own sound."""
    if ranking == "audio-image":
        return frames_for_sound(_sound(query))
    if ranking == "image-audio":
        return sounds_for_frame(_map(query))
    if ranking == "associate-image":
        return keep_image(embedder, _map(query), _sound(query).h[0])
    if ranking == "associate-audio":
        return keep_audio(embedder, _map(query), _sound(query).h[0])
    if ranking == "audio-audio":
        return sounds_like(_sound(query).f_s[0])
    if ranking == "image-image":
        assert query.coarse is not None
        return frames_like(query.coarse)
    raise ValueError(f"{ranking} looks at pictures with their own sounds; it is no term")


def _stored(
    ranking: Ranking,
    reader: IndexReader,
    embedder: Embedder,
    query: EmbeddedQuery,
    k: int,
    allowed: NDArray[np.int64] | None,
) -> Neighbours:
    device: Literal["cpu", "cuda"] = "cuda" if embedder.device.type == "cuda" else "cpu"
    if ranking == "audio-audio":
        return reader.nearest("sound", _sound(query).f_s[0], k, allowed, device)
    if ranking == "audio-image/own-sound":
        return reader.nearest("own_sound", _sound(query).f_s[0], k, allowed, device)
    if ranking == "image-image":
        assert query.coarse is not None
        return reader.nearest("coarse", query.coarse, k, allowed, device)
    f_v = embedder.condition(_map(query)[None], _sound(query).h).f_v[0]
    if ranking == "image-audio/own-sound":
        return reader.nearest("sound", f_v, k, allowed, device)
    return reader.nearest("own_sound", f_v, k, allowed, device)


def _sound(query: EmbeddedQuery) -> SoundBlock:
    assert query.sound is not None, "the plan asks for a sound only where there is one"
    return query.sound


def _map(query: EmbeddedQuery) -> NDArray[np.float16]:
    assert query.visual_map is not None, "the plan asks for a picture only where there is one"
    return query.visual_map
