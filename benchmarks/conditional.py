"""How fast conditional queries are beside the exact twin, and what they find of its answers.

    python benchmarks/conditional.py INDEX [--checkpoint DIR] [--sizes 1000 10000 100000]
        [--full-up-to 100000] [--exact-up-to 100000] [--queries 32] [--exact 3] [--keep DIR]

INDEX is one of a real corpus with full maps. It is measured as it is, and then galleries of N
frames and N sounds that are made of it (`tiled`: copies with noise past its size), each an index in
a folder that is deleted after, or kept for the next time. A frame with its full map takes 230 KB
there, one with a compact map 28. Real frames and sounds ask through `IndexReader.answer`, fast and
exact, in a process of its own for each gallery. Above `--full-up-to` frames only compact maps are
kept: they are the data then, and the exact twin scores the maps that they stand for. Above
`--exact-up-to` the twin is left out.

A table goes to stderr, one JSON object to stdout. `recall` is the share of the ten exact best that
come back, where a hit counts that scores as high as the tenth. `resident_bytes` is what the fast
queries needed for themselves, `mapped_bytes` are pages of the index in memory, which the system
takes back when it needs them. The growth is the exponent of the fast median over N, fitted from
10 000 on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiled import NOISE, Corpus, write_tiled

from encoder.embedder import Embedder
from encoder.precision import has_bfloat16
from indexer.blocks import Floats, FrameBlock
from indexer.build import peak_rss_bytes
from indexer.compact.codes import FRAMES, SOUNDS
from indexer.compact.recall import TIE, matrix
from indexer.errors import IndexerError
from indexer.options import MapForm
from indexer.reader import IndexReader
from indexer.storage import put_in_place, temporary
from indexer.terms import (
    FrameTerm,
    SoundTerm,
    frames_for_sound,
    keep_audio,
    keep_image,
    sounds_for_frame,
)

K = 10
SEED = 7
ROUNDS = 3
GROWS_FROM = 10_000
SOUND_BYTES = 4 * 1000 + 2 * 512
COARSE_BYTES = 4 * 1000
KINDS = {
    "audio-image": "frames",
    "associate-audio": "frames",
    "image-audio": "sounds",
    "associate-image": "sounds",
}


class Queries:
    """Real frames and sounds that ask, as terms by kind."""

    def __init__(self, real: IndexReader, embedder: Embedder, n: int) -> None:
        rng = np.random.default_rng(SEED)
        frames = np.concatenate([block.ids for block in real.frame_blocks()])
        sounds = np.concatenate([block.ids for block in real.sound_blocks()])
        heard = [real.sound(int(item)) for item in rng.choice(sounds, n)]
        maps = [real.frame_map(int(item)) for item in rng.choice(frames, n)]
        pairs = [(one, sound.h[0]) for one, sound in zip(maps, heard, strict=True)]
        self.looking = FrameBlock(
            ids=np.arange(n), maps=np.stack(maps), coarse=np.empty((n, 0), np.float32)
        )
        self.h = np.concatenate([sound.h for sound in heard])
        self.terms: dict[str, list[FrameTerm | SoundTerm]] = {
            "audio-image": [frames_for_sound(sound) for sound in heard],
            "associate-audio": [keep_audio(embedder, *pair) for pair in pairs],
            "image-audio": [sounds_for_frame(one) for one in maps],
            "associate-image": [keep_image(embedder, *pair) for pair in pairs],
        }

    def targets(self, kind: str) -> Floats:
        """Return what the f_v of a kind's queries should be near, (Q, 1000)."""
        return np.stack([t.target for t in self.terms[kind] if t.target is not None])

    def tenths(self, reader: IndexReader, embedder: Embedder) -> dict[str, Floats]:
        """Return the exact score of each query's tenth answer, (Q,) by kind, in one pass."""
        best: dict[str, Floats] = {}

        def keep(kind: str, scores: Floats) -> None:
            joined = np.concatenate([best[kind], scores], axis=1) if kind in best else scores
            best[kind] = -np.partition(-joined, min(K, joined.shape[1]) - 1, axis=1)[:, :K]

        asked = {kind: self.targets(kind) for kind in KINDS if kind != "image-audio"}
        for block in reader.frame_blocks():
            f_v = matrix(embedder, block, self.h)
            for kind in ("audio-image", "associate-audio"):
                keep(kind, np.einsum("nqd,qd->qn", f_v, asked[kind]))
        for sounds in reader.sound_blocks():
            f_v = matrix(embedder, self.looking, sounds.h)
            keep("image-audio", np.einsum("qnd,nd->qn", f_v, sounds.f_s))
            keep("associate-image", np.einsum("qnd,qd->qn", f_v, asked["associate-image"]))
        return {kind: scores.min(axis=1) for kind, scores in best.items()}


