"""The rankings themselves: a plan and an embedded query in, neighbours out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from indexer.blocks import SoundBlock
from indexer.compact.effort import Side
from indexer.compact.engine import Answer
from indexer.kept_maps import KeptMaps
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
from retrieval.asking import Asked
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


LEAST_ASKED = 32


class Ranker:
    """Gives the k best, for any k.

    An approximate search looks closer the more is asked of it. It is asked for powers of two, so
    that the next page mostly goes on where the last one ended.

    Attributes
    ----------
    exact : whether every item was scored in full for the answers given so far.
    """

    def __init__(self, answer: Callable[[int], Answer]) -> None:
        self._answer, self.exact = answer, True

    def __call__(self, k: int) -> Neighbours:
        answer = self._answer(max(LEAST_ASKED, 1 << (k - 1).bit_length()))
        self.exact = self.exact and answer.exact
        return Neighbours(answer.neighbours.ids[:k], answer.neighbours.scores[:k])


def ranker(
    asked: Sequence[Asked],
    reader: IndexReader,
    embedder: Embedder,
    allowed: NDArray[np.int64] | None,
    *,
    exact: bool = False,
) -> Ranker:
    """Return what gives the best items of one part alone, or of several by their weighted mean.

    `retrieval.plan` has the formulas.

    Parameters
    ----------
    exact : score every item in full; vectors as they are stored are compared exactly in any case.
    """
    first = asked[0]
    if len(asked) == 1 and first.ranking not in CONDITIONAL:
        return Ranker(
            lambda k: Answer(
                neighbours=_stored(first.ranking, reader, embedder, first.query, k, allowed),
                exact=True,
            )
        )
    terms = [replace(term_of(one.ranking, embedder, one.query), weight=one.weight) for one in asked]
    return rank_terms(reader, embedder, terms, allowed, exact=exact)


def notes_on_maps(asked: Sequence[Asked], kept: KeptMaps, *, exact: bool) -> list[str]:
    """Say by what pictures were scored where the index does not keep their full maps."""
    if not any(one.ranking in ("audio-image", "associate-audio") for one in asked):
        return []
    notes = []
    if n := kept.frames["none"]:
        which = "pictures" if n == kept.n_frames else f"{n} of {kept.n_frames} pictures"
        notes.append(f"{which} were ranked by their coarse vectors: no maps of them are kept")
    if exact and (n := kept.frames["compact"]):
        which = "pictures" if n == kept.n_frames else f"{n} of {kept.n_frames} pictures"
        notes.append(f"{which} were scored by their compact maps: no full ones are kept")
    return notes


def rank_terms(
    reader: IndexReader,
    embedder: Embedder,
    terms: Sequence[FrameTerm | SoundTerm],
    allowed: NDArray[np.int64] | None,
    *,
    exact: bool = False,
) -> Ranker:
    """Return what gives the best items by the weighted mean of terms, all of one kind.

    Where every item is scored in full, that happens now, once, whatever k will be asked for; ids
    and scores are kept: 12 bytes an item.
    """
    side: Side = "frames" if isinstance(terms[0], FrameTerm) else "sounds"
    if not exact and reader.effort(side) is not None:
        return Ranker(lambda k: reader.answer(embedder, terms, k, allowed))
    whole = reader.answer(embedder, terms, reader.n_items, allowed, exact=True)
    ids, scores = whole.neighbours.ids, whole.neighbours.scores
    return Ranker(lambda k: replace(whole, neighbours=Neighbours(ids[:k], scores[:k])))


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
