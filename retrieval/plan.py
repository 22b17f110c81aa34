"""Which of the rankings of definitions §3 answers a question.

X is the query, Y runs over the corpus; d is the cosine, f_v⁰ the coarse embedding of a frame alone.

| given | to    | mode or associate | ranking                | score                              |
|-------|-------|-------------------|------------------------|------------------------------------|
| sound | image | leak-free         | audio-image            | d(f_s(X_s), f_v(Y_v, X_s))         |
| sound | image | own-sound         | audio-image/own-sound  | d(f_s(X_s), f_v(Y_v, Y_s))         |
| sound | audio | leak-free         | audio-audio            | d(f_s(X_s), f_s(Y_s))              |
| frame | audio | leak-free         | image-audio            | d(f_v(X_v, Y_s), f_s(Y_s))         |
| frame | image | leak-free         | image-image            | d(f_v⁰(X_v), f_v⁰(Y_v))            |
| both  | audio | leak-free         | image-audio            | by the frame alone, as above       |
| both  | audio | own-sound         | image-audio/own-sound  | d(f_v(X_v, X_s), f_s(Y_s))         |
| both  | image | leak-free         | audio-image            | by the sound alone, as above       |
| both  | image | own-sound         | image-image/own-sound  | d(f_v(X_v, X_s), f_v(Y_v, Y_s))    |
| both  | audio | associate image   | associate-image        | d(f_v(X_v, X_s), f_v(X_v, Y_s))    |
| both  | image | associate audio   | associate-audio        | d(f_v(X_v, X_s), f_v(Y_v, X_s))    |

Without `to`, a sound looks for pictures, and a frame, with a sound or without, for sounds.

What is added or subtracted ranks the same side as the main query, each medium by the leak-free row
of itself alone; the score is then Σ w·d / Σ |w| over all of them, the main query with w = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retrieval.errors import QueryError
from retrieval.question import Question, Side

Kind = Literal["sound", "frame"]
Given = Literal["sound", "frame", "both"]
Ranking = Literal[
    "audio-image",
    "audio-image/own-sound",
    "audio-audio",
    "image-audio",
    "image-audio/own-sound",
    "image-image",
    "image-image/own-sound",
    "associate-image",
    "associate-audio",
]

RANKINGS: dict[tuple[Given, Side, str], Ranking] = {
    ("sound", "image", "leak-free"): "audio-image",
    ("sound", "image", "own-sound"): "audio-image/own-sound",
    ("sound", "audio", "leak-free"): "audio-audio",
    ("frame", "audio", "leak-free"): "image-audio",
    ("frame", "image", "leak-free"): "image-image",
    ("both", "audio", "leak-free"): "image-audio",
    ("both", "audio", "own-sound"): "image-audio/own-sound",
    ("both", "image", "leak-free"): "audio-image",
    ("both", "image", "own-sound"): "image-image/own-sound",
    ("both", "audio", "associate image"): "associate-image",
    ("both", "image", "associate audio"): "associate-audio",
}

Owner = Literal["query", "hit"]
LOOKS: dict[Ranking, tuple[Owner, Owner]] = {
    "audio-image": ("hit", "query"),
    "audio-image/own-sound": ("hit", "hit"),
    "image-audio": ("query", "hit"),
    "image-audio/own-sound": ("query", "query"),
    "image-image/own-sound": ("hit", "hit"),
    "associate-image": ("query", "hit"),
    "associate-audio": ("hit", "query"),
}
"""Whose frame a score looks at, with whose sound: what a heat map must show to be why. The two
rankings that are absent meet no frame with a sound."""

ASSOCIATIVE: tuple[Ranking, ...] = ("associate-image", "associate-audio")
OWN_SOUND_FRAMES: tuple[Ranking, ...] = ("audio-image/own-sound", "image-image/own-sound")
"""Hits are pictures with the sounds that they came with; one that has none cannot be scored."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One medium that was added (weight above 0) or subtracted, and how it ranks by itself."""

    weight: float
    ranking: Ranking


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a question is answered.

    Attributes
    ----------
    given : what the query media hold.
    to : what the hits are.
    ranking : of the main query.
    extras : what joins it; where there are any, a score is a mean of cosines by weight.
    """

    given: Given
    to: Side
    ranking: Ranking
    extras: tuple[Part, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: a half that is left out, a score that is a mean."""
        return tuple(filter(None, (self._left_out(), self._mixed())))

    def _left_out(self) -> str:
        if self.given != "both" or self.ranking not in ("audio-image", "image-audio"):
            return ""
        used, left_out = ("sound", "picture") if self.to == "image" else ("picture", "sound")
        return (
            f"leak-free: ranked by the {used} alone, its {left_out} is left out; "
            f"mode own-sound or associate uses both"
        )

    def _mixed(self) -> str:
        if not self.extras:
            return ""
        parts = "".join(f" {part.weight:+g} {part.ranking}" for part in self.extras)
        return (
            f"scores are means of {1 + len(self.extras)} cosines by weight: "
            f"+1 {self.ranking}{parts}; they have no percentile"
        )

    @property
    def has_heatmap(self) -> bool:
        """Whether a part of the score looks at a frame with a sound."""
        return any(one in LOOKS for one in (self.ranking, *(part.ranking for part in self.extras)))


def plan(
    question: Question, *, has_frame: bool, has_sound: bool, extras: Sequence[Kind] = ()
) -> Plan:
    """Choose the rankings for what the query media really hold.

    Parameters
    ----------
    extras : what each of `question.extras` turned out to be.

    Raises
    ------
    QueryError : no row of the table; says what to give instead.
    """
    given: Given = "both" if has_frame and has_sound else "frame" if has_frame else "sound"
    to = _target(question, given)
    manner = f"associate {question.associate}" if question.associate else question.mode
    ranking = RANKINGS.get((given, to, manner))
    if ranking is None:
        raise QueryError(_way_out(given, to, question))
    parts = tuple(
        Part(weight=extra.weight, ranking=RANKINGS[kind, to, "leak-free"])
        for extra, kind in zip(question.extras, extras, strict=True)
    )
    return Plan(given=given, to=to, ranking=ranking, extras=parts)


def _target(question: Question, given: Given) -> Side:
    if question.to is not None:
        return question.to
    if question.associate is not None:
        return "audio" if question.associate == "image" else "image"
    return "image" if given == "sound" else "audio"


def _way_out(given: Given, to: Side, question: Question) -> str:
    if question.associate and given != "both":
        missing = "a sound" if given == "frame" else "a picture"
        return f"associate {question.associate} starts from a pair; give {missing} too"
    if question.associate:
        return (
            f"associate {question.associate} keeps the {question.associate} and "
            f"looks for the other kind; leave out to={to}"
        )
    if given == "frame":
        return "mode own-sound looks at the picture with its own sound; give that sound too"
    return "mode own-sound says how pictures are looked at; between sounds, leave it out"
