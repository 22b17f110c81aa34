"""Running `retrieval` in tests: in this process, or as a shell does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from retrieval.cli import app
from retrieval.exit_codes import ExitCode

COMMANDS = (
    "scan",
    "build-index",
    "update",
    "remove",
    "compact",
    "merge",
    "query",
    "info",
    "verify",
    "doctor",
    "demo",
    "label",
    "evaluate",
    "reproduce",
    "train",
    "finetune",
)
CLEAN = {"RETRIEVAL_INDEX": None, "RETRIEVAL_CHECKPOINT": None, "RETRIEVAL_DEBUG": None}
PROJECT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}


def run(*arguments: object) -> Result:
    return CliRunner(env=CLEAN).invoke(app, [str(one) for one in arguments])


def run_process(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the real entry point, as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "retrieval.cli", *map(str, arguments)],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def assert_one_line(result: Result, code: ExitCode, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("retrieval: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]
