"""Merged indexes: they answer as one index of everything does, and the parts stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from conftest import write_picture
from indexer_fixtures import build, options, vectors_of, write_pairs
from label_fixtures import pair, said
from whole_corpus import everything, write_corpus

import indexer.merge
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.built_with import BuiltWith, remembered
from indexer.catalogue import Catalogue
from indexer.errors import (
    EncoderMismatch,
    IndexCorrupt,
    IndexLocked,
    IndexMissing,
    MergeError,
    StorageError,
)
from indexer.labels.labelling import label_items
from indexer.labels.models import ModelLabels
from indexer.ledger import delete_items
from indexer.locking import only_writer
from indexer.merge import merge
from indexer.moved_paths import Moved, common_corpus
from indexer.reader import IndexReader
from indexer.segments import SOUND
from indexer.sharding import Shard
from indexer.verify import verify
from retrieval import Retriever
from retrieval.exit_codes import ExitCode

N_SHARDS = 3


def build_shards(corpus: Path, embedder: Embedder, **changes: object) -> list[Path]:
    shards = [Shard(number=n, total=N_SHARDS) for n in range(1, N_SHARDS + 1)]
    return [build(corpus, embedder, shard=shard, **changes).index_dir for shard in shards]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("merged") / "küche")


@pytest.fixture(scope="module")
def shards(corpus: Path, tiny_embedder: Embedder) -> list[Path]:
    return build_shards(corpus / "m.jsonl", tiny_embedder, window_s=1.0)


@pytest.fixture(scope="module")
def whole(corpus: Path, tiny_embedder: Embedder) -> Path:
    return build(corpus / "m.jsonl", tiny_embedder, window_s=1.0).index_dir


@pytest.fixture(scope="module")
def merged(corpus: Path, shards: list[Path], tiny_embedder: Embedder) -> Path:
    before = contents(shards)
    report = merge(corpus.parent / "merged", shards, embedder=tiny_embedder)
    assert contents(shards) == before
    assert report.n_duplicates == 0
    assert sum(one.n_items for one in report.merged) == report.n_items
    assert all(one.n_items for one in report.merged)
    return report.index_dir


def contents(folders: list[Path]) -> dict[Path, bytes]:
    """All files of indexes, but for what SQLite keeps beside a database while it is open."""
    files = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


def failures(index: Path) -> list[Any]:
    with IndexReader.open(index) as reader:
        return reader.failures()


def answers(index: Path, checkpoint: Path, asked: tuple[Path, Path]) -> list[Any]:
    """Paths and scores of all that a search gives, both ways, conditional and not."""
    image, audio = asked
    questions: list[dict[str, Any]] = [
        {"audio": audio},
        {"image": image},
        {"audio": audio, "to": "audio"},
        {"image": image, "to": "image"},
        {"audio": audio, "mode": "own-sound"},
        {"audio": audio, "where": "label = 'a'"},
        {"image": image, "audio": audio, "to": "image"},
    ]
    found = []
    with Retriever.open(index, device="cpu", checkpoint=checkpoint) as retriever:
        for question in questions:
            for exact in (False, True):
                hits = retriever.search(**question, k=50, exact=exact).hits
                assert hits
                found.append([(hit.score, hit.path, hit.t0, hit.image, hit.audio) for hit in hits])
    return found


def assert_same(found: list[Any], expected: list[Any]) -> None:
    """The same hits at the same scores; those that score the same may change places."""
    for one, other in zip(found, expected, strict=True):
        assert [hit[0] for hit in one] == pytest.approx([hit[0] for hit in other], abs=1e-6)
        assert sorted(map(named, one)) == sorted(map(named, other))


def named(hit: tuple[Any, ...]) -> tuple[str, float]:
    return repr(hit[1:]), round(hit[0], 5)


def test_it_knows_what_the_index_of_the_whole_knows(merged: Path, whole: Path) -> None:
    assert everything(merged) == everything(whole)
    assert failures(merged) == failures(whole)
    assert verify(merged).is_intact
    with IndexReader.open(merged) as reader, IndexReader.open(whole) as other:
        assert reader.corpus == other.corpus
        assert len(set(reader.ids.tolist())) == reader.n_items == other.n_items
        assert reader.kept_maps.form == "full"


def test_it_answers_as_the_index_of_the_whole(
    merged: Path, whole: Path, tiny_checkpoint: Path, query: tuple[Path, Path]
) -> None:
    found = answers(merged, tiny_checkpoint, query)
    assert_same(found, answers(whole, tiny_checkpoint, query))


def test_vectors_are_the_same_to_the_bit(merged: Path, whole: Path) -> None:
    found, expected = vectors_of(merged), vectors_of(whole)
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in found)


def test_a_build_goes_on_with_it(
    merged: Path, corpus: Path, tiny_embedder: Embedder, tmp_path: Path
) -> None:
    again = merge(tmp_path / "again", [merged], embedder=tiny_embedder)
    manifest = corpus / "m.jsonl"
    report = build_index(
        manifest, embedder=tiny_embedder, index_dir=again.index_dir, options=options(window_s=1.0)
    )
    assert (report.n_new, report.generation) == (0, again.generation)
    with Catalogue.open(merged) as catalogue, catalogue.reading() as connection:
        assert remembered(connection) == BuiltWith(manifest="m.jsonl", window_s=1.0)


@pytest.mark.parametrize("form", ["compact", "none"])
def test_less_than_full_maps(
    tmp_path: Path,
    tiny_embedder: Embedder,
    tiny_checkpoint: Path,
    query: tuple[Path, Path],
    form: str,
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 12)
    shards = build_shards(corpus, tiny_embedder, maps=form)
    report = merge(tmp_path / "out", shards, embedder=tiny_embedder)
    with IndexReader.open(report.index_dir) as reader:
        assert reader.kept_maps.form == form
        assert reader.n_items == 12
    assert verify(report.index_dir).is_intact
    per_shard = [answers_to_sound(shard, tiny_checkpoint, query[1]) for shard in shards]
    expected = sorted(hit for hits in per_shard for hit in hits)
    found = answers_to_sound(report.index_dir, tiny_checkpoint, query[1])
    assert [hit[1] for hit in sorted(found)] == [hit[1] for hit in expected]
    assert [hit[0] for hit in sorted(found)] == pytest.approx([h[0] for h in expected], abs=1e-5)
    write_pairs(corpus, 1, first=40)  # and it goes on in that form
    grown = build(corpus, tiny_embedder, maps=form)
    assert grown.maps.form == form


def answers_to_sound(index: Path, checkpoint: Path, audio: Path) -> list[tuple[float, str]]:
    with Retriever.open(index, device="cpu", checkpoint=checkpoint) as retriever:
        hits = retriever.search(audio=audio, k=50, exact=True).hits
        return [(hit.score, hit.path) for hit in hits]


def test_full_and_compact_maps_together(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 12)
    first = build(corpus, tiny_embedder, maps="compact", shard=Shard(number=1, total=2))
    second = build(corpus, tiny_embedder, shard=Shard(number=2, total=2))
    report = merge(tmp_path / "out", [first.index_dir, second.index_dir], embedder=tiny_embedder)
    with IndexReader.open(report.index_dir) as reader:
        kept = reader.kept_maps
    assert kept.frames == {"full": second.n_items, "compact": first.n_items, "none": 0}
    assert len(kept.bases) == 2
    assert verify(report.index_dir).is_intact


def test_several_corpora_become_the_folder_above_them(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    for name in ("talks", "mu|sic@1.000"):
        write_corpus(tmp_path / "all" / "sub" / name)
        (tmp_path / "all" / "sub" / name / "m.jsonl").unlink()
    write_pairs(tmp_path / "all" / "b", 2)
    corpora = [tmp_path / "all" / "sub" / "talks", tmp_path / "all" / "b"]
    corpora.append(tmp_path / "all" / "sub" / "mu|sic@1.000")
    made = [build(folder, tiny_embedder, window_s=1.0).index_dir for folder in corpora]
    out = tmp_path / "all" / ".retrieval"
    report = merge(out, made, embedder=tiny_embedder)
    assert report.corpus == tmp_path / "all"
    calm = build_index(
        tmp_path / "all",
        embedder=tiny_embedder,
        index_dir=tmp_path / "calm",
        options=options(window_s=1.0),
    )
    assert everything(out) == everything(calm.index_dir)
    assert failures(out) == failures(calm.index_dir)
    with IndexReader.open(out) as reader:
        assert all(
            reader.locate(row.image).is_file() for row in reader.rows(reader.ids) if row.image
        )
    again = build(tmp_path / "all", tiny_embedder, window_s=1.0)
    assert again.n_new == 2  # the mute clips: what a scan finds missing is remembered by its path
    assert everything(out) == everything(calm.index_dir)


def test_what_two_indexes_have_is_taken_from_the_first(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 6)
    (corpus / "m.csv").write_text("image,audio,label\np000.png,p000.wav,first\n")
    small = build_index(corpus / "m.csv", embedder=tiny_embedder, index_dir=tmp_path / "small")
    large = build_index(corpus, embedder=tiny_embedder, index_dir=tmp_path / "large")
    report = merge(tmp_path / "out", [small.index_dir, large.index_dir], embedder=tiny_embedder)
    assert (report.n_items, report.n_duplicates) == (6, 1)
    assert [one.n_duplicates for one in report.merged] == [0, 1]
    with IndexReader.open(report.index_dir) as reader:
        labels = {row.image: row.label for row in reader.rows(reader.ids)}
    assert labels["p000.png"] == "first"
    assert len(labels) == 6


def test_what_one_could_not_read_another_may_have(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 3)
    good = (corpus / "p001.wav").read_bytes()
    (corpus / "p001.wav").write_bytes(b"")
    (corpus / "p001.png").unlink()
    first = build_index(corpus, embedder=tiny_embedder, index_dir=tmp_path / "first")
    assert first.n_failed == 1
    (corpus / "p001.wav").write_bytes(good)
    second = build_index(corpus, embedder=tiny_embedder, index_dir=tmp_path / "second")
    report = merge(tmp_path / "out", [first.index_dir, second.index_dir], embedder=tiny_embedder)
    assert (report.n_items, report.n_failed) == (3, 0)


def test_deleted_and_superseded_items_stay_behind(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 6)
    index = build(corpus, tiny_embedder).index_dir
    write_picture(corpus / "p001.png", 99)
    build(corpus, tiny_embedder)
    with Catalogue.create(index, corpus="") as catalogue, catalogue.writing() as connection:
        delete_items(connection, [3])
    report = merge(tmp_path / "out", [index], embedder=tiny_embedder)
    assert report.n_items == 5
    assert everything(report.index_dir) == everything(index)
    assert vectors_of(report.index_dir).keys() == vectors_of(index).keys()
    with IndexReader.open(report.index_dir) as reader:
        assert reader.ids.tolist() == [1, 2, 3, 4, 5]
    again = build_index(corpus, embedder=tiny_embedder, index_dir=report.index_dir)
    assert (again.n_new, again.n_items) == (0, 5)  # what was deleted stays so


def test_an_item_deleted_from_one_index_is_taken_from_another(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 3)
    first, second = (
        build_index(corpus, embedder=tiny_embedder, index_dir=tmp_path / name).index_dir
        for name in ("first", "second")
    )
    with Catalogue.create(first, corpus="") as catalogue, catalogue.writing() as connection:
        delete_items(connection, [2])
    report = merge(tmp_path / "out", [first, second], embedder=tiny_embedder)
    assert (report.n_items, report.merged[1].n_items) == (3, 1)
    assert everything(report.index_dir) == everything(second)


def test_pseudo_labels_come_along(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 8)
    shards = build_shards(corpus, tiny_embedder)
    expected: dict[str, dict[str, Any]] = {"image": {}, "audio": {}}
    for shard in shards:
        with IndexReader.open(shard) as reader:
            label_items(reader, ModelLabels(pair(), reader.corpus))
            for modality, names in said(reader, reader.pseudo_labels("bins")).items():
                expected[modality] |= names
    report = merge(tmp_path / "out", shards, embedder=tiny_embedder)
    with IndexReader.open(report.index_dir) as reader:
        (described,) = reader.label_sets()
        assert (described.n_frames, described.n_sounds) == (8, 8)
        assert said(reader, reader.pseudo_labels("bins")) == expected


def test_indexes_that_do_not_go_together_are_refused(
    tmp_path: Path, shards: list[Path], tiny_embedder: Embedder
) -> None:
    other = Embedder(TwoStreamEncoder(tiny(), seed=1), name="other", device="cpu")
    foreign = build(write_pairs(tmp_path / "b", 2), other).index_dir
    out = tmp_path / "out"
    with pytest.raises(MergeError, match="built by encoder other"):
        merge(out, [shards[0], foreign], embedder=tiny_embedder)
    with pytest.raises(EncoderMismatch):
        merge(out, [foreign], embedder=tiny_embedder)
    with pytest.raises(IndexMissing):
        merge(out, [shards[0], tmp_path / "nowhere"], embedder=tiny_embedder)
    with pytest.raises(StorageError, match="something already"):
        merge(shards[1], shards, embedder=tiny_embedder)
    with only_writer_of(out), pytest.raises(IndexLocked):
        merge(out, shards, embedder=tiny_embedder)
    assert not out.exists()


def only_writer_of(out: Path) -> Any:
    """Stand for another process that makes the same index."""
    draft = out.with_name(f".tmp-{out.name}")
    draft.mkdir(exist_ok=True)
    return only_writer(draft)


def test_corpora_without_a_common_folder_say_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match="--corpus FOLDER"):
        common_corpus([Path("/a/x"), Path("/b/x")])
    assert common_corpus([Path("/a/x"), Path("/b/x")], tmp_path) == tmp_path.resolve()
    assert common_corpus([Path("/a/x"), Path("/a/x")]) == Path("/a/x")


def test_a_damaged_part_is_named(tmp_path: Path, tiny_embedder: Embedder) -> None:
    index = build(write_pairs(tmp_path / "corpus", 4), tiny_embedder).index_dir
    (index / "segments" / "000001" / SOUND).unlink()
    with pytest.raises(IndexCorrupt, match="the file is gone"):
        merge(tmp_path / "out", [index], embedder=tiny_embedder)
    assert not (tmp_path / "out").exists()


def test_a_part_that_changes_meanwhile_is_named(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 4)
    index = build(corpus, tiny_embedder).index_dir
    real = indexer.merge.copy_segment

    def swept(*arguments: Any) -> Any:
        build(corpus, tiny_embedder, reembed=True)
        monkeypatch.setattr(indexer.merge, "copy_segment", real)
        return real(*arguments)

    monkeypatch.setattr(indexer.merge, "copy_segment", swept)
    with pytest.raises(IndexLocked, match="changed while it was read"):
        merge(tmp_path / "out", [index], embedder=tiny_embedder)
    assert merge(tmp_path / "out", [index], embedder=tiny_embedder).n_items == 4


STEPS = ["copy_segment", "put_in_place", "commit_copied", "compact_segments", "publish_generation"]


@pytest.mark.parametrize("step", STEPS)
def test_a_merge_that_is_killed_leaves_nothing_and_runs_again(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    index = build(write_pairs(tmp_path / "corpus", 6), tiny_embedder).index_dir
    real, calls = getattr(indexer.merge, step), iter([True, False])

    def killed(*arguments: Any, **options: Any) -> Any:
        if not next(calls, False):
            raise KeyboardInterrupt
        return real(*arguments, **options)

    if step in STEPS[3:]:
        next(calls)
    monkeypatch.setattr(indexer.merge, step, killed)
    with pytest.raises(KeyboardInterrupt):
        merge(tmp_path / "out", [index], embedder=tiny_embedder)
    assert not (tmp_path / "out").exists()
    left = [path for path in tmp_path.glob(".tmp-out/**/*") if path.is_file()]
    assert {path.name for path in left} <= {"writer.lock", "writer.json"}
    (tmp_path / ".tmp-out" / "segments").mkdir()  # where the process was killed, more would be left
    (tmp_path / ".tmp-out" / "catalogue.sqlite").write_bytes(b"half of it")
    monkeypatch.setattr(indexer.merge, step, real)
    report = merge(tmp_path / "out", [index], embedder=tiny_embedder)
    assert everything(report.index_dir) == everything(index)
    assert verify(report.index_dir).is_intact
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.png@0.000|a.wav@0.000-", "t/a.png@0.000|t/a.wav@0.000-"),
        ("|a.wav@1.000-2.500#3", "|t/a.wav@1.000-2.500#3"),
        ("a|b.png@0.000|#2", "t/a|b.png@0.000|#2"),
        ("bytes:caf%E9.png@0.000|", "bytes:t/caf%E9.png@0.000|"),
        ("None|gone.wav|None", "None|t/gone.wav|None"),
        ("m.csv row 3", "t/m.csv row 3"),
        ("/mnt/a.png@0.000|", "/mnt/a.png@0.000|"),
    ],
)
def test_keys_are_told_from_the_folder_above(key: str, expected: str) -> None:
    assert Moved("t").key(key) == expected
    assert Moved().key(key) == key


def test_the_command(corpus: Path, shards: list[Path], tiny_checkpoint: Path) -> None:
    out = corpus.parent / "by-command"
    arguments = ("merge", out, *shards, "--checkpoint", tiny_checkpoint)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "generation 1" in done.stdout
    assert "verify" in done.stderr
    again = run(*arguments)
    assert again.exit_code == ExitCode.STORAGE
    assert "something already" in again.stderr
    twice = run("merge", f"{out}2", out, shards[0], "--checkpoint", tiny_checkpoint, "--json")
    report = json.loads(twice.stdout)
    assert report["n_duplicates"] == report["merged"][1]["n_duplicates"] > 0
    assert report["merged"][1]["n_items"] == 0
