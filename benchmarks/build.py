"""How fast `build_index` is beside the bare forward pass, and whether its memory is bounded.

    python benchmarks/build.py CORPUS [--checkpoint DIR] [--limit N] [--rounds R]
    python benchmarks/build.py --memory 500 5000

The first form builds an index of the corpus with an encoder that remembers every call, then makes
the same calls again, with the same tensors already in memory, and compares the two times: on the
clock, and in processor seconds, which a busy machine disturbs less. The second builds generated
corpora of the given sizes, each in a process of its own, and reports peak memory.
Results are one JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from encoder.checkpoint import DEFAULT_CHECKPOINT
from encoder.config import compact, tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import BuildOptions, BuildProgress, build_index, peak_rss_bytes
from indexer.decode import DecodeJob, Decoder, in_order
from indexer.errors import IndexerError
from indexer.manifest import is_manifest
from indexer.plan import PlannedItem
from indexer.scan import scan

Call = Callable[[], Any]


class RememberingEmbedder(Embedder):
    """An embedder that can repeat every pass it was asked for."""

    calls: list[Call]

    def remember(self) -> None:
        self.calls = []

    def embed_frames(self, prepared: Any) -> Any:
        self.calls.append(lambda: Embedder.embed_frames(self, prepared))
        return super().embed_frames(prepared)

    def embed_sounds(self, prepared: Any) -> Any:
        self.calls.append(lambda: Embedder.embed_sounds(self, prepared))
        return super().embed_sounds(prepared)

    def condition(self, maps: Any, h: Any) -> Any:
        self.calls.append(lambda: Embedder.condition(self, maps, h))
        return super().condition(maps, h)


def load(checkpoint: Path | None) -> RememberingEmbedder:
    """Load a checkpoint; without one, the shipped default or random weights of its shape."""
    if checkpoint is None and not DEFAULT_CHECKPOINT.is_dir():
        return RememberingEmbedder(TwoStreamEncoder(compact()), name="compact, random weights")
    return RememberingEmbedder.load(checkpoint)  # type: ignore[return-value]


def compare(corpus: Path, embedder: RememberingEmbedder, limit: int | None) -> dict[str, Any]:
    """Build once and repeat its forward passes; times in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = limited(corpus, limit, Path(folder)) if limit else None
        root = corpus.parent if is_manifest(corpus) else corpus
        source, table = (root, manifest) if manifest else (corpus, None)
        embedder.remember()
        n_forward = 0

        def on_progress(progress: BuildProgress) -> None:
            nonlocal n_forward
            if progress.phase == "index" and not n_forward:
                n_forward = len(embedder.calls)  # later calls calibrate

        built = Stopwatch()
        report = build_index(
            source,
            manifest=table,
            embedder=embedder,
            index_dir=Path(folder) / "index",
            on_progress=on_progress,
        )
        build = built.read()
        forwarded = Stopwatch()
        for call in embedder.calls[:n_forward]:
            call()
        forward = forwarded.read()
        decode = decode_alone(source, table, embedder)
    return {
        "n_items": report.n_new,
        "n_frames_embedded": report.n_frames_embedded,
        "n_sounds_embedded": report.n_sounds_embedded,
        "build": build,
        "forward": forward,
        "decode": decode,
        "phases_s": report.seconds_by_phase,
    }


def limited(corpus: Path, limit: int, folder: Path) -> Path:
    """Write a manifest of `limit` items, evenly spread over the corpus."""
    found = scan(corpus)
    chosen = np.linspace(0, len(found.items) - 1, min(limit, len(found.items))).astype(int)
    path = folder / "limited.jsonl"
    rows = [manifest_row(found.items[n]) for n in np.unique(chosen)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def manifest_row(item: PlannedItem) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if item.frame:
        row["video" if item.frame.source.kind == "video" else "image"] = item.frame.source.path
    if item.sound:
        row["video" if item.sound.source.kind == "video" else "audio"] = item.sound.source.path
        row |= {"start_s": item.sound.t0_s, "end_s": item.sound.t1_s}
    return row


class Stopwatch:
    """Seconds on the clock and of all processors, since it was made."""

    def __init__(self) -> None:
        self.clock, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {"s": time.perf_counter() - self.clock, "cpu_s": time.process_time() - self.cpu}


def decode_alone(corpus: Path, manifest: Path | None, embedder: Embedder) -> dict[str, float]:
    """Decode and prepare every part once, without encoding."""
    items = scan(corpus, manifest=manifest).items
    parts = {part.key: part for item in items for part in (item.frame, item.sound) if part}
    jobs = [DecodeJob(part=part, digests=True) for part in parts.values()]
    options = BuildOptions()
    root = (corpus.parent if is_manifest(corpus) else corpus).resolve()
    decoder = Decoder(corpus=root, embedder=embedder, limits=options.limits)
    watch = Stopwatch()
    for _ in in_order(jobs, decoder, workers=options.workers, n_ahead=96):
        pass
    return watch.read()


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds, as rates; the ratio is taken within each round."""
    n_items = rounds[0]["n_items"]
    rates = {
        f"{what}_items_per_s": n_items / median(r[what]["s"] for r in rounds)
        for what in ("build", "forward", "decode")
    }
    return rates | {
        "ratio": median(r["forward"]["s"] / r["build"]["s"] for r in rounds),
        "ratio_cpu": median(r["forward"]["cpu_s"] / r["build"]["cpu_s"] for r in rounds),
        "peak_rss_bytes": peak_rss_bytes(),
        "cores": BuildOptions().workers,
        "rounds": rounds,
    }


def memory(sizes: list[int]) -> dict[str, int]:
    """Peak memory of builds of so many generated items, each in a fresh process."""
    peaks = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_corpus(Path(folder), size)
            command = [sys.executable, __file__, "--measure", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[str(size)] = int(done.stdout)
    return peaks


def write_corpus(folder: Path, n_items: int) -> None:
    """Write pairs of a small jpg and a two-second wav."""
    rng = np.random.default_rng(0)
    for n in range(n_items):
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(folder / f"{n:05d}.jpg")
        tone = 0.3 * np.sin(np.arange(44_100) * rng.uniform(0.01, 0.5))
        soundfile.write(folder / f"{n:05d}.wav", tone.astype(np.float32), 22_050)


def measure(corpus: Path) -> int:
    embedder = Embedder(TwoStreamEncoder(tiny()), name="tiny")
    return build_index(corpus, embedder=embedder).peak_rss_bytes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", nargs="+", type=int, metavar="N")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if chosen.measure:
        print(measure(chosen.measure))
    elif chosen.memory:
        print(json.dumps({"peak_rss_bytes": memory(chosen.memory)}, indent=2))
    elif chosen.corpus:
        embedder = load(chosen.checkpoint)
        rounds = [compare(chosen.corpus, embedder, chosen.limit) for _ in range(chosen.rounds)]
        print(json.dumps({"encoder": embedder.name} | summary(rounds), indent=2))
    else:
        sys.exit("give a corpus, or --memory with sizes")


if __name__ == "__main__":
    try:
        main()
    except (IndexerError, OSError) as error:
        sys.exit(f"{os.path.basename(__file__)}: {error}")
