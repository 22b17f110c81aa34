"""What is done to an index while somebody kills it: each operation with what it starts from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conftest import write_picture
from indexer_fixtures import options, write_pairs

import indexer.publish
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.compaction import compact_index
from indexer.merge import merge
from indexer.options import BuildOptions
from indexer.repair import repair
from indexer.sharding import Shard
from indexer.update import chosen_ids, remove_items, update_index

N = 8
"""Pairs of the corpus: the least that a small part of one more is an eighth of."""
N_SEGMENT = 4
Step = Callable[[Path, Embedder], None]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Something that is done to `folder/corpus`, and killed.

    Attributes
    ----------
    prepare : makes the corpus and the index that it starts from.
    run : does it; the same again goes on where it was killed.
    index : where the index is, below the folder.
    n_kills : of the random ones, that are its share.
    begins_whole : whether the index that it starts from is there and intact.
    """

    prepare: Step
    run: Step
    index: str = "corpus/.retrieval"
    n_kills: int
    begins_whole: bool = True


def small(**changes: object) -> BuildOptions:
    return options(segment_items=N_SEGMENT, **changes)


def _corpus(folder: Path, _: Embedder) -> None:
    write_pairs(folder / "corpus", N)


def _build(folder: Path, embedder: Embedder, **changes: object) -> None:
    build_index(folder / "corpus", embedder=embedder, options=small(**changes))


def _built(folder: Path, embedder: Embedder) -> None:
    _corpus(folder, embedder)
    _build(folder, embedder)


def _changed(folder: Path, embedder: Embedder) -> None:
    """Two new pairs, a changed picture, a renamed pair, one that is gone, one that was removed."""
    _built(folder, embedder)
    corpus = folder / "corpus"
    _remove(folder, ["p007.png"])
    write_pairs(corpus, 2, first=50)
    write_picture(corpus / "p004.png", seed=1234)
    later = (corpus / "p004.png").stat().st_mtime_ns + 5_000_000_000
    os.utime(corpus / "p004.png", ns=(later, later))
    for suffix in (".png", ".wav"):
        (corpus / f"p003{suffix}").rename(corpus / f"küche{suffix}")
        (corpus / f"p005{suffix}").unlink()


def _update(folder: Path, embedder: Embedder) -> None:
    update_index(folder / "corpus/.retrieval", lambda: embedder, options=small(), prune=True)


def _grown(folder: Path, embedder: Embedder) -> None:
    """One more pair, after an index that counts as large."""
    _built(folder, embedder)
    write_pairs(folder / "corpus", 1, first=50)


def _grow(folder: Path, embedder: Embedder) -> None:
    indexer.publish.LEAST_LARGE = N
    _build(folder, embedder)


def _remove(folder: Path, patterns: list[str]) -> None:
    index = folder / "corpus/.retrieval"
    remove_items(index, chosen_ids(index, patterns=patterns).tolist())


def _worn(folder: Path, embedder: Embedder) -> None:
    """Small segments, hidden items, and what an update left behind."""
    _changed(folder, embedder)
    _update(folder, embedder)
    _remove(folder, ["p001.png"])


def _damaged(folder: Path, embedder: Embedder) -> None:
    """Damage to all that is derived: FAISS files, codes, compact maps, their basis."""
    _built(folder, embedder)
    index = folder / "corpus/.retrieval"
    for pattern in ("faiss/*/sound.faiss", "faiss/*/frame_codes.arrow", "segments/*1/compact-*"):
        path = next(index.glob(pattern))
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    next((index / "bases").iterdir()).unlink()


def _sharded(folder: Path, embedder: Embedder) -> None:
    _corpus(folder, embedder)
    for number in (1, 2):
        _build(folder, embedder, shard=Shard(number=number, total=2))


def _merge(folder: Path, embedder: Embedder) -> None:
    """Merge both shards; one that came to its end just before it was killed is not done again."""
    merged = folder / "merged"
    if not merged.exists():
        shards = sorted((folder / "corpus/.retrieval-shards").iterdir())
        merge(merged, shards, embedder=embedder)


def _compact(folder: Path, _: Embedder) -> None:
    compact_index(folder / "corpus/.retrieval", segment_items=N_SEGMENT)


def _repair(folder: Path, embedder: Embedder) -> None:
    repair(folder / "corpus/.retrieval", lambda _: embedder)


OPERATIONS = {
    "build": Operation(prepare=_corpus, run=_build, n_kills=14, begins_whole=False),
    "update": Operation(prepare=_changed, run=_update, n_kills=18),
    "remove": Operation(
        prepare=_built, run=lambda folder, _: _remove(folder, ["p00[26].png"]), n_kills=14
    ),
    "compact": Operation(prepare=_worn, run=_compact, n_kills=20),
    "grow": Operation(prepare=_grown, run=_grow, n_kills=10),
    "shrink": Operation(
        prepare=_built,
        run=lambda folder, embedder: _build(folder, embedder, maps="compact"),
        n_kills=8,
    ),
    "merge": Operation(
        prepare=_sharded, run=_merge, index="merged", n_kills=10, begins_whole=False
    ),
    "repair": Operation(prepare=_damaged, run=_repair, n_kills=8, begins_whole=False),
}


