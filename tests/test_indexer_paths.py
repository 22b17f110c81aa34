"""Paths as text: reversible for every name that a file system can hold."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from indexer.paths import found_corpus, from_text, shown, stored_corpus, to_text


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_any_name_comes_back(name: bytes) -> None:
    path = os.fsdecode(name)
    text = to_text(path)
    text.encode()  # no lone surrogates
    assert from_text(text) == path


def test_ordinary_names_stay_readable() -> None:
    assert to_text(Path("küche/50% off.wav")) == "küche/50% off.wav"
    assert shown("cafe\u0301.wav") == "café.wav"


def test_an_index_inside_or_beside_its_corpus_moves_with_it(tmp_path: Path) -> None:
    for name in ("corpus/.retrieval", "index"):
        corpus, index = tmp_path / "here" / "corpus", tmp_path / "here" / name
        there = tmp_path / "there" / name
        stored = stored_corpus(corpus, index)
        assert found_corpus(stored, there) == tmp_path / "there" / "corpus"


def test_an_index_elsewhere_names_its_corpus_in_full(tmp_path: Path) -> None:
    corpus, index = tmp_path / "a" / "corpus", tmp_path / "b" / "c" / "index"
    stored = stored_corpus(corpus, index)
    assert found_corpus(stored, tmp_path / "moved") == corpus
