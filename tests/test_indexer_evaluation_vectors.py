"""Vectors on disk: what is written is read, and nothing is left of it."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.evaluation.errors import NoScratch
from indexer.evaluation.rankings import by_vectors
from indexer.evaluation.vector_file import VectorFile


def filled(vectors: np.ndarray) -> VectorFile:
    file = VectorFile(*vectors.shape)
    file.put(np.arange(len(vectors)), vectors)
    return file


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rows_are_read_as_they_were_written(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 5))
    kept = np.zeros((n, width), np.float32)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    with closing(VectorFile(n, width)) as file:
        for rows in data.draw(st.lists(st.lists(st.integers(0, n - 1), unique=True))):
            vectors = rng.normal(size=(len(rows), width)).astype(np.float32)
            kept[rows] = vectors
            file.put(np.array(rows, np.int64), vectors)
        asked = np.array(data.draw(st.lists(st.integers(0, n - 1))), np.int64)
        np.testing.assert_array_equal(file.take(asked), kept[asked])
        read = [(rows, part) for rows, part in file.blocks(7)]
        np.testing.assert_array_equal(np.concatenate([part for _, part in read]), kept)
        assert [(rows.start, rows.stop) for rows, _ in read] == [
            (start, min(start + 7, n)) for start in range(0, n, 7)
        ]


def test_scores_in_strips_are_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.evaluation.rankings.ANSWERS", 4)
    rng = np.random.default_rng(0)
    queries, answers = (rng.normal(size=(n, 6)).astype(np.float32) for n in (5, 11))
    of_query, of_answer = rng.integers(0, 5, 9), rng.integers(0, 11, 20)
    with closing(filled(queries)) as q, closing(filled(answers)) as a:
        scores = by_vectors(q, of_query, a, of_answer)
        whole = np.concatenate([scores(slice(0, 4)), scores(slice(4, 9))])
        each_once = by_vectors(q, np.arange(5), a, np.arange(11))(slice(0, 5))
    expected = queries @ answers.T
    np.testing.assert_allclose(whole, expected[np.ix_(of_query, of_answer)], atol=1e-5)
    np.testing.assert_allclose(each_once, expected, atol=1e-5)
    assert (whole[:, of_answer == of_answer[0]] == whole[:, :1]).all()


def test_nothing_is_left_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with closing(filled(np.ones((100, 10), np.float32))) as file:
        assert file.take(np.array([99])).sum() == 10
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(NoScratch, match=f"{gone}: no room for 4 MB .*set TMPDIR"):
        VectorFile(1000, 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with no_file_over(1 << 20), pytest.raises(NoScratch, match="no room for 4 MB"):
        VectorFile(1000, 1000)
    with closing(VectorFile(1000, 1000)) as file, no_file_over(1 << 20):
        file.put(np.arange(10), np.ones((10, 1000), np.float32))
        with pytest.raises(NoScratch, match="no room"):
            file.put(np.arange(500, 510), np.ones((10, 1000), np.float32))


@contextmanager
def no_file_over(n_bytes: int) -> Iterator[None]:
    """As a full disk does: no file may grow past so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
