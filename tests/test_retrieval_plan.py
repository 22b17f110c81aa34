"""The table of rankings: every row, and what is said where no row fits."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from indexer.calibration import RANKINGS as CALIBRATED
from retrieval.errors import QueryError
from retrieval.plan import RANKINGS, Ranking, plan
from retrieval.question import Question

FILES = {"sound": {"audio": "a.wav"}, "frame": {"image": "a.png"}, "both": {"video": "a.mp4"}}
HOLDS = {"sound": (False, True), "frame": (True, False), "both": (True, True)}


def chosen(given: str, **options: object):
    has_frame, has_sound = HOLDS[given]
    question = Question(**FILES[given], **options)
    return plan(question, has_frame=has_frame, has_sound=has_sound)


@pytest.mark.parametrize(("row", "ranking"), RANKINGS.items())
def test_every_row_is_reached(row: tuple[str, str, str], ranking: str) -> None:
    given, to, manner = row
    options = {"associate": manner.split()[1]} if " " in manner else {"mode": manner}
    found = chosen(given, to=to, **options)
    assert (found.given, found.to, found.ranking) == (given, to, ranking)


@pytest.mark.parametrize(
    ("given", "options", "to", "ranking"),
    [
        ("sound", {}, "image", "audio-image"),
        ("frame", {}, "audio", "image-audio"),
        ("both", {}, "audio", "image-audio"),
        ("both", {"associate": "image"}, "audio", "associate-image"),
        ("both", {"associate": "audio"}, "image", "associate-audio"),
    ],
)
def test_defaults(given: str, options: dict[str, str], to: str, ranking: str) -> None:
    found = chosen(given, **options)
    assert (found.to, found.ranking) == (to, ranking)


@pytest.mark.parametrize(
    ("given", "options", "way_out"),
    [
        ("frame", {"mode": "own-sound"}, "give that sound too"),
        ("frame", {"mode": "own-sound", "to": "image"}, "give that sound too"),
        ("sound", {"mode": "own-sound", "to": "audio"}, "leave it out"),
        ("sound", {"associate": "audio"}, "give a picture too"),
        ("frame", {"associate": "image"}, "give a sound too"),
        ("both", {"associate": "image", "to": "image"}, "leave out to=image"),
    ],
)
def test_impossible_combinations_say_what_to_give(
    given: str, options: dict[str, str], way_out: str
) -> None:
    with pytest.raises(QueryError, match=way_out):
        chosen(given, **options)


def test_a_half_left_out_is_said() -> None:
    assert "its sound is left out" in chosen("both", to="audio").notes[0]
    assert "its picture is left out" in chosen("both", to="image").notes[0]
    assert chosen("both", to="audio", mode="own-sound").notes == ()
    assert chosen("sound").notes == ()


def test_only_across_kinds_there_is_a_heat_map() -> None:
    with_map = {(given, to) for given, to, _ in RANKINGS if chosen(given, to=to).has_heatmap}
    assert with_map == {
        ("sound", "image"),
        ("frame", "audio"),
        ("both", "audio"),
        ("both", "image"),
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "nothing to search with"),
        ({"audio": "a.wav", "video": "a.mp4"}, "give it alone"),
        ({"audio": "a.wav", "at_s": 1.0}, "give a video"),
        ({"video": "a.mp4", "at_s": -1.0}, "0 or later"),
        ({"audio": "a.wav", "k": 0}, "k=0"),
        ({"audio": "a.wav", "k": 2.5}, "whole number"),
        ({"audio": "a.wav", "k": True}, "whole number"),
        ({"audio": "a.wav", "offset": -1}, "offset=-1"),
        ({"audio": "a.wav", "to": "video"}, "give image or audio"),
        ({"audio": "a.wav", "mode": "leaky"}, "give leak-free or own-sound"),
        ({"audio": "a.wav", "min_score": float("nan")}, "min_score"),
        ({"audio": "a.wav", "min_score": 1.5}, "min_score"),
    ],
)
def test_questions_without_sense(options: dict[str, object], reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        Question(**options)


def test_an_array_is_echoed_without_its_numbers() -> None:
    echo = Question(audio=np.zeros(100, np.float32)).to_json()
    assert echo["audio"] == "<array>"
    assert echo["image"] is None


def test_every_ranking_has_percentiles() -> None:
    calibrated = {name for names, _ in CALIBRATED for name in names}
    assert calibrated == set(get_args(Ranking))
