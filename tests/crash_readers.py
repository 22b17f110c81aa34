"""Many readers at once, in processes of threads, that ask and write down what they were told.

Run as a program it forks processes of threads over one index, until a file says that it is enough.
Each thread opens a reader, asks it for a while, closes it, opens the next one.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from crash_states import KINDS, ask

from encoder.embedder import Embedder
from indexer.reader import IndexReader

STOP = "stop"
MOST_ASKED = 5
"""Questions to one reader."""
PAUSE_S = 0.1
WARM = 5
"""Questions per thread before memory is looked at."""
Answer = dict[str, Any]


def read_on(index: Path, embedder: Embedder, stop: Path, seed: int, told: list[Answer]) -> None:
    """Open, ask, close, until it is enough; what fails is written down, too."""
    rng = random.Random(seed)
    while not stop.exists():
        try:
            with IndexReader.open(index) as reader:
                for _ in range(rng.randint(1, MOST_ASKED)):
                    told.append(_asked(reader, embedder, rng.choice(KINDS)))
                    time.sleep(PAUSE_S * rng.random() * 2)
        except Exception as error:
            told.append({"error": f"{type(error).__name__}: {error}"})


def _asked(reader: IndexReader, embedder: Embedder, kind: str) -> Answer:
    begun = time.monotonic()
    found = ask(reader, embedder, kind)
    rows = reader.rows([int(item) for item, _ in found])
    return {
        "generation": reader.generation,
        "kind": kind,
        "found": found,
        "paths": [[row.image, row.audio] for row in rows],
        "begun": begun,
        "ended": time.monotonic(),
    }


def process(index: Path, embedder: Embedder, folder: Path, number: int, n_threads: int) -> None:
    """Read in threads; write down what they were told, and what more they hold at the end."""
    told: list[Answer] = []
    n_files = len(os.listdir("/proc/self/fd"))
    threads = [
        threading.Thread(
            target=read_on, args=(index, embedder, folder / STOP, 100 * number + n, told)
        )
        for n in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    while len(told) < WARM * n_threads and not (folder / STOP).exists():
        time.sleep(PAUSE_S)
    n_bytes = own_bytes()
    for thread in threads:
        thread.join()
    gc.collect()
    maps = Path("/proc/self/maps").read_text()
    facts = {
        "told": told,
        "n_files_more": len(os.listdir("/proc/self/fd")) - n_files,
        "n_bytes_more": own_bytes() - n_bytes,
        "mapped": [line for line in maps.splitlines() if str(index) in line],
    }
    (folder / f"{number}.json").write_text(json.dumps(facts))


def own_bytes() -> int:
    """Return the memory of this process that is no file's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def main(index: Path, checkpoint: Path, folder: Path, n_processes: int, n_threads: int) -> None:
    torch.set_num_threads(1)
    embedder = Embedder.load(checkpoint, device="cpu")
    children = []
    for number in range(n_processes):
        child = os.fork()
        if not child:
            try:
                process(index, embedder, folder, number, n_threads)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    (folder / "ready").touch()
    statuses = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(statuses))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:]))  # type: ignore[arg-type]
