"""What would fail after hours is refused before the first file is decoded."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from encoder.localization.ground_truth import GroundTruth
from train.errors import PairsError
from train.figures import NOT_MEASURABLE
from train.pairs import Pair, Picture, Span
from train.recipe import Recipe


def check_rows(rows: Sequence[Pair], recipe: Recipe) -> None:
    """Make sure that rows can be paired as the recipe says, and make a batch.

    Raises
    ------
    PairsError : fewer than two labels, or fewer rows than a batch takes of them.
    """
    if recipe.positives == "label":
        labels = labels_of_both(rows)
        if len(labels) < 2:
            raise PairsError(
                f"training rows: {len(labels)} labels have both pictures and sounds, and positives "
                "by label need two; label more rows, or give --positives recording"
            )
        n_usable = sum(row.label in labels for row in rows)
    else:
        n_usable = sum(row.picture is not None and row.sound is not None for row in rows)
        if n_usable < 2:
            raise PairsError(
                f"training rows: {n_usable} have a picture and a sound, and two are needed; "
                "fill in both columns, or give --positives label"
            )
    n_own = recipe.batch_size - round(recipe.batch_size * recipe.world_share)
    if n_usable < n_own:
        raise PairsError(
            f"training rows: {n_usable} can be used, and a batch takes {n_own} of them; "
            f"add rows, or give --batch-size {max(2, n_usable)}"
        )


def labels_of_both(rows: Sequence[Pair]) -> set[str]:
    """Labels that have a picture and a sound, not necessarily of one row."""
    seen = {row.label for row in rows if row.label is not None and row.picture is not None}
    heard = {row.label for row in rows if row.label is not None and row.sound is not None}
    return seen & heard


def check_held_back(rows: Sequence[Pair], manifest: Path) -> None:
    """Make sure that a checkpoint can be chosen on the split `val`. Raises PairsError."""
    if not rows:
        raise PairsError(
            f"{manifest}: no row has split 'val', and the checkpoint is chosen on it; mark rows of "
            "other sources, or give --no-val to keep the last weights"
        )
    counts = Counter(row.label for row in rows if row.label and row.picture and row.sound)
    if sum(n >= 2 for n in counts.values()) < 2:
        raise PairsError(f"split val: {NOT_MEASURABLE}, and give --no-val to keep the last weights")


def data_key(manifest: Path, rows: Sequence[Pair], truths: Mapping[int, GroundTruth] | None) -> str:
    """Hash what training reads: rows, the size of every file, and boxes where they are used.

    Folders may move between two parts of a run; files may not change.
    """
    digest = hashlib.sha256(repr(truths).encode())
    for row in rows:
        files = [
            (os.path.relpath(file.path, manifest.parent), file.path.stat().st_size, when)
            for file, when in _files(row)
        ]
        digest.update(repr((files, row.label, row.split)).encode())
    return digest.hexdigest()[:16]


def _files(row: Pair) -> Iterator[tuple[Picture | Span, tuple[float | None, ...]]]:
    if row.picture is not None:
        yield row.picture, (row.picture.time_s,)
    if row.sound is not None:
        yield row.sound, (row.sound.t0_s, row.sound.t1_s)