STEPS = {
    "build: the catalogue made": ("build", "indexer.build.sweep_garbage", 0, "before"),
    "build: a batch written": ("build", "indexer.segments.SegmentWriter.append", 1, "after"),
    "build: a segment finished": ("build", "indexer.assemble.put_in_place", 1, "before"),
    "build: a segment renamed": ("build", "indexer.assemble.put_in_place", 1, "after"),
    "build: in the first commit": ("build", "indexer.assemble.commit_segment", 0, "after"),
    "build: in a later commit": ("build", "indexer.assemble.commit_segment", 1, "after"),
    "build: the basis written": ("build", "indexer.compact.writing.add_basis", 0, "before"),
    "build: in the basis's commit": ("build", "indexer.compact.writing.add_basis", 0, "after"),
    "build: compact maps written": (
        "build",
        "indexer.compact.writing.replace_segment_files",
        0,
        "before",
    ),
    "build: a vector file written": ("build", "indexer.parts.write_vectors", 1, "after"),
    "build: codes written": ("build", "indexer.parts.put_in_place", 0, "before"),
    "build: vectors renamed": ("build", "indexer.parts.put_in_place", 0, "after"),
    "build: before the recall": ("build", "indexer.publish.measure_efforts", 0, "before"),
    "build: before publication": ("build", "indexer.publish.publish", 0, "before"),
    "build: in the publication": ("build", "indexer.publish.publish", 0, "after"),
    "build: published": ("build", "indexer.publish.sweep_garbage", 0, "before"),
    "update: in the pruning": ("update", "indexer.update.forget_outcomes", 0, "after"),
    "update: before it builds": ("update", "indexer.update.build_index", 0, "before"),
    "update: in the renaming": ("update", "indexer.build.move_items", 0, "after"),
    "update: renamed": ("update", "indexer.assemble.temporary", 0, "before"),
    "update: a segment renamed": ("update", "indexer.assemble.put_in_place", 0, "after"),
    "update: in the commit": ("update", "indexer.assemble.commit_segment", 0, "after"),
    "update: committed": ("update", "indexer.build.compact_segments", 0, "before"),
    "update: vectors renamed": ("update", "indexer.parts.put_in_place", 0, "after"),
    "update: in the publication": ("update", "indexer.publish.publish", 0, "after"),
    "update: published": ("update", "indexer.publish.sweep_garbage", 0, "before"),
    "update: in the sweep": ("update", "indexer.publish.sweep", 5, "after"),
    "remove: in the transaction": ("remove", "indexer.update.delete_items", 0, "after"),
    "compact: a segment written": ("compact", "indexer.compaction.put_in_place", 0, "before"),
    "compact: a segment renamed": ("compact", "indexer.compaction.put_in_place", 0, "after"),
    "compact: segments made": ("compact", "indexer.compaction.write_part", 0, "before"),
    "compact: a vector file written": ("compact", "indexer.parts.write_vectors", 1, "after"),
    "compact: vectors made": ("compact", "indexer.compaction.write_part", 0, "after"),
    "compact: in the transaction": ("compact", "indexer.compaction.publish", 0, "after"),
    "compact: published": ("compact", "indexer.compaction.sweep_garbage", 1, "before"),
    "compact: in the sweep": ("compact", "indexer.publish.sweep", 4, "after"),
    "grow: a segment renamed": ("grow", "indexer.assemble.put_in_place", 0, "after"),
    "grow: committed": ("grow", "indexer.build.compact_segments", 0, "before"),
    "grow: a part renamed": ("grow", "indexer.parts.put_in_place", 0, "after"),
    "grow: in the publication": ("grow", "indexer.publish.publish", 0, "after"),
    "shrink: in forgetting maps": (
        "shrink",
        "indexer.compact.writing.forget_efforts",
        0,
        "after",
    ),
    "shrink: between two segments": ("shrink", "indexer.compact.writing._give_up", 0, "after"),
    "merge: a segment copied": ("merge", "indexer.merge.put_in_place", 0, "before"),
    "merge: a segment renamed": ("merge", "indexer.merge.put_in_place", 0, "after"),
    "merge: in a commit": ("merge", "indexer.merge.commit_copied", 1, "after"),
    "merge: all committed": ("merge", "indexer.merge.compact_segments", 0, "before"),
    "merge: vectors renamed": ("merge", "indexer.parts.put_in_place", 0, "after"),
    "merge: in the publication": ("merge", "indexer.publish.publish", 0, "after"),
    "merge: whole under another name": ("merge", "indexer.merge.sync_folder", 0, "after"),
    "merge: renamed": ("merge", "indexer.merge.sync_folder", 1, "before"),
    "repair: damage forgotten": ("repair", "indexer.repair._drop", 0, "after"),
    "repair: compact maps made": ("repair", "indexer.repair.rebuild_vectors", 0, "before"),
    "repair: vectors renamed": ("repair", "indexer.parts.put_in_place", 0, "after"),
    "repair: vectors made": ("repair", "indexer.repair.rebuild_vectors", 0, "after"),
}
"""By name: operation, function, calls that it survives, and on which side of the next it dies."""


def fresh(folder: Path, copy: Path) -> Path:
    """Copy a folder; its files keep their times."""
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(folder, copy))
