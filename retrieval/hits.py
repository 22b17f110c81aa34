"""What a search returns: hits, their heat maps, and how the answer was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.heatmap import overlay
from indexer.paths import from_text
from retrieval.plan import Plan
from retrieval.question import Question

CONFIDENT_PERCENTILE = 90.0
"""A best hit below it resembles the query no more than one random pair in ten does."""
Stage = Literal["embed", "search", "condition"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heatmap:
    """Where a frame was looked at, for one sound (definitions §1).

    Attributes
    ----------
    values : (H', W') float32 in [0, 1], min-max of the attention: for eyes and thresholds.
    attention : (H', W') float32, sums to 1 (S19 eq. 1).
    response : (H', W') float32 in [-1, 1], before the softmax: comparable between frames.
    picture : gives the frame itself, (H, W, 3) uint8, decoded when called.
    """

    values: NDArray[np.float32]
    attention: NDArray[np.float32]
    response: NDArray[np.float32]
    picture: Callable[[], NDArray[np.uint8]] = field(repr=False)

    def overlay(self, *, strength: float = 0.6) -> Image.Image:
        """Paint the map over the real picture; `strength` in [0, 1] (`encoder.heatmap.overlay`).

        Raises
        ------
        MediaError : the picture cannot be read any more.
        """
        return overlay(self.picture(), self.values, strength=strength)


@dataclass(frozen=True, kw_only=True, eq=False)
class Hit:
    """One answer; equal to itself alone, so that it can stand in sets and keys.

    Attributes
    ----------
    id : the item's number in the index, never reused.
    rank : 1 is the best; counts on through `offset`.
    path : what was found, the picture or the sound, POSIX and relative to the corpus.
    corpus : the folder that paths are relative to.
    image, audio : the item's two files, relative to the corpus; None where it has none.
    t0, t1 : the item's span in seconds, where the file is longer than the item.
    score : cosine in [-1, 1]; for a question with extras the mean of its cosines by weight.
    percentile : share of random pairs that score lower, in [0, 100]; None where not measured, as
        for a question with extras.
    """

    id: int
    rank: int
    path: str
    corpus: Path
    image: str | None
    audio: str | None
    t0: float | None
    t1: float | None
    score: float
    percentile: float | None
    label: str | None
    metadata: Mapping[str, Any]
    look: Callable[[], Heatmap] = field(repr=False)
    look_before: Callable[[], Heatmap | None] = field(repr=False)
    see: Callable[[], NDArray[np.uint8]] = field(repr=False)

    @property
    def is_confident(self) -> bool:
        """Whether it scores clearly above random pairs, as far as that was measured."""
        return self.percentile is None or self.percentile >= CONFIDENT_PERCENTILE

    @property
    def file(self) -> Path:
        """What was found, as a path that opens."""
        return self.corpus / from_text(self.path)

    @property
    def audio_file(self) -> Path | None:
        """The item's sound, as a path that opens."""
        return None if self.audio is None else self.corpus / from_text(self.audio)

    def picture(self) -> NDArray[np.uint8]:
        """Decode the hit's own frame, (H, W, 3) uint8, upright: a picture or a video's moment.

        Raises
        ------
        QueryError : it is a sound without a picture.
        MediaError : the file is gone or cannot be read.
        """
        return self.see()

    def heatmap(self) -> Heatmap:
        """Show why: the frame and the sound that the score compared (`retrieval.plan.LOOKS`).

        Of a question with extras the main query's, or of the first part that has a look.

        Raises
        ------
        QueryError : the ranking compares no frame with a sound.
        """
        return self.look()

    def before(self) -> Heatmap | None:
        """Show what an associative hit started from: the query's frame with the query's sound.

        `heatmap` is what became of it: the same frame with the hit's sound, or the hit's frame with
        the same sound. None for the other rankings.
        """
        return self.look_before()


@dataclass(frozen=True, kw_only=True)
class TookMs:
    """Milliseconds for decoding and embedding the query, looking up rows, and conditioning."""

    embed: float
    search: float
    condition: float


@dataclass(frozen=True, kw_only=True)
class Results:
    """The hits of one question, best first.

    Attributes
    ----------
    exact : whether every item was scored in full, none dropped by an approximate index.
    notes : what a person should know about how the query was taken, a sentence each.
    """

    hits: tuple[Hit, ...]
    took_ms: TookMs
    exact: bool
    question: Question
    plan: Plan
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __getitem__(self, position: int) -> Hit:
        return self.hits[position]
