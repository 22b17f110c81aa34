"""Readers while generations change: every answer is of one generation, and none fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crash_readers
import pytest
from conftest import write_picture
from crash_states import State, ask, look
from indexer_fixtures import build, options, write_pairs

from encoder.embedder import Embedder
from indexer.compaction import compact_index
from indexer.reader import IndexReader
from indexer.update import chosen_ids, remove_items, update_index

N_PROCESSES, N_THREADS = 5, 10
N_ROUNDS = 6
"""Of two generations each: an update and a clearing."""
MOST_BYTES = 64 << 20
"""That a process of readers may grow by after its first answers; one index here has 0.6 MB."""


@pytest.fixture
def index(tmp_path: Path, tiny_embedder: Embedder) -> Path:
    return build(write_pairs(tmp_path / "corpus", 8), tiny_embedder).index_dir


def remove(index: Path, name: str) -> list[int]:
    ids: list[int] = chosen_ids(index, patterns=[name]).tolist()
    assert remove_items(index, ids) == 1
    return ids


def change(index: Path, n: int, embedder: Embedder) -> None:
    """A new pair, and another picture under the name of an old one."""
    write_pairs(index.parent, 1, first=50 + n)
    write_picture(index.parent / "p000.png", seed=500 + n)
    os.utime(index.parent / "p000.png", ns=(0, 1_000_000_000 * n))
    assert update_index(index, lambda: embedder, options=options()).build is not None


# ── one reader that stays ────────────────────────────────────────────────────────────────────────


def test_what_is_removed_stays_out_of_an_open_reader_that_a_clearing_passes(
    index: Path, tiny_embedder: Embedder
) -> None:
    with IndexReader.open(index) as reader:
        gone = set(remove(index, "p001.png"))
        for _ in range(2):
            assert compact_index(index).generation is not None
            for kind in ("sound", "own_sound", "frames", "sounds"):
                found = {item for item, _ in ask(reader, tiny_embedder, kind)}
                assert len(found) == 8 - len(gone)
                assert not found & gone
                reader.rows(sorted(found))
            gone |= set(remove(index, f"p00{len(gone) + 1}.png"))


def test_a_reader_shows_its_generation_whole_after_a_clearing(
    index: Path, tiny_embedder: Embedder
) -> None:
    before = look(index, tiny_embedder)
    with IndexReader.open(index) as reader:
        change(index, 0, tiny_embedder)
        assert compact_index(index).n_dropped == 1
        assert {kind: ask(reader, tiny_embedder, kind) for kind in before.answers} == before.answers
        rows = reader.rows(reader.ids)
    assert [row.image for row in rows] == [row[0] for row in before.rows.values()]


# ── many that come and go ────────────────────────────────────────────────────────────────────────


@contextmanager
def reading(index: Path, checkpoint: Path, folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Have readers ask until the end of the block; what they report is in the list then."""
    tests = Path(crash_readers.__file__).parent
    command = [sys.executable, crash_readers.__file__, str(index), str(checkpoint), str(folder)]
    environment = {"PYTHONPATH": f"{tests.parent}:{tests}", "OMP_NUM_THREADS": "1"}
    reports: list[dict[str, Any]] = []
    with subprocess.Popen(
        [*command, str(N_PROCESSES), str(N_THREADS)],
        env=os.environ | environment | {"JE_ARROW_MALLOC_CONF": "background_thread:false"},
    ) as process:
        while not (folder / "ready").exists() and process.poll() is None:
            time.sleep(0.05)
        try:
            yield reports
        finally:
            (folder / crash_readers.STOP).touch()
        assert process.wait(60) == 0
    reports += [json.loads(path.read_text()) for path in folder.glob("*.json")]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_every_answer_is_of_one_generation(
    index: Path,
    tiny_checkpoint: Path,
    tiny_embedder: Embedder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "readers"
    folder.mkdir()
    truth: dict[int, State] = {}
    removed: dict[int, tuple[float, float]] = {}

    def note() -> None:
        with IndexReader.open(index) as reader:
            generation = reader.generation
        truth.setdefault(generation, look(index, tiny_embedder))

    note()
    with reading(index, tiny_checkpoint, folder) as reports:
        for n in range(N_ROUNDS):
            change(index, n, tiny_embedder)
            note()
            begun = time.monotonic()
            (item,) = remove(index, f"p00{n + 1}.png")
            removed[item] = (begun, time.monotonic())
            assert compact_index(index).generation is not None
            note()
    answers = [answer for report in reports for answer in report["told"]]
    assert [answer for answer in answers if "error" in answer] == []
    assert len(reports) == N_PROCESSES
    assert [report["n_files_more"] for report in reports] == [0] * N_PROCESSES
    assert max(report["n_bytes_more"] for report in reports) < MOST_BYTES
    assert [line for report in reports for line in report["mapped"]] == []
    for answer in answers:
        check(answer, truth[answer["generation"]], removed)
    seen = {answer["generation"] for answer in answers}
    assert len(seen) >= N_ROUNDS
    with capsys.disabled():
        print(f"\n{N_PROCESSES * N_THREADS} readers: {len(answers)} answers", end="")
        print(
            f" of {len(seen)} generations while there came {len(truth) - 1}; a process grew by ",
            end="",
        )
        print(f"{max(report['n_bytes_more'] for report in reports) / 1e6:.1f} MB at most")


def check(answer: dict[str, Any], truth: State, removed: dict[int, tuple[float, float]]) -> None:
    """Items, scores and paths are those of the generation, but for what was removed since."""
    expected = {int(item): score for item, score in truth.answers[answer["kind"]]}
    found = {int(item): score for item, score in answer["found"]}
    assert found.items() <= expected.items()
    for item in expected.keys() - found.keys():
        assert removed[item][0] < answer["ended"], "it was not removed yet"
    for item in found.keys() & removed.keys():
        assert answer["begun"] < removed[item][1], "it was removed before it was asked for"
    paths = {int(item): row[:2] for item, row in truth.rows.items()}
    assert answer["paths"] == [paths[item] for item in found]
