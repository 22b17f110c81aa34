"""How fast `build_index` is beside the bare forward pass, and whether its memory is bounded.

    python benchmarks/build.py CORPUS [--checkpoint DIR] [--limit N] [--rounds R]
    python benchmarks/build.py --memory 500 5000

The first form builds an index of the corpus with an encoder that remembers every call, then makes
the same passes again through the plain network with torch's own threads, the same tensors already
in memory and in the same batches, and compares the two times: on the clock, and in processor
seconds, which a busy machine disturbs less. Both run with `encoder.allocator`, as `build-index`
does: otherwise the plain network spends half of its time on fresh pages, and the comparison
flatters. The second builds generated corpora of
the given sizes, each in a process of its own, and reports peak memory.
Results are one JSON object on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from encoder.allocator import keep_freed_memory
from encoder.checkpoint import load_checkpoint
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.sandbox import Sandbox
from encoder.two_stream import TwoStreamEncoder
from indexer.build import BuildOptions, BuildProgress, build_index, peak_rss_bytes
from indexer.decode import DecodeJob, Decoder, in_order
from indexer.errors import IndexerError
from indexer.manifest import is_manifest
from indexer.plan import PlannedItem
from indexer.scan import scan


class RememberingEmbedder(Embedder):
    """An embedder that remembers every pass it was asked for."""

    calls: list[tuple[str, Any]]

    def remember(self) -> None:
        self.calls = []

    def embed_frames(self, prepared: Any) -> Any:
        self.calls.append(("embed_frames", (prepared,)))
        return super().embed_frames(prepared)

    def embed_sounds(self, prepared: Any) -> Any:
        self.calls.append(("embed_sounds", (prepared,)))
        return super().embed_sounds(prepared)

    def condition(self, maps: Any, h: Any) -> Any:
        self.calls.append(("condition", (maps, h)))
        return super().condition(maps, h)


class BareNetwork:
    """The network as it was trained, called as PyTorch calls it: nothing folded, nothing split."""

    def __init__(self, network: TwoStreamEncoder) -> None:
        self.network = network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed_frames(self, prepared: Any) -> None:
        pixels = torch.from_numpy(np.stack(prepared))
        self.network.coarse(self.network.encode_frame(pixels.float() / 255))

    def embed_sounds(self, prepared: Any) -> None:
        windows = torch.from_numpy(np.concatenate(prepared))
        for part in windows.split(32):
            self.network.encode_sound(part)

    def condition(self, maps: Any, h: Any) -> None:
        self.network.condition(torch.from_numpy(maps).float(), torch.from_numpy(h))


def load(checkpoint: Path | None) -> tuple[RememberingEmbedder, BareNetwork]:
    """Load a checkpoint twice: for the build, and to compare it with."""
    loaded = load_checkpoint(checkpoint)
    bare = BareNetwork(load_checkpoint(checkpoint).network)
    embedder = RememberingEmbedder(
        loaded.network, name=loaded.name, fingerprint=loaded.fingerprint, device="cpu"
    )
    return embedder, bare


def compare(
    corpus: Path, embedder: RememberingEmbedder, bare: BareNetwork, limit: int | None
) -> dict[str, Any]:
    """Build once and repeat its forward passes, both ways; times in seconds."""
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

        watch = Stopwatch()
        report = build_index(
            source,
            manifest=table,
            embedder=embedder,
            index_dir=Path(folder) / "index",
            on_progress=on_progress,
        )
        build = watch.read()
        decode = decode_alone(source, table, embedder, sandboxed=True)
        decode_here = decode_alone(source, table, embedder, sandboxed=False)
    calls = embedder.calls[:n_forward]
    return {
        "n_items": report.n_new,
        "n_frames_embedded": report.n_frames_embedded,
        "n_sounds_embedded": report.n_sounds_embedded,
        "build": build,
        "bare_forward": replayed(calls, bare),
        "embedder_forward": replayed(calls, super(RememberingEmbedder, embedder)),
        "decode": decode,
        "decode_in_process": decode_here,
        "phases_s": report.seconds_by_phase,
    }


@torch.inference_mode()
def replayed(calls: list[tuple[str, Any]], receiver: Any) -> dict[str, float]:
    """Make the same calls again, their tensors in memory."""
    watch = Stopwatch()
    for name, values in calls:
        getattr(receiver, name)(*values)
    return watch.read()


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
    """Seconds on the clock and of all processors, since it was made.

    Processes of our own count once they have ended, as the decoding ones have after a build.
    """

    def __init__(self) -> None:
        self.clock, self.cpu = time.perf_counter(), self._processor_s()

    def read(self) -> dict[str, float]:
        return {"s": time.perf_counter() - self.clock, "cpu_s": self._processor_s() - self.cpu}

    def _processor_s(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + ended.ru_utime + ended.ru_stime


def decode_alone(
    corpus: Path, manifest: Path | None, embedder: Embedder, *, sandboxed: bool
) -> dict[str, float]:
    """Decode and prepare every part once, without encoding."""
    items = scan(corpus, manifest=manifest).items
    parts = {part.key: part for item in items for part in (item.frame, item.sound) if part}
    jobs = [DecodeJob(part=part, digests=True) for part in parts.values()]
    options = BuildOptions()
    root = (corpus.parent if is_manifest(corpus) else corpus).resolve()
    watch = Stopwatch()
    with Sandbox() if sandboxed else nullcontext() as sandbox:
        decoder = Decoder(corpus=root, embedder=embedder, limits=options.limits, sandbox=sandbox)
        for _ in in_order(jobs, decoder, workers=options.workers, n_ahead=96):
            pass
    return watch.read()


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds, as rates; the ratio is taken within each round."""
    n_items = rounds[0]["n_items"]
    rates = {
        f"{what}_items_per_s": n_items / median(r[what]["s"] for r in rounds)
        for what in ("build", "bare_forward", "embedder_forward", "decode", "decode_in_process")
    }
    return rates | {
        "ratio": median(r["bare_forward"]["s"] / r["build"]["s"] for r in rounds),
        "ratio_to_embedder": median(r["embedder_forward"]["s"] / r["build"]["s"] for r in rounds),
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
    keep_freed_memory()
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
        kept = keep_freed_memory()
        embedder, bare = load(chosen.checkpoint)
        rounds = [
            compare(chosen.corpus, embedder, bare, chosen.limit) for _ in range(chosen.rounds)
        ]
        heading = {"encoder": embedder.name, "freed_memory_kept": kept}
        print(json.dumps(heading | summary(rounds), indent=2))
    else:
        sys.exit("give a corpus, or --memory with sizes")


if __name__ == "__main__":
    try:
        main()
    except (IndexerError, OSError) as error:
        sys.exit(f"{os.path.basename(__file__)}: {error}")
