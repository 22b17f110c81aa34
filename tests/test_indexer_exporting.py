"""Out and in again: what is exported is what the index has, what is edited is what it has then."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import assert_one_line, run
from conftest import write_picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from indexer_fixtures import build
from numpy.typing import NDArray
from whole_corpus import everything, write_corpus

from encoder.embedder import Embedder
from indexer.annotation_rows import MAX_LINE, AnnotationRow, RefusedRow, read_annotations
from indexer.errors import AnnotationsError, IndexLocked, StorageError
from indexer.exporting import Form, export
from indexer.importing import import_annotations
from indexer.labels.column import column_labels
from indexer.labels.labelling import label_items
from indexer.locking import only_writer
from indexer.manifest import storable
from indexer.reader import IndexReader, Space
from retrieval.exit_codes import ExitCode

SPACES: dict[Space, str] = {"coarse": "img_emb", "own_sound": "img_emb", "sound": "sound_emb"}


@pytest.fixture
def index(tmp_path: Path, tiny_embedder: Embedder) -> Path:
    corpus = write_corpus(tmp_path / "corpus")
    return build(corpus / "m.jsonl", tiny_embedder, window_s=1.0).index_dir


def exported(index: Path, folder: Path, form: Form, **options: int) -> Path:
    with IndexReader.open(index) as reader:
        return export(reader, folder, form, **options).folder


def read_as_others_do(embeddings: Path, metadata: Path) -> tuple[NDArray[np.float32], list[Any]]:
    """What embedding-reader makes of two folders: files by name, heads by pattern."""
    vectors, rows = [], []
    names = zip(
        sorted(embeddings.glob("**/*.npy")), sorted(metadata.glob("**/*.parquet")), strict=True
    )
    for npy, parquet in names:
        content = npy.read_bytes()
        head = content[:300].split(b"\n")[0]
        shape = re.search(r"'shape': \(([0-9]+), ([0-9]+)\)", str(head))
        kind = re.search(r"'descr': '([<f0-9]+)'", str(head))
        assert shape
        assert kind
        flat = np.frombuffer(content[len(head) + 1 :], kind[1])
        vectors.append(flat.reshape(int(shape[1]), int(shape[2])))
        assert (np.load(npy) == vectors[-1]).all()
        part = pq.read_table(parquet).to_pylist()
        assert len(part) == len(vectors[-1]) > 0
        rows += part
    return np.concatenate(vectors), rows


@pytest.mark.parametrize("rows_per_file", [1, 5, 1000])
def test_vectors_stand_as_embedding_reader_reads_them(
    index: Path, tmp_path: Path, rows_per_file: int
) -> None:
    folder = exported(index, tmp_path / "out", "npy", rows_per_file=rows_per_file)
    facts = json.loads((folder / "export.json").read_text())
    with IndexReader.open(index) as reader:
        assert facts["encoder"]["fingerprint"] == reader.encoder_fingerprint
        for space, name in SPACES.items():
            ids, vectors = (
                np.concatenate(part) for part in zip(*reader.vectors(space), strict=True)
            )
            found, rows = read_as_others_do(folder / space / name, folder / space / "metadata")
            assert found.dtype == np.float32
            assert (found == vectors).all()
            assert [row["id"] for row in rows] == ids.tolist()
            assert facts["rows"][space] == len(ids)
            for row, item in zip(rows, reader.rows(ids), strict=True):
                assert (row["image_path"], row["audio_path"]) == (item.image, item.audio)
                assert (row["t0"], row["t1"], row["caption"]) == (item.t0, item.t1, item.label)
                assert json.loads(row["metadata"]) == item.metadata


def test_a_space_without_vectors_has_no_files(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    index = build(corpus, tiny_embedder, include=("lone.wav",)).index_dir
    folder = exported(index, tmp_path / "out", "npy")
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "sound"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_says_what_the_index_has_and_imports_as_nothing_new(
    index: Path, tmp_path: Path, form: Form
) -> None:
    before = everything(index)
    folder = exported(index, tmp_path / "out", form)
    rows = list(read_annotations(folder / f"items.{form}"))
    with IndexReader.open(index) as reader:
        assert len(rows) == reader.n_items
        items = {row.id: row for row in reader.rows(reader.ids)}
        for row in rows:
            assert isinstance(row, AnnotationRow)
            assert row.id is not None
            item = items[row.id]
            assert (row.image, row.audio, row.t0, row.t1) == (
                *(item.image, item.audio),
                *(item.t0, item.t1),
            )
            assert row.said.label == (item.label or "")
            assert row.said.metadata == item.metadata
            assert list(row.said.boxes or ()) == reader.boxes(item.id)
        report = import_annotations(reader, folder)
    assert (report.n_changed, report.n_unchanged, report.n_refused) == (0, len(rows), 0)
    assert everything(index) == before


TEXT = st.text(max_size=12).map(storable)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
BOXES = st.lists(
    st.fixed_dictionaries(
        {
            "box": st.tuples(*[st.floats(0, 10)] * 2, *[st.floats(11, 99)] * 2).map(list),
            "annotator": TEXT,
            "kind": st.sampled_from(["object", "ambient"]),
            "tag": TEXT,
        }
    ),
    max_size=2,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(label=TEXT, drawn=BOXES, metadata=st.dictionaries(TEXT, VALUES, max_size=3))
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_is_edited_comes_back(
    index: Path,
    tmp_path_factory: pytest.TempPathFactory,
    form: Form,
    label: str,
    drawn: list[Any],
    metadata: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("edited")
    row = {"id": 1, "label": label, "boxes": drawn, "metadata": metadata}
    with (folder / f"items.{form}").open("w", encoding="utf-8", newline="") as file:
        if form == "csv":
            table = csv.DictWriter(file, row)
            table.writeheader()
            table.writerow(row | {n: json.dumps(row[n]) for n in ("boxes", "metadata")})
        else:
            file.write(json.dumps(row) + "\n")
    with IndexReader.open(index) as reader:
        assert import_annotations(reader, folder).n_refused == 0
        (item,) = reader.rows([1])
        assert (item.label or "", item.metadata) == (label, metadata)
        assert [[box.x0, box.y0, box.x1, box.y1] for box in reader.boxes(1)] == [
            one["box"] for one in drawn
        ]
        out = export(reader, folder / "again", form).folder
        (again,) = (r for r in read_annotations(out / f"items.{form}") if getattr(r, "id", 0) == 1)
        assert import_annotations(reader, out).n_changed == 0
    assert isinstance(again, AnnotationRow)
    assert (again.said.label, again.said.metadata) == (label, metadata)


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_lines_find_their_items_by_id_or_by_files_and_seconds(index: Path, tmp_path: Path) -> None:
    with IndexReader.open(index) as reader:
        clip = next(row for row in reader.rows(reader.ids) if row.image == "clip.mp4" and row.t0)
        table = write_rows(
            tmp_path / "t.jsonl",
            {"id": 1, "label": "by id"},
            {"id": 2, "image": "p001.png", "label": "by both"},
            {"image": "p002.png", "audio": "p002.wav", "label": "by files"},
            {"audio": "clip.mp4", "t0": round(clip.t0 or 0, 2), "label": "by seconds"},
            {"image": "lone.png", "metadata": {"only": "this"}},
        )
        report = import_annotations(reader, table)
        assert (report.n_changed, report.refused) == (5, ())
        rows = {row.id: row for row in reader.rows(reader.ids)}
        assert [rows[n].label for n in (1, 2, 3)] == ["by id", "by both", "by files"]
        assert rows[clip.id].label == "by seconds"
        assert rows[1].metadata == {"n": 0, "é": [0]}  # was not spoken of
        assert len(reader.allowed("label = 'by id'") or ()) == 1
        assert len(reader.allowed("only = 'this'") or ()) == 1


def test_a_name_is_found_in_whichever_form_it_is_typed(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    write_picture(tmp_path / unicodedata.normalize("NFD", "küche.png"), 1)
    write_picture(tmp_path / unicodedata.normalize("NFC", "é.png"), 2)
    index = build(tmp_path, tiny_embedder).index_dir
    rows = [
        {"image": unicodedata.normalize(form, name), "label": name}
        for form, name in (("NFC", "küche.png"), ("NFD", "é.png"))
    ]
    with IndexReader.open(index) as reader:
        assert import_annotations(reader, write_rows(tmp_path / "t.jsonl", *rows)).n_changed == 2


def test_each_refused_line_is_named_and_the_others_applied(index: Path, tmp_path: Path) -> None:
    lines = [
        ('{"id": 1, "label": "good"}', ""),
        ("not json", "not a JSON object"),
        ("", ""),
        ('{"id": 999999}', "no item 999999"),
        ('{"id": 99999999999999999999999}', "no item"),
        ('{"id": "x"}', "not a whole number"),
        ('{"id": 2, "image": "p007.png"}', "is it the same index"),
        ('{"image": "p000.png", "audio": "p004.wav"}', "2 items have these files"),
        ('{"image": "nowhere.png"}', "no item of nowhere.png"),
        ('{"label": "x"}', "neither id, image nor audio"),
        ('{"id": 1, "label": "twice"}', "a line before it"),
        ('{"id": 2, "label": {"a": 1}}', "not a name"),
        ('{"id": 2, "boxes": [[1, 2]]}', "is not [x0"),
        ('{"id": 2, "metadata": [1]}', "not an object"),
        ('{"id": 2, "t0": "soon"}', "not seconds"),
        ('{"id": 2, "image": 7}', "not a path"),
        ('{"audio": "lone.wav", "boxes": [[0, 0, 1, 1]]}', "no picture"),
        ('{"audio": "p003.wav", "label": "also good"}', ""),
    ]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(line for line, _ in lines))
    with IndexReader.open(index) as reader:
        report = import_annotations(reader, table)
        assert report.n_changed == 2
        expected = [(n, reason) for n, (_, reason) in enumerate(lines, start=1) if reason]
        assert len(report.refused) == report.n_refused == len(expected)
        for row, (number, reason) in zip(report.refused, expected, strict=True):
            assert row.number == number
            assert reason in row.reason
        labels = {row.audio: row.label for row in reader.rows(reader.ids)}
        assert (labels["p000.wav"], labels["p003.wav"]) == ("good", "also good")


def test_columns_of_csv_say_what_is_spoken_of(index: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,label\n1,\n2,new\n3\n4,a,b\n")
    with IndexReader.open(index) as reader:
        report = import_annotations(reader, tmp_path / "t.csv")
        assert [(row.number, row.reason) for row in report.refused] == [
            (4, "too few fields"),
            (5, "too many fields"),
        ]
        one, two = reader.rows([1, 2])
        assert (one.label, two.label) == (None, "new")
        assert two.metadata["n"] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"name,value\n1,2\n"),
        ("t.csv", b"id\n1\n"),
        ("t.csv", b"label\nx\n"),
        ("t.csv", b"id,label\n1,\xff\xfe\n"),
        ("t.csv", b'id,label\n1,"never closed'),
        ("t.jsonl", b'{"id": 1, "label": "' + b"x" * MAX_LINE + b'"}\n'),
        ("t.txt", b"id,label\n"),
    ],
)
def test_what_is_no_table_of_annotations_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationsError) as caught:
        list(read_annotations(tmp_path / name))
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(AnnotationsError, match="No such file"):
        list(read_annotations(tmp_path / "nowhere.csv"))


def test_a_dry_run_changes_nothing(index: Path, tmp_path: Path) -> None:
    before = everything(index)
    table = write_rows(tmp_path / "t.jsonl", {"id": 1, "label": "new"})
    with IndexReader.open(index) as reader, only_writer(index):  # which it needs no lock for
        assert import_annotations(reader, table, dry_run=True).n_changed == 1
    assert everything(index) == before


def test_labels_that_came_from_a_column_are_read_anew(index: Path, tmp_path: Path) -> None:
    with IndexReader.open(index) as reader:
        label_items(reader, column_labels(reader))
        table = write_rows(tmp_path / "t.jsonl", {"id": 1, "label": "b"}, {"id": 2, "label": "b"})
        assert import_annotations(reader, table).n_changed == 1  # the second was of b before
        report = label_items(reader, column_labels(reader))
        assert report.n_new == 2  # the frame and the sound of the first
        top = reader.pseudo_labels("column:label").image
        assert top is not None
        names = reader.pseudo_labels("column:label").names
        assert names[top.labels[list(top.ids).index(1)][0]] == "b"


def test_a_build_leaves_what_was_imported(
    index: Path, tmp_path: Path, tiny_embedder: Embedder
) -> None:
    table = write_rows(tmp_path / "t.jsonl", {"id": 1, "label": "new", "metadata": {}, "boxes": []})
    with IndexReader.open(index) as reader:
        import_annotations(reader, table)
    expected = everything(index)
    manifest = index.parent / "m.jsonl"
    assert build(manifest, tiny_embedder, window_s=1.0).n_new == 0
    assert build(manifest, tiny_embedder, window_s=1.0, reembed=True).n_new > 0
    assert everything(index) == expected


def test_exports_and_imports_that_cannot_be(index: Path, tmp_path: Path) -> None:
    vectors = exported(index, tmp_path / "vectors", "npy")
    (tmp_path / "two").mkdir()
    for name in ("items.csv", "items.jsonl"):
        (tmp_path / "two" / name).touch()
    with IndexReader.open(index) as reader:
        with pytest.raises(StorageError, match="something already"):
            export(reader, vectors, "csv")
        with pytest.raises(AnnotationsError, match="maps and h"):
            import_annotations(reader, vectors)
        with pytest.raises(AnnotationsError, match="two tables"):
            import_annotations(reader, tmp_path / "two")
        with pytest.raises(AnnotationsError, match=r"no items\.jsonl"):
            import_annotations(reader, tmp_path)
        with only_writer(index), pytest.raises(IndexLocked):
            import_annotations(reader, write_rows(tmp_path / "t.jsonl", {"id": 1}))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("was_there", [False, True])
def test_what_comes_while_an_export_is_written_stays(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    folder = tmp_path / "for exports" / "out"
    if was_there:
        folder.mkdir(parents=True)

    def saved_meanwhile(*given: Any) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        (folder / "thesis.txt").write_text("mine", encoding="utf-8")
        return {}

    monkeypatch.setattr("indexer.exporting._facts", saved_meanwhile)
    with (
        IndexReader.open(index) as reader,
        pytest.raises(StorageError, match=r"out: something came there.*give another") as caught,
    ):
        export(reader, folder, "csv")
    assert "\n" not in str(caught.value)
    assert names_in(folder) == ["thesis.txt"]
    assert names_in(folder.parent) == ["out"], "the draft is gone"


def test_an_export_takes_an_empty_folder_and_follows_no_link(index: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "to nowhere").symlink_to(tmp_path / "nowhere")
    with IndexReader.open(index) as reader:
        for name in ("link", "to nowhere"):
            with pytest.raises(StorageError, match="this is a link"):
                export(reader, tmp_path / name, "csv")
        assert not names_in(tmp_path / "there")
        export(reader, tmp_path / "there", "csv")
    assert names_in(tmp_path / "there") == ["export.json", "items.csv"]


def test_rows_that_read_well_and_rows_that_do_not(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "t.jsonl", {"id": 1, "label": 3}, {"id": True}, [1])
    kinds = [type(row) for row in read_annotations(table)]
    assert kinds == [AnnotationRow, RefusedRow, RefusedRow]


def test_the_commands(index: Path, tmp_path: Path) -> None:
    out = tmp_path / "items"
    done = run("export", index, out, "--format", "csv")
    assert done.exit_code == 0, done.output
    assert "items.csv" in done.stdout
    assert_one_line(run("export", index, out), ExitCode.STORAGE, "something already")
    table = (out / "items.csv").read_text(encoding="utf-8")
    (out / "items.csv").write_text(table.replace(",a,", ",alpha,", 1), encoding="utf-8")
    looked = run("import", out, "--index", index, "--dry-run")
    assert re.search(r"would change +1", looked.stdout)
    done = run("import", out, "--index", index, "--json")
    assert json.loads(done.stdout)["n_changed"] == 1
    (out / "items.csv").write_text("id,label\n1,x\n77777,y\n", encoding="utf-8")
    partly = run("import", out, "--index", index)
    assert partly.exit_code == ExitCode.CORPUS
    assert "line 3: the index has no item 77777" in partly.stderr
    vectors = json.loads(run("export", index, tmp_path / "v", "--format", "npy", "--json").stdout)
    assert set(vectors["n_rows"]) == {"coarse", "own_sound", "sound"}