def measured(
    folder: Path, real: Path, checkpoint: Path | None, *, queries: int, exact: int
) -> dict[str, Any]:
    """Ask one index; `exact` queries of each kind are answered by the twin, too, 0 for none."""
    embedder = Embedder.load(checkpoint, device="cpu")
    with IndexReader.open(real) as source:
        asked = Queries(source, embedder, queries)
        with IndexReader.open(folder) as reader:
            return measured_by(reader, embedder, asked, exact)


def measured_by(
    reader: IndexReader, embedder: Embedder, asked: Queries, n_exact: int
) -> dict[str, Any]:
    shape = Shape(reader)
    before = memory()["anonymous"]
    fast = {kind: timed(reader, embedder, asked.terms[kind], ROUNDS) for kind in KINDS}
    held = memory()
    slow = {
        kind: timed(reader, embedder, asked.terms[kind][:n_exact], 1, exact=True)
        for kind in KINDS
        if n_exact
    }
    tenths = asked.tenths(reader, embedder) if n_exact else {}
    kinds: dict[str, Any] = {}
    for kind, side in KINDS.items():
        seconds, scores = fast[kind]
        kinds[kind] = {"fast_s": spread(seconds), "fast_bytes": shape.fast_bytes(side)}
        if n_exact:
            exact_s, truth = slow[kind]
            check(kind, truth, tenths[kind])
            kinds[kind] |= {
                "exact_s": spread(exact_s),
                "exact_bytes": shape.exact_bytes(side),
                "ratio": float(np.median(exact_s) / np.median(seconds)),
                "recall": recall(scores, tenths[kind]),
            }
    return shape.facts() | {
        "resident_bytes": held["anonymous"],
        "resident_bytes_before": before,
        "mapped_bytes": held["mapped"],
        "peak_bytes_with_exact": peak_rss_bytes(),
        "kinds": kinds,
    }


def timed(
    reader: IndexReader,
    embedder: Embedder,
    terms: Sequence[FrameTerm | SoundTerm],
    rounds: int,
    *,
    exact: bool = False,
) -> tuple[list[float], list[Floats]]:
    """Answer each query `rounds` times: seconds of each answer, and the scores of each query."""
    if not exact:  # the first query reads the codes in
        reader.answer(embedder, terms[:1], K)
    seconds, scores = [], []
    for n in range(rounds):
        for term in terms:
            began = time.perf_counter()
            answer = reader.answer(embedder, [term], K, exact=exact)
            seconds.append(time.perf_counter() - began)
            if n == 0:
                scores.append(answer.neighbours.scores)
    return seconds, scores


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and number."""
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "n": len(seconds)}


def recall(found: Sequence[Floats], tenths: Floats) -> float:
    """Return the mean share of answers that score as high as the exact tenth."""
    shares = [
        (scores >= tenth - TIE).sum() / K for scores, tenth in zip(found, tenths, strict=True)
    ]
    return float(np.mean(shares))


def check(kind: str, truth: Sequence[Floats], tenths: Floats) -> None:
    """Hold that what recall goes by is what the twin answered."""
    pairs = zip(truth, tenths[: len(truth)], strict=True)
    off = max(abs(float(scores[-1] - tenth)) for scores, tenth in pairs)
    if off > TIE:
        sys.exit(f"{kind}: the twin's tenth is off by {off:.1e}; one of the two is wrong")


class Shape:
    """What an index holds and what a query reads of it, counted from the lengths of its files."""

    def __init__(self, reader: IndexReader) -> None:
        info = reader.info()
        self.n = {"frames": info["n_frames"], "sounds": info["n_sounds"]}
        self.form = info["maps"]["form"]
        self.efforts = {side: reader.effort(side) for side in ("frames", "sounds")}
        self.stored = info["conditional"]
        n_frames, n_sounds = max(self.n["frames"], 1), max(self.n["sounds"], 1)

        def size(pattern: str) -> int:
            return sum(path.stat().st_size for path in reader.path.glob(pattern))

        self.compact = size("segments/*/compact-*.arrow") / n_frames
        self.map = size("segments/*/maps.arrow") / n_frames or self.compact
        self.codes = {
            "frames": size(f"faiss/*/{FRAMES}") / n_frames,
            "sounds": size(f"faiss/*/{SOUNDS}") / n_sounds,
        }

    def exact_bytes(self, side: str) -> int:
        each = self.map + COARSE_BYTES if side == "frames" else SOUND_BYTES
        return int(self.n[side] * each)

    def fast_bytes(self, side: str) -> int:
        effort, n = self.efforts[side], self.n[side]
        if effort is None:
            return self.exact_bytes(side)
        n_exact = min(effort.n_exact(n, K), n)
        total = n * self.codes[side] + n_exact * self.exact_bytes(side) / n
        if side == "frames":
            total += min(effort.n_candidates(n, K), n) * self.compact
        return int(total)

    def facts(self) -> dict[str, Any]:
        return {
            "n_frames": self.n["frames"],
            "n_sounds": self.n["sounds"],
            "maps": self.form,
            "compact_bytes_per_frame": self.compact,
            "full_bytes_per_frame": self.map,
            "efforts": self.stored,
        }


def memory() -> dict[str, int]:
    """Return resident bytes of this process: its own, and mapped files (Linux)."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    taken = {"anonymous": "RssAnon", "mapped": "RssFile"}
    return {name: int(fields[field].split()[0]) * 1024 for name, field in taken.items()}


