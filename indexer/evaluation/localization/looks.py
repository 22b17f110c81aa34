"""Frames looked at with sounds, from what the index holds: no file is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder.localization.masks import spread
from indexer.blocks import Floats
from indexer.evaluation.localization.items import Candidate, LeftOut
from indexer.evaluation.localization.options import MapKind
from indexer.reader import IndexReader

if TYPE_CHECKING:
    from encoder.embedder import Embedder

NOT_FINITE = "a map with NaN or infinity"
AT_ONCE = 64
"""Frames in one pass: 64 maps of 20 × 20 cells are 52 MB in float32."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Maps of N frames under one sound each: `attention` and `response` (N, H', W')."""

    attention: Floats
    response: Floats

    def maps(self, kind: MapKind) -> Floats:
        """Return the maps of a kind (definitions §1)."""
        if kind == "heatmap":
            return spread(self.attention)
        return self.attention if kind == "attention" else self.response

    @property
    def is_finite(self) -> NDArray[np.bool_]:
        """(N,), false where a map holds NaN or infinity."""
        both = np.isfinite(self.attention) & np.isfinite(self.response)
        return np.asarray(both.all(axis=(1, 2)), dtype=np.bool_)

    def kept(self, which: NDArray[np.bool_]) -> Looks:
        return Looks(attention=self.attention[which], response=self.response[which])


def look(
    reader: IndexReader,
    embedder: Embedder,
    frames: Sequence[Candidate],
    sounds: Sequence[Candidate],
    on_look: Callable[[int, int], None] | None = None,
) -> Looks:
    """Look at the frame of frames[i] with the sound of sounds[i].

    Parameters
    ----------
    on_look : called with (done, total).
    """
    attention = np.zeros((len(frames), *reader.grid), np.float32)
    response = np.zeros_like(attention)
    for first in range(0, len(frames), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        maps = np.stack([reader.frame_map(item.id) for item in frames[part]])
        contexts = np.concatenate([reader.sound(item.id).h for item in sounds[part]])
        looked = embedder.condition(maps, contexts)
        attention[part] = looked.attention.reshape(-1, *reader.grid)
        response[part] = looked.response.reshape(-1, *reader.grid)
        if on_look is not None:
            on_look(min(part.stop, len(frames)), len(frames))
    return Looks(attention=attention, response=response)


def finite(looks: Looks, frames: Sequence[Candidate], left_out: LeftOut) -> NDArray[np.bool_]:
    """Say which looks (N,) are usable; count the others."""
    usable = looks.is_finite
    for at in np.flatnonzero(~usable).tolist():
        left_out.add(frames[at].name, NOT_FINITE)
    return usable
