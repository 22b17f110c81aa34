"""Labelling that is stopped: what was finished is kept, and the same call goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from indexer_fixtures import build, write_pairs
from label_fixtures import BrightnessLabeller, PitchLabeller, pair, said
from numpy.typing import NDArray

import indexer.labels.labelling
from encoder.embedder import Embedder
from encoder.labellers.protocol import Labelled
from indexer.labels.labelling import LabelReport, label_items
from indexer.labels.models import LabelOptions, ModelLabels
from indexer.progress import BuildProgress
from indexer.reader import IndexReader

N_PAIRS = 6
TESTS = Path(__file__).parent


@pytest.fixture
def corpus(tmp_path: Path, tiny_embedder: Embedder) -> Path:
    folder = write_pairs(tmp_path / "corpus", N_PAIRS)
    build(folder, tiny_embedder, segment_items=99, batch_size=8)
    return folder


class Stopping(PitchLabeller):
    """Is stopped after so many calls."""

    def __init__(self, calls: int, error: BaseException) -> None:
        super().__init__()
        self.calls, self.error = calls, error

    def label(self, prepared: Sequence[NDArray[Any]]) -> Labelled:
        if self.calls == 0:
            raise self.error
        self.calls -= 1
        return super().label(prepared)


def labelled(
    reader: IndexReader, audio: PitchLabeller, told: list[BuildProgress] | None = None
) -> LabelReport:
    options = LabelOptions(workers=2, batch_size=2)
    provider = ModelLabels(pair(audio=audio), reader.corpus, options=options)
    return label_items(reader, provider, on_progress=None if told is None else told.append)


def assert_as_undisturbed(reader: IndexReader) -> None:
    whole = ModelLabels(pair(), reader.corpus, name="calm", options=LabelOptions(workers=1))
    label_items(reader, whole)
    stopped, calm = (said(reader, reader.pseudo_labels(name)) for name in ("bins", "calm"))
    assert stopped == calm
    assert len(stopped["image"]) == len(stopped["audio"]) == N_PAIRS


def test_ctrl_c_keeps_the_finished_batches(corpus: Path) -> None:
    with IndexReader.open(corpus / ".retrieval") as reader:
        with pytest.raises(KeyboardInterrupt):
            labelled(reader, Stopping(4, KeyboardInterrupt()))
        (so_far,) = reader.label_sets()
        assert (so_far.n_frames, so_far.n_sounds) == (4, 4)  # a frame and a sound per batch
        audio = PitchLabeller()
        again = labelled(reader, audio)
        assert (again.n_skipped, again.n_new, audio.n_seen) == (8, 4, 2)
        assert_as_undisturbed(reader)


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_crash_around_a_commit_loses_that_batch_at_most(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keep, calls = indexer.labels.labelling.keep_answers, [0]

    def crashing(*arguments: Any) -> None:
        calls[0] += 1
        if step == "after":
            keep(*arguments)  # inside the transaction, which is undone
        if calls[0] == 3:
            raise MemoryError
        if step == "before":
            keep(*arguments)

    with IndexReader.open(corpus / ".retrieval") as reader:
        with monkeypatch.context() as patch:
            patch.setattr(indexer.labels.labelling, "keep_answers", crashing)
            with pytest.raises(MemoryError):
                labelled(reader, PitchLabeller())
        again = labelled(reader, PitchLabeller())
        assert (again.n_skipped, again.n_new) == (4, 8)
        assert_as_undisturbed(reader)


KILLED = """
import sys, time
from pathlib import Path
from label_fixtures import PitchLabeller, pair
from indexer.labels.labelling import label_items
from indexer.labels.models import LabelOptions, ModelLabels
from indexer.reader import IndexReader

class Slow(PitchLabeller):
    def label(self, prepared):
        time.sleep(0.05)
        return super().label(prepared)

with IndexReader.open(Path(sys.argv[1])) as reader:
    provider = ModelLabels(pair(audio=Slow()), reader.corpus, options=LabelOptions(batch_size=2))
    keep = provider.answers
    def told(sides):
        for n, answers in enumerate(keep(sides)):
            yield answers
            print("kept", n, flush=True)
    provider.answers = told
    label_items(reader, provider)
"""


def test_a_real_kill_and_the_same_call_again(corpus: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(corpus / ".retrieval")]
    environment = os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=TESTS.parent
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "kept 1\n":
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with IndexReader.open(corpus / ".retrieval") as reader:
        (so_far,) = reader.label_sets()
        n_kept = so_far.n_frames + so_far.n_sounds
        assert 4 <= n_kept < 2 * N_PAIRS
        again = labelled(reader, PitchLabeller())
        assert (again.n_skipped, again.n_new) == (n_kept, 2 * N_PAIRS - n_kept)
        assert_as_undisturbed(reader)


def test_progress_adds_up(corpus: Path) -> None:
    (corpus / "p002.wav").unlink()
    with IndexReader.open(corpus / ".retrieval") as reader:
        told: list[BuildProgress] = []
        labelled(reader, PitchLabeller(), told)
        last = told[-1]
        assert (last.done, last.failed, last.skipped, last.total) == (11, 1, 0, 12)
        labelled(reader, PitchLabeller(), told)
        last = told[-1]
        assert (last.done, last.failed, last.skipped, last.total) == (0, 1, 11, 12)


def test_readers_go_on_while_labels_are_made(corpus: Path) -> None:
    with IndexReader.open(corpus / ".retrieval") as reader:
        seen: list[int] = []
        options = LabelOptions(workers=1, batch_size=4)
        provider = ModelLabels(pair(BrightnessLabeller()), reader.corpus, options=options)
        label_items(
            reader,
            provider,
            on_progress=lambda _: seen.append(sum(one.n_frames for one in reader.label_sets())),
        )
        assert seen[0] == 0
        assert seen[-1] == N_PAIRS
        assert seen == sorted(seen)
