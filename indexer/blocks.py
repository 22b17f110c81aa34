"""What the index hands to a ranking: blocks of vectors with the ids they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class SoundBlock:
    """`ids` (n,); `f_s` float32 (n, 1000), unit norm; `h` float32 (n, 512)."""

    ids: Ids
    f_s: Floats
    h: Floats


@dataclass(frozen=True, kw_only=True)
class FrameBlock:
    """`ids` (n,); `maps` (n, M, 512), float16 as the encoder gave them, or float32 as compact ones
    stand for, or with no cells where none are kept; `coarse` float32 (n, 1000), unit norm."""

    ids: Ids
    maps: NDArray[np.floating]
    coarse: Floats
