"""Keeping freed memory, seen from outside: how many fresh pages the system hands out."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from encoder.allocator import keep_freed_memory

PROGRAM = """
import resource
import sys
from threading import Thread

import numpy as np

from encoder.allocator import keep_freed_memory


def work():
    for _ in range(20):
        layers = [np.ones(2 << 20, np.float32) for _ in range(3)]  # 8 MiB each
        del layers


def n_faults():
    thread = Thread(target=work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


if sys.argv[1] == "keep":
    assert keep_freed_memory()
print(n_faults())
"""


def n_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_thread_that_frees_and_asks_again_gets_its_old_pages() -> None:
    assert n_faults("keep") < n_faults("as it comes") / 4


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
