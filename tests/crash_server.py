"""Processes that are killed: everything is imported once, then each attempt is forked.

Run as a program it prepares all operations below a folder, and takes one attempt per line of
standard input. Nothing starts a thread before the fork. What a killed process leaves running
becomes a child of this one, so that none is overlooked.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from crash_operations import OPERATIONS, Operation, fresh
from crash_states import (
    State,
    assert_committed,
    assert_intact,
    assert_same,
    files_of,
    look,
    named_of,
)

import indexer.compact.recall
from encoder.embedder import Embedder
from indexer.errors import IndexerError
from indexer.storage import TEMPORARY

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 60.0
Job = dict[str, Any]


class Failed(Exception):
    """Something went wrong in a forked process."""


@dataclass(frozen=True, kw_only=True)
class Calm:
    """An operation that nobody disturbed: what was before it, None for no index, and after."""

    before: State | None
    after: State


class Attempts:
    """Operations prepared below `root`, and attempts at them."""

    def __init__(self, root: Path, checkpoint: Path) -> None:
        self.root = root
        self.embedder = Embedder.load(checkpoint, device="cpu")
        self._calm: dict[str, Calm] = {}
        self._seconds: dict[str, float] = {}

    def prepare(self, name: str) -> Job:
        """Make what an operation starts from, and do it once undisturbed."""
        operation, start, calm = OPERATIONS[name], self.root / name / "start", self._folder(name)
        in_a_child(lambda: operation.prepare(start, self.embedder))
        before = self._look(start / operation.index) if operation.begins_whole else None
        fresh(start, calm)
        begun = time.monotonic()
        in_a_child(lambda: operation.run(calm, self.embedder))
        seconds = time.monotonic() - begun
        after = self._look(calm / operation.index)
        assert after is not None
        self._calm[name], self._seconds[name] = Calm(before=before, after=after), seconds
        return {"seconds": seconds}

    def attempt(self, job: Job) -> Job:
        """Do an operation, kill it, look at what it left, do it again, compare."""
        name, operation = job["operation"], OPERATIONS[job["operation"]]
        folder = fresh(self.root / name / "start", self.root / name / "killed")
        pid, begun = (
            fork(lambda: self._killed(operation, folder, job.get("step"))),
            time.monotonic(),
        )
        wait_s = job["share"] * self._seconds[name] if "share" in job else math.inf
        status = killed_after(pid, wait_s)
        if status == 0:  # it came to its end: next time it is killed earlier
            self._seconds[name] = time.monotonic() - begun
            return {"killed": False}
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise Failed(f"it ended with status {status}; why is on standard error")
        orphans = no_children_left()
        in_a_child(lambda: self._check(operation, folder, self._calm[name]))
        return {"killed": True, "orphans": orphans}

    def _folder(self, name: str) -> Path:
        return self.root / name / "calm"

    def _look(self, index: Path) -> State | None:
        found = in_a_child(lambda: look(index, self.embedder).to_json())
        return State.from_json(found)

    def _killed(self, operation: Operation, folder: Path, step: list[Any] | None) -> None:
        if step is not None:
            die_at(*step)
        operation.run(folder, self.embedder)

    def _check(self, operation: Operation, folder: Path, calm: Calm) -> None:
        index = folder / operation.index
        self._check_killed(operation, index, calm)
        operation.run(folder, self.embedder)
        assert_intact(index)
        assert files_of(index) == named_of(index)
        assert not list(folder.rglob(f"{TEMPORARY}*"))
        assert_same(look(index, self.embedder), calm.after)

    def _check_killed(self, operation: Operation, index: Path, calm: Calm) -> None:
        try:
            now = look(index)
            assert_intact(index)
        except IndexerError:
            if operation.begins_whole:
                raise
            now = None
        assert_committed(now, calm.before, calm.after)


def die_at(target: str, n_calls: int, side: str) -> None:
    """Have this process kill itself before or after a call of a function, once it had others."""
    module, _, name = target.rpartition(".")
    owner = _resolved(module)
    function, left = getattr(owner, name), [n_calls]

    def deadly(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0 and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = function(*args, **kwargs)
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, deadly)


def _resolved(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    if name[0].isupper():
        return getattr(importlib.import_module(module), name)
    return importlib.import_module(dotted)


def fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own; return its id. What it raises is on standard error."""
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not survive the fork"
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:  # nothing of the program that was forked may go on here
        os._exit(1)


def in_a_child(work: Callable[[], Any]) -> Any:
    """Do something in a process of its own, and return what it gives, as JSON.

    Raises
    ------
    Failed : with the traceback of whatever was raised there.
    """
    reading, writing = os.pipe()

    def told() -> None:
        try:
            answer = {"found": work()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        with os.fdopen(writing, "w", encoding="utf-8") as file:
            json.dump(answer, file)

    pid = fork(told)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    answer = json.loads(text or "{}")
    if status or "error" in answer:
        raise Failed(answer.get("error", f"it ended with status {status}"))
    return answer["found"]


def killed_after(pid: int, seconds: float) -> int:
    """Kill a process once it had so much time; return how it ended, as `os.waitpid` says."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return status
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def no_children_left() -> list[str]:
    """Wait until no process is left of a killed one; return the command lines of those that are."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        time.sleep(0.002)
    left = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    return lines


def main(root: Path, checkpoint: Path) -> None:
    torch.set_num_threads(1)
    pa.array(
        [0]
    ).to_numpy()  # imports pandas, where it is there: once here, and not in each process
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    indexer.compact.recall.LEAST = indexer.compact.recall.K = 4  # so that few are searched by codes
    attempts = Attempts(root, checkpoint)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            done = attempts.prepare(job["prepare"]) if "prepare" in job else attempts.attempt(job)
        except Failed as error:
            done = {"error": str(error)}
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
