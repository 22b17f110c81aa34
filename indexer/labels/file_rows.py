"""One row of a file of labels: what it says, or why it cannot be right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexer.labels.errors import LabelFileError
from indexer.labels.tables import Row, read_rows
from indexer.paths import shown
from indexer.pseudo_labels import MODALITIES, Modality


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """One row that reads well; `rank` from whatever number the file counts from."""

    number: int
    item: int | None
    path: str | None
    modality: Modality
    label: str
    score: float
    rank: int | None
    vocabulary: str | None

    @property
    def speaks_of(self) -> str:
        return f"item {self.item}" if self.item is not None else f"{self.path!r}"


def read_label_file(path: Path) -> Iterator[FileRow]:
    """Yield the rows of a file of labels, whatever index they are for.

    Raises LabelFileError for the first row that cannot be right.
    """
    for number, values in read_rows(path):
        try:
            yield _file_row(number, values)
        except ValueError as error:
            raise LabelFileError(f"{path}: row {number}: {error}; mend the row") from None


def _file_row(number: int, values: Row) -> FileRow:
    """Read one row; raises ValueError with what is wrong."""
    row = FileRow(
        number=number,
        item=_whole(values, "id"),
        path=_text(values, "path"),
        modality=_modality(values),
        label=_label(values),
        score=_score(values),
        rank=_whole(values, "rank"),
        vocabulary=_text(values, "vocabulary"),
    )
    if row.item is None and row.path is None:
        raise ValueError("neither path nor id")
    return row


def _whole(values: Row, name: str) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number == int(number) and abs(number) < 2**53):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    return int(number)


def _text(values: Row, name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not text")
    return value


def _modality(values: Row) -> Modality:
    value = values.get("modality")
    for modality in MODALITIES:
        if value == modality:
            return modality
    raise ValueError(f"{_who(values)}: modality is {value!r}, neither image nor audio")


def _label(values: Row) -> str:
    value = values.get("label")
    if isinstance(value, (dict, list, float)) or value is None or not str(value).strip():
        raise ValueError(f"{_who(values)}: label is {value!r}, not a name")
    return shown(str(value).strip()).encode("utf-8", "replace").decode()


def _score(values: Row) -> float:
    value = values.get("score")
    try:
        score = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{_who(values)}: score is {value!r}, not a finite number")
    return score


def _who(values: Row) -> str:
    return f"item {values['id']}" if "id" in values else str(values.get("path", "no item"))
