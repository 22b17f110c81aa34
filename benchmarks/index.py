"""How fast vectors are found, how surely, and what opening and writing an index of them costs.

    python benchmarks/index.py [--sizes 10000 100000] [--queries 200] [--min-recall 0.95]
        [--max-memory MEBIBYTES] [--others] [--folder DIR]

Vectors come from `benchmarks/synthetic.py`. For each size they are written flat and as inverted
lists of compressed codes (what `build-index` chooses above 100 000), each in a process of its own
whose peak of memory is taken, with and without pages of mapped files, which the system takes back
when it needs them; each file is opened in a fresh process, memory taken before the first query.
Then the search of each file and the bare FAISS call on it, with the same number of lists, answer
the same queries in turns, so that both meet the same machine: latency is the median over queries,
k = 10, one query at a time, recall is against the exact answer. `--others` adds hnswlib, usearch,
LanceDB (`pip install --group bench`) and FAISS's HNSW, each in a process of its own, at the least
effort that reaches the recall; one that is not installed is passed over. Disk: 5 KB a vector in
`--folder`; resident memory is read from /proc.
A table goes to stderr, one JSON object to stdout.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from synthetic import WIDTH, queries, vectors

from indexer.blocks import Floats, Ids
from indexer.storage import FileRecord
from indexer.vectors import Kind, VectorIndex, VectorPlan, write_vectors

K = 10
BEFORE_ROWS = 82
"""Bytes before the vectors of a flat file."""
AT_ONCE = 4096
MEBI = 1 << 20
Search = Callable[[Floats], NDArray[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--min-recall", type=float, default=0.95)
    parser.add_argument("--max-memory", type=float, help="MiB of the compressed file")
    parser.add_argument("--others", action="store_true", help="other engines, too")
    parser.add_argument("--folder", type=Path, help="where files may lie; a temporary one")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, *given = options.step.split(":")
        print(json.dumps(STEPS[name](options, *given)))
        return
    found = []
    for n in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="index-") as folder:
            found.append(measured(options, n, Path(folder)))
        show(found[-1])
    shown = {"width": WIDTH, "k": K, "threads": faiss.omp_get_max_threads()}
    print(json.dumps(shown | {"faiss": faiss.__version__, "sizes": found}, indent=2))


def measured(options: argparse.Namespace, n: int, folder: Path) -> dict[str, Any]:
    """Measure one size."""
    result: dict[str, Any] = {"n": n}
    for kind in ("flat", "compressed"):
        result[kind] = {"write": in_child(options, folder, f"write:{kind}", n)}
        result[kind]["open"] = in_child(options, folder, f"open:{kind}", n)
    result["search"] = in_child(options, folder, "search", n)
    if options.others:
        names = ("faiss-hnsw", "hnswlib", "usearch", "lancedb")
        result["others"] = {name: in_child(options, folder, f"other:{name}", n) for name in names}
    return result


def in_child(options: argparse.Namespace, folder: Path, step: str, n: int) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--sizes", str(n)]
    command += ["--queries", str(options.queries), "--min-recall", str(options.min_recall)]
    command += ["--folder", str(folder)]
    if options.max_memory is not None:
        command += ["--max-memory", str(options.max_memory)]
    print(f"{n}: {step}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# ── steps ────────────────────────────────────────────────────────────────────────────────────


def write_step(options: argparse.Namespace, what: str) -> dict[str, Any]:
    """Write an index; flat from the generator, compressed from the flat file."""
    n, path = options.sizes[0], options.folder / f"{what}.faiss"
    with Peak() as peak:
        started = time.perf_counter()
        done = write_vectors(path, source(options, what), WIDTH, plan=plan_of(options, what))
        seconds = time.perf_counter() - started
    saved = {"record": done.record.to_json(), "facts": done.facts}
    (options.folder / f"{what}.json").write_text(json.dumps(saved))
    return {
        "seconds": seconds,
        "added_mib": peak.added["RssAnon"] / MEBI,
        "added_with_mapped_mib": peak.added["VmRSS"] / MEBI,
        "bytes_per_vector": done.record.bytes / n,
        "facts": done.facts,
    }


def plan_of(options: argparse.Namespace, what: str) -> VectorPlan:
    if what == "flat":
        return VectorPlan(kind="flat")
    memory = None if options.max_memory is None else int(options.max_memory * MEBI)
    plan = VectorPlan(min_recall=options.min_recall, max_memory_bytes=memory)
    chosen = plan.kind_for(options.sizes[0], WIDTH)
    kind: Kind = "ivf-sq8" if chosen == "flat" else chosen
    return VectorPlan(min_recall=options.min_recall, max_memory_bytes=memory, kind=kind)


def source(options: argparse.Namespace, what: str) -> Callable[[], Iterator[tuple[Ids, Floats]]]:
    """Return what yields the vectors: made anew, or read as segments are."""
    n = options.sizes[0]
    return (lambda: vectors(n)) if what == "flat" else (lambda: blocks_of(options.folder, n))


def blocks_of(folder: Path, n: int) -> Iterator[tuple[Ids, Floats]]:
    """Read the rows of the flat file, a block at a time, leaving no pages mapped."""
    with (folder / "flat.faiss").open("rb") as file:
        file.seek(BEFORE_ROWS)
        for first in range(0, n, AT_ONCE):
            size = min(AT_ONCE, n - first)
            rows = np.fromfile(file, dtype="<f4", count=size * WIDTH).reshape(size, WIDTH)
            yield np.arange(first, first + size, dtype=np.int64), rows


def open_step(options: argparse.Namespace, what: str) -> dict[str, Any]:
    """Open an index and ask it once."""
    record, facts = saved_of(options.folder, what)
    before = resident()
    started = time.perf_counter()
    index = VectorIndex.open(options.folder / f"{what}.faiss", record, facts, no_vectors)
    seconds = time.perf_counter() - started
    after = resident()
    return {
        "seconds": seconds,
        "resident_mib": after["VmRSS"] / MEBI,
        "added_mib": (after["VmRSS"] - before["VmRSS"]) / MEBI,
        "n": index.n,
    }


def search_step(options: argparse.Namespace) -> dict[str, Any]:
    """Ask both files and the bare FAISS indexes on them, in turns."""
    asked = queries(options.queries)
    answers: dict[str, list[NDArray[Any]]] = {}
    times: dict[str, list[float]] = {}
    for what in ("flat", "compressed"):  # not all in turns: a flat scan empties every cache
        found, taken = in_turns(dict(pair(options, what)), asked)
        answers |= found
        times |= taken
    figures = {
        name: {
            "p50_ms": median(times[name]),
            "p95_ms": float(np.percentile(times[name], 95)),
            "recall": recall(answers[name], answers["flat"]),
        }
        for name in times
    }
    return {
        "figures": figures,
        "flat_over_bare": ratio(times, "flat", "flat, bare"),
        "compressed_over_bare": ratio(times, "compressed", "compressed, bare"),
        "flat_over_compressed": median(times["flat"]) / median(times["compressed"]),
    }


def pair(options: argparse.Namespace, what: str) -> Iterator[tuple[str, Search]]:
    """Yield our search and FAISS's own on the same file, with as many lists."""
    path, n = options.folder / f"{what}.faiss", options.sizes[0]
    record, facts = saved_of(options.folder, what)
    rows = np.memmap(
        options.folder / "flat.faiss", "<f4", mode="r", offset=BEFORE_ROWS, shape=(n, WIDTH)
    )
    index = VectorIndex.open(path, record, facts, lambda ids: np.asarray(rows[ids]))
    yield what, lambda query: index.nearest(query, K).ids
    bare = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    if what == "compressed":
        bare.nprobe = facts["settings"][0]["nprobe"]
    yield f"{what}, bare", lambda query: bare.search(query[None], K)[1][0]


