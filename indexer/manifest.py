"""Manifests: a table that says what the items are (CSV, JSON lines, Parquet), row by row."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.errors import ManifestError
from indexer.plan import Box, Metadata

SUFFIXES = {".csv", ".jsonl", ".parquet"}
MEDIA_COLUMNS = ("image", "audio", "video")
COLUMNS = (*MEDIA_COLUMNS, "start_s", "end_s", "label", "boxes")
WAY_OUT = "columns are image, audio, video, start_s, end_s, label, boxes; others are kept"
csv.field_size_limit(2**24)  # boxes of a crowd are longer than the default 128 KiB


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One row that reads well: paths as written, times in seconds.

    Attributes
    ----------
    number : 1-based line of a CSV or JSONL file (a CSV's header is line 1), row of a Parquet file.
    """

    number: int
    image: str | None
    audio: str | None
    video: str | None
    start_s: float | None
    end_s: float | None
    label: str | None
    boxes: tuple[Box, ...]
    metadata: Metadata


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """One row that cannot be understood, and why."""

    number: int
    reason: str


def is_manifest(path: Path) -> bool:
    """Say whether a corpus argument is a manifest by its suffix."""
    return path.suffix.lower() in SUFFIXES


def read_manifest(path: Path) -> Iterator[ManifestRow | BadRow]:
    """Yield every row of a manifest.

    A row that cannot be understood does not stop the others: it comes as BadRow.

    Raises
    ------
    ManifestError : the file cannot be read as a table, or has none of the media columns.
    """
    reader = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}.get(
        path.suffix.lower()
    )
    if reader is None:
        raise ManifestError(f"{path}: give a .csv, .jsonl or .parquet file")
    try:
        for number, values in reader(path):
            yield values if isinstance(values, BadRow) else _row(number, values)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (csv.Error, pa.ArrowException, ValueError, OverflowError) as error:
        # The last two for values of Parquet that Python does not have, a date in 10 000 say.
        first_line = str(error).splitlines()[0]
        raise ManifestError(f"{path}: damaged: {first_line}; write it again") from None
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise ManifestError(f"{path}: {reason}; look at the file") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            if None in row:
                yield reader.line_num, BadRow(number=reader.line_num, reason="too many fields")
            else:
                yield reader.line_num, {k: v for k, v in row.items() if v not in ("", None)}


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    n_rows = 0
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            n_rows += 1
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield number, {k: v for k, v in row.items() if v not in ("", None)}
            else:
                yield number, BadRow(number=number, reason="not a JSON object")
    if not n_rows:
        raise ManifestError(f"{path}: no rows; {WAY_OUT}")


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    with pq.ParquetFile(path) as table:
        _check_columns(path, table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield number, {k: v for k, v in row.items() if v not in ("", None)}


def _check_columns(path: Path, names: Any) -> None:
    if not set(MEDIA_COLUMNS) & set(names):
        raise ManifestError(f"{path}: none of image, audio, video among its columns; {WAY_OUT}")


def _row(number: int, values: dict[str, Any]) -> ManifestRow | BadRow:
    try:
        row = ManifestRow(
            number=number,
            image=_path(values, "image"),
            audio=_path(values, "audio"),
            video=_path(values, "video"),
            start_s=_seconds(values, "start_s"),
            end_s=_seconds(values, "end_s"),
            label=storable(str(values["label"])) if "label" in values else None,
            boxes=read_boxes(values.get("boxes")),
            metadata={storable(k): plain(v) for k, v in values.items() if k not in COLUMNS},
        )
    except (ValueError, TypeError, RecursionError) as error:
        return BadRow(number=number, reason=str(error))
    if not (row.image or row.audio or row.video):
        return BadRow(number=number, reason="no image, audio or video")
    if row.end_s is not None and row.end_s <= (row.start_s or 0.0):
        return BadRow(number=number, reason=f"end_s {row.end_s} is not after start_s")
    return row


def _path(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a path")
    if value is not None and ("\0" in value or storable(value) != value):
        raise ValueError(f"{name} {value!r} has characters that no file name can have")
    return value


def _seconds(values: dict[str, Any], name: str) -> float | None:
    if name not in values:
        return None
    try:
        seconds = float(values[name])
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name} is {values[name]!r}, not seconds ≥ 0")
    return seconds


def read_boxes(value: Any) -> tuple[Box, ...]:
    """Read `[[x0, y0, x1, y1], …]` or `[{"box": […], "annotator", "kind", "tag"}, …]`.

    Raises
    ------
    ValueError : it is no such list, as a value or as its JSON.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise ValueError(f"boxes: not JSON: {value[:40]!r}") from None
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("boxes: not a list")
    return tuple(_box(entry) for entry in value)


def _box(entry: Any) -> Box:
    facts = entry if isinstance(entry, dict) else {"box": entry}
    try:
        x0, y0, x1, y1 = (float(corner) for corner in facts["box"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"boxes: {entry!r} is not [x0, y0, x1, y1]") from None
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 < x1 and y0 < y1):
        raise ValueError(f"boxes: {entry!r} has no area")
    kind: Literal["object", "ambient"] = "ambient" if facts.get("kind") == "ambient" else "object"
    if facts.get("kind") not in (kind, None, ""):
        raise ValueError(f"boxes: kind {facts['kind']!r} is neither object nor ambient")
    annotator, tag = (storable(str(facts.get(name) or "")) for name in ("annotator", "tag"))
    return Box(x0=x0, y0=y0, x1=x1, y1=y1, annotator=annotator, kind=kind, tag=tag)


def plain(value: Any) -> Any:
    """Return a metadata value as JSON can hold it; dates and decimals become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {storable(str(key)): plain(entry) for key, entry in value.items()}
    return None if value is None else storable(str(value))


def storable(value: str) -> str:
    """Replace lone surrogates and NUL, which JSON can spell and not every database can hold."""
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
