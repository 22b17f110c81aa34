"""The engine's front door: open an index with its encoder, search it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from encoder.sandbox import Sandbox
from indexer.options import WINDOW_S
from indexer.reader import IndexReader
from retrieval.arithmetic import Term, extras_of
from retrieval.asking import Prepared, prepare
from retrieval.distinct import Candidate, distinct
from retrieval.encoders import encoder_of
from retrieval.errors import QueryError
from retrieval.hits import Hit, Results
from retrieval.locate import find_index
from retrieval.looking import Looker
from retrieval.plan import OWN_SOUND_FRAMES, Plan
from retrieval.question import Mode, Picture, Question, Side, Sound
from retrieval.ranking import CONDITIONAL, notes_on_maps, ranker
from retrieval.stopwatch import Stopwatch

if TYPE_CHECKING:
    from encoder.embedder import Embedder

MUTE = "image like '%' and not audio like '%'"
"""The filter that finds items with a frame and without a sound."""


class Retriever:
    """An index open for search; safe to share between threads, closed by `with`.

    Examples
    --------
    >>> with Retriever.open("corpus") as retriever:
    ...     results = retriever.search(audio="clip.wav", k=3)
    ...     results[0].heatmap().overlay(strength=0.6).save("why.png")
    """

    def __init__(
        self, reader: IndexReader, embedder: Embedder, sandbox: Sandbox | None = None
    ) -> None:
        self.reader, self.embedder = reader, embedder
        self.sandbox = sandbox or Sandbox()
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
        sandbox = Sandbox()  # it gets ready while the encoder is loaded
        try:
            embedder = encoder_of(
                reader, None if checkpoint is None else Path(checkpoint), device=device
            )
        except BaseException:
            reader.close()
            sandbox.close()
            raise
        return cls(reader, embedder, sandbox)

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
        self.sandbox.close()

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
        add: Sequence[Term] = (),
        subtract: Sequence[Term] = (),
        to: Side | None = None,
        k: int = 10,
        where: str | None = None,
        min_score: float | None = None,
        mode: Mode = "leak-free",
        associate: Side | None = None,
        offset: int = 0,
        exact: bool = False,
    ) -> Results:
        """Find what goes with a sound, a picture, or both (`retrieval.plan` has the table).

        Parameters
        ----------
        audio : a file with sound, or float32 (T,) in [-1, 1] at 22 050 Hz.
        image : a picture (a video gives its first frame), or uint8 (H, W, 3).
        video : a file that gives both: the frame at `at_s` (seconds; None is the middle) and the
            sound around it.
        add, subtract : what hits should be like as well, and unlike: `0.5:thunder.wav` with a
            weight, a path, an array, or (weight, path or array). A picture counts as one, anything
            with a sound as that sound, a video without one by its middle frame.
        to : what to look for; None is pictures for a sound alone, sounds otherwise.
        k, offset : the hits from rank `offset` + 1 on, at most `k` of them.
        where : filter text over labels and metadata.
        min_score : lowest cosine of a hit.
        mode : `leak-free`, or `own-sound`: S19's protocol (definitions §3).
        associate : the half of a pair that is kept while the other is exchanged (S19 §5.3).
        exact : score every item in full, in time that grows with the index; `Results.exact` says
            what happened.

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
                extras=extras_of(add, subtract),
                exact=exact,
            )
        )

    def answer(self, question: Question) -> Results:
        """Answer a question that is already made; `search` is its comfortable form."""
        self._check_open()
        clock = Stopwatch()
        with clock.stage("embed"):
            prepared = prepare(question, self.embedder, self.sandbox, window_s=WINDOW_S)
        return self.answer_prepared(question, prepared, clock)

    def answer_prepared(
        self, question: Question, prepared: Prepared, clock: Stopwatch | None = None
    ) -> Results:
        """Answer a question whose media were embedded before.

        Parameters
        ----------
        clock : what the stages before took.
        """
        self._check_open()
        clock = clock or Stopwatch()
        candidates, exact = self._candidates(question, prepared, clock)
        with clock.stage("search"):
            looker = Looker(
                reader=self.reader,
                embedder=self.embedder,
                asked=prepared.looked,
                check_open=self._check_open,
            )
            hits = self._hits(candidates, prepared.plan, looker, first_rank=question.offset + 1)
            kept = notes_on_maps(prepared.asked, self.reader.kept_maps, exact=question.exact)
            notes = (*prepared.notes, *self._left_out(question, prepared.plan), *kept)
        return Results(
            hits=hits,
            took_ms=clock.took(),
            exact=exact,
            question=question,
            plan=prepared.plan,
            notes=notes,
        )

    def _left_out(self, question: Question, chosen: Plan) -> list[str]:
        """Say how many pictures a ranking by their own sounds cannot score."""
        if chosen.ranking not in OWN_SOUND_FRAMES:
            return []
        mute, allowed = self.reader.allowed(MUTE), self.reader.allowed(question.where)
        assert mute is not None, "a filter always names the ids that it lets through"
        n_mute = len(mute) if allowed is None else len(np.intersect1d(mute, allowed))
        if not n_mute:
            return []
        what = "1 picture" if n_mute == 1 else f"{n_mute} pictures"
        return [f"own-sound: {what} without a sound left out; mode leak-free ranks all"]

    def _candidates(
        self, question: Question, prepared: Prepared, clock: Stopwatch
    ) -> tuple[list[Candidate], bool]:
        """Return the page that the question asks for, and whether every item was scored in full."""
        with clock.stage("search"):
            allowed = self.reader.allowed(question.where)
        is_conditional = any(one.ranking in CONDITIONAL for one in prepared.asked)
        with clock.stage("condition" if is_conditional else "search"):
            rank = ranker(prepared.asked, self.reader, self.embedder, allowed, exact=question.exact)
        found = distinct(
            clock.timed("search", rank),
            clock.timed("search", self.reader.rows),
            to=prepared.plan.to,
            wanted=question.offset + question.k,
        )
        floor = -1.0 if question.min_score is None else question.min_score
        return [one for one in found[question.offset :] if one.score >= floor], rank.exact

    def _hits(
        self, candidates: list[Candidate], chosen: Plan, looker: Looker, first_rank: int
    ) -> tuple[Hit, ...]:
        scores = np.array([one.score for one in candidates], dtype=np.float32)
        percentiles = np.full(len(scores), np.nan)
        if not chosen.extras:
            percentiles = self.reader.percentiles(chosen.ranking, scores)
        return tuple(
            self._hit(one, chosen.to, looker, rank, float(percentile))
            for rank, (one, percentile) in enumerate(
                zip(candidates, percentiles, strict=True), start=first_rank
            )
        )

    def _hit(self, found: Candidate, to: Side, looker: Looker, rank: int, percentile: float) -> Hit:
        row = found.row
        path = row.image if to == "image" else row.audio
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
            percentile=None if np.isnan(percentile) else percentile,
            label=row.label,
            metadata=row.metadata,
            look=partial(looker.look, row),
            look_before=looker.look_before,
            see=partial(looker.picture, row),
        )


def generation_of(index: Path) -> int:
    """Return the newest generation of an index folder, without loading an encoder."""
    with IndexReader.open(index) as reader:
        return reader.generation