def other_step(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Build another engine and search it with the least effort that reaches the recall."""
    from engines import ENGINES

    n, asked = options.sizes[0], queries(options.queries)
    record, facts = saved_of(options.folder, "flat")
    flat = VectorIndex.open(options.folder / "flat.faiss", record, facts)
    exact = [flat.nearest(query, K).ids for query in asked]
    del flat
    before, started = resident(), time.perf_counter()
    os.chdir(options.folder)
    try:
        engine = ENGINES[name](lambda: blocks_of(options.folder, n), n, WIDTH)
    except ImportError as error:
        return {"passed over": str(error)}
    built = {"seconds": time.perf_counter() - started}
    built["added_mib"] = (resident()["VmRSS"] - before["VmRSS"]) / MEBI
    found: dict[str, Any] = {}
    for effort in engine.efforts:
        answers, times = in_turns({name: at_effort(engine, effort)}, asked)
        share = recall(answers[name], exact)
        found = {"effort": effort, "recall": share, "p50_ms": median(times[name])}
        if share >= options.min_recall:
            break
    versions = {"faiss-hnsw": "faiss-gpu"}
    return {"version": version(versions.get(name, name)), "build": built} | found


def at_effort(engine: Any, effort: int) -> Search:
    return lambda query: np.asarray(engine.search(query, K, effort))


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "write": write_step,
    "open": open_step,
    "search": search_step,
    "other": other_step,
}


# ── measuring ────────────────────────────────────────────────────────────────────────────────


def in_turns(
    searches: Mapping[str, Search], asked: Floats
) -> tuple[dict[str, list[NDArray[Any]]], dict[str, list[float]]]:
    """Ask every search every query, after a first round that is not timed."""
    answers: dict[str, list[NDArray[Any]]] = {name: [] for name in searches}
    times: dict[str, list[float]] = {name: [] for name in searches}
    for is_timed in (False, True):
        for query in asked:
            for name, search in searches.items():
                started = time.perf_counter()
                ids = search(query)
                taken = 1e3 * (time.perf_counter() - started)
                if is_timed:
                    answers[name].append(ids)
                    times[name].append(taken)
    return answers, times


def recall(found: list[NDArray[Any]], exact: list[NDArray[Any]]) -> float:
    return float(np.mean([np.isin(one, two).mean() for one, two in zip(exact, found, strict=True)]))


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    """Return the median of the ratios, query by query: both met the same machine."""
    return float(np.median(np.divide(times[one], times[other])))


def resident() -> dict[str, int]:
    """Return what this process has in memory, bytes, and what of that belongs to no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon")}


class Peak:
    """Looks at memory every EVERY_S while the block runs.

    Attributes
    ----------
    added : bytes by field of `resident`, the most that was there beyond what was at the beginning.
    """

    EVERY_S = 0.02

    def __init__(self) -> None:
        self._before = resident()
        self.added = dict.fromkeys(self._before, 0)
        self._done = Event()
        self._thread = Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(self.EVERY_S):
            for name, now in resident().items():
                self.added[name] = max(self.added[name], now - self._before[name])

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def saved_of(folder: Path, what: str) -> tuple[FileRecord, dict[str, Any]]:
    values = json.loads((folder / f"{what}.json").read_text())
    return FileRecord.from_json(values["record"]), values["facts"]


def no_vectors(ids: Ids) -> Floats:
    raise NotImplementedError("nothing is asked of an index that is only opened")


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def show(result: dict[str, Any]) -> None:
    """Print what was measured of one size."""
    lines = [f"{result['n']} x {WIDTH}"]
    for what in ("flat", "compressed"):
        write, opened = result[what]["write"], result[what]["open"]
        form = write["facts"]["factory"]
        lines += [
            f"  {what:18} {form}, {write['bytes_per_vector']:.0f} bytes a vector",
            f"    written in {write['seconds']:.1f} s, at its peak {write['added_mib']:.0f} MiB "
            f"more ({write['added_with_mapped_mib']:.0f} with mapped files)",
            f"    opened in {1e3 * opened['seconds']:.1f} ms, {opened['added_mib']:.1f} MiB more "
            f"({opened['resident_mib']:.0f} in all)",
        ]
    for name, figures in result["search"]["figures"].items():
        lines.append(
            f"  {name:18} p50 {figures['p50_ms']:8.3f} ms  p95 {figures['p95_ms']:8.3f} ms  "
            f"recall {figures['recall']:.3f}"
        )
    for name, figures in result.get("others", {}).items():
        if "passed over" in figures:
            lines.append(f"  {name:18} passed over: {figures['passed over']}")
            continue
        lines.append(
            f"  {name:18} p50 {figures['p50_ms']:8.3f} ms  recall {figures['recall']:.3f} at "
            f"{figures['effort']}; built in {figures['build']['seconds']:.0f} s, "
            f"{figures['build']['added_mib']:.0f} MiB more"
        )
    search = result["search"]
    lines.append(
        f"  ours over bare: flat {search['flat_over_bare']:.3f}, "
        f"compressed {search['compressed_over_bare']:.3f}; "
        f"flat over compressed {search['flat_over_compressed']:.1f}"
    )
    print(*lines, sep="\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
