"""Table 7: the tally of a user study of 360° saliency videos (S19 §6).

Votes are a CSV file of columns `video`, `choice`: `ours`, `other` or `similar`, one row per
participant and video; further columns are not looked at.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from train.errors import DataAbsent, PairsError
from train.reproduce.outcome import Cell, Check, Findings, Table

CHOICES = ("ours", "other", "similar")
TITLES = {"ours": "Ours", "other": "Vision only", "similar": "Similar"}


def table_7(votes: Path | None) -> Findings:
    """Tally the votes.

    Raises
    ------
    DataAbsent : there is no such file.
    PairsError : a row without a video, or with another choice.
    """
    if votes is None or not votes.is_file():
        raise DataAbsent("votes of a user study")
    by_video: dict[str, Counter[str]] = {}
    with votes.open(encoding="utf-8-sig", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            video, choice = (row.get(name) or "" for name in ("video", "choice"))
            if not video or choice not in CHOICES:
                raise PairsError(
                    f"{votes}: line {number}: video {video!r}, choice {choice!r}; "
                    f"a choice is one of {', '.join(CHOICES)}"
                )
            by_video.setdefault(video, Counter())[choice] += 1
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
            Check(
                claim="the maps made with sound are preferred to those made by vision alone",
                holds=average["ours"] > average["other"],
                found=f"{100 * average['ours']:.1f} % > {100 * average['other']:.1f} %",
            ),
        ),
    )


def _shares(counts: Counter[str]) -> dict[str, float]:
    return {choice: counts[choice] / counts.total() for choice in CHOICES}
