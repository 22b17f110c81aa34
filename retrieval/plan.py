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
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retrieval.errors import QueryError
from retrieval.question import Question, Side

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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a question is answered.

    Attributes
    ----------
    given : what the query media hold.
    to : what the hits are.
    """

    given: Given
    to: Side
    ranking: Ranking

    @property
    def note(self) -> str:
        """Say which half of the query a leak-free ranking leaves out; empty where none."""
        if self.given != "both" or self.ranking not in ("audio-image", "image-audio"):
            return ""
        used, left_out = ("sound", "picture") if self.to == "image" else ("picture", "sound")
        return (
            f"leak-free: ranked by the {used} alone, its {left_out} is left out; "
            f"mode own-sound or associate uses both"
        )

    @property
    def has_heatmap(self) -> bool:
        """Whether the score looks at a frame with a sound."""
        return self.ranking in LOOKS


def plan(question: Question, *, has_frame: bool, has_sound: bool) -> Plan:
    """Choose the ranking for what the query media really hold.

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
    return Plan(given=given, to=to, ranking=ranking)


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
