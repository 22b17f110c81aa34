"""How loud a sound is, how much of it is clipped and what its mix-down loses, tenth by tenth.

Levels are of the samples as they are stored, before the project mixes, clips and resamples them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.media.spans import SoundBlock, mixed_down

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP_S = 0.1
FULL_SCALE = 32_766 / 32_768
"""One step of 16 bits below the highest sample."""
CLIPPED_RUN = 3
"""Samples at full scale in a row: Audacity's "Find Clipping" asks for as many. One or two are what
normalising to the peak leaves."""
QUIETEST_DB = -200.0
"""Stands for the level of digital silence, which has none."""

COLUMNS = ("n", "power", "mixed", "clipped", "not_finite")


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Sums over each tenth of a second of a sound.

    Attributes
    ----------
    sums : (n_steps, 5) float64, one column for each of `COLUMNS`: samples of one channel; Σ x²,
        averaged over the channels; Σ of the squared mix-down; samples of any channel that are in
        a run at full scale; samples of any channel that are NaN or infinite.
    duration_s : of the whole sound, pauses included.
    """

    rate_hz: int
    n_channels: int
    duration_s: float
    sums: NDArray[np.float64]

    def between(self, t0_s: float, t1_s: float | None) -> Level:
        """Add up the steps that begin in a span; all to the end where `t1_s` is None."""
        first = round(t0_s / STEP_S)
        last = len(self.sums) if t1_s is None else round(t1_s / STEP_S)
        sums = self.sums[first : max(last, first + 1)].sum(axis=0)
        return Level(self.n_channels, **dict(zip(COLUMNS, map(float, sums), strict=True)))


@dataclass(frozen=True)
class Level:
    """The sums of `Levels` over a span."""

    n_channels: int
    n: float
    power: float
    mixed: float
    clipped: float
    not_finite: float

    @property
    def rms_db(self) -> float:
        """RMS of all channels in dBFS: 0 is a square wave at full scale, −3.01 a sine."""
        return _decibels(self.power / self.n) if self.n else QUIETEST_DB

    @property
    def clipped_share(self) -> float:
        """Samples in runs at full scale, of all samples."""
        return self.clipped / (self.n * self.n_channels) if self.n else 0.0

    @property
    def mix_db(self) -> float:
        """Power of the mix-down over what channels that have nothing in common would leave.

        That is 1/C of the mean power of the C channels; equal channels give 10·log10 C dB, one
        channel 0 dB.
        """
        if not self.power:
            return 0.0
        return _decibels(self.mixed * self.n_channels / self.power)


def levels_of(blocks: Iterable[SoundBlock]) -> Levels:
    """Sum up the blocks of one sound; at least one, and all of them of one rate.

    A run at full scale that the border of two blocks cuts counts as two.
    """
    parts: list[tuple[int, NDArray[np.float64]]] = []
    rate_hz = n_channels = end = 0
    for block in blocks:
        rate_hz = block.rate_hz
        n_channels = max(n_channels, block.samples.shape[1])
        step = max(round(STEP_S * rate_hz), 1)
        parts.append((block.first // step, _sums(block, step)))
        end = max(end, block.first + len(block.samples))
    sums = np.zeros((max(at + len(part) for at, part in parts), len(COLUMNS)))
    for at, part in parts:
        sums[at : at + len(part)] += part
    return Levels(rate_hz=rate_hz, n_channels=n_channels, duration_s=end / rate_hz, sums=sums)


def _sums(block: SoundBlock, step: int) -> NDArray[np.float64]:
    """(n_steps, 5) sums of one block; the first and the last step may be parts of one."""
    samples, n_channels = block.samples, block.samples.shape[1]
    n_steps = (block.first + len(samples) - 1) // step - block.first // step + 1
    starts = np.maximum(np.arange(n_steps) * step - block.first % step, 0)
    sums = np.zeros((n_steps, len(COLUMNS)))
    sums[:, 0] = np.diff(starts, append=len(samples))
    if not np.isfinite([samples.min(), samples.max()]).all():
        finite = np.isfinite(samples)
        sums[:, 4] = np.add.reduceat((~finite).sum(axis=1), starts)
        samples = np.where(finite, samples, np.float32(0))
    power = np.einsum("tc,tc->t", samples, samples)
    sums[:, 1] = np.add.reduceat(power, starts, dtype=np.float64) / n_channels
    mixed = mixed_down(samples)
    sums[:, 2] = np.add.reduceat(mixed * mixed, starts, dtype=np.float64)
    if max(samples.max(), -samples.min()) >= FULL_SCALE:
        sums[:, 3] = np.add.reduceat(_in_runs(np.abs(samples) >= FULL_SCALE).sum(axis=1), starts)
    return sums


def _in_runs(hot: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep of (T, C) what stands in a run of at least CLIPPED_RUN along the first axis."""
    n = len(hot) - CLIPPED_RUN + 1
    kept: NDArray[np.bool_] = np.zeros_like(hot)
    if n <= 0:
        return kept
    whole: NDArray[Any] = np.logical_and.reduce([hot[i : i + n] for i in range(CLIPPED_RUN)])
    for i in range(CLIPPED_RUN):
        kept[i : i + n] |= whole
    return kept


def _decibels(power: float) -> float:
    return max(10 * math.log10(power), QUIETEST_DB) if power > 0 else QUIETEST_DB
