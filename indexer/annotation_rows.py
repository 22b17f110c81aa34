"""Tables of annotations, CSV and JSON lines: how an item is written, and how a line is read."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indexer.annotations import AnnotatedItem, Annotations
from indexer.errors import AnnotationsError
from indexer.manifest import plain, read_boxes, storable
from indexer.plan import Box

COLUMNS = (
    *("id", "image", "audio", "frame_time_s", "t0", "t1"),
    *("label", "boxes", "metadata"),
)
SAID = ("label", "boxes", "metadata")
SUFFIXES = (".jsonl", ".csv")
MAX_LINE = 1 << 24
"""Letters of a line: boxes of a crowd and metadata, many times over."""
WAY_OUT = "columns are id, or image and audio with t0; label, boxes, metadata"

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """A line that reads well: which item it means, and what it says.

    Attributes
    ----------
    number : 1-based line of the file; a CSV's head is line 1.
    id : None where the item goes by its files and seconds.
    """

    number: int
    id: int | None
    image: str | None
    audio: str | None
    frame_time_s: float | None
    t0: float | None
    t1: float | None
    said: Annotations


@dataclass(frozen=True, kw_only=True)
class RefusedRow:
    """A line that is not applied, and why."""

    number: int
    reason: str


def written(item: AnnotatedItem) -> Row:
    """Return an item as a line of JSON has it."""
    return {
        **{name: getattr(item, name) for name in COLUMNS[:6]},
        "label": item.label,
        "boxes": [_written_box(box) for box in item.boxes],
        "metadata": item.metadata,
    }


def written_csv(item: AnnotatedItem) -> Row:
    """Return an item as a line of CSV has it: boxes and metadata are JSON in their cells."""
    row = written(item)
    for name in ("boxes", "metadata"):
        row[name] = json.dumps(row[name], ensure_ascii=False) if row[name] else ""
    return row


def read_annotations(path: Path) -> Iterator[AnnotationRow | RefusedRow]:
    """Yield every line of a table of annotations.

    A column that is there is what its items have from then on, and an empty cell means nothing at
    all; a column that is absent is left alone, so is a key that an object of JSON lines lacks.

    Raises
    ------
    AnnotationsError : the file cannot be read as such a table.
    """
    read = {".csv": _csv_rows, ".jsonl": _json_rows}.get(path.suffix.lower())
    if read is None:
        raise AnnotationsError(f"{path}: give a .jsonl or .csv file, as `retrieval export` writes")
    try:
        for number, values in read(path):
            yield values if isinstance(values, RefusedRow) else _row(number, values)
    except UnicodeDecodeError as error:
        raise AnnotationsError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise AnnotationsError(f"{path}: damaged: {error}; write it again") from None
    except OSError as error:
        raise AnnotationsError(f"{path}: {error.strerror or error}; look at the file") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, Row | RefusedRow]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        names = set(reader.fieldnames or ())
        if not ({"id", "image", "audio"} & names and set(SAID) & names):
            raise AnnotationsError(f"{path}: its columns do not say of which item what; {WAY_OUT}")
        for row in reader:
            if None in row or None in row.values():
                wrong = "too many fields" if None in row else "too few fields"
                yield reader.line_num, RefusedRow(number=reader.line_num, reason=wrong)
            else:
                yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, Row | RefusedRow]]:
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if not line.endswith("\n") and len(line) == MAX_LINE:
                raise AnnotationsError(f"{path} line {number}: longer than {MAX_LINE} letters")
            if line.strip():
                yield number, _json_row(number, line)


def _json_row(number: int, line: str) -> Row | RefusedRow:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        row = None
    return row if isinstance(row, dict) else RefusedRow(number=number, reason="not a JSON object")


def _row(number: int, values: Row) -> AnnotationRow | RefusedRow:
    try:
        row = AnnotationRow(
            number=number,
            id=_id(values.get("id")),
            image=_path(values, "image"),
            audio=_path(values, "audio"),
            frame_time_s=_seconds(values, "frame_time_s"),
            t0=_seconds(values, "t0"),
            t1=_seconds(values, "t1"),
            said=Annotations(
                label=_label(values["label"]) if "label" in values else None,
                boxes=read_boxes(values["boxes"] or None) if "boxes" in values else None,
                metadata=_metadata(values["metadata"]) if "metadata" in values else None,
            ),
        )
    except (ValueError, TypeError, RecursionError) as error:
        return RefusedRow(number=number, reason=str(error))
    if row.id is None and not (row.image or row.audio):
        return RefusedRow(number=number, reason="neither id, image nor audio says which item")
    return row


def _id(value: Any) -> int | None:
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ValueError(f"id is {value!r}, not a whole number")
    return int(value)


def _path(values: Row, name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a path")
    return storable(value) if value else None


def _seconds(values: Row, name: str) -> float | None:
    if values.get(name) in (None, ""):
        return None
    try:
        seconds = float(values[name])
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{name} is {values[name]!r}, not seconds")
    return seconds


def _label(value: Any) -> str:
    if not (value is None or isinstance(value, (str, int, float))) or isinstance(value, bool):
        raise ValueError(f"label is {str(value)[:40]!r}, not a name")
    return "" if value is None else storable(str(value))


def _metadata(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"metadata: not JSON: {value[:40]!r}") from None
    if not value:
        return {}
    if not isinstance(value, dict):
        raise ValueError("metadata: not an object of JSON")
    return {storable(str(key)): plain(entry) for key, entry in value.items()}


def _written_box(box: Box) -> Row:
    values = asdict(box)
    corners = [values.pop(name) for name in ("x0", "y0", "x1", "y1")]
    return {"box": corners} | values
