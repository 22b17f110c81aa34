"""How long an evaluation of retrieval takes once everything is embedded, and its peak memory.

    python benchmarks/evaluate.py [--own-sound 5000] [--leak-free 1000] [--large 0] [--ann]
        [--keep DIR]

Builds an index of generated pairs for each size (50 labels, 10 × 10 cells a frame, random weights:
the shapes of the shipped encoder) and evaluates it with random pseudo labels in a process of its
own. Seconds are on the clock and of all processors, by phase; the two protocols that have a time to
keep are summed beside them.

Memory is measured twice. `peak_rss_bytes` is all that was ever resident (ru_maxrss), with the
libraries' code and the pages of mapped files. `peak_anonymous_bytes` is what the process itself
holds (RssAnon, Linux, looked at every 20 ms). What of it was there before the evaluation began
stands beside both, and `grown_per_item_bytes` says by how much the second rose from the smallest
size to each other one, per item. `--large 20000` adds a third size for that. Results are one JSON
object on stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index, peak_rss_bytes
from indexer.evaluation import EvaluationProgress, RetrievalOptions, evaluate_retrieval
from indexer.pseudo_labels import PseudoLabels, TopLabels
from indexer.reader import IndexReader

N_CLASSES = 50
VOCABULARY = 1000
PROTOCOLS = {
    "own_sound": ("looking with own sounds", "own-sound, audio→image", "own-sound, image→audio"),
    "leak_free": ("looking with every sound", "leak-free, audio→image", "leak-free, image→audio"),
}


def embedder() -> Embedder:
    """Return a network that conditions as the shipped one does, and embeds in no time."""
    return Embedder(TwoStreamEncoder(replace(tiny(), frame_px=160), seed=0), name="benchmark")


def write_index(folder: Path, n_items: int) -> Path:
    """Write pairs of noise and tones with labels, and index them."""
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "audio", "label"])
        for n in range(n_items):
            pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 48)).save(folder / f"{n:05d}.png")
            tone = 0.3 * np.sin(np.arange(8_000) * rng.uniform(0.01, 0.5))
            soundfile.write(folder / f"{n:05d}.wav", tone.astype(np.float32), 22_050)
            rows.writerow([f"{n:05d}.png", f"{n:05d}.wav", f"class {n % N_CLASSES:02d}"])
    return build_index(folder, manifest=folder / "manifest.csv", embedder=embedder()).index_dir


def random_labels(reader: IndexReader) -> PseudoLabels:
    """Return ten labels of a thousand for every item, both modalities."""
    rng = np.random.default_rng(1)

    def top() -> TopLabels:
        first = rng.integers(0, VOCABULARY, (reader.n_items, 1))
        labels = (first + 97 * np.arange(10)) % VOCABULARY
        return TopLabels(
            ids=reader.ids,
            labels=labels.astype(np.int32),
            scores=np.ones(labels.shape, np.float32),
        )

    names = tuple(f"name {n}" for n in range(VOCABULARY))
    return PseudoLabels(
        provider="random",
        version="1",
        vocabulary="benchmark",
        names=names,
        image=top(),
        audio=top(),
    )


class PhaseWatch:
    """Seconds of each phase, on the clock and of all processors."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}
        self._phase, self._since = "", self._now()

    def __call__(self, progress: EvaluationProgress) -> None:
        if progress.phase != self._phase:
            self.enter(progress.phase)

    def enter(self, phase: str) -> None:
        """End the phase that was: what came after its last step is its own, too."""
        now = self._now()
        spent = self.seconds.setdefault(self._phase or "reading", {"s": 0.0, "cpu_s": 0.0})
        for name, value in now.items():
            spent[name] += value - self._since[name]
        self._phase, self._since = phase, now

    @staticmethod
    def _now() -> dict[str, float]:
        return {"s": time.perf_counter(), "cpu_s": time.process_time()}


class MemoryWatch:
    """The most memory of its own that this process held while it was watched."""

    def __init__(self) -> None:
        self.peak_bytes = anonymous_bytes()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, anonymous_bytes())


def anonymous_bytes() -> int:
    """Return what this process holds that no file backs; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def measure(index: Path, ann: bool) -> dict[str, Any]:
    """Evaluate one index in this process."""
    with IndexReader.open(index) as reader, MemoryWatch() as memory:
        labels, watch, before = random_labels(reader), PhaseWatch(), peak_rss_bytes()
        own_before = anonymous_bytes()
        figures = evaluate_retrieval(
            reader,
            embedder(),
            options=RetrievalOptions(ann=ann),
            pseudo_labels=labels,
            on_progress=watch,
        )
    watch.enter("end")
    protocols = {
        name: sum(watch.seconds[phase]["s"] for phase in phases)
        for name, phases in PROTOCOLS.items()
    }
    return {
        "n_items": figures.n_items,
        "n_conditionings": figures.n_conditionings,
        "n_queries": {f"{r.protocol} {r.direction}": r.n_queries for r in figures.rankings},
        "protocol_s": protocols,
        "total_s": sum(spent["s"] for spent in watch.seconds.values()),
        "phases": watch.seconds,
        "peak_rss_bytes": peak_rss_bytes(),
        "peak_rss_bytes_before": before,
        "peak_anonymous_bytes": memory.peak_bytes,
        "anonymous_bytes_before": own_before,
    }


def benchmark(n_items: int, ann: bool, keep: Path | None) -> dict[str, Any]:
    """Index so many items, unless they are kept from before, and evaluate them.

    Both in processes of their own: a child's peak begins at what its parent holds.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if keep is None else keep / str(n_items)
        if not (folder / ".retrieval").exists():
            folder.mkdir(parents=True, exist_ok=True)
            alone("--build", str(folder), "--own-sound", str(n_items))
        index = str(folder / ".retrieval")
        found: dict[str, Any] = json.loads(alone("--measure", index, *(["--ann"] if ann else [])))
    return found


def grown_per_item(results: list[dict[str, Any]]) -> dict[str, float]:
    """By how much the peak rises per item from the smallest size to each other one."""
    least, *others = sorted(results, key=lambda one: int(one["n_items"]))
    return {
        f"{least['n_items']} to {one['n_items']}": round(
            (one["peak_anonymous_bytes"] - least["peak_anonymous_bytes"])
            / (one["n_items"] - least["n_items"])
        )
        for one in others
        if one["n_items"] > least["n_items"]
    }


def alone(*arguments: str) -> str:
    """Run this file in a new process; return what it prints."""
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--own-sound", type=int, default=5000, metavar="N")
    parser.add_argument("--leak-free", type=int, default=1000, metavar="N")
    parser.add_argument("--large", type=int, default=0, metavar="N")
    parser.add_argument("--ann", action="store_true")
    parser.add_argument("--keep", type=Path, help="where built indexes stay for the next run")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.build:
        write_index(chosen.build, chosen.own_sound)
        return
    if chosen.measure:
        print(json.dumps(measure(chosen.measure, chosen.ann)))
        return
    sizes = {"leak_free": chosen.leak_free, "own_sound": chosen.own_sound, "large": chosen.large}
    results = {
        f"{name} at {n}": benchmark(n, chosen.ann, chosen.keep) for name, n in sizes.items() if n
    }
    grown = grown_per_item(list(results.values()))
    print(json.dumps({**results, "grown_per_item_bytes": grown}, indent=2))


if __name__ == "__main__":
    main()
