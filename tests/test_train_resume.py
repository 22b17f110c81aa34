"""A run that is killed, interrupted or ended early, and what goes on from there."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import ENVIRONMENT, PROJECT, run
from safetensors.torch import load_file, save_file
from training_fixtures import quick, write_split_world

from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank, bank_of_pairs
from train.errors import ResumeError, RoomError
from train.keeping import Keeping, identity_of
from train.loop import Progress, Trained, train
from train.metrics_log import METRICS, MetricsLog
from train.pairs import of_split, read_pairs
from train.recipe import Recipe
from train.state import UNFINISHED, read_state

SHORT = Recipe(
    steps=8, batch_size=8, crop_px=64, crop_s=1.0, world_share=0.0, validate_every=3,
    mixed_precision=False,
)  # fmt: skip


class Killed(Exception):
    """Stands for a machine that goes away."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_world(tmp_path_factory.mktemp("world"))


def fresh() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0)


@pytest.fixture(scope="module")
def banks(world: Path) -> tuple[Bank, Bank]:
    pairs, network = read_pairs(world), fresh()
    rows, held_back = (bank_of_pairs(of_split(pairs, s), network) for s in ("train", "val"))
    return rows, held_back


def keeping(folder: Path, recipe: Recipe, *, resume: bool = False, data: str = "a") -> Keeping:
    identity = identity_of(recipe, tiny(), data)
    return Keeping(folder, identity, every_s=0.0, resume=resume)


def killed_at(step: int, folder: Path, recipe: Recipe, banks: tuple[Bank, Bank]) -> None:
    log = MetricsLog(folder)

    def die(progress: Progress) -> None:
        log(progress)
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(
            fresh(), banks[0], recipe, val=banks[1], on_progress=die,
            keeping=keeping(folder, recipe),
        )  # fmt: skip


def resumed(
    folder: Path, recipe: Recipe, banks: tuple[Bank, Bank], network: TwoStreamEncoder
) -> Trained:
    kept = keeping(folder, recipe, resume=True)
    log = MetricsLog(folder, done=kept.done)
    return train(network, banks[0], recipe, val=banks[1], on_progress=log, keeping=kept)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def metrics(folder: Path) -> list[dict]:
    lines = (folder / METRICS).read_text().splitlines()
    return [{k: v for k, v in json.loads(one).items() if k != "pairs_per_s"} for one in lines]


@pytest.mark.parametrize(
    "recipe",
    [
        SHORT,
        replace(SHORT, accumulate=2, schedule="constant"),
        replace(SHORT, loss="distance-ratio", positives="recording"),
        replace(SHORT, frozen=True, augment=False),
    ],
    ids=["matrix", "accumulated", "distance ratio", "frozen"],
)
def test_a_resumed_run_ends_as_one_that_was_never_killed(
    tmp_path: Path, banks: tuple[Bank, Bank], recipe: Recipe
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    undisturbed = fresh()
    expected = train(undisturbed, banks[0], recipe, val=banks[1], on_progress=MetricsLog(whole))
    killed_at(5, parts, recipe, banks)
    assert read_state(parts).facts["step"] == 4
    network = fresh()
    found = resumed(parts, recipe, banks, network)
    assert same(undisturbed, network)
    assert same(expected.network, found.network)
    assert (found.step, found.figures) == (expected.step, expected.figures)
    assert metrics(parts) == metrics(whole), "the step that was lost stands there once"
    assert [line["step"] for line in metrics(parts)] == list(range(1, 9))


def test_the_state_has_no_pickle_and_all_of_the_optimiser(
    tmp_path: Path, banks: tuple[Bank, Bank]
) -> None:
    killed_at(4, tmp_path, SHORT, banks)
    assert not list(tmp_path.glob(".*")), "nothing half written is left"
    state = read_state(tmp_path)
    trained = [name for name, _ in fresh().named_parameters()]
    for moment in ("exp_avg", "exp_avg_sq", "step"):
        assert all(f"optimiser.{moment}.network.{name}" in state.tensors for name in trained)
    assert state.facts["best_step"] == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"recipe": replace(SHORT, learning_rate=0.1)}, "learning_rate (0.001, here 0.1)"),
        ({"recipe": replace(SHORT, crop_area=(0.5, 1.0))}, "crop_area"),
        ({"network": replace(tiny(), visual_width=16)}, "network visual_width (8, here 16)"),
        ({"data": "b"}, "data"),
    ],
)
def test_another_run_is_not_gone_on_with(
    tmp_path: Path, banks: tuple[Bank, Bank], changed: dict, named: str
) -> None:
    killed_at(3, tmp_path, SHORT, banks)
    same_run = {"recipe": SHORT, "network": tiny(), "data": "a"}
    given = {**same_run, **changed}
    identity = identity_of(given["recipe"], given["network"], given["data"])
    with pytest.raises(ResumeError) as refused:
        Keeping(tmp_path, identity, resume=True)
    assert f"another {named}" in str(refused.value)
    assert keeping(tmp_path, SHORT, resume=True).done == 2


