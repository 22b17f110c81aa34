"""SIGKILL at random instants and at every named step: nothing is lost, nothing comes back."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import crash_server
import pytest
from crash_operations import OPERATIONS, STEPS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
SEED = 20_191_024
N_TRIES = 9
SIDES = [["build", "remove", "merge", "repair"], ["update", "compact", "grow", "shrink"]]
"""Operations by the server that attempts them; one for each of two cores."""
Done = dict[str, Any]


class Server:
    """A process that attempts operations (`crash_server`), one at a time."""

    def __init__(self, root: Path, checkpoint: Path) -> None:
        tests = Path(crash_server.__file__).parent
        self._process = subprocess.Popen(
            [sys.executable, crash_server.__file__, str(root), str(checkpoint)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": f"{tests.parent}:{tests}", "OMP_NUM_THREADS": "1"}
            | {"JE_ARROW_MALLOC_CONF": "background_thread:false"},
        )
        self._prepared: set[str] = set()
        self._rng = random.Random(SEED)

    def at_step(self, operation: str, *step: Any) -> Done:
        """Kill an operation at a step."""
        return self._ask({"operation": operation, "step": step})

    def at_random(self, operation: str) -> Done:
        """Kill an operation at an instant of its duration; it came to its end `n_late` times."""
        tries = []
        while len(tries) < N_TRIES and not (tries and tries[-1]["killed"]):
            share = self._rng.random() * 0.95
            tries.append(self._ask({"operation": operation, "share": share}))
        return tries[-1] | {"n_late": len(tries) - 1}

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def _ask(self, job: Done) -> Done:
        if job["operation"] not in self._prepared:
            self._prepared.add(job["operation"])
            self._answer({"prepare": job["operation"]})
        return self._answer(job)

    def _answer(self, job: Done) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the server is gone; what it said is on standard error"
        done: Done = json.loads(line)
        assert "error" not in done, f"{job}\n{done['error']}"
        return done


Attempts = dict[str, list[Future[Done]]]


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Attempts]:
    """All attempts, by step and by operation; those of two servers go on beside each other."""
    found: Attempts = {}
    servers, threads = [], []
    for operations in SIDES:
        server = Server(tmp_path_factory.mktemp("killed"), tiny_checkpoint)
        thread = ThreadPoolExecutor(1)
        for name, (operation, *step) in STEPS.items():
            if operation in operations:
                found[name] = [thread.submit(server.at_step, operation, *step)]
        for operation in operations:
            n_kills = OPERATIONS[operation].n_kills
            found[operation] = [thread.submit(server.at_random, operation) for _ in range(n_kills)]
        servers.append(server)
        threads.append(thread)
    yield found
    for thread, server in zip(threads, servers, strict=True):
        thread.shutdown(cancel_futures=True)
        server.close()


@pytest.mark.parametrize("name", [*STEPS, *OPERATIONS])
def test_what_a_kill_leaves_is_whole_and_the_next_run_completes(
    attempts: Attempts, name: str
) -> None:
    for attempt in attempts[name]:
        done = attempt.result()
        assert done["killed"], "it came to its end each time"
        assert done["orphans"] == []


def test_a_hundred_random_instants(attempts: Attempts, capsys: pytest.CaptureFixture[str]) -> None:
    done = [attempt.result() for operation in OPERATIONS for attempt in attempts[operation]]
    assert sum(one["killed"] for one in done) >= 100
    n_late = sum(one["n_late"] for one in done)
    with capsys.disabled():
        print(f"\nkilled: {len(done)} at random instants ({n_late} came too late), ", end="")
        print(f"{len(STEPS)} at named steps; nothing lost, nothing left running")


def test_every_operation_is_attempted() -> None:
    assert sorted(chain(*SIDES)) == sorted(OPERATIONS)
    assert {operation for operation, *_ in STEPS.values()} == set(OPERATIONS)