def growth(sizes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return, by kind, the exponent of the fast median over N from GROWS_FROM on."""
    taken = [one for one in sizes if one["n_frames"] >= GROWS_FROM]
    if len(taken) < 2:
        return {}
    n = np.log([one["n_frames"] for one in taken])
    medians = {k: [one["kinds"][k]["fast_s"]["p50"] for one in taken] for k in KINDS}
    return {kind: float(np.polyfit(n, np.log(values), 1)[0]) for kind, values in medians.items()}


HEADING = "N kind fast_p50 p99_ms exact_p50 p99_ms ratio recall read_MB of_MB own_MB mapped_MB"


def table(galleries: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines that people read."""
    row = "{:>9} {:<16}{:>9}{:>9}{:>11}{:>9}{:>8}{:>8}{:>9}{:>10}{:>8}{:>10}"
    yield row.format(*HEADING.split())
    for one in galleries:
        for kind, m in one["kinds"].items():
            side = "n_" + KINDS[kind]
            twin = ["left out", "", "", "", ""]
            if "exact_s" in m:
                exact = m["exact_s"]
                twin = [
                    f"{1e3 * exact['p50']:.0f}",
                    f"{1e3 * exact['p99']:.0f}",
                    f"{m['ratio']:.1f}",
                    f"{m['recall']:.3f}",
                    f"{m['exact_bytes'] / 1e6:.0f}",
                ]
            yield row.format(
                one[side],
                kind,
                f"{1e3 * m['fast_s']['p50']:.1f}",
                f"{1e3 * m['fast_s']['p99']:.1f}",
                *twin[:4],
                f"{m['fast_bytes'] / 1e6:.1f}",
                twin[4],
                f"{one['resident_bytes'] / 1e6:.0f}",
                f"{one['mapped_bytes'] / 1e6:.0f}",
            )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the real index and the galleries made of it."""
    embedder = Embedder.load(options.checkpoint, device="cpu")
    with IndexReader.open(options.index) as reader:
        if embedder.fingerprint != reader.encoder_fingerprint:
            sys.exit(f"{options.index}: built by {reader.encoder_name}; give its --checkpoint")
        corpus = Corpus.of(reader)
    galleries = [in_its_own_process(options, options.index, options.exact) | {"data": "real"}]
    report(table(galleries))
    for n in options.sizes:
        form: MapForm = "full" if n <= options.full_up_to else "compact"
        exact = options.exact if n <= options.exact_up_to else 0
        with tempfile.TemporaryDirectory() as name:
            folder = (options.keep or Path(name)) / f"{n}-{form}"
            if not folder.exists():
                draft = temporary(folder)
                write_tiled(draft, embedder, corpus, n, form)
                put_in_place(draft, folder)
            found = in_its_own_process(options, folder, exact)
        n_copies = max(n - len(corpus.maps), 0), max(n - len(corpus.f_s), 0)
        galleries.append(found | {"data": "tiled", "n_copies": n_copies})
        report(list(table(galleries[-1:]))[1:])
    return {
        "encoder": embedder.name,
        "threads": torch.get_num_threads(),
        "bfloat16": has_bfloat16(embedder.device),
        "noise_of_copies": NOISE,
        "growth": growth(galleries[1:]),
        "galleries": galleries,
    }


def in_its_own_process(options: argparse.Namespace, folder: Path, exact: int) -> dict[str, Any]:
    """Measure one index; what this process holds does not count as memory there."""
    chosen = {"--measure": folder, "--queries": options.queries, "--exact": exact}
    if options.checkpoint:
        chosen["--checkpoint"] = options.checkpoint
    flags = [str(word) for pair in chosen.items() for word in pair]
    done = subprocess.run(
        [sys.executable, __file__, str(options.index), *flags], check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def report(lines: Any) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("index", type=Path, help="index of a real corpus, with full maps")
    parser.add_argument("--checkpoint", type=Path, help="of the index; the shipped one if left out")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--full-up-to", type=int, default=100_000, metavar="N")
    parser.add_argument("--exact-up-to", type=int, default=100_000, metavar="N")
    parser.add_argument("--queries", type=int, default=32, help="of each kind")
    parser.add_argument("--exact", type=int, default=3, help="of these, answered by the twin too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="of galleries, to be used again")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    if chosen.measure:
        found = measured(
            chosen.measure,
            chosen.index,
            chosen.checkpoint,
            queries=chosen.queries,
            exact=chosen.exact,
        )
        print(json.dumps(found))
    else:
        found = run(chosen)
        lines = [f"{kind}: latency grows as N^{at:.2f}" for kind, at in found["growth"].items()]
        report(lines)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    try:
        main()
    except (IndexerError, OSError) as error:
        sys.exit(f"{os.path.basename(__file__)}: {error}")
