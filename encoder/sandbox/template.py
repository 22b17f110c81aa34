"""A process that has imported the decoders once, and makes decoding processes by forking.

It opens no media, so it cannot be harmed by them. On its control socket it is told, one byte and
what belongs to it at a time, to make a worker for the socket that comes along (`F`; the answer is
its process id) or to end one (`K` and the id; the answer is how it ended, as `os.waitpid` says).
When the socket is closed, it ends all that it made, and itself.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time

from encoder.allocator import keep_freed_memory

NUMBER = struct.Struct("<q")
READY = b"R"
_PATIENCE_S = 5.0
"""For a killed process to go away: one that waits for a dead network disk does not."""


def main(descriptor: int) -> None:
    """Serve the control socket until it is closed."""
    import encoder.sandbox.worker  # noqa: F401  what every worker needs, loaded before it is forked

    _open_standard_streams()
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as control:
        children: set[int] = set()
        try:
            control.sendall(READY)
            while _obey(control, children):
                pass
        except OSError:  # nobody listens any more
            pass
        for child in children:
            _end(child)


def _obey(control: socket.socket, children: set[int]) -> bool:
    """Do as told once; False where the other side is closed."""
    order, descriptors, _, _ = socket.recv_fds(control, 1 + NUMBER.size, 1)
    if order[:1] == b"F":
        end = socket.socket(fileno=descriptors[0])
        child = _fork(control, end)
        end.close()
        children.add(child)
        control.sendall(NUMBER.pack(child))
    elif order[:1] == b"K":
        (child,) = NUMBER.unpack(order[1:])
        children.discard(child)
        control.sendall(NUMBER.pack(_end(child)))
    return bool(order)


def _fork(control: socket.socket, end: socket.socket) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        from encoder.sandbox.worker import serve

        control.close()
        _silence()
        serve(end, parent=parent)
    finally:
        os._exit(0)


def _open_standard_streams() -> None:
    """Fill what the caller has closed (`>&-`), or a worker's socket would get its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _silence() -> None:
    """Decoders write to the terminal what is said better by their errors."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _end(child: int) -> int:
    """Kill a process and return how it ended; 0 where it cannot be ended."""
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return status
        time.sleep(0.001)
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
