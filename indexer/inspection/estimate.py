"""How long a build of this corpus will take on this machine, and how much disk its index needs.

Bytes follow from the layout (`indexer.segments`, `indexer.publish`). Seconds are those that the
inspection took to decode, and for the network of the shipped encoder what it took on one core when
this was written, in units of what that core did with small matrices at the same moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encoder.config import F_S, F_V, D
from indexer.options import MapForm, n_cores
from indexer.plan import PlannedItem

SHIPPED_GRID = (14, 14)
SHIPPED_WINDOW_S = 5.0
FLOAT, HALF, ID = 4, 2, 8
CATALOGUE_BYTES = 900
"""Rows of one item in the catalogue: 870 for each of 3 419 items with labels and boxes."""
FIXED_BYTES = 1_900_000
"""Basis of compact maps, projections of the codes."""
CODES = 64

FRAME_WORK, WINDOW_WORK, PAIR_WORK = 1.0, 0.29, 0.035
"""Seconds on one core for a frame, a window of 5 s of sound, a frame looked at with its own sound,
times the core's `core_speed`: 9.9 to 10.6 ms, 2.8 to 3.0 and 0.31 to 0.36 at 96 to 99 (compact-3,
one thread, batches of 16, six rounds)."""
FINISH_WORK, FINISHED_ITEMS = 0.22, 8_192
"""For each item up to that many, to calibrate and to measure the recall: 7.7 s for 3 419 items on
two cores of 98."""
START_S = 3.0
MAX_ENCODERS = 4
"""Batches that a build takes through the network at a time (`indexer.encode`)."""
FACTOR = 3.0
"""The true time lies between a third and three times the estimate, on a machine that has nothing
else to do."""
PROBE_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Time of a build with the shipped encoder on the processor.

    Attributes
    ----------
    likely, least, most : seconds.
    cores : that it was estimated for.
    core_speed : of one of them, now, in GFLOP/s.
    """

    likely: float
    least: float
    most: float
    cores: int
    core_speed: float


def index_bytes(
    items: Sequence[PlannedItem], grid: tuple[int, int] = SHIPPED_GRID
) -> dict[MapForm, int]:
    """Return the size of an index of these items by what it keeps of frames.

    Parameters
    ----------
    grid : cells of a visual map; the default is the shipped encoder's.
    """
    n_frames = sum(item.frame is not None for item in items)
    n_sounds = sum(item.sound is not None for item in items)
    n_pairs = sum(item.frame is not None and item.sound is not None for item in items)
    n_items = sum(bool(item.parts) for item in items)
    # A row of a segment, a vector for FAISS, a code.
    frame = (ID + 2 * FLOAT * F_V) + (ID + FLOAT * F_V) + (ID + CODES)
    sound = (ID + FLOAT * F_S + HALF * D) + (ID + FLOAT * F_S) + (ID + 2 * CODES)
    pair = ID + FLOAT * F_V
    least = (
        n_frames * frame
        + n_sounds * sound
        + n_pairs * pair
        + n_items * CATALOGUE_BYTES
        + FIXED_BYTES
    )
    n_blocks = math.ceil(grid[0] / 2) * math.ceil(grid[1] / 2)
    compact = least + n_frames * (ID + n_blocks * (128 + HALF))
    full = compact + n_frames * (ID + grid[0] * grid[1] * D * HALF)
    return {"full": full, "compact": compact, "none": least}


def build_seconds(
    items: Sequence[PlannedItem], *, decode_cpu_s: float, durations: Mapping[str, float]
) -> Seconds:
    """Estimate the time of a first build; measures the speed of a core, for a tenth of a second.

    Parameters
    ----------
    decode_cpu_s : processor seconds that decoding all files took.
    durations : seconds of sound by path.
    """
    frames = {item.frame.key for item in items if item.frame}
    sounds = {item.sound.key: item.sound for item in items if item.sound}
    n_windows = 0
    for part in sounds.values():
        end_s = durations.get(part.source.path, 0.0) if part.t1_s is None else part.t1_s
        n_windows += max(1, math.ceil((end_s - part.t0_s) / SHIPPED_WINDOW_S))
    n_pairs = sum(item.frame is not None and item.sound is not None for item in items)
    speed, cores = core_speed(), n_cores()
    work = len(frames) * FRAME_WORK + n_windows * WINDOW_WORK + n_pairs * PAIR_WORK
    encode_s = work / speed / min(cores, MAX_ENCODERS)
    finish_s = min(len(items), FINISHED_ITEMS) * FINISH_WORK / speed
    likely = START_S + encode_s + decode_cpu_s / cores + finish_s
    return Seconds(
        likely=likely,
        least=likely / FACTOR,
        most=likely * FACTOR,
        cores=cores,
        core_speed=speed,
    )


def core_speed() -> float:
    """Measure what one core does with matrices of 64 × 64, in GFLOP/s of float32.

    So small that no library spreads them over several cores.
    """
    side = 64
    matrix = np.full((side, side), 0.01, np.float32)
    product = np.empty_like(matrix)
    n, began = 0, time.thread_time()
    while (seconds := time.thread_time() - began) < PROBE_S:
        for _ in range(100):
            np.matmul(matrix, matrix, out=product)
        n += 100
    return n * 2 * side**3 / seconds / 1e9
