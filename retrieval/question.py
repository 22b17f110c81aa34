"""A question as it was asked, before any file is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError

Side = Literal["image", "audio"]
Mode = Literal["leak-free", "own-sound"]
Sound = str | Path | NDArray[np.float32]
Picture = str | Path | NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Extra:
    """A medium that counts beside the main query (`retrieval.arithmetic` reads the written form).

    Attributes
    ----------
    weight : finite; the main query has 1. Below 0, what is near the medium ranks lower.
    media : a picture; or a file with a sound, which is taken whole; or a video without one, which
        counts by its middle frame. An array is float32 (T,) at 22 050 Hz or uint8 (H, W, 3).

    Raises
    ------
    QueryError : no finite weight, or no medium.
    """

    weight: float
    media: Sound | Picture

    def __post_init__(self) -> None:
        is_empty = isinstance(self.media, str) and not self.media
        if is_empty or not isinstance(self.media, str | Path | np.ndarray):
            raise QueryError(f"{self.media!r}: no medium; give a path or an array")
        if not math.isfinite(self.weight):
            raise QueryError(f"{_shown(self.media)}: weight {self.weight}; give a finite number")


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """Everything that `Retriever.search` was given.

    Attributes
    ----------
    extras : media that join the main query: the score is then the mean of their cosines by weight.
    exact : score every item in full, also where a shorter way was measured to find the same.

    Raises
    ------
    QueryError : a value is out of range, or no medium or too many were given.
    """

    audio: Sound | None = None
    image: Picture | None = None
    video: str | Path | None = None
    at_s: float | None = None
    to: Side | None = None
    mode: Mode = "leak-free"
    associate: Side | None = None
    k: int = 10
    offset: int = 0
    where: str | None = None
    min_score: float | None = None
    extras: tuple[Extra, ...] = ()
    exact: bool = False

    def __post_init__(self) -> None:
        self._check_media()
        self._check_choices()
        self._check_numbers()
        self._check_extras()

    def _check_numbers(self) -> None:
        for name, value, least in (("k", self.k, 1), ("offset", self.offset, 0)):
            if type(value) is not int or value < least:
                raise QueryError(f"{name}={value!r}: give a whole number, {least} or more")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise QueryError(f"min_score={self.min_score}: give a number from -1 to 1")

    def _check_media(self) -> None:
        if self.audio is None and self.image is None and self.video is None:
            raise QueryError("nothing to search with; give an audio, an image or a video file")
        if self.video is not None and (self.audio is not None or self.image is not None):
            raise QueryError("a video brings its own frame and sound; give it alone")
        if self.at_s is not None and (self.video is None or not 0 <= self.at_s < math.inf):
            raise QueryError(f"at_s={self.at_s}: a time in a video, 0 or later; give a video")

    def _check_choices(self) -> None:
        for name, value, choices in (
            ("to", self.to, (None, "image", "audio")),
            ("mode", self.mode, ("leak-free", "own-sound")),
            ("associate", self.associate, (None, "image", "audio")),
        ):
            if value not in choices:
                known = " or ".join(choice for choice in choices if choice)
                raise QueryError(f"{name}={value!r}: unknown; give {known}")

    def _check_extras(self) -> None:
        if self.extras and self.mode == "own-sound":
            raise QueryError(
                "mode own-sound cannot be added to: each added term asks leak-free; "
                "leave the mode out, or what is added and subtracted"
            )
        if not math.isfinite(sum(abs(extra.weight) for extra in self.extras)):
            raise QueryError("the weights add up to infinity; give smaller ones")

    def to_json(self) -> dict[str, Any]:
        """Return it with media as the paths that were given; an array has no path: `<array>`."""
        media = {name: _shown(getattr(self, name)) for name in ("audio", "image", "video")}
        options = ("at_s", "to", "mode", "associate", "k", "offset", "where", "min_score", "exact")
        extras = [{"weight": one.weight, "media": _shown(one.media)} for one in self.extras]
        return media | {name: getattr(self, name) for name in options} | {"extras": extras}


def _shown(medium: Sound | Picture | None) -> str | None:
    if isinstance(medium, np.ndarray):
        return "<array>"
    return None if medium is None else str(medium)
