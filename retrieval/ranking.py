"""The rankings themselves: a plan and an embedded query in, neighbours out. All exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import SoundBlock
from indexer.conditional import associate_frames, associate_sounds, rank_frames, rank_sounds
from indexer.neighbours import Neighbours
from indexer.reader import IndexReader
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
"""Answered by conditioning every candidate; the others by the vectors as they are stored."""


Ranker = Callable[[int], Neighbours]
"""Gives the k best, for any k."""


def ranker(
    ranking: Ranking,
    reader: IndexReader,
    embedder: Embedder,
    query: EmbeddedQuery,
    allowed: NDArray[np.int64] | None,
) -> Ranker:
    """Return what gives the best items of a ranking (`retrieval.plan` has the formulas).

    A conditional ranking scores every candidate now, once, whatever k will be asked for, and keeps
    their ids and scores: 12 bytes an item.
    """
    if ranking in CONDITIONAL:
        scored = _conditioned(ranking, reader, embedder, query, reader.n_items, allowed)
        return lambda k: Neighbours(scored.ids[:k], scored.scores[:k])
    return lambda k: _stored(ranking, reader, embedder, query, k, allowed)


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


def _conditioned(
    ranking: Ranking,
    reader: IndexReader,
    embedder: Embedder,
    query: EmbeddedQuery,
    k: int,
    allowed: NDArray[np.int64] | None,
) -> Neighbours:
    if ranking == "audio-image":
        return rank_frames(embedder, _sound(query), reader.frame_blocks(allowed), k)
    if ranking == "image-audio":
        return rank_sounds(embedder, _map(query), reader.sound_blocks(allowed), k)
    visual_map, h = _map(query), _sound(query).h[0]
    if ranking == "associate-image":
        return associate_sounds(embedder, visual_map, h, reader.sound_blocks(allowed), k)
    return associate_frames(embedder, visual_map, h, reader.frame_blocks(allowed), k)


def _sound(query: EmbeddedQuery) -> SoundBlock:
    assert query.sound is not None, "the plan asks for a sound only where there is one"
    return query.sound


def _map(query: EmbeddedQuery) -> NDArray[np.float16]:
    assert query.visual_map is not None, "the plan asks for a picture only where there is one"
    return query.visual_map
