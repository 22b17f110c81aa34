"""Export: items as JSON lines or CSV, vectors as npy with Parquet beside them, for other programs.

Vectors stand as `clip-retrieval` writes and `embedding-reader` and `autofaiss` read them: a folder
of numbered .npy files, and one of .parquet files with the same numbers and the same rows.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from encoder.config import F_V
from indexer.annotation_rows import COLUMNS, written, written_csv
from indexer.annotations import AnnotatedItem
from indexer.blocks import Floats, Ids
from indexer.reader import IndexReader, Space
from indexer.storage import new_folder

Form = Literal["npy", "jsonl", "csv"]
FACTS = "export.json"
SCHEMA = "retrieval.export/1"
ROWS_PER_FILE = 65_536
"""A file of vectors takes 262 MB then."""
AT_ONCE = 1024
EMBEDDINGS: dict[str, str] = {"coarse": "img_emb", "own_sound": "img_emb", "sound": "sound_emb"}
"""Folder of the .npy files of a space: pictures go where `clip-retrieval index` looks for them."""
METADATA = pa.schema(
    [
        ("id", pa.int64()),
        ("image_path", pa.string()),
        ("audio_path", pa.string()),
        ("frame_time_s", pa.float64()),
        ("t0", pa.float64()),
        ("t1", pa.float64()),
        ("caption", pa.string()),
        ("metadata", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    n_rows : by file of items, or by space of vectors.
    """

    folder: Path
    form: Form
    n_rows: dict[str, int]
    n_files: int
    bytes: int


def export(
    reader: IndexReader, folder: Path, form: Form, *, rows_per_file: int = ROWS_PER_FILE
) -> ExportReport:
    """Write what may be shown of an index to a new folder: whole, or not at all.

    Memory is bounded by AT_ONCE rows, or by a block of vectors.

    Raises
    ------
    StorageError : there is something, or comes meanwhile; or the folder cannot be written.
    """
    folder = folder.absolute()
    with new_folder(folder) as draft:
        if form == "npy":
            n_rows = {
                space: _Vectors(reader, draft / space, space, rows_per_file).write()
                for space in get_args(Space)
            }
        else:
            n_rows = {f"items.{form}": _items(reader, draft / f"items.{form}", form)}
        facts = json.dumps(_facts(reader, form, n_rows), indent=2)
        (draft / FACTS).write_text(facts, encoding="utf-8")
        files = [path for path in draft.rglob("*") if path.is_file()]
        n_bytes = sum(path.stat().st_size for path in files)
    return ExportReport(folder=folder, form=form, n_rows=n_rows, n_files=len(files), bytes=n_bytes)


def _facts(reader: IndexReader, form: Form, n_rows: dict[str, int]) -> dict[str, Any]:
    """Say where an export is from: vectors of two encoders look the same."""
    return {
        "schema": SCHEMA,
        "form": form,
        "rows": n_rows,
        "index": str(reader.path),
        "generation": reader.generation,
        "corpus": str(reader.corpus),
        "encoder": {"name": reader.encoder_name, "fingerprint": reader.encoder_fingerprint},
    }


def _items(reader: IndexReader, path: Path, form: Form) -> int:
    ids = reader.ids
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        if form == "csv":
            table.writeheader()
        for start in range(0, len(ids), AT_ONCE):
            rows = reader.annotated(ids[start : start + AT_ONCE])
            if form == "csv":
                table.writerows(written_csv(row) for row in rows)
            else:
                lines = (json.dumps(written(row), ensure_ascii=False) for row in rows)
                file.writelines(f"{line}\n" for line in lines)
    return len(ids)


class _Vectors:
    """One space on its way into numbered files."""

    def __init__(self, reader: IndexReader, folder: Path, space: Space, per_file: int) -> None:
        self.reader, self.folder, self.per_file = reader, folder, per_file
        self.name, self.blocks = EMBEDDINGS[space], _Blocks(reader.vectors(space))
        n_files = math.ceil(len(reader.ids) / per_file)
        self.digits = len(str(max(n_files - 1, 0)))  # so that names sort as numbers do

    def write(self) -> int:
        """Write the files, none for a space without vectors; return how many rows there are."""
        n_rows = n_files = 0
        while not self.blocks.is_done:
            if not n_files:
                (self.folder / self.name).mkdir(parents=True)
                (self.folder / "metadata").mkdir()
            n_rows += self._file(f"{n_files:0{self.digits}d}")
            n_files += 1
        return n_rows

    def _file(self, number: str) -> int:
        metadata = self.folder / "metadata" / f"metadata_{number}.parquet"
        with (
            (self.folder / self.name / f"{self.name}_{number}.npy").open("wb") as file,
            pq.ParquetWriter(metadata, METADATA) as table,
        ):
            _write_head(file, 0)
            n_rows = 0
            while n_rows < self.per_file and not self.blocks.is_done:
                ids, vectors = self.blocks.take(min(AT_ONCE, self.per_file - n_rows))
                file.write(np.ascontiguousarray(vectors, np.float32).data)
                table.write_batch(_metadata(self.reader.annotated(ids)))
                n_rows += len(ids)
            file.seek(0)
            _write_head(file, n_rows)
        return n_rows


class _Blocks:
    """Blocks of vectors, cut anew."""

    def __init__(self, blocks: Iterator[tuple[Ids, Floats]]) -> None:
        self._blocks = blocks
        self._ids, self._vectors = np.empty(0, np.int64), np.empty((0, 0), np.float32)
        self.is_done = False
        self._advance()

    def take(self, at_most: int) -> tuple[Ids, Floats]:
        """Return the next rows, one at least."""
        ids, vectors = self._ids[:at_most], self._vectors[:at_most]
        self._ids, self._vectors = self._ids[at_most:], self._vectors[at_most:]
        self._advance()
        return ids, vectors

    def _advance(self) -> None:
        while not len(self._ids) and not self.is_done:
            block = next(self._blocks, None)
            self.is_done = block is None
            if block is not None:
                self._ids, self._vectors = block


def _write_head(file: BinaryIO, n_rows: int) -> None:
    """Write the head of an .npy file; numpy makes it as long for any number of rows."""
    head = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, F_V)}
    np.lib.format.write_array_header_1_0(file, head)


def _metadata(rows: Sequence[AnnotatedItem]) -> pa.RecordBatch:
    """Return what stands beside vectors; `caption` is the label, as clip-retrieval calls it."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "id": row.id,
                "image_path": row.image,
                "audio_path": row.audio,
                "frame_time_s": row.frame_time_s,
                "t0": row.t0,
                "t1": row.t1,
                "caption": row.label or None,
                "metadata": json.dumps(row.metadata, ensure_ascii=False),
            }
            for row in rows
        ],
        schema=METADATA,
    )
