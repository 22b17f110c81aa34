"""Table 7: the tally of a user study of 360° saliency videos (S19 §6).

Votes are a CSV file of columns `video`, `choice`: `ours`, `other` or `similar`, one row per
participant and video; further columns are not looked at.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from train.errors import DataAbsent, PairsError
from train.reproduce.orderings import above
from train.reproduce.outcome import Cell, Findings, Table

CHOICES = ("ours", "other", "similar")
TITLES = {"ours": "Ours", "other": "Vision only", "similar": "Similar"}


def table_7(votes: Path | None) -> Findings:
    """Tally the votes.

    Raises
    ------
    DataAbsent : there is no such file.
    PairsError : a row without a video, or with another choice; a file that is no text.
    """
    if votes is None or not votes.is_file():
        raise DataAbsent("votes of a user study")
    by_video = _tallied(votes)
    if not by_video:
        raise DataAbsent("votes of a user study: the file holds none")
    shares = {video: _shares(counts) for video, counts in sorted(by_video.items())}
    average = {c: sum(one[c] for one in shares.values()) / len(shares) for c in CHOICES}
    rows: list[tuple[Cell, ...]] = [
        (video, *(100 * one[c] for c in CHOICES), by_video[video].total())
        for video, one in shares.items()
    ]
    n = sum(counts.total() for counts in by_video.values())
    rows.append(("Average", *(100 * average[c] for c in CHOICES), n))
    return Findings(
        tables=(
            Table(
                columns=("video", *TITLES.values(), "votes"),
                rows=tuple(rows),
                note="Percent of the votes for a video; the average is over videos, as in S19.",
            ),
        ),
        checks=(
            above(
                "the maps made with sound are preferred to those made by vision alone",
                np.array([[one["ours"] for one in shares.values()]]),
                np.array([[one["other"] for one in shares.values()]]),
                what="share of the votes",
            ),
        ),
    )


def _tallied(votes: Path) -> dict[str, Counter[str]]:
    by_video: dict[str, Counter[str]] = {}
    try:
        with votes.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines), start=2):
                video, choice = (row.get(name) or "" for name in ("video", "choice"))
                if not video or choice not in CHOICES:
                    raise PairsError(
                        f"{votes}: line {number}: video {video!r}, choice {choice!r}; "
                        f"a choice is one of {', '.join(CHOICES)}"
                    )
                by_video.setdefault(video, Counter())[choice] += 1
    except UnicodeDecodeError as error:
        raise PairsError(f"{votes}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    return by_video


def _shares(counts: Counter[str]) -> dict[str, float]:
    return {choice: counts[choice] / counts.total() for choice in CHOICES}
