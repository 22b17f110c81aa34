"""Table 7: votes are tallied per video, and the average is over videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.errors import DataAbsent, PairsError
from train.reproduce.study import table_7


def written(folder: Path, text: str) -> Path:
    path = folder / "user-study.csv"
    path.write_text(text, encoding="utf-8")
    return path


def votes(**by_video: tuple[int, int, int]) -> str:
    """Lines of (ours, other, similar) votes per video; a further column is ignored."""
    lines = ["participant,video,choice"]
    for video, counts in by_video.items():
        for choice, n in zip(("ours", "other", "similar"), counts, strict=True):
            lines += [f"p{i},{video},{choice}" for i in range(n)]
    return "\n".join(lines) + "\n"


def test_the_tally_is_in_percent_of_each_video(tmp_path: Path) -> None:
    found = table_7(written(tmp_path, votes(train=(9, 1, 0), sheep=(1, 0, 1))))
    (table,) = found.tables
    assert table.columns == ("video", "Ours", "Vision only", "Similar", "votes")
    assert table.rows == (
        ("sheep", 50.0, 0.0, 50.0, 2),
        ("train", 90.0, 10.0, 0.0, 10),
        ("Average", 70.0, 5.0, 25.0, 12),  # of two videos, not of twelve votes
    )
    assert found.state == "within noise"  # two videos, however clear, are two


def test_votes_for_sound_hold_the_claim(tmp_path: Path) -> None:
    found = table_7(written(tmp_path, votes(a=(9, 1, 0), b=(8, 1, 1), c=(7, 2, 1), d=(9, 0, 1))))
    assert found.state == "reproduced"


def test_votes_for_vision_fail_the_claim(tmp_path: Path) -> None:
    found = table_7(written(tmp_path, votes(a=(1, 9, 0), b=(2, 8, 0), c=(0, 9, 1))))
    assert found.state == "FAILED"


def test_votes_that_are_split_decide_nothing(tmp_path: Path) -> None:
    found = table_7(written(tmp_path, votes(a=(9, 1, 0), b=(1, 9, 0), c=(5, 4, 1), d=(4, 5, 1))))
    assert found.state == "within noise"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("p1,train,mine", "line 2.*'mine'.*ours, other, similar"),
        ("p1,,ours", "line 2.*video ''"),
        ("p1,train", "line 2.*choice ''"),
    ],
)
def test_a_vote_that_is_none_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(PairsError, match=words):
        table_7(written(tmp_path, f"participant,video,choice\n{line}\n"))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "user-study.csv"
    path.write_bytes(b"video,choice\n\xff\xfe,ours\n")
    with pytest.raises(PairsError, match=r"user-study\.csv: not UTF-8"):
        table_7(path)


@pytest.mark.parametrize("text", [None, "video,choice\n"])
def test_without_votes_there_is_nothing(tmp_path: Path, text: str | None) -> None:
    path = None if text is None else written(tmp_path, text)
    with pytest.raises(DataAbsent, match="votes"):
        table_7(path)
    with pytest.raises(DataAbsent):
        table_7(tmp_path / "nowhere.csv")
