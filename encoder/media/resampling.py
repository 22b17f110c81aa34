"""From one sample rate to another, so that a span equals the same slice of the whole.

torchaudio's windowed sinc at its default settings (width 6 zero crossings, roll-off 0.99, Hann).
It maps each block of `down` source samples to `up` output samples with the same kernels, so work
that begins on a block and carries a margin gives the samples that the whole would have given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

_MAX_TERM = 2_560
"""Of the ratio (384 kHz to 22 050 Hz needs 2 560): bounds the kernels to 30 MB at odd rates such as
44 099 Hz, at the price of a speed that is off by 2 in 10 000 at the worst."""
_CHUNK_SAMPLES = 1 << 21
"""Of the source, worked on at a time: the filter needs several times its input in memory."""


@dataclass(frozen=True, kw_only=True)
class RateChange:
    """`down` source samples become `up` output samples, in lowest terms."""

    down: int
    up: int

    @classmethod
    def between(cls, from_hz: int, to_hz: int) -> RateChange:
        """Give the ratio of two rates, in terms of at most 2 560."""
        if from_hz < to_hz:
            inverse = cls.between(to_hz, from_hz)
            return cls(down=inverse.up, up=inverse.down)
        ratio = Fraction(to_hz, from_hz).limit_denominator(_MAX_TERM)
        return cls(down=ratio.denominator, up=ratio.numerator)

    @property
    def margin(self) -> int:
        """Blocks on either side that the filter of one block reaches into."""
        if self.down == self.up:
            return 0
        # Six zero crossings of 0.99 of the lower rate; a seventh is more than the roll-off adds.
        width = math.ceil(7 * self.down / min(self.down, self.up))
        return width // self.down + 1

    def needed(self, first: int, last: int | None) -> tuple[int, int | None]:
        """Source samples [first, last) that output samples [first, last) depend on."""
        begin = max(first // self.up - self.margin, 0) * self.down
        return begin, None if last is None else (-(-last // self.up) + self.margin) * self.down

    def resampled(
        self, samples: NDArray[np.float32], begin: int, first: int, last: int | None
    ) -> NDArray[np.float32]:
        """Output samples [first, last), given the source from `begin` on, as `needed` said.

        Returns
        -------
        (T,) float32, shorter where the source ends before.
        """
        offset = begin // self.down * self.up
        sound = samples if self.down == self.up else self._in_chunks(samples)
        return sound[first - offset : None if last is None else max(last - offset, 0)]

    def _in_chunks(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        sound = np.empty(-(-len(samples) * self.up // self.down), np.float32)
        step = max(_CHUNK_SAMPLES // self.down, 1)
        for block in range(0, -(-len(samples) // self.down), step):
            lead = min(block, self.margin)
            part = samples[(block - lead) * self.down : (block + step + self.margin) * self.down]
            part = _filtered(part, self.down, self.up)[lead * self.up :][: step * self.up]
            sound[block * self.up : block * self.up + len(part)] = part
        return sound


def _filtered(samples: NDArray[np.float32], down: int, up: int) -> NDArray[np.float32]:
    import torch  # here, since reading a picture or the headers of a file must not wait for it

    filtered: NDArray[np.float32] = _filter(down, up)(torch.from_numpy(samples)).numpy()
    return filtered


@lru_cache(maxsize=8)
def _filter(down: int, up: int) -> Callable[[Tensor], Tensor]:
    """Build the filter once: making its kernels takes about as long as resampling 2 s of sound."""
    from torchaudio.transforms import Resample

    resample: Callable[[Tensor], Tensor] = Resample(orig_freq=down, new_freq=up)
    return resample
