"""A build over files that kill their decoder: each costs one item, and the rest is as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from broken_files import write_broken, write_good
from indexer_fixtures import build, options, vectors_of, write_pairs
from media_files import CLIPS, write_clip

from encoder.embedder import Embedder
from encoder.media import MediaLimits
from encoder.sandbox import Sandbox
from encoder.sandbox.framing import Message
from encoder.sandbox.processes import Template, Worker
from indexer.build import build_index
from indexer.decode import DecodeJob, Decoder, in_order
from indexer.scan import scan


def test_decoded_parts_equal_those_of_this_process(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_good(tmp_path)
    write_broken(tmp_path / "broken")
    for name, how in CLIPS.items():
        write_clip(tmp_path / name, **how)
    items = scan(tmp_path, options=options(window_s=0.7)).items
    jobs = [DecodeJob(part=part, digests=True) for item in items for part in item.parts]
    assert len(jobs) > 50

    with Sandbox() as sandbox:
        here, there = (
            Decoder(corpus=tmp_path, embedder=tiny_embedder, limits=MediaLimits(), sandbox=box)
            for box in (None, sandbox)
        )
        for job, given in zip(jobs, in_order(jobs, there, workers=3, n_ahead=6), strict=True):
            wanted = here(job)
            assert given.failure == wanted.failure
            assert (given.digest, given.duration_s) == (wanted.digest, wanted.duration_s)
            if wanted.prepared is not None:
                assert given.prepared is not None
                assert given.prepared.dtype == wanted.prepared.dtype
                np.testing.assert_array_equal(given.prepared, wanted.prepared)


@contextmanager
def deadly(monkeypatch: pytest.MonkeyPatch, name: str, number: signal.Signals) -> Iterator[None]:
    """Have the decoding process of one file die, truly, whenever it is given that file."""
    ask = Worker.ask

    def ask_and_kill(self: Worker, job: dict, n_most: int, deadline: float) -> Message:
        if job["path"].endswith(name):
            os.kill(self.pid, number)
        return ask(self, job, n_most, deadline)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "ask", ask_and_kill)
        yield


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGSEGV, "crashed"),
        (signal.SIGSTOP, "timeout"),
        (signal.SIGKILL, "out-of-memory"),
    ],
)
def test_a_file_that_kills_its_decoder_costs_one_part(
    tmp_path: Path,
    tiny_embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    code: str,
) -> None:
    write_pairs(tmp_path, 6)
    whole = vectors_of(build(tmp_path, tiny_embedder).index_dir)
    index_dir = tmp_path / "other"
    with deadly(monkeypatch, "p003.png", number):
        report = build_index(
            tmp_path,
            embedder=tiny_embedder,
            index_dir=index_dir,
            options=options(limits=MediaLimits(timeout_s=4.0)),
        )
    assert report.failures_by_code == {code: 1}
    assert (report.n_items, report.n_failed) == (6, 1)
    left = vectors_of(index_dir)
    assert set(whole) - set(left) == {"p003.png@None"}
    for name, vector in left.items():
        if "p003" not in name:  # whose batch mates differ, and so the last digits
            np.testing.assert_allclose(vector, whole[name], atol=1e-4)


def test_no_process_is_left_after_an_interrupt(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path, 6)
    pids: list[int] = []
    fork, embed = Template.fork, Embedder.embed_frames

    def remembered(self: Template) -> Worker:
        worker = fork(self)
        pids.extend([worker.pid, self._process.pid])
        return worker

    def interrupted(self: Embedder, prepared: list) -> object:
        if len(pids) >= 2:
            raise KeyboardInterrupt
        return embed(self, prepared)

    monkeypatch.setattr(Template, "fork", remembered)
    monkeypatch.setattr(Embedder, "embed_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, tiny_embedder)
    assert len(pids) >= 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_build_without_the_sandbox_gives_the_same_vectors(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path, 4)
    there = vectors_of(build(tmp_path, tiny_embedder).index_dir)
    monkeypatch.setattr("indexer.assemble.Sandbox", nullcontext)
    report = build_index(
        tmp_path, embedder=tiny_embedder, index_dir=tmp_path / "here", options=options()
    )
    here = vectors_of(report.index_dir)
    assert here.keys() == there.keys()
    for name, vector in here.items():
        np.testing.assert_array_equal(vector, there[name])
