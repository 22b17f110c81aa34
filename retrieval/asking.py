"""From a question to what is asked of an index: decoded, planned, embedded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.plan import LOOKS, Plan, Ranking, plan
from retrieval.query_media import EmbeddedQuery, embed_query, read_extra, read_query
from retrieval.question import Question

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from encoder.sandbox import Sandbox


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A part of a question: its ranking, what it asks with, and its weight in the mean."""

    ranking: Ranking
    query: EmbeddedQuery
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A question ready to be ranked.

    Attributes
    ----------
    asked : the main query, then its extras in their order.
    notes : what a person should know about how the question was taken.
    """

    plan: Plan
    asked: tuple[Asked, ...]
    notes: tuple[str, ...]

    @property
    def looked(self) -> Asked:
        """The first part that looks at a frame with a sound, the main one where none does."""
        return next((one for one in self.asked if one.ranking in LOOKS), self.asked[0])


def prepare(
    question: Question, embedder: Embedder, sandbox: Sandbox, *, window_s: float
) -> Prepared:
    """Read, plan and embed.

    Parameters
    ----------
    sandbox : where the query's files are decoded.
    window_s : seconds of a video's sound around its frame, as in the index.

    Raises
    ------
    QueryError : what the media hold does not answer the question; says what to give.
    MediaError : a query file is missing or cannot be read.
    """
    media = read_query(question, sandbox, window_s=window_s)
    extras = [read_extra(extra, sandbox) for extra in question.extras]
    chosen = plan(
        question,
        has_frame=media.frame is not None,
        has_sound=media.sound is not None,
        extras=[extra.kind for extra in extras],
    )
    main = Asked(ranking=chosen.ranking, query=embed_query(embedder, media))
    others = (
        Asked(ranking=part.ranking, query=embed_query(embedder, extra), weight=part.weight)
        for part, extra in zip(chosen.extras, extras, strict=True)
    )
    notes = (note for one in (media, *extras) for note in one.notes)
    return Prepared(plan=chosen, asked=(main, *others), notes=(*notes, *chosen.notes))
