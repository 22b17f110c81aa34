"""Two processes, started by `torchrun` on the CPU, train as one does on the same batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import ENVIRONMENT, PROJECT, run
from safetensors.torch import load_file
from torch import Tensor
from training_fixtures import quick, write_split_world

from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from train.bank import bank_of_pairs
from train.distributed import ALONE, Learner, Team
from train.errors import RecipeError
from train.loop import train
from train.objective import Batch, Objective, glue
from train.pairs import read_pairs
from train.recipe import Recipe
from train.state import UNFINISHED, read_state

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
GRADIENTS = """
import sys
import torch
from safetensors.torch import save_file
from train.distributed import team_of_environment
from test_train_distributed import gradients

torch.set_num_threads(1)
with team_of_environment(torch.device("cpu")) as (team, _):
    assert team.size == 2
    found = gradients(team)
    assert team.any(team.is_first), "one says yes"
    assert not team.any(False)
    if team.is_first:
        save_file(found, sys.argv[1])
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_world(tmp_path_factory.mktemp("world"))


def batch_of(seed: int, n: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        frames=torch.rand(n, 3, 64, 64, generator=generator),
        sounds=torch.randn(n, 64, 50, generator=generator),
        group=torch.arange(n) % 3,
    )


def gradients(team: Team) -> dict[str, Tensor]:
    """Gradients of two batches of one step, the second with glued frames, and the statistics.

    Half of the 6 frames of the second batch are glued, so that 9 are shared out as 4 and 5.
    """
    network = TwoStreamEncoder(tiny(), seed=0).train()
    torch.manual_seed(0)
    objective = Objective(Recipe(), n_classes=3)
    learner = Learner(network, objective, team, frozen=False)
    for turn in range(2):
        batch = batch_of(turn)
        glued = glue(batch, torch.Generator().manual_seed(0)) if turn else None
        assert (glued is not None) == bool(turn)
        with learner.turn(is_last=turn == 1):
            torch.stack(list(learner(batch, glued).values())).sum().backward()
    weights = [*network.named_parameters(), *objective.named_parameters()]
    found = {f"gradient {name}": weight.grad for name, weight in weights}
    buffers = {f"buffer {name}": buffer for name, buffer in network.named_buffers()}
    return {k: v.contiguous() for k, v in (found | buffers).items() if v is not None}


def test_gradients_and_statistics_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    """Adam forgives a wrong scale of a gradient; this does not."""
    script = tmp_path / "two.py"
    script.write_text(GRADIENTS)
    together = subprocess.run(
        [*TORCHRUN, script, tmp_path / "found.safetensors"],
        cwd=PROJECT,
        env=ENVIRONMENT | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=180,
    )
    assert together.returncode == 0, together.stderr
    found, expected = load_file(tmp_path / "found.safetensors"), gradients(ALONE)
    assert set(found) == set(expected)
    assert any("proxies" in name for name in found)
    assert any("running_var" in name for name in found)
    for name, value in expected.items():
        scale = value.abs().max().item()
        torch.testing.assert_close(
            found[name], value, rtol=1e-3, atol=1e-4 * scale + 1e-6, msg=name
        )


def torchrun(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, "-m", "retrieval.cli", *arguments],
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_does(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    unvaried = ["--no-augment", "--learning-rate", "1e-4"]
    together = torchrun([*quick(world, two, tiny_checkpoint), *unvaried])
    alone = run(*quick(world, one, tiny_checkpoint), *unvaried)
    answer, said = together.communicate(timeout=180)
    assert (alone.exit_code, together.returncode) == (0, 0), said
    assert answer.count("checkpoint  ") == 1, "only the first process speaks"
    assert said.count("val: worse direction") == 2
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
    assert losses(two)[0] == pytest.approx(losses(one)[0], rel=1e-6)
    start = load_file(tiny_checkpoint / "model.safetensors")
    ends = [load_file(out / "model.safetensors") for out in (one, two)]
    for name, before in start.items():
        moved = (ends[0][name].double() - before.double()).norm()
        apart = (ends[0][name].double() - ends[1][name].double()).norm()
        # The files hold matrices in float16: half a step of it is the least there is.
        assert apart <= 0.05 * moved + 1e-3 * before.double().norm() + 1e-6, name


def test_a_batch_must_be_shared_out_evenly(world: Path) -> None:
    network = TwoStreamEncoder(tiny(), seed=0)
    bank = bank_of_pairs(read_pairs(world), network)
    with pytest.raises(RecipeError, match="batch_size 9: 2 processes"):
        train(network, bank, Recipe(batch_size=9, world_share=0.0), team=Team(size=2))


def test_ctrl_c_reaches_all_processes_and_one_saves(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = [*quick(world, out, tiny_checkpoint), "--steps", "400", "--no-val"]
    process = torchrun(arguments)
    until = time.monotonic() + 120
    while not (out / "metrics.jsonl").is_file() or len(losses(out)) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert (out / UNFINISHED).is_file(), said
    assert said.count("go on with: torchrun --nproc-per-node 2 -m retrieval.cli train") == 1
    assert read_state(out).facts["step"] == len(losses(out)), "after a whole step"
    assert not (out / "model.safetensors").exists(), "nothing to speak of has been learned"


def test_torch_distributed_is_known_to_one_module() -> None:
    """import-linter sees packages of others as one, so their parts are looked for here."""
    packages = ("encoder", "indexer", "retrieval", "train", "ui")
    known = [
        path.relative_to(PROJECT).as_posix()
        for package in packages
        for path in sorted((PROJECT / package).rglob("*.py"))
        if any(word in path.read_text(encoding="utf-8") for word in WORDS)
    ]
    assert known == ["train/distributed.py"]


WORDS = ("torch.distributed", "from torch import distributed", "torch.nn.parallel", "lightning")
