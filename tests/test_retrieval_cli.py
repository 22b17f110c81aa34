"""The command line as a program: help, how soon it is there, its standard streams."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMANDS, ENVIRONMENT, PROJECT, run, run_process
from conftest import SmallCorpus, write_picture

from retrieval.exit_codes import ExitCode


def test_help_and_commands_are_one_list() -> None:
    listed = run("-h").stdout
    assert all(f"\n  {command} " in listed for command in COMMANDS)
    assert "Exit codes" in listed


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from retrieval.cli import app\n"
        "try: app(['query', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'faiss', 'streamlit', 'numpy', 'PIL', 'av', 'sqlalchemy', 'pyarrow'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_help_is_fast(tmp_path: Path) -> None:
    """In processor time of the child, which other work on the machine does not lengthen."""

    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    took_s = []
    for _ in range(3):
        before = cpu_s()
        assert run_process("--help", cwd=tmp_path).returncode == 0
        took_s.append(cpu_s() - before)
    assert min(took_s) < 0.3


def test_version(tmp_path: Path) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("retrieval 0.")


def with_closed_pipe(stream: str, *arguments: object) -> tuple[int, str]:
    """Run with a pipe as stdout or stderr whose reader is gone; return the code and the other."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli", *map(str, arguments)],
        cwd=PROJECT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pipes = {"stdout": process.stdout, "stderr": process.stderr}
    gone = pipes.pop(stream)
    (read,) = pipes.values()
    assert gone is not None
    assert read is not None
    gone.close()
    with read:
        said = read.read().decode()
    return process.wait(timeout=60), said


def test_a_reader_that_has_seen_enough_is_no_failure(small_corpus: SmallCorpus) -> None:
    code, complaints = with_closed_pipe("stdout", "scan", small_corpus.folder, "--json")
    assert code == 0
    assert "rror" not in complaints


def test_a_build_goes_on_without_readers(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Progress that nobody reads ends nothing; a report that nobody takes is told."""
    write_picture(tmp_path / "a.png", seed=1)
    asked = ("build-index", tmp_path, "--checkpoint", tiny_checkpoint)
    code, report = with_closed_pipe("stderr", *asked)
    assert code == 0
    assert report.startswith("items")
    code, complaints = with_closed_pipe("stdout", *asked)
    assert code == ExitCode.STORAGE
    assert "retrieval: error: Broken pipe" in complaints


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_end_nothing(tmp_path: Path, tiny_checkpoint: Path, closed: str) -> None:
    write_picture(tmp_path / "a.png", seed=1)
    arguments = ["build-index", str(tmp_path), "--checkpoint", str(tiny_checkpoint)]
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m retrieval.cli "$@" {closed}', sys.executable, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / ".retrieval" / "catalogue.sqlite").is_file()


@pytest.mark.parametrize(("debug", "shows_traceback"), [("0", False), ("1", True)])
def test_a_defect_is_one_line_unless_debugging(debug: str, shows_traceback: bool) -> None:
    program = (
        "from retrieval import cli, locate\n"
        "def fail(given): raise ZeroDivisionError('a defect')\n"
        "locate.find_index = fail\n"
        "cli.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "info"],
        env=ENVIRONMENT | {"RETRIEVAL_DEBUG": debug},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == ExitCode.FAILED
    assert ("Traceback" in ended.stderr) is shows_traceback
    assert ("unexpected ZeroDivisionError: a defect" in ended.stderr) is not shows_traceback
