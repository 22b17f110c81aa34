"""Crashes, Ctrl-C, full disks, two writers, another encoder: what was finished is kept."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_picture
from indexer_fixtures import IN_A_FILE, ON_BOTH, build, options, vectors_of, write_pairs

import indexer.assemble
import indexer.publish
import indexer.storage
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.catalogue import Catalogue
from indexer.errors import EncoderMismatch, IndexLocked, IndexMissing, StorageError
from indexer.ledger import delete_items
from indexer.locking import only_writer
from indexer.reader import IndexReader

pytestmark = ON_BOTH


class PowerCut(Exception):
    """The process is gone: nothing after this line runs."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "corpus", 10)  # segments of 4, 4 and 2


def other_encoder() -> Embedder:
    return Embedder(TwoStreamEncoder(tiny(), seed=1), name="other", device="cpu")


def failing_after(calls: int, function: Callable[..., Any], error: BaseException) -> Any:
    """Let a function through so many times, then raise instead."""
    left = [calls]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if left[0] == 0:
            raise error
        left[0] -= 1
        return function(*args, **kwargs)

    return wrapped


def assert_whole(corpus: Path, embedder: Embedder) -> None:
    """The index holds every item once, with the vectors of an undisturbed build."""
    calm = corpus.parent / "calm"
    build_index(corpus, embedder=embedder, index_dir=calm, options=options())
    index = corpus / ".retrieval"
    with IndexReader.open(index) as reader:
        rows = reader.rows(reader.ids)
        assert sorted(row.image or "" for row in rows) == [f"p{n:03d}.png" for n in range(10)]
        assert reader.verify() == []
        known = set(reader._generation.segments)
    found, expected = vectors_of(index), vectors_of(calm)
    assert found.keys() == expected.keys()
    for name, vector in found.items():
        product = np.linalg.norm(vector) * np.linalg.norm(expected[name])
        assert vector @ expected[name] / product > 1 - 1e-5
    on_disk = {int(folder.name) for folder in (index / "segments").iterdir()}
    assert on_disk == known
    assert len(list((index / "faiss").iterdir())) == 1


STEPS = {
    "before a segment is finished": ("indexer.segments.SegmentWriter.finish", 1),
    "before a segment is renamed": ("indexer.assemble.put_in_place", 1),
    "between rename and commit": ("indexer.assemble.commit_segment", 1),
    "before the first commit": ("indexer.assemble.commit_segment", 0),
    "while the vectors are written": ("indexer.parts.write_vectors", 1),
    "before the vectors are renamed": ("indexer.parts.put_in_place", 0),
    "between vectors and publication": ("indexer.publish.publish", 0),
    "before the basis is committed": ("indexer.compact.writing.add_basis", 0),
    "while compact maps are written": ("indexer.compact.writing.write_compact", 1),
    "between compact maps and commit": ("indexer.compact.writing.replace_segment_files", 1),
    "before the recall is measured": ("indexer.publish.measure_efforts", 0),
    "before the sweep": ("indexer.publish.sweep", 3),
}


AROUND_COMMITS = (
    "between rename and commit",
    "before the first commit",
    "between vectors and publication",
    "before the basis is committed",
    "between compact maps and commit",
)


