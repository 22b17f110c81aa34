"""A fine-tuning that is interrupted: what is kept, and what the same command makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from encoder.checkpoint import load_checkpoint
from encoder.embedder import Embedder
from indexer.build import build_index
from train.errors import ResumeError
from train.finetune.errors import FinetuneInterrupted, OutputTaken
from train.finetune.recipe import Tuning
from train.finetune.run import FinetuneTask, check_out, finetune
from train.state import UNFINISHED
from train.world import KINDS, WorldConfig, write_world

WORLD = WorldConfig(
    n_scenes=24, n_videos=0, n_panoramas=0, frame_px=64, sound_s=1.0, seed=31,
    two_source_share=0.0, offscreen_share=0.0, ambient_share=0.0, kinds=KINDS[:3],
)  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> FinetuneTask:
    folder = tmp_path_factory.mktemp("interrupted")
    manifest = write_world(folder / "world", WORLD).manifest
    embedder = Embedder.load(tiny_checkpoint, device="cpu")
    build_index(folder / "world", embedder=embedder, manifest=manifest)
    return FinetuneTask(
        index=folder / "world" / ".retrieval",
        out=folder / "out",
        checkpoint=tiny_checkpoint,
        tuning=Tuning(steps=4, batch_size=8),
        device="cpu",
    )


@contextmanager
def asked_at_once() -> Iterator[Callable[[], bool]]:
    """Ctrl-C in the first step."""
    yield lambda: True


def test_the_same_command_goes_on(
    task: FinetuneTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = (replace(task, out=tmp_path / name) for name in ("whole", "parts"))
    finetune(whole)
    with monkeypatch.context() as patched:
        patched.setattr("train.loop.asked_to_stop", asked_at_once)
        for step in (1, 2):
            with pytest.raises(FinetuneInterrupted, match=rf"step {step} of 4.*same command"):
                finetune(parts)
    assert [path.name for path in parts.out.iterdir()] == [UNFINISHED]
    with pytest.raises(ResumeError, match="learning_rate"):
        finetune(replace(parts, tuning=replace(task.tuning, learning_rate=0.1)))
    finetune(parts)
    expected, found = (load_checkpoint(one.out).network.state_dict() for one in (whole, parts))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not (parts.out / UNFINISHED).exists()


def test_anything_else_in_the_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).touch()
    check_out(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputTaken, match="new folder"):
        check_out(tmp_path)
