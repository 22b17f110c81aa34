"""Files of labels: four formats that say the same, and every way in which one can be wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_video
from indexer_fixtures import build
from label_fixtures import indexed, row, said

from encoder.embedder import Embedder
from indexer.catalogue import Catalogue
from indexer.labels.errors import LabelFileError, VocabulariesMixed
from indexer.labels.file import file_labels
from indexer.labels.labelling import label_items
from indexer.labels.provider import Excluded
from indexer.ledger import delete_items
from indexer.reader import IndexReader

ROWS = [row(0, 0), row(1, 1), row(2, None), row(None, 3), row(0, 2)]


def says(path: str | None, modality: str, label: Any, score: Any, **values: Any) -> dict[str, Any]:
    named = {} if path is None else {"path": path}
    return named | {"modality": modality, "label": label, "score": score} | values


GOOD = [
    says("p000.png", "image", "zebra", 0.25),
    says("p000.png", "image", "ant", 0.75),
    says("./p000.wav", "audio", "ant", 0.5),
    says("p003.wav", "audio", "owl", 1),
]
AS_SAID = {
    "image": {"p000.png": {"ant": 0.75, "zebra": 0.25}},
    "audio": {"p000.wav": {"ant": 0.5}, "p003.wav": {"owl": 1.0}},
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for one in rows for key in one))
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        pq.write_table(pa.table({name: [one.get(name) for one in rows] for name in columns}), path)
    return path


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    return indexed(tmp_path_factory.mktemp("file") / "corpus", tiny_embedder, ROWS)


@pytest.fixture
def reader(index: Path) -> Iterator[IndexReader]:
    with IndexReader.open(index) as opened:
        yield opened


def item_of(reader: IndexReader, image: str | None, audio: str | None) -> int:
    (found,) = [
        one.id for one in reader.rows(reader.ids) if (one.image, one.audio) == (image, audio)
    ]
    return found


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_the_formats_say_the_same(reader: IndexReader, tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"mine{suffix}", GOOD)
    provider = file_labels(reader, path)
    assert provider.excluded == ()
    assert provider.labels.provider == "mine"
    assert provider.labels.names == ("ant", "owl", "zebra")
    assert said(reader, provider.labels) == AS_SAID
    label_items(reader, provider)
    stored = reader.pseudo_labels("mine", provider.labels.version)
    assert said(reader, stored) == AS_SAID
    top = provider.labels.image
    assert top is not None
    assert len(top.ids) == 2  # both items with that picture
    assert top.labels[:, :3].tolist() == [[0, 2, -1]] * 2


def test_ids_name_one_item(reader: IndexReader, tmp_path: Path) -> None:
    item = item_of(reader, "p000.png", "p002.wav")
    rows = [
        says(None, "image", "ant", 0.5, id=item),
        says("p000.png", "image", "owl", 0.25, id=item),
    ]
    for suffix in (".csv", ".parquet"):
        provider = file_labels(reader, write(tmp_path / f"ids{suffix}", rows))
        assert provider.labels.audio is None
        assert provider.labels.image is not None
        assert provider.labels.image.ids.tolist() == [item]
        assert said(reader, provider.labels)["image"] == {"p000.png": {"ant": 0.5, "owl": 0.25}}


def test_equal_scores_stand_in_the_order_of_the_vocabulary(
    reader: IndexReader, tmp_path: Path
) -> None:
    rows = [says("p001.png", "image", name, 0.5) for name in ("d", "b", "c", "a")]
    provider = file_labels(reader, write(tmp_path / "ties.csv", rows))
    assert list(said(reader, provider.labels)["image"]["p001.png"]) == ["a", "b", "c", "d"]


def test_ranks_decide_where_a_file_has_them(reader: IndexReader, tmp_path: Path) -> None:
    ranked = [("d", 1, 0.5), ("b", 3, 0.25), ("a", 2, 0.5)]
    rows = [says("p001.png", "image", name, score, rank=rank) for name, rank, score in ranked]
    provider = file_labels(reader, write(tmp_path / "ranks.csv", rows))
    assert list(said(reader, provider.labels)["image"]["p001.png"]) == ["d", "a", "b"]


def test_the_same_file_again_is_skipped_and_a_changed_one_is_another_set(
    reader: IndexReader, tmp_path: Path
) -> None:
    path = write(tmp_path / "changing.csv", GOOD)
    first = label_items(reader, file_labels(reader, path))
    again = label_items(reader, file_labels(reader, path))
    assert (first.n_new, again.n_new, again.n_skipped) == (4, 0, 4)
    assert first.n_unknown == again.n_unknown == 4
    write(path, GOOD[1:])
    changed = label_items(reader, file_labels(reader, path))
    assert changed.n_new == 4
    assert changed.labels.version != first.labels.version
    assert "zebra" not in reader.pseudo_labels("changing").names


def test_a_path_names_every_window_of_a_video(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_video(tmp_path / "clip.mp4", seed=3, seconds=4)
    build(tmp_path, tiny_embedder, window_s=2.0)
    file = write(tmp_path / "l.csv", [says("clip.mp4", "audio", "bell", 1)])
    with IndexReader.open(tmp_path / ".retrieval") as reader:
        report = label_items(reader, file_labels(reader, file))
    assert (report.labels.n_frames, report.labels.n_sounds) == (0, 2)


def test_composed_and_decomposed_names_are_one(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = tmp_path / "corpus"
    index = indexed(corpus, tiny_embedder, [row(0, 0)], n_pairs=1)
    (corpus / "p000.png").rename(corpus / "cafe\u0301.png")
    with (corpus / "manifest.jsonl").open("w") as file:
        file.write(json.dumps({"image": "cafe\u0301.png"}) + "\n")
    build(corpus / "manifest.jsonl", tiny_embedder)
    file = write(tmp_path / "l.csv", [says("caf\u00e9.png", "image", "cup", 1)])
    with IndexReader.open(index) as reader:
        assert file_labels(reader, file).excluded == ()


# ── what is left out, counted ────────────────────────────────────────────────────────────────────


def test_rows_of_no_item_are_counted_and_one_is_named(reader: IndexReader, tmp_path: Path) -> None:
    lone_sound = item_of(reader, None, "p003.wav")
    rows = [
        *GOOD,
        says("gone.png", "image", "ant", 1),
        says("p000.png", "audio", "ant", 1),
        says(None, "audio", "ant", 1, id=4_000),
        says(None, "image", "ant", 1, id=lone_sound),
    ]
    provider = file_labels(reader, write(tmp_path / "more.jsonl", rows))
    unknown = "rows of no item of the index"
    assert provider.excluded == (
        Excluded(reason=unknown, n=3, example="'gone.png' in row 5"),
        Excluded(
            reason="rows of an item without a frame", n=1, example=f"item {lone_sound} in row 8"
        ),
    )
    assert said(reader, provider.labels) == AS_SAID
    report = label_items(reader, provider)
    assert report.excluded == provider.excluded


def test_rows_past_the_tenth_are_counted(reader: IndexReader, tmp_path: Path) -> None:
    rows = [says("p001.png", "image", f"k{n:02d}", 1 - n / 100) for n in range(13)]
    provider = file_labels(reader, write(tmp_path / "many.csv", rows))
    (beyond,) = provider.excluded
    assert (beyond.reason, beyond.n) == ("labels beyond the ten best", 3)
    assert list(said(reader, provider.labels)["image"]["p001.png"]) == [
        f"k{n:02d}" for n in range(10)
    ]


def test_rows_of_deleted_items_are_left_out(tmp_path: Path, tiny_embedder: Embedder) -> None:
    index = indexed(tmp_path / "corpus", tiny_embedder, [row(0, 0), row(1, 1)], n_pairs=2)
    file = write(tmp_path / "l.csv", [says(f"p00{n}.png", "image", "ant", 1) for n in range(2)])
    with IndexReader.open(index) as reader:
        gone = item_of(reader, "p000.png", "p000.wav")
        with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
            delete_items(connection, [gone])
        provider = file_labels(reader, file)
        assert said(reader, provider.labels) == {"image": {"p001.png": {"ant": 1.0}}}
        assert provider.excluded[0].n == 1


# ── what is refused ──────────────────────────────────────────────────────────────────────────────

BAD_ROWS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a score of NaN": ([says("a.png", "image", "x", float("nan"))], "row 1: a.png: score is nan"),
    "an endless score": ([says("a.png", "image", "x", float("inf"))], "score is inf"),
    "a score that is a word": ([says("a.png", "image", "x", "high")], "'high', not a finite"),
    "no score": ([{"path": "a.png", "modality": "image", "label": "x"}], "score is None"),
    "no label": ([{"path": "a.png", "modality": "image", "score": 1}], "a.png: label is None"),
    "a blank label": ([says("a.png", "image", " ", 1)], "label is ' ', not a name"),
    "another modality": ([says("a.png", "smell", "x", 1)], "'smell', neither image nor audio"),
    "neither path nor id": ([says(None, "image", "x", 1)], "neither path nor id"),
    "an id with a fraction": ([says(None, "image", "x", 1, id=1.5)], "id is 1.5, not a whole"),
    "a path that is a number": ([says(7, "image", "x", 1)], "path is 7, not text"),  # type: ignore[arg-type]
    "a label twice": (
        [says("p000.png", "image", "x", 1), *GOOD, says("p000.png", "image", "x", 0.5)],
        r"row 6: item \d+ has label 'x' a second time, after row 1",
    ),
    "a rank twice": (
        [says("p001.png", "image", name, 1, rank=1) for name in "xy"],
        r"row 2: item \d+ has rank 1 a second time",
    ),
    "ranks against the scores": (
        [says("p001.png", "image", name, n, rank=n) for n, name in enumerate("xy", start=1)],
        r"row 2: item \d+: rank 2 has a higher score",
    ),
    "ranks here and there": (
        [says("p001.png", "image", "x", 1, rank=1), says("p001.png", "image", "y", 1)],
        "row 2: 'p001.png': some rows have a rank",
    ),
    "ids of another index": (
        [says("p003.wav", "image", "x", 1, id=1)],
        r"row 1: item 1 is p00\d\.png and p00\d\.wav, not 'p003.wav': the ids are of another index",
    ),
    "nothing known": ([says("q.png", "image", "x", 1)], r"none of its 1 rows.*'q.png' in row 1"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_bad_row_is_named(reader: IndexReader, tmp_path: Path, what: str) -> None:
    rows, message = BAD_ROWS[what]
    with pytest.raises(LabelFileError, match=message) as caught:
        file_labels(reader, write(tmp_path / "bad.jsonl", rows))
    assert str(tmp_path / "bad.jsonl") in str(caught.value)
    assert not any(one.provider == "bad" for one in reader.label_sets())


def test_two_vocabularies_in_a_file_are_refused(reader: IndexReader, tmp_path: Path) -> None:
    rows = [
        says("p000.png", "image", "dog", 1, vocabulary="coco"),
        says("p000.wav", "audio", "bark", 1, vocabulary="audioset"),
    ]
    with pytest.raises(VocabulariesMixed, match=r"row 3 \('p000.wav'\) .*'audioset', row 2 of"):
        file_labels(reader, write(tmp_path / "two.csv", rows))
    provider = file_labels(reader, write(tmp_path / "one.csv", rows[:1]))
    assert provider.labels.vocabulary == "coco"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "no rows"),
        ("empty.json", b"[]", "no rows"),
        ("object.json", b'{"path": "a"}', "not a list of objects"),
        ("cut.json", b'[{"path": "a"', "damaged"),
        ("cut.jsonl", b'{"path": "a"\n', "damaged"),
        ("list.jsonl", b'["a"]\n', "row 1: not a JSON object"),
        ("deep.json", b"[" * 100_000, "damaged"),
        ("latin.csv", "path,modality,label,score\ncaf\u00e9.png".encode("latin-1"), "not UTF-8"),
        ("bare.csv", b"file,label\na.png,x\n", "no column path or id, modality, score"),
        ("wide.csv", b"path,modality,label,score\na,b,c,d,e\n", "row 2: too many fields"),
        ("noise.parquet", b"PAR1 but not really", "damaged"),
        ("labels.txt", b"", "give a .parquet, .csv, .json or .jsonl file"),
    ],
)
def test_a_file_that_is_no_table_is_told(
    reader: IndexReader, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LabelFileError, match=message):
        file_labels(reader, path)


def test_a_file_that_is_not_there_is_told(reader: IndexReader, tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet", "none.json"):
        with pytest.raises(LabelFileError, match="No such file"):
            file_labels(reader, tmp_path / name)