@pytest.mark.parametrize(
    ("catalogue_url", "step"),
    [("sqlite", step) for step in STEPS] + [("postgresql", step) for step in AROUND_COMMITS],
    indirect=["catalogue_url"],
    scope="module",
)
def test_a_crash_loses_at_most_the_segment_in_progress(
    corpus: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target, calls = STEPS[step]
    with monkeypatch.context() as patch:
        module, _, name = target.rpartition(".")
        owner: Any = _resolve(module)
        patch.setattr(owner, name, failing_after(calls, getattr(owner, name), PowerCut()))
        with pytest.raises(PowerCut):
            build(corpus, tiny_embedder)
    again = build(corpus, tiny_embedder)
    lost = {"before the first commit": 10, "before a segment is finished": 6}
    lost |= {"before a segment is renamed": 6, "between rename and commit": 6}
    assert again.n_new == lost.get(step, 0)
    assert again.n_items == 10
    assert_whole(corpus, tiny_embedder)


def _resolve(dotted: str) -> Any:
    import importlib

    module, _, name = dotted.rpartition(".")
    if name[0].isupper():
        return getattr(importlib.import_module(module), name)
    return importlib.import_module(dotted)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from encoder.embedder import Embedder
from indexer.build import BuildOptions, build_index

def on_progress(progress):
    print(progress.done, flush=True)

build_index(
    Path(sys.argv[1]),
    embedder=Embedder.load(Path(sys.argv[2]), device="cpu"),
    options=BuildOptions(
        workers=2, batch_size=1, segment_items=2, catalogue=sys.argv[3] or None
    ),
    on_progress=on_progress,
)
"""


def test_a_real_kill_and_the_same_command_again(
    corpus: Path, tiny_checkpoint: Path, tiny_embedder: Embedder, catalogue_url: str | None
) -> None:
    command = [sys.executable, "-c", KILLED, str(corpus), str(tiny_checkpoint), catalogue_url or ""]
    index = corpus / ".retrieval"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (index / "segments" / "000002").is_dir() and time.monotonic() < until:
            if process.poll() is not None:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert (index / "segments" / "000001").is_dir()
    again = build(corpus, tiny_embedder)
    assert again.n_items == 10
    assert again.n_skipped >= 2
    assert_whole(corpus, tiny_embedder)


def test_ctrl_c_keeps_the_finished_batches(
    corpus: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        embed = failing_after(3, Embedder.embed_frames, KeyboardInterrupt())
        patch.setattr(Embedder, "embed_frames", embed)
        with pytest.raises(KeyboardInterrupt):
            build(corpus, tiny_embedder, workers=1)
    with pytest.raises(IndexMissing, match="never finished"):
        IndexReader.open(corpus / ".retrieval")
    again = build(corpus, tiny_embedder)
    # Two batches of two filled the first segment, a third was in the second.
    assert (again.n_skipped, again.n_new) == (6, 4)
    assert_whole(corpus, tiny_embedder)


@IN_A_FILE
@pytest.mark.parametrize("call", [0, 4])
def test_a_full_disk_is_told_and_nothing_finished_is_lost(
    corpus: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        checked = indexer.storage.CheckedFile
        patch.setattr(checked, "finish", failing_after(call, checked.finish, full))
        with pytest.raises(StorageError, match=r"disk is full.*same command again") as caught:
            build(corpus, tiny_embedder)
    assert "\n" not in str(caught.value)
    assert build(corpus, tiny_embedder).n_skipped == (4 if call else 0)
    assert_whole(corpus, tiny_embedder)


@contextmanager
def small_files() -> Iterator[None]:
    """The system refuses to let a file grow past 150 KB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@IN_A_FILE
def test_a_real_refusal_to_write_is_told(corpus: Path, tiny_embedder: Embedder) -> None:
    with small_files(), pytest.raises(StorageError, match="would grow past the limit"):
        build(corpus, tiny_embedder, segment_items=99)
    assert build(corpus, tiny_embedder).n_items == 10


# ── re-running ───────────────────────────────────────────────────────────────────────────────────


def test_the_same_again_does_nothing(corpus: Path, tiny_embedder: Embedder) -> None:
    first = build(corpus, tiny_embedder)
    again = build(corpus, tiny_embedder)
    assert again.generation == first.generation
    assert (again.n_new, again.n_skipped, again.n_frames_embedded) == (0, 10, 0)


def test_only_what_is_new_or_changed_is_done(corpus: Path, tiny_embedder: Embedder) -> None:
    build(corpus, tiny_embedder)
    with IndexReader.open(corpus / ".retrieval") as reader:
        before = {row.image: row.id for row in reader.rows(reader.ids)}
        write_pairs(corpus, 2, first=10)
        write_picture(corpus / "p004.png", seed=99)
        os.utime(corpus / "p004.png", ns=(0, 12345))
        again = build(corpus, tiny_embedder)
        # The old generation is still whole for whoever has it open.
        assert reader.n_items == 10
        assert {row.image: row.id for row in reader.rows(reader.ids)} == before
    assert (again.n_new, again.n_skipped, again.n_items) == (3, 9, 12)
    assert (again.n_frames_embedded, again.n_sounds_embedded) == (3, 2)  # p004.wav is copied
    with IndexReader.open(corpus / ".retrieval") as reader:
        after = {row.image: row.id for row in reader.rows(reader.ids)}
        assert len(after) == 12
        assert after["p004.png"] > max(before.values())
        assert all(after[name] == item for name, item in before.items() if name != "p004.png")
        stale = reader.nearest("coarse", reader.frame_map(1).mean(0)[:1].repeat(1000), 99)
        assert before["p004.png"] not in stale.ids


def test_a_failed_file_is_tried_again_once_it_changed(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    (corpus / "p002.wav").write_bytes(b"")
    first = build(corpus, tiny_embedder)
    assert first.failures_by_code == {"empty": 1}
    unchanged = build(corpus, tiny_embedder)
    assert (unchanged.n_new, unchanged.failures_by_code) == (0, {"empty": 1})
    write_pairs(corpus, 1, first=2)
    mended = build(corpus, tiny_embedder)
    assert (mended.n_new, mended.n_items, mended.failures_by_code) == (1, 10, {})


def test_a_changed_label_is_a_new_item_without_a_new_embedding(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    manifest = corpus / "m.jsonl"
    for label in ("dog", "cat"):
        row = {"image": "p001.png", "audio": "p001.wav", "label": label}
        manifest.write_text(json.dumps(row) + "\n")
        report = build_index(manifest, embedder=tiny_embedder, options=options())
    assert (report.n_items, report.n_new, report.n_frames_embedded) == (1, 1, 0)
    with IndexReader.open(report.index_dir) as reader:
        assert [row.label for row in reader.rows(reader.ids)] == ["cat"]


# ── encoders and writers ─────────────────────────────────────────────────────────────────────────


def test_another_encoder_is_refused_with_the_command(corpus: Path, tiny_embedder: Embedder) -> None:
    build(corpus, tiny_embedder)
    with pytest.raises(EncoderMismatch) as caught:
        build(corpus, other_encoder())
    message = str(caught.value)
    assert "tiny" in message
    assert "other" in message
    assert f"retrieval build-index {corpus} --index " in message
    assert "--reembed" in message


def test_reembedding_keeps_ids_and_serves_the_old_index_until_the_end(
    corpus: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(corpus, tiny_embedder)
    index = corpus / ".retrieval"
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, [3])
    other = other_encoder()
    with monkeypatch.context() as patch:
        commit = failing_after(2, indexer.assemble.commit_segment, PowerCut())
        patch.setattr(indexer.assemble, "commit_segment", commit)
        with pytest.raises(PowerCut):
            build(corpus, other, reembed=True)
    with IndexReader.open(corpus / ".retrieval") as reader:
        before = {row.id: row.image for row in reader.rows(reader.ids)}
        assert reader.encoder_name == "tiny"
    report = build(corpus, other, reembed=True)
    # It went on and did not begin again; what was deleted is not embedded.
    assert (report.n_skipped, report.n_new) == (9, 1)
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.encoder_name == "other"
        assert {row.id: row.image for row in reader.rows(reader.ids)} == before
        assert len(before) == 9  # what was deleted stays deleted
        assert reader.verify() == []
        kept = set(reader._generation.segments)
    assert {int(f.name) for f in (corpus / ".retrieval" / "segments").iterdir()} == kept
    again = build(corpus, other)
    assert (again.n_new, again.generation) == (0, report.generation)


def test_one_writer_at_a_time(corpus: Path, tiny_embedder: Embedder) -> None:
    build(corpus, tiny_embedder)
    holder = re.escape(f"process {os.getpid()} on ")
    with only_writer(corpus / ".retrieval"), pytest.raises(IndexLocked, match=holder):
        build(corpus, tiny_embedder)
    assert build(corpus, tiny_embedder).n_skipped == 10


def test_ids_are_never_given_twice(corpus: Path, tiny_embedder: Embedder) -> None:
    build(corpus, tiny_embedder)
    index = corpus / ".retrieval"
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, range(1, 11))
    write_pairs(corpus, 1, first=50)
    build(corpus, tiny_embedder)
    with IndexReader.open(index) as reader:
        assert reader.ids.tolist() == [11]
