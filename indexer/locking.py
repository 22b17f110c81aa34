"""One writer at a time: a lock on the index folder that says who holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from indexer.errors import IndexLocked, storing

LOCK, HOLDER = "writer.lock", "writer.json"


@contextmanager
def only_writer(index_dir: Path) -> Iterator[None]:
    """Hold the lock of an index; the system frees it when the process ends, however it ends.

    Raises
    ------
    IndexLocked : another process holds it; its id and host are in the message.
    StorageError : the folder may not be written.
    """
    lock = FileLock(index_dir / LOCK, timeout=0)
    with storing(index_dir):
        try:
            lock.acquire()
        except Timeout:
            raise IndexLocked(
                f"{index_dir}: {_holder(index_dir)} is writing; wait for it or stop it"
            ) from None
    try:
        with storing(index_dir):
            facts = {"pid": os.getpid(), "host": socket.gethostname()}
            (index_dir / HOLDER).write_text(json.dumps(facts), encoding="utf-8")
        yield
        (index_dir / HOLDER).unlink(missing_ok=True)
    finally:
        lock.release()


def _holder(index_dir: Path) -> str:
    try:
        facts = json.loads((index_dir / HOLDER).read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
