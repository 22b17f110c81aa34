"""What a decoding process may not do, tried from inside."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="by means that Linux alone has")


def confined(program: str, folder: Path) -> str:
    """Run a program in a process that was confined as a worker is; return what it printed."""
    setting = """
        import os, signal, socket, subprocess, sys
        from encoder.sandbox.confinement import *
        confine(parent=os.getppid())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(setting) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.strip()


@LINUX
@pytest.mark.parametrize(
    "attempt",
    [
        "open('new', 'w')",
        "open('old', 'a').write('more') and open('old', 'a').flush()",
        "open('old', 'w')",
        "os.truncate('old', 0)",
        "os.remove('old')",
        "os.rename('old', 'elsewhere')",
        "os.mkdir('folder')",
        "os.symlink('old', 'link')",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), signal.SIGTERM)",
        "os.chmod('old', 0o777)",
        "os.fchmod(os.open('old', os.O_RDONLY), 0o777)",
        "os.chown('old', os.getuid(), os.getgid())",
        "os.lchown('old', os.getuid(), os.getgid())",
        "os.utime('old', (1, 1))",
        "os.setxattr('old', 'user.a', b'1')",
        "os.removexattr('old', 'user.a')",
    ],
)
def test_what_is_refused(tmp_path: Path, attempt: str) -> None:
    (tmp_path / "old").write_text("as it was")
    program = f"""
        try:
            {attempt}
        except PermissionError:
            print("refused")
    """
    assert confined(program, tmp_path) == "refused"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "as it was"


def test_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("as it was")
    program = """
        import threading
        from encoder import media  # which may load what it has not loaded yet
        thread = threading.Thread(target=print, args=(open("old").read(),))
        thread.start()
        thread.join()
    """
    assert confined(program, tmp_path) == "as it was"


@LINUX
def test_memory_is_limited_and_given_back(tmp_path: Path) -> None:
    program = """
        limit_memory(1 << 30)
        try:
            bytearray(2 << 30)
        except MemoryError:
            print(len(bytearray(100 << 20)))
        limit_memory(4 << 30)
        print(len(bytearray(2 << 30)))
    """
    assert confined(program, tmp_path).split() == [str(100 << 20), str(2 << 30)]


@LINUX
def test_it_is_the_first_to_go_where_memory_runs_out(tmp_path: Path) -> None:
    assert confined("print(open('/proc/self/oom_score_adj').read())", tmp_path) == "1000"


def test_processor_time_is_limited(tmp_path: Path) -> None:
    program = """
        child = os.fork()
        if child == 0:
            limit_processor_time(0)
            while True:
                pass
        print(os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGXCPU)
    """
    assert confined(program, tmp_path) == "True"