def test_a_folder_without_an_unfinished_run_or_with_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="no unfinished run"):
        keeping(tmp_path, SHORT, resume=True)
    (tmp_path / UNFINISHED).write_bytes(b"\x40\0\0\0\0\0\0\0{broken")
    with pytest.raises(ResumeError, match="damaged"):
        keeping(tmp_path, SHORT, resume=True)
    with pytest.raises(ResumeError, match="add --resume"):
        keeping(tmp_path, SHORT)


def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, banks: tuple[Bank, Bank]) -> None:
    killed_at(3, tmp_path, SHORT, banks)
    path = tmp_path / UNFINISHED
    state = read_state(tmp_path)
    del state.tensors["averaged.fc9.bias"]
    save_file(state.tensors, path, {"run": json.dumps(state.facts)})
    with pytest.raises(ResumeError, match=r"fc9\.bias"):
        resumed(tmp_path, SHORT, banks, fresh())


def test_a_full_disk_leaves_the_last_state_whole(
    tmp_path: Path, banks: tuple[Bank, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keeping(tmp_path, SHORT)
    flushed = os.fsync

    def fill_up(progress: Progress) -> None:
        def full(file: int) -> None:
            flushed(file)
            raise OSError(errno.ENOSPC, "No space left on device")

        if progress.step == 5:
            monkeypatch.setattr("os.fsync", full)

    with pytest.raises(RoomError, match=r"\(No space left on device\); make room .* add --resume"):
        train(fresh(), banks[0], SHORT, on_progress=fill_up, keeping=kept)
    assert read_state(tmp_path).facts["step"] == 4
    assert [path.name for path in tmp_path.iterdir()] == [UNFINISHED]


def test_patience_ends_a_run_that_no_longer_gains(
    banks: tuple[Bank, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured for real once; then every look at `val` finds the same."""
    from train import stepping

    figures = stepping.measure(fresh().eval(), banks[1], frame_px=64)
    monkeypatch.setattr(stepping, "measure", lambda *_, **__: figures)
    impatient = replace(SHORT, steps=20, validate_every=2, patience=3)
    trained = train(fresh(), banks[0], impatient, val=banks[1])
    assert (trained.step, trained.last_step) == (2, 8)
    assert not trained.interrupted
    patient = train(fresh(), banks[0], replace(impatient, patience=None), val=banks[1])
    assert patient.last_step == 20


def test_patience_survives_a_kill(
    tmp_path: Path, banks: tuple[Bank, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import stepping

    figures = stepping.measure(fresh().eval(), banks[1], frame_px=64)
    monkeypatch.setattr(stepping, "measure", lambda *_, **__: figures)
    impatient = replace(SHORT, steps=20, validate_every=2, patience=3)
    killed_at(7, tmp_path, impatient, banks)
    assert resumed(tmp_path, impatient, banks, fresh()).last_step == 8


def started(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli", *arguments],
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def await_steps(process: subprocess.Popen[str], out: Path, n: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if (out / METRICS).is_file() and len((out / METRICS).read_text().splitlines()) >= n:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {n} steps: {process.communicate(timeout=60)}")


def test_a_process_that_is_killed_goes_on_exactly(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """The whole way, with SIGKILL: the checkpoints are the same files, byte for byte."""

    def arguments(out: Path) -> list[str]:
        more = ["--steps", "24", "--validate-every", "8", "--save-every", "0"]
        return [*quick(world, out, tiny_checkpoint), *more]

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    killed = started(arguments(parts))
    await_steps(killed, parts, 10)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (parts / "model.safetensors").exists()
    assert run(*arguments(whole)).exit_code == 0
    again = started([*arguments(parts), "--resume"])
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    weights = "model.safetensors"
    assert (parts / weights).read_bytes() == (whole / weights).read_bytes()
    assert metrics(parts) == metrics(whole)
    assert not (parts / UNFINISHED).exists(), "the run has ended"


def test_ctrl_c_saves_and_says_how_to_go_on(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out here"
    arguments = [*quick(world, out, tiny_checkpoint), "--steps", "400"]
    process = started(arguments)
    await_steps(process, out, 5)
    process.send_signal(signal.SIGINT)
    answer, said = process.communicate(timeout=120)
    assert (process.returncode, answer) == (130, ""), said
    assert "Traceback" not in said
    line = next(line for line in said.splitlines() if "go on with: " in line)
    done = read_state(out).facts["step"]
    assert f"interrupted at step {done};" in line
    command = shlex.split(line.split("go on with: ")[1])
    assert command[-1] == "--resume"
    # As a shell would run it, until a cluster asks it to leave.
    resumed_run = subprocess.Popen(
        command, cwd=PROJECT, env=os.environ | ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    await_steps(resumed_run, out, done + 2)
    resumed_run.send_signal(signal.SIGTERM)
    assert "interrupted at step" in resumed_run.communicate(timeout=120)[1]
    assert resumed_run.returncode == 130
    assert read_state(out).facts["step"] > done
    assert load_file(out / "model.safetensors"), "what it had learned can be used already"
