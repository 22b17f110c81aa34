"""A table of labels, row by row: Parquet, CSV, JSON (a list of objects) or JSON lines."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.labels.errors import LabelFileError
from indexer.labels.provider import VERSION_LETTERS

COLUMNS = ("id", "path", "modality", "label", "score", "rank", "vocabulary")
NEEDED = ("modality", "label", "score")
WAY_OUT = "columns: path or id, modality (image or audio), label, score; rank is optional"
SUFFIXES = (".parquet", ".csv", ".json", ".jsonl")

Row = dict[str, Any]


def is_label_file(name: str) -> bool:
    """Say whether a provider is a file, by its suffix."""
    return name.lower().endswith(SUFFIXES)


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a table with their numbers; empty cells are absent, other columns ignored.

    Numbers are 1-based: lines of a CSV (its head is line 1) or JSONL file, else rows.

    Raises
    ------
    LabelFileError : the file cannot be read as a table, or lacks a column.
    """
    read = {
        ".parquet": _parquet_rows,
        ".csv": _csv_rows,
        ".json": _json_rows,
        ".jsonl": _json_lines,
    }.get(path.suffix.lower())
    if read is None:
        raise LabelFileError(f"{path}: give a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    try:
        for number, row in read(path):
            yield number, {key: row[key] for key in COLUMNS if row.get(key) not in ("", None)}
    except UnicodeDecodeError as error:
        raise LabelFileError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except (csv.Error, pa.ArrowException, json.JSONDecodeError, RecursionError) as error:
        first_line = (str(error).splitlines() or ["too deep"])[0]
        raise LabelFileError(f"{path}: damaged: {first_line}; write it again") from None
    except OSError as error:
        raise LabelFileError(f"{path}: {error.strerror or error}; look at the file") from None


def file_version(path: Path) -> str:
    """Return a digest of the file's bytes."""
    digest = hashlib.blake2b(digest_size=VERSION_LETTERS // 2)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise LabelFileError(f"{path}: {error.strerror or error}; look at the file") from None
    return digest.hexdigest()


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with pq.ParquetFile(path) as table:
        there = table.schema_arrow.names
        _check_columns(path, there)
        number = 0
        chosen = [name for name in COLUMNS if name in there]
        for batch in table.iter_batches(batch_size=4096, columns=chosen):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            if None in row:
                raise LabelFileError(f"{path}: row {reader.line_num}: too many fields; mend it")
            yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list):
        raise LabelFileError(f"{path}: not a list of objects; {WAY_OUT}")
    for number, row in enumerate(rows, start=1):
        yield number, _checked(path, number, row)


def _json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _checked(path, number, json.loads(line))


def _checked(path: Path, number: int, row: Any) -> Row:
    if not isinstance(row, dict):
        raise LabelFileError(f"{path}: row {number}: not a JSON object; {WAY_OUT}")
    return row


def _check_columns(path: Path, there: Any) -> None:
    missing = [name for name in NEEDED if name not in there]
    if not {"id", "path"} & set(there):
        missing.insert(0, "path or id")
    if missing:
        raise LabelFileError(f"{path}: no column {', '.join(missing)}; {WAY_OUT}")
