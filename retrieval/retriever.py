"""The engine's front door: open an index with its encoder, search it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from indexer.options import WINDOW_S
from indexer.reader import IndexReader
from retrieval.distinct import Candidate, distinct
from retrieval.encoders import encoder_of
from retrieval.errors import QueryError
from retrieval.hits import Hit, Results
from retrieval.locate import find_index
from retrieval.looking import Looker
from retrieval.plan import Plan, plan
from retrieval.query_media import EmbeddedQuery, embed_query, read_query
from retrieval.question import Mode, Picture, Question, Side, Sound
from retrieval.ranking import CONDITIONAL, ranker
from retrieval.stopwatch import Stopwatch

if TYPE_CHECKING:
    from encoder.embedder import Embedder


class Retriever:
    """An index open for search; safe to share between threads, closed by `with`.

    Examples
    --------
    >>> with Retriever.open("corpus") as retriever:
    ...     results = retriever.search(audio="clip.wav", k=3)
    ...     results[0].heatmap().overlay(strength=0.6).save("why.png")
    """

    def __init__(self, reader: IndexReader, embedder: Embedder) -> None:
        self.reader, self.embedder = reader, embedder
        self._is_open = True

    @classmethod
    def open(
        cls, index: str | Path, *, device: str = "auto", checkpoint: str | Path | None = None
    ) -> Retriever:
        """Open an index, or the index inside a corpus.

        Parameters
        ----------
        device : `auto`, `cpu` or `cuda`.
        checkpoint : folder of the encoder; None is the shipped one. An index that another encoder
            built needs that encoder's folder here.

        Raises
        ------
        IndexMissing, IndexCorrupt : no index there, or a damaged one.
        EncoderMismatch : the index was built by another encoder; names the command that re-embeds.
        CheckpointError : the encoder's folder is missing or damaged.
        """
        reader = IndexReader.open(find_index(Path(index)))
        try:
            embedder = encoder_of(
                reader, None if checkpoint is None else Path(checkpoint), device=device
            )
        except BaseException:
            reader.close()
            raise
        return cls(reader, embedder)

    def __enter__(self) -> Retriever:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index; its hits can show no more heat maps."""
        self._is_open = False
        self.reader.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise QueryError("the index is closed; search and draw heat maps inside the with block")

    def search(
        self,
        *,
        audio: Sound | None = None,
        image: Picture | None = None,
        video: str | Path | None = None,
        at_s: float | None = None,
        to: Side | None = None,
        k: int = 10,
        where: str | None = None,
        min_score: float | None = None,
        mode: Mode = "leak-free",
        associate: Side | None = None,
        offset: int = 0,
    ) -> Results:
        """Find what goes with a sound, a picture, or both (`retrieval.plan` has the table).

        Parameters
        ----------
        audio : a file with sound, or float32 (T,) in [-1, 1] at 22 050 Hz.
        image : a picture (a video gives its first frame), or uint8 (H, W, 3).
        video : a file that gives both: the frame at `at_s` (seconds; None is the middle) and the
            sound around it.
        to : what to look for; None is pictures for a sound alone, sounds otherwise.
        k, offset : the hits from rank `offset` + 1 on, at most `k` of them.
        where : filter text over labels and metadata.
        min_score : lowest cosine of a hit.
        mode : `leak-free`, or `own-sound`: S19's protocol (definitions §3).
        associate : the half of a pair that is kept while the other is exchanged (S19 §5.3).

        Returns
        -------
        Results : score descending, then id ascending; the same picture or sound once.

        Raises
        ------
        QueryError, FilterError : the inputs do not go together; says what to give.
        MediaError : a query file is missing or cannot be read.
        """
        return self.answer(
            Question(
                audio=audio,
                image=image,
                video=video,
                at_s=at_s,
                to=to,
                mode=mode,
                associate=associate,
                k=k,
                offset=offset,
                where=where,
                min_score=min_score,
            )
        )

    def answer(self, question: Question) -> Results:
        """Answer a question that is already made; `search` is its comfortable form."""
        self._check_open()
        clock = Stopwatch()
        with clock.stage("embed"):
            media = read_query(question, window_s=WINDOW_S)
            has_frame, has_sound = media.frame is not None, media.sound is not None
            chosen = plan(question, has_frame=has_frame, has_sound=has_sound)
            query = embed_query(self.embedder, media)
        candidates = self._candidates(question, chosen, query, clock)
        with clock.stage("search"):
            looker = Looker(
                reader=self.reader,
                embedder=self.embedder,
                query=query,
                plan=chosen,
                check_open=self._check_open,
            )
            hits = self._hits(candidates, looker, first_rank=question.offset + 1)
        return Results(
            hits=hits,
            took_ms=clock.took(),
            exact=True,
            question=question,
            plan=chosen,
            notes=(*media.notes, *filter(None, [chosen.note])),
        )

    def _candidates(
        self, question: Question, chosen: Plan, query: EmbeddedQuery, clock: Stopwatch
    ) -> list[Candidate]:
        """Return the page of candidates that the question asks for, each scored in full."""
        with clock.stage("search"):
            allowed = self.reader.allowed(question.where)
        with clock.stage("condition" if chosen.ranking in CONDITIONAL else "search"):
            rank = ranker(chosen.ranking, self.reader, self.embedder, query, allowed)
        found = distinct(
            clock.timed("search", rank),
            clock.timed("search", self.reader.rows),
            to=chosen.to,
            wanted=question.offset + question.k,
        )
        floor = -1.0 if question.min_score is None else question.min_score
        return [one for one in found[question.offset :] if one.score >= floor]

    def _hits(
        self, candidates: list[Candidate], looker: Looker, first_rank: int
    ) -> tuple[Hit, ...]:
        scores = np.array([one.score for one in candidates], dtype=np.float32)
        percentiles = self.reader.percentiles(looker.plan.ranking, scores)
        return tuple(
            self._hit(one, looker, rank, None if np.isnan(percentile) else float(percentile))
            for rank, (one, percentile) in enumerate(
                zip(candidates, percentiles, strict=True), start=first_rank
            )
        )

    def _hit(self, found: Candidate, looker: Looker, rank: int, percentile: float | None) -> Hit:
        row = found.row
        path = row.image if looker.plan.to == "image" else row.audio
        assert path is not None, "a ranking of one kind holds items of that kind only"
        return Hit(
            id=row.id,
            rank=rank,
            path=path,
            corpus=self.reader.corpus,
            image=row.image,
            audio=row.audio,
            t0=row.t0,
            t1=row.t1,
            score=found.score,
            percentile=percentile,
            label=row.label,
            metadata=row.metadata,
            look=partial(looker.look, row),
            see=partial(looker.picture, row),
        )


def generation_of(index: Path) -> int:
    """Return the newest generation of an index folder, without loading an encoder."""
    with IndexReader.open(index) as reader:
        return reader.generation
