"""Opening an index, and everything about a question that cannot be answered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import SmallCorpus, sound_of

from encoder.errors import MediaError
from indexer.errors import EncoderMismatch, IndexMissing
from retrieval import Retriever
from retrieval.errors import QueryError


def test_index_and_corpus_open_alike(small_corpus: SmallCorpus) -> None:
    for place in (small_corpus.folder, small_corpus.index, str(small_corpus.index)):
        with Retriever.open(place, device="cpu", checkpoint=small_corpus.checkpoint) as opened:
            assert opened.reader.n_items == len(small_corpus.rows)


def test_another_encoder_is_refused(small_corpus: SmallCorpus, tmp_path: Path) -> None:
    from encoder.checkpoint import save_checkpoint
    from encoder.config import tiny
    from encoder.two_stream import TwoStreamEncoder

    save_checkpoint(
        tmp_path / "other", TwoStreamEncoder(tiny(), seed=9), name="other", facts={}, card=""
    )
    with pytest.raises(EncoderMismatch, match="--reembed"):
        Retriever.open(small_corpus.folder, device="cpu", checkpoint=tmp_path / "other")


def test_no_index_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="retrieval build-index"):
        Retriever.open(tmp_path)


def test_missing_and_broken_files(retriever: Retriever, tmp_path: Path) -> None:
    with pytest.raises(MediaError) as missing:
        retriever.search(audio=tmp_path / "none.wav")
    assert missing.value.code == "missing"
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(MediaError):
        retriever.search(image=tmp_path / "page.jpg")


@pytest.mark.parametrize(
    "bad",
    [
        {"audio": np.zeros((2, 100), np.float32)},
        {"audio": np.zeros(100, np.int16)},
        {"audio": np.full(22_050, np.nan, np.float32)},
        {"audio": np.full(219, 0.1, np.float32)},
        {"audio": np.full(22_050, 9e-5, np.float32)},
        {"image": np.zeros((8, 8), np.uint8)},
        {"image": np.zeros((8, 8, 3), np.float32)},
    ],
)
def test_arrays_of_the_wrong_kind(retriever: Retriever, bad: dict[str, object]) -> None:
    with pytest.raises(QueryError, match="give"):
        retriever.search(**bad)


def test_after_closing_nothing_is_shown(small_corpus: SmallCorpus) -> None:
    with Retriever.open(
        small_corpus.index, device="cpu", checkpoint=small_corpus.checkpoint
    ) as opened:
        hit = opened.search(audio=sound_of(1), k=1)[0]
    with pytest.raises(QueryError, match="closed"):
        hit.heatmap()
    with pytest.raises(QueryError, match="closed"):
        opened.search(audio=sound_of(1))


def test_threads_share_one_retriever(retriever: Retriever) -> None:
    alone = [[hit.path for hit in retriever.search(audio=sound_of(seed))] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(
            lambda seed: [hit.path for hit in retriever.search(audio=sound_of(seed))], range(4)
        )
    assert list(together) == alone
