"""How a build goes about it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from encoder.media import MediaLimits
from indexer.sharding import Shard

WINDOW_S = 10.0
MIN_RECALL = 0.98
MapForm = Literal["full", "compact", "none"]
"""What an index keeps of a frame: full and compact maps, compact ones, or its coarse vector."""


def n_cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options of a scan and of a build. None of them changes an embedding.

    Parameters
    ----------
    window_s : length of the items that a video or a long sound is cut into.
    workers : threads that embed, each with a process that decodes for it.
    batch_size : items per pass of the encoder.
    segment_items : items per segment, and so what a kill loses at most.
    reembed : embed everything anew, with another encoder say; the old index serves until the new
        one is complete.
    maps : what is kept of frames; None goes on as the index does, and begins one with `full`. Of
        frames that are there already, what is more than that is given up; it comes back with
        `reembed` alone.
    refit : make the compact maps of all frames anew that have full ones, in a basis fitted to them,
        and measure the recall anew.
    min_recall : of the ten best; a side of the index that stays under it with everything tried is
        searched exactly, which takes longer.
    max_memory : bytes of the vectors' files that a search goes through; None is no limit. Above
        100 000 items, and where they would not fit, vectors are compressed, and exact ones decide.
    restore : take in again what a person removed.
    limits : what is too large to be opened, and what takes too long.
    include, exclude : patterns of gitignore over paths of the corpus: what is taken in, where any
        is given, and what is left out. `indexer.ignoring` has more.
    follow_symlinks : also take in what links and manifests name outside the corpus.
    shard : the part of the corpus that is indexed, None for all of it.
    catalogue : URL of a PostgreSQL database, for an index that begins; default a file in its
        folder. An index that is there goes on where it is.
    """

    window_s: float = WINDOW_S
    workers: int = field(default_factory=n_cores)
    batch_size: int = 16
    segment_items: int = 4096
    reembed: bool = False
    maps: MapForm | None = None
    refit: bool = False
    min_recall: float = MIN_RECALL
    max_memory: int | None = None
    restore: bool = False
    limits: MediaLimits = field(default_factory=MediaLimits)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    shard: Shard | None = None
    catalogue: str | None = None
