"""Batches made by other threads while the network is busy with the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, islice

import torch

from indexer.options import n_cores
from train.batches import Batches, Drawn, Prepared

MOST_AHEAD = 8


def n_ahead_for(device: torch.device) -> int:
    """How many batches to make ahead: none where the network wants all cores for itself.

    Measured on one core, compact, 64 pairs: a batch takes 1.6 % of a step to make.
    """
    return 0 if device.type == "cpu" else min(MOST_AHEAD, n_cores())


@contextmanager
def drawn_ahead(batches: Batches, *, first_step: int, n_ahead: int) -> Iterator[Iterator[Drawn]]:
    """Give all batches in order, step by step and turn by turn, from a step on.

    What is drawn does not depend on how many are made ahead.
    """
    places = (
        (step, turn) for step in count(first_step) for turn in range(batches.recipe.accumulate)
    )
    if n_ahead == 0:
        yield (batches.at(*place) for place in places)
        return
    pool = ThreadPoolExecutor(n_ahead)
    waiting: deque[Future[Prepared]] = deque(
        pool.submit(batches.prepared, *place) for place in islice(places, n_ahead)
    )

    def drawn() -> Iterator[Drawn]:
        for place in places:
            prepared = waiting.popleft().result()
            waiting.append(pool.submit(batches.prepared, *place))
            yield batches.finished(prepared)

    try:
        yield drawn()
    finally:
        pool.shutdown(cancel_futures=True)
