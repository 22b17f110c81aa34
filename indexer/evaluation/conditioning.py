"""f_v of every frame with the sounds that the protocols ask for: one conditioning per pair.

One distinct frame at a time meets the distinct sounds in the order of the database, so that no
score depends on the order in which the index stores them. Every look is `Embedder.condition` in
float32, the exact twin itself: 2 MFLOP a pair, in products large enough for the machine's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoder.config import F_V
from indexer.blocks import Floats, Halves
from indexer.decode import in_order
from indexer.encode import cores_shared_by, n_encoders
from indexer.evaluation.database import Database, Positions
from indexer.evaluation.pairs import PairScores, PairWork, rows_by_number
from indexer.evaluation.swap import Swap
from indexer.evaluation.vector_file import VectorFile
from indexer.evaluation.vectors import Sounds, VectorSource
from indexer.options import n_cores

if TYPE_CHECKING:
    from encoder.embedder import Embedder

OnFrame = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class OwnVectors:
    """f_v of the P pairs, (P, 1000) each, unit norm.

    Attributes
    ----------
    own : with the sound that the frame came with, f_v(X_v, X_s).
    swapped : with the partner's sound of the swap test; None where there is no other sound.
    swapped_sounds : (P,) the partner's sounds; meaningless without `swapped`.
    """

    own: VectorFile
    swapped: VectorFile | None
    swapped_sounds: Positions


@contextmanager
def own_vectors(
    embedder: Embedder,
    source: VectorSource,
    sounds: Sounds,
    database: Database,
    swap: Swap | None,
    on_frame: OnFrame,
) -> Iterator[OwnVectors]:
    """Look at the frame of every pair with its own sound and with its partner's."""
    pairs = database.pairs
    rows_of = rows_by_number(database.frames[pairs], len(database.frame_items))
    with_sounds = [database.sounds[pairs]] + ([swap.sounds] if swap else [])

    def look(frame: int, visual_map: Halves) -> None:
        rows = rows_of(frame)
        if len(rows):
            h = sounds.h.take(np.concatenate([of[rows] for of in with_sounds]))
            f_v = conditioned(embedder, visual_map, h)
            for file, part in zip(files, np.split(f_v, len(files)), strict=True):
                file.put(rows, part)

    with ExitStack() as opened:
        files = [opened.enter_context(closing(VectorFile(len(pairs), F_V))) for _ in with_sounds]
        _each_frame(embedder, source, look, on_frame)
        yield OwnVectors(
            own=files[0],
            swapped=files[1] if swap else None,
            swapped_sounds=with_sounds[-1],
        )


def pair_scores(
    embedder: Embedder,
    source: VectorSource,
    sounds: Sounds,
    database: Database,
    *,
    own: VectorFile | None,
    queries: tuple[Positions, Positions],
    on_frame: OnFrame,
) -> PairScores:
    """Look at every frame with every sound that asks, and at every frame that asks with all sounds.

    Parameters
    ----------
    own : (P, 1000) f_v of the pairs, for the associative rankings; None where there is no pair.
    queries : positions of the items that ask by their sound, and by their frame.
    """
    work = PairWork(database, sounds, own, *queries)

    def look(frame: int, visual_map: Halves) -> None:
        for part in work.parts(frame):
            work.take(frame, part, conditioned(embedder, visual_map, part.h))

    _each_frame(embedder, source, look, on_frame)
    return work.result()


def _each_frame(
    embedder: Embedder,
    source: VectorSource,
    look: Callable[[int, Halves], None],
    on_frame: OnFrame,
) -> None:
    """Look at every distinct frame, one frame to a core.

    A product is then computed by one thread, and alike on any number of cores; teams of threads
    spent most of their time waiting for each other where other work ran beside them.
    """
    n = n_encoders(embedder, n_cores())
    with cores_shared_by(n) as begin:
        looks = in_order(
            source.maps(), lambda job: look(*job), workers=n, n_ahead=2 * n, begin=begin
        )
        with closing(looks):
            for done, _ in enumerate(looks, start=1):
                on_frame(done)


def conditioned(embedder: Embedder, visual_map: Halves, h: Floats) -> Floats:
    """f_v (n, 1000), unit norm, of one frame (M, 512) with n sounds (n, 512)."""
    return embedder.condition(visual_map[None], h).f_v
