"""What a decoding process may not do, as far as the operating system can hold it to that."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress

from encoder.sandbox.kernel import forbid_changes, forbid_system_calls

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38


def confine(*, parent: int) -> None:
    """Confine the calling process for the rest of its life.

    It dies with its parent, leaves no core file and hears no Ctrl-C: the process that it works for
    decides when it ends. It can write no file, open no socket and start no program; it can read
    what its user can.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _offer_to_be_killed()
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_FSIZE, 0)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_DUMPABLE, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        forbid_changes()
        forbid_system_calls()
    if os.getppid() != parent:  # it died before it could be followed
        os._exit(0)


def _offer_to_be_killed() -> None:
    """Where the system runs out of memory, have Linux end this process and not the caller."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def limit_memory(n_bytes: int) -> None:
    """Hold the address space of the calling process to this; macOS cannot."""
    if sys.platform == "linux":
        _set_soft_limit(resource.RLIMIT_AS, n_bytes)


def limit_processor_time(seconds: float) -> None:
    """Have the calling process killed (SIGXCPU) once it has computed for this much longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)


def _set_limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def _set_soft_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
