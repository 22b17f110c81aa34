"""Building an index from real small files: what gets in, once, and whatever stands in its way."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from broken_files import BROKEN, write_broken
from conftest import write_picture, write_sound, write_video
from indexer_fixtures import ON_BOTH, build, options, vectors_of, write_pairs

from encoder.embedder import Embedder
from encoder.media import MediaLimits
from indexer.build import BuildProgress, BuildReport, build_index
from indexer.digest import digest_of
from indexer.errors import CorpusMissing, NothingUsable, StorageError
from indexer.reader import IndexReader


@ON_BOTH
def test_what_goes_in_comes_out(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path, 3)
    write_picture(tmp_path / "lone.png", 50)
    write_sound(tmp_path / "long.wav", 51, seconds=1.6)
    write_video(tmp_path / "clip.mp4", 52)
    report = build(tmp_path, tiny_embedder, window_s=0.8)
    assert report.index_dir == tmp_path / ".retrieval"
    with IndexReader.open(report.index_dir) as reader:
        assert reader.n_items == report.n_items == report.n_new
        assert reader.corpus == tmp_path
        assert reader.encoder_fingerprint == tiny_embedder.fingerprint
        rows = reader.rows(reader.ids)
        kinds = Counter(row.kind for row in rows)
        assert kinds["pair"] == 3
        assert kinds["image"] == 1
        assert kinds["audio"] == 2
        assert kinds["video"] >= 2
        for row in rows:
            for name in (row.image, row.audio):
                assert name is None or reader.locate(name).is_file()
        long = [row for row in rows if row.audio == "long.wav"]
        assert [(row.t0, row.t1) for row in long] == [(0.0, 0.8), (0.8, 1.6)]
        pair = next(row for row in rows if row.image == "p001.png")
        prepared = tiny_embedder.prepare_frame(picture_of(tmp_path / "p001.png"))
        expected = tiny_embedder.embed_frames([prepared])
        np.testing.assert_allclose(
            reader.frame_map(pair.id).astype(np.float32),
            expected.maps[0].astype(np.float32),
            atol=2e-3,
        )
        block = reader.sound(pair.id)
        own = tiny_embedder.condition(reader.frame_map(pair.id)[None], block.h).f_v[0]
        assert reader.nearest("own_sound", own, 1).ids.tolist() == [pair.id]
        assert reader.nearest("own_sound", own, 1).scores[0] > 1 - 1e-5
        assert reader.nearest("sound", block.f_s[0], 1).ids.tolist() == [pair.id]
        assert reader.nearest("coarse", expected.coarse[0], 1).ids.tolist() == [pair.id]


def picture_of(path: Path) -> np.ndarray:
    from encoder.media import read_image

    return read_image(path)


def test_a_file_that_many_items_use_is_embedded_once(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    write_pairs(tmp_path, 4)
    rows = [
        {"image": f"p{i % 4:03d}.png", "audio": f"p{j % 4:03d}.wav"}
        for i in range(4)
        for j in range(4)
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = build_index(manifest, embedder=tiny_embedder, options=options(segment_items=5))
    assert report.n_items == 16
    assert (report.n_frames_embedded, report.n_sounds_embedded) == (4, 4)
    with IndexReader.open(report.index_dir) as reader:
        assert reader.n_items == 16
        by_audio: dict[str, list[bytes]] = {}
        by_image: dict[str, list[bytes]] = {}
        for row in reader.rows(reader.ids):
            assert row.audio
            assert row.image
            assert (row.t0, row.t1) == (0.0, pytest.approx(0.3))
            by_audio.setdefault(row.audio, []).append(reader.sound(row.id).f_s.tobytes())
            by_image.setdefault(row.image, []).append(reader.frame_map(row.id).tobytes())
        for copies in [*by_audio.values(), *by_image.values()]:
            assert len(copies) == 4
            assert len(set(copies)) == 1


def test_an_embedding_depends_on_the_file_alone(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path / "a", 7)
    write_sound(tmp_path / "a" / "long.wav", 9, seconds=2.3)
    (tmp_path / "b").mkdir()
    reverse = sorted(os.listdir(tmp_path / "a"), reverse=True)
    rows = [{"audio" if name.endswith("wav") else "image": name} for name in reverse]
    for name in reverse:
        shutil.copy(tmp_path / "a" / name, tmp_path / "b" / name)
    manifest = tmp_path / "b" / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = build(tmp_path / "a", tiny_embedder, workers=1, batch_size=1)
    second = build_index(
        manifest, embedder=tiny_embedder, options=options(workers=3, batch_size=5, segment_items=99)
    )
    one, other = vectors_of(first.index_dir), vectors_of(second.index_dir)
    assert one.keys() == other.keys()
    for name, vector in one.items():
        cosine = vector @ other[name] / np.linalg.norm(vector) / np.linalg.norm(other[name])
        assert cosine > 1 - 1e-5, name


# ── broken files ─────────────────────────────────────────────────────────────────────────────────


def test_a_broken_part_leaves_its_partner(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path, 4)
    (tmp_path / "p000.png").write_bytes(b"")
    (tmp_path / "p001.wav").write_bytes(b"RIFF")
    (tmp_path / "p002.png").write_bytes(b"<html>")
    (tmp_path / "p002.wav").write_bytes(b"<html>")
    write_video(tmp_path / "v.mp4", 1, with_sound=False)
    report = build(tmp_path, tiny_embedder)
    with IndexReader.open(report.index_dir) as reader:
        rows = reader.rows(reader.ids)
        assert [(row.image, row.audio) for row in rows] == [
            (None, "p000.wav"),
            ("p001.png", None),
            ("p003.png", "p003.wav"),
            ("v.mp4", None),
        ]
        mute = rows[-1]
        assert mute.frame_time_s is not None
        assert mute.t0 == mute.t1 == mute.frame_time_s, "the moment that was found can be told"
        paths = [failure.path for failure in reader.failures()]
        assert paths == ["p000.png", "p001.wav", "p002.png", "p002.wav", "v.mp4"]
    assert (report.n_new, report.n_failed) == (4, 5)
    assert report.failures_by_code["empty"] == 1
    assert report.failures_by_code["no-audio-stream"] == 1
    assert sum(report.failures_by_code.values()) == 5


@ON_BOTH
def test_one_run_over_a_broken_corpus_indexes_the_good_and_names_the_bad(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    write_pairs(tmp_path / "good", 3)
    broken = write_broken(tmp_path / "bad")
    limits = MediaLimits(max_seconds=4 * 3600.0)
    report = build(tmp_path, tiny_embedder, limits=limits, segment_items=64, batch_size=8)
    with IndexReader.open(report.index_dir) as reader:
        good = reader.allowed("path like 'good/%'")
        assert good is not None
        assert len(good) == 3
        named = {failure.path: failure.code for failure in reader.failures()}
    assert len(BROKEN) >= 40
    for file in broken:
        name = file.path.relative_to(tmp_path).as_posix()
        scanned_away = file.path.is_dir() or file.path.is_fifo() or not file.path.suffix
        if name not in named and not scanned_away:
            # Not refused as what the folder takes it for: then it must be usable as that.
            with IndexReader.open(report.index_dir) as reader:
                usable = reader.allowed(f"path = '{name}'")
            assert usable is not None
            assert len(usable) == 1, (name, file.code)


def test_nothing_usable_counts_the_reasons(tmp_path: Path, tiny_embedder: Embedder) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"<html>")
    (tmp_path / "c.txt").write_bytes(b"x")
    for _ in range(2):  # the second run meets what the first one remembers
        with pytest.raises(NothingUsable) as caught:
            build(tmp_path, tiny_embedder)
        assert caught.value.counts["empty"] == 1
        assert caught.value.counts["not media"] == 1
        assert sum(caught.value.counts.values()) == 3


def test_a_missing_corpus_leaves_nothing_behind(tmp_path: Path, tiny_embedder: Embedder) -> None:
    with pytest.raises(CorpusMissing):
        build(tmp_path / "nowhere", tiny_embedder)
    with pytest.raises(NothingUsable):
        build(tmp_path, tiny_embedder)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path, 2)
    digested: list[Path] = []

    def growing(path: Path) -> str:
        if not digested:
            with path.open("ab") as file:
                file.write(b"more")
        digested.append(path)
        return digest_of(path)

    monkeypatch.setattr("indexer.decode.digest_of", growing)
    report = build(tmp_path, tiny_embedder, workers=1)
    assert report.failures_by_code == {"changed": 1}
    again = build(tmp_path, tiny_embedder)
    assert again.failures_by_code == {}
    assert (again.n_new, again.n_skipped, again.n_items) == (1, 1, 2)


def test_a_bug_beside_the_decoders_is_no_broken_file(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path, 3)

    def buggy(path: Path) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("indexer.decode.digest_of", buggy)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path, tiny_embedder)


# ── names and places ─────────────────────────────────────────────────────────────────────────────


@ON_BOTH
def test_names_of_any_kind(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "Küche 音 'quoted' 100%", 1)
    latin = os.fsdecode(b"caf\xe9")
    (corpus / "p000.png").rename(corpus / f"{latin}.png")
    (corpus / "p000.wav").rename(corpus / f"{latin}.wav")
    write_picture(corpus / "cafe\u0301 \u202e.png", 3)
    report = build(corpus, tiny_embedder)
    with IndexReader.open(report.index_dir) as reader:
        for row in reader.rows(reader.ids):
            assert row.image
            row.image.encode()
            assert reader.locate(row.image).is_file()
        composed = reader.allowed("image like 'café%'")
        assert composed is not None
        assert len(composed) == 1


@ON_BOTH
def test_a_corpus_that_moves_with_its_index_just_works(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "here", 2)
    build(corpus, tiny_embedder)
    moved = tmp_path / "there" / "corpus"
    moved.parent.mkdir()
    corpus.rename(moved)
    with IndexReader.open(moved / ".retrieval") as reader:
        (row, _) = reader.rows(reader.ids)
        assert reader.corpus == moved
        assert row.image
        assert reader.locate(row.image).is_file()
    again = build(moved, tiny_embedder)
    assert (again.n_new, again.n_skipped) == (0, 2)


def test_an_index_elsewhere(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    index = tmp_path / "a" / "b" / "index"
    report = build_index(corpus, embedder=tiny_embedder, index_dir=index, options=options())
    assert report.index_dir == index
    assert not (corpus / ".retrieval").exists()
    with IndexReader.open(index) as reader:
        assert reader.corpus == corpus


def test_a_folder_that_may_not_be_written(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        build_index(corpus, embedder=tiny_embedder, index_dir=tmp_path / "file" / "index")


# ── reports ──────────────────────────────────────────────────────────────────────────────────────


def test_progress_adds_up(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path, 5)
    for name in ("p003.png", "p003.wav"):
        (tmp_path / name).write_bytes(b"")
    told: list[BuildProgress] = []

    def run() -> BuildReport:
        told.clear()
        return build_index(
            tmp_path, embedder=tiny_embedder, options=options(), on_progress=told.append
        )

    report = run()
    assert told[0].phase == "encode"
    assert told[-1].phase == "index"
    assert (told[-1].done, told[-1].failed, told[-1].skipped, told[-1].total) == (4, 1, 0, 5)
    assert all(p.done + p.failed + p.skipped <= p.total for p in told)
    assert set(report.seconds_by_phase) == {"scan", "encode", "index"}
    assert report.peak_rss_bytes > 10_000_000
    assert report.items_per_s > 0
    run()
    assert (told[-1].done, told[-1].failed, told[-1].skipped) == (0, 0, 5)
