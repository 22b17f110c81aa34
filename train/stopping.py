"""Ctrl-C, or a cluster's request to leave, heard between two steps: half a step is never saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_S = 1.0
"""`torchrun` passes on a Ctrl-C that its processes have heard already."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Give the question whether the run shall stop; Ctrl-C again ends it on the spot.

    Outside the main thread no signal arrives, and the answer is always no.

    Raises
    ------
    KeyboardInterrupt : on a second Ctrl-C.
    """
    heard: list[float] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(time.monotonic())
        if number == signal.SIGINT and heard[-1] - heard[0] > SAME_S:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
