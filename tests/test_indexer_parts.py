"""A generation grows by small parts: nothing old is written again, every search sees them all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_picture
from indexer_fixtures import build, write_pairs

import indexer.publish
from encoder.embedder import Embedder
from indexer.compact.recall import LEAST
from indexer.errors import IndexCorrupt
from indexer.parts import open_codes
from indexer.publish import rebuild_vectors
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound, sounds_for_frame
from indexer.vectors import exact_nearest
from indexer.verify import verify

N = LEAST + 6
"""Enough that conditional queries go by codes."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    corpus = write_pairs(tmp_path_factory.mktemp("corpus"), N)
    build(corpus, tiny_embedder, segment_items=50)
    return corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that counts as large."""
    monkeypatch.setattr(indexer.publish, "LEAST_LARGE", 10)
    return Path(shutil.copytree(built, tmp_path / "corpus"))


def parts_of(corpus: Path) -> dict[str, set[str]]:
    folder = corpus / ".retrieval" / "faiss"
    return {part.name: {path.name for path in part.iterdir()} for part in sorted(folder.iterdir())}


def contents(corpus: Path, part: str) -> dict[str, bytes]:
    folder = corpus / ".retrieval" / "faiss" / part
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answers(corpus: Path, embedder: Embedder) -> dict[str, Any]:
    """What every way of searching finds, by names of files."""
    with IndexReader.open(corpus / ".retrieval") as reader:
        first = int(reader.ids[0])
        heard, seen = reader.sound(first), reader.frame_map(first)
        found = {
            "sound": reader.nearest("sound", heard.f_s[0], 12),
            "own_sound": reader.nearest("own_sound", heard.f_s[0], 12),
            "frames": reader.answer(embedder, [frames_for_sound(heard)], 12).neighbours,
            "sounds": reader.answer(embedder, [sounds_for_frame(seen)], 12).neighbours,
        }
        return {
            kind: [
                (row.image, round(float(score), 5))
                for row, score in zip(reader.rows(one.ids), one.scores, strict=True)
            ]
            for kind, one in found.items()
        }


def test_what_is_new_goes_into_a_part_of_its_own(corpus: Path, tiny_embedder: Embedder) -> None:
    large = contents(corpus, "g000001")
    with IndexReader.open(corpus / ".retrieval") as reader:
        measured = reader.info()["conditional"]
    write_pairs(corpus, 3, first=500)
    report = build(corpus, tiny_embedder)
    assert (report.n_new, report.n_items) == (3, N + 3)
    assert list(parts_of(corpus)) == ["g000001", "g000002"]
    assert contents(corpus, "g000001") == large
    assert report.conditional == measured
    assert verify(corpus / ".retrieval").is_intact
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.verify() == []
        assert reader.info()["n_items"] == N + 3
        vector = reader.sound(int(reader.ids[-1])).f_s[0]
        blocks = [(block.ids, block.f_s) for block in reader.sound_blocks()]
        slow, fast = exact_nearest(blocks, vector, 9), reader.nearest("sound", vector, 9)
        assert fast.ids.tolist() == slow.ids.tolist()
        assert fast.scores.tolist() == slow.scores.tolist()
        assert len(reader.nearest("sound", vector, N + 99).ids) == N + 3


def test_parts_answer_as_one_index_of_everything(
    corpus: Path, tiny_embedder: Embedder, tmp_path: Path
) -> None:
    for first in (500, 600):
        write_pairs(corpus, 2, first=first)
        build(corpus, tiny_embedder)
    assert len(parts_of(corpus)) == 3
    whole = Path(shutil.copytree(corpus, tmp_path / "whole", ignore=lambda *_: {".retrieval"}))
    build(whole, tiny_embedder)
    assert answers(corpus, tiny_embedder) == answers(whole, tiny_embedder)


def test_a_changed_item_is_hidden_in_the_part_that_holds_it(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    with IndexReader.open(corpus / ".retrieval") as before:
        write_picture(corpus / "p000.png", 999)
        with IndexReader.open(corpus / ".retrieval") as reader:
            assert reader.n_items == N
        report = build(corpus, tiny_embedder)
        assert (report.n_new, report.n_items, len(parts_of(corpus))) == (1, N, 2)
        with IndexReader.open(corpus / ".retrieval") as reader:
            assert reader.n_items == N
            assert 1 not in reader.ids
            vector = before.sound(1).f_s[0]
            assert 1 not in reader.nearest("sound", vector, N).ids
            assert len(reader.nearest("sound", vector, 99).ids) == N
        assert 1 in before.ids
        assert len(before.ids) == N


def test_much_that_is_new_is_gathered_into_one_part_and_measured(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    write_pairs(corpus, N // 8 + 2, first=500)
    build(corpus, tiny_embedder)
    assert list(parts_of(corpus)) == ["g000002"]


def test_many_parts_are_gathered(
    corpus: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.publish, "MOST_PARTS", 2)
    for n, expected in enumerate([["g000001", "g000002"], ["g000003"]]):
        write_pairs(corpus, 1, first=500 + n)
        build(corpus, tiny_embedder)
        assert list(parts_of(corpus)) == expected


def test_a_small_index_is_always_gathered(
    built: Path, tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = Path(shutil.copytree(built, tmp_path / "corpus"))
    write_pairs(corpus, 1, first=500)
    build(corpus, tiny_embedder)
    assert list(parts_of(corpus)) == ["g000002"]


@pytest.mark.parametrize("name", ["sound.faiss", "frame_codes.arrow", "codes.safetensors"])
def test_a_damaged_part_is_made_anew_with_all_others(
    corpus: Path, tiny_embedder: Embedder, name: str
) -> None:
    write_pairs(corpus, 2, first=500)
    build(corpus, tiny_embedder)
    expected = answers(corpus, tiny_embedder)
    path = corpus / ".retrieval" / "faiss" / "g000002" / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [damage.path for damage in verify(corpus / ".retrieval").damaged] == [
        f"faiss/g000002/{name}"
    ]
    rebuild_vectors(corpus / ".retrieval")
    assert verify(corpus / ".retrieval").is_intact
    assert answers(corpus, tiny_embedder) == expected


def test_parts_that_are_coded_apart_are_refused(corpus: Path, tiny_embedder: Embedder) -> None:
    write_pairs(corpus, 2, first=500)
    build(corpus, tiny_embedder)
    with IndexReader.open(corpus / ".retrieval") as reader:
        large, small = reader._generation.parts
    small.files["codes.safetensors"] = large.files["frame_codes.arrow"]
    with pytest.raises(IndexCorrupt, match="coded in different ways"):
        open_codes(corpus / ".retrieval", reader._generation)


def test_both_parts_are_searched_by_codes(corpus: Path, tiny_embedder: Embedder) -> None:
    write_pairs(corpus, 2, first=500)
    build(corpus, tiny_embedder)
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader._codes is not None
        coded = np.concatenate([block.ids for block in reader._codes.frames()])
        assert sorted(coded.tolist()) == reader.ids.tolist()
        assert reader.effort("frames") is not None
