"""What a large index costs to open, to search, to delete from and to add to.

    python benchmarks/living.py GALLERY [GALLERY ...] [--corpus MANIFEST] [--add 1000]
        [--device cpu]

GALLERY is an index of the shipped encoder, such as `benchmarks/conditional.py --keep DIR` leaves in
DIR. Each is measured on a copy of its catalogue with hard links to its files, which are never
changed, and each measurement in a process of its own:

* open: seconds of `IndexReader.open` and the memory that it adds, imports not counted;
* search: `Retriever.answer_prepared` with an embedded sound against FAISS's own search of the same
  file, turn by turn, the ten nearest sounds;
* delete: seconds to take out 1, 100 and 10 000 items;
* add: what `build_index` takes beyond encoding for the first items of a real corpus, beside what
  encoding them takes in an index of their own.

A table goes to stderr, one JSON object to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from build import limited

from encoder.allocator import keep_freed_memory
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.catalogue import FILE, Catalogue
from indexer.manifest import is_manifest
from indexer.parts import part_folder, space_file
from indexer.reader import IndexReader
from indexer.update import remove_items
from retrieval.asking import Asked, Prepared
from retrieval.plan import plan
from retrieval.query_media import EmbeddedQuery
from retrieval.question import Question
from retrieval.retriever import Retriever

K = 10
N_QUERIES = 40
DELETED = (1, 100, 10_000)
SEED = 7
Figures = dict[str, Any]


def resident_bytes() -> int:
    """Return the memory of this process that is in use, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def opening(index: Path, _: argparse.Namespace) -> Figures:
    before, began = resident_bytes(), time.perf_counter()
    with IndexReader.open(index):
        return {
            "open_s": time.perf_counter() - began,
            "open_bytes": resident_bytes() - before,
        }


def searching(index: Path, options: argparse.Namespace) -> Figures:
    """Search by sounds of the index itself, through the whole engine and by FAISS alone."""
    import faiss

    with Retriever.open(index, device=options.device) as retriever:
        reader = retriever.reader
        parts = [part_folder(index, part.id) for part in reader._generation.parts]
        bare = [
            faiss.read_index(str(folder / space_file("sound")), faiss.IO_FLAG_MMAP_IFC)
            for folder in parts
        ]
        for one, part in zip(bare, reader._generation.parts, strict=True):
            settings = (part.facts.get("sound") or {}).get("settings")
            if settings:
                faiss.extract_index_ivf(one).nprobe = settings[0]["nprobe"]
        rng = np.random.default_rng(SEED)
        chosen = rng.choice(reader._store.sound_ids, N_QUERIES + 1, replace=False)
        times: dict[str, list[float]] = {"engine": [], "faiss": []}
        for item in chosen.tolist():
            block = reader.sound(item)
            question, prepared = asked_by(block)
            began = time.perf_counter()
            retriever.answer_prepared(question, prepared)
            times["engine"].append(time.perf_counter() - began)
            began = time.perf_counter()
            for one in bare:
                one.search(block.f_s, K)
            times["faiss"].append(time.perf_counter() - began)
    ms = {name: 1e3 * median(values[1:]) for name, values in times.items()}
    return {f"{name}_p50_ms": value for name, value in ms.items()} | {
        "ratio": ms["engine"] / ms["faiss"]
    }


def asked_by(block: Any) -> tuple[Question, Prepared]:
    """Return the question for sounds like an embedded one."""
    question = Question(audio=np.zeros(1, np.float32), to="audio", k=K)
    chosen = plan(question, has_frame=False, has_sound=True, extras=[])
    query = EmbeddedQuery(picture=None, visual_map=None, coarse=None, sound=block)
    asked = Asked(ranking=chosen.ranking, query=query)
    return question, Prepared(plan=chosen, asked=(asked,), notes=())


def deleting(index: Path, _: argparse.Namespace) -> Figures:
    with IndexReader.open(index) as reader:
        ids = np.random.default_rng(SEED).permutation(reader.ids)
    found, first = {}, 0
    for n in DELETED:
        if first + n > len(ids) // 2:
            break
        began = time.perf_counter()
        remove_items(index, ids[first : first + n].tolist())
        found[f"delete_{n}_s"] = time.perf_counter() - began
        first += n
    return found


def adding(index: Path, options: argparse.Namespace) -> Figures:
    """Add the first items of a corpus, and encode the same into an index of their own."""
    keep_freed_memory()
    embedder = Embedder.load(device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        manifest = limited(options.corpus, options.add, Path(folder))
        corpus = options.corpus.parent if is_manifest(options.corpus) else options.corpus
        times = {}
        for name, target in (("alone", Path(folder) / "index"), ("added", index)):
            began = time.perf_counter()
            report = build_index(corpus, manifest=manifest, embedder=embedder, index_dir=target)
            times[name] = time.perf_counter() - began
            assert report.n_new, "the gallery holds these files already"
            if name == "alone":
                encoding = report.seconds_by_phase["encode"]
    return {
        "n_added": report.n_new,
        "encode_s": encoding,
        "add_s": times["added"],
        "add_to_encode": times["added"] / encoding,
    }


STEPS: dict[str, Callable[[Path, argparse.Namespace], Figures]] = {
    "opening": opening,
    "searching": searching,
    "adding": adding,
    "deleting": deleting,
}


def copied(gallery: Path, folder: Path) -> Path:
    """Link the files of an index into a folder, and copy its catalogue."""
    index = folder / "index"

    def placed(source: str, target: str) -> None:
        if Path(source).name.startswith(FILE):  # with its log, which is written to
            shutil.copyfile(source, target)
        else:
            os.link(source, target)

    shutil.copytree(gallery, index, copy_function=placed)
    return index


def measured(gallery: Path, options: argparse.Namespace) -> Figures:
    """Take every step on a copy, each in a process of its own."""
    steps = [name for name in STEPS if name != "adding" or options.corpus]
    with tempfile.TemporaryDirectory(dir=gallery.parent) as folder:
        index = copied(gallery, Path(folder))
        Catalogue.create(index, corpus="").close()  # one of a release before is brought up to date
        with IndexReader.open(index) as reader:
            found: Figures = {"index": str(gallery), "n_items": reader.n_items}
        corpus = ["--corpus", str(options.corpus)] if options.corpus else []
        for name in steps:
            command = [sys.executable, __file__, str(index), "--step", name, *corpus]
            command += ["--add", str(options.add), "--device", options.device]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found |= json.loads(answer.stdout)
    return found


def table(rows: list[Figures]) -> str:
    """Show figures one below the other, a column per index."""
    names = [name for name in rows[-1] if name != "index"]
    lines = []
    for name in names:
        cells = [f"{row[name]:>14,.4g}" if name in row else f"{'':>14}" for row in rows]
        lines.append(f"{name:18} {''.join(cells)}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("galleries", type=Path, nargs="+", help="indexes of the shipped encoder")
    parser.add_argument("--corpus", type=Path, help="folder or manifest of what is added")
    parser.add_argument("--add", type=int, default=1000, help="items that are added")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--step", choices=tuple(STEPS), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.step:
        print(json.dumps(STEPS[options.step](options.galleries[0], options)))
        return
    rows = [measured(gallery, options) for gallery in options.galleries]
    print(table(rows), file=sys.stderr)
    print(json.dumps({"rows": rows, "cores": os.cpu_count()}, indent=1))


if __name__ == "__main__":
    main()
