"""Manifests in three formats: the same rows, and a bad row that does not stop the others."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from indexer.errors import ManifestError
from indexer.manifest import BadRow, ManifestRow, read_manifest
from indexer.plan import Box

ROWS: list[dict[str, Any]] = [
    {"image": "é 1.jpg", "audio": "a.wav", "label": "dog", "split": "train"},
    {"video": "v.mp4", "start_s": 1.5, "end_s": 4.0, "split": "val"},
    {"image": "i.png", "boxes": "[[1, 2, 3, 4]]", "split": "val"},
]
COLUMNS = ["image", "audio", "video", "start_s", "end_s", "label", "boxes", "split"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
        pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_three_formats_say_the_same(tmp_path: Path, suffix: str) -> None:
    rows = list(read_manifest(write(tmp_path / f"m{suffix}", ROWS)))
    assert all(isinstance(row, ManifestRow) for row in rows)
    first, second, third = rows
    assert isinstance(first, ManifestRow)
    assert isinstance(second, ManifestRow)
    assert isinstance(third, ManifestRow)
    assert (first.image, first.audio, first.video) == ("é 1.jpg", "a.wav", None)
    assert (first.label, first.metadata) == ("dog", {"split": "train"})
    assert (second.video, second.start_s, second.end_s) == ("v.mp4", 1.5, 4.0)
    assert third.boxes == (Box(x0=1, y0=2, x1=3, y1=4),)
    assert third.label is None


def test_annotators_and_kinds_of_boxes_are_kept(tmp_path: Path) -> None:
    boxes = [{"box": [0, 0, 5, 5], "annotator": "b", "kind": "ambient", "tag": "wind"}]
    (row,) = read_manifest(write(tmp_path / "m.jsonl", [{"image": "i.jpg", "boxes": boxes}]))
    assert isinstance(row, ManifestRow)
    assert row.boxes == (Box(x0=0, y0=0, x1=5, y1=5, annotator="b", kind="ambient", tag="wind"),)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label": "dog"}, "no image, audio or video"),
        ({"audio": "a.wav", "start_s": "soon"}, "start_s"),
        ({"audio": "a.wav", "start_s": -1}, "start_s"),
        ({"audio": "a.wav", "end_s": "nan"}, "end_s"),
        ({"audio": "a.wav", "start_s": 3, "end_s": 2}, "not after"),
        ({"image": "i.jpg", "boxes": "[[1, 2, 3"}, "not JSON"),
        ({"image": "i.jpg", "boxes": [[1, 2, 3]]}, "not [x0"),
        ({"image": "i.jpg", "boxes": [[5, 5, 1, 9]]}, "no area"),
        ({"image": "i.jpg", "boxes": {"x": 1}}, "not a list"),
        ({"image": "i.jpg", "boxes": [{"box": [0, 0, 1, 1], "kind": "?"}]}, "neither object"),
        ({"image": 7}, "not a path"),
        ({"image": "a\0b.jpg"}, "no file name"),
        ({"image": "\ud800.jpg"}, "no file name"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_goes_on(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    path = write(tmp_path / "m.jsonl", [{"image": "i.jpg"}, row, {"image": "j.jpg"}])
    good, bad, after = read_manifest(path)
    assert isinstance(bad, BadRow)
    assert bad.number == 2
    assert reason in bad.reason
    assert isinstance(good, ManifestRow)
    assert isinstance(after, ManifestRow)


def test_a_jsonl_line_that_is_no_object_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"image": "a.jpg"}\n\n[1]\n{oops\n', encoding="utf-8")
    rows = list(read_manifest(path))
    assert [row.number for row in rows] == [1, 3, 4]
    assert [type(row) for row in rows] == [ManifestRow, BadRow, BadRow]


def test_a_csv_row_with_too_many_fields_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("image,label\na.jpg,dog\nb.jpg,cat,and,more\n", encoding="utf-8-sig")
    good, bad = read_manifest(path)
    assert isinstance(good, ManifestRow)
    assert bad == BadRow(number=3, reason="too many fields")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b"name,sound\na,b\n"),
        ("m.csv", b""),
        ("m.csv", b"image\n\xff\xfe.jpg\n"),
        ("m.csv", b'image\n"never closed'),
        ("m.jsonl", b"\n"),
        ("m.parquet", b"PAR1 not really"),
        ("m.txt", b"image\n"),
    ],
)
def test_what_is_no_table_of_media_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"m\.") as caught:
        list(read_manifest(path))
    assert "\n" not in str(caught.value)


def test_metadata_is_json_whatever_the_file_held(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": ["a.jpg"],
            "when": pa.array([0], pa.timestamp("s")),
            "tags": [["x", "y"]],
            "weight": [float("nan")],
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    (row,) = read_manifest(tmp_path / "m.parquet")
    assert isinstance(row, ManifestRow)
    assert json.loads(json.dumps(row.metadata)) == {
        "when": "1970-01-01 00:00:00",
        "tags": ["x", "y"],
        "weight": None,
    }
