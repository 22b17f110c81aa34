"""The processes of a sandbox as the process sees them that uses it: one template, many workers."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from encoder.errors import SandboxError
from encoder.sandbox.framing import Ended, Facts, Message, receive, send, socket_pair
from encoder.sandbox.template import NUMBER, READY

_ROOT = str(Path(__file__).parents[2])
_START = (
    "import sys; sys.path[:0] = [p for p in sys.argv[2:] if p not in sys.path];"
    "from encoder.sandbox.template import main; main(int(sys.argv[1]))"
)
LOST = "decoding processes: none can be started; free some memory and run the same command again"
_PATIENCE_S = 60.0
"""For the template to start or to answer, on however busy a machine."""


class Template:
    """Starts the template process and gives it orders, one at a time.

    It starts at once but is waited for only by the first order: its imports (0.2 s) go on beside
    whatever the caller does next.
    """

    def __init__(self) -> None:
        self._control, theirs = (_above_standard_streams(end) for end in socket.socketpair())
        self._control.settimeout(_PATIENCE_S)
        # One core each: the threads of numpy's algebra would only take memory, and be forked away.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        # -P: a corpus may be the current folder, and must not be where modules come from.
        command = [sys.executable, "-P", "-c", _START, str(theirs.fileno()), _ROOT]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is for the process in front, which finishes what it has begun
        )
        theirs.close()
        self._lock, self._ready = Lock(), False

    def fork(self) -> Worker:
        """Make a worker. Raises SandboxError where that is impossible."""
        ours, theirs = socket_pair()
        try:
            with theirs:
                return Worker(end=ours, pid=self._order(b"F", theirs.fileno()))
        except BaseException:
            ours.close()
            raise

    def kill(self, worker: Worker) -> None:
        """End a worker, if it has not ended by itself; afterwards its `status` says how it did."""
        worker.end.close()
        worker.status = self._order(b"K" + NUMBER.pack(worker.pid))

    def close(self) -> None:
        """End the template and all of its workers."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _order(self, order: bytes, *descriptors: int) -> int:
        with self._lock:
            try:
                if not self._ready:
                    self._ready = self._control.recv(len(READY)) == READY
                socket.send_fds(self._control, [order], descriptors)
                (number,) = NUMBER.unpack(self._control.recv(NUMBER.size, socket.MSG_WAITALL))
            except BaseException as error:  # Ctrl-C, too: an answer that nobody took is on its way
                self._control.close()
                if isinstance(error, OSError | struct.error):
                    raise SandboxError(LOST) from error
                raise
        return int(number)


@dataclass(kw_only=True)
class Worker:
    """A decoding process and our end of its socket.

    Attributes
    ----------
    n_jobs : that it was given so far.
    status : how it ended, as `os.waitpid` says, once it was killed.
    """

    end: socket.socket
    pid: int
    n_jobs: int = 0
    status: int = 0

    def ask(self, job: Facts, n_most: int, deadline: float) -> Message:
        """Have one job done. Raises what `framing.receive` raises; the worker is then of no use."""
        self.n_jobs += 1
        try:
            send(self.end, job)
        except OSError:  # it died before it was asked
            raise Ended from None
        return receive(self.end, n_most=n_most, deadline=deadline)


def _above_standard_streams(end: socket.socket) -> socket.socket:
    """Move a socket out of the way of the child's streams: where ours are closed, it has theirs."""
    with end:
        return socket.socket(fileno=fcntl.fcntl(end.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


def how_it_ended(status: int) -> tuple[str, str]:
    """Return the code and the reason for a worker that ended with a job in hand."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU:
        return "timeout", "it used all the processor time that it may use"
    if number == signal.SIGKILL:
        return "out-of-memory", "the system killed the decoding process, most likely for its memory"
    return "crashed", f"the decoder died of {signal.Signals(number).name if number else 'itself'}"
