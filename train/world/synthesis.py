"""Building blocks of the sounds: shaped noise, decaying modes, wavetables, rhythms, rooms.

All of it is vectorised over time; there is no loop over samples. Waveforms are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]

_TABLE_SIZE = 4096
_MODE_BLOCK = 256


def shaped_noise(
    rng: np.random.Generator,
    n: int,
    rate_hz: int,
    gain: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Waveform:
    """Return (n,) Gaussian noise with the amplitude spectrum `gain(frequencies in Hz)`, RMS 1.

    It is drawn in the frequency domain, which saves the forward transform; uniform parts do, since
    a sum of thousands of them is Gaussian.
    """
    length = _fast_length(n)
    frequencies = (np.arange(length // 2 + 1) * (rate_hz / length)).astype(np.float32)
    parts = rng.random((length // 2 + 1, 2), dtype=np.float32) - np.float32(0.5)
    spectrum = parts.view(np.complex64)[:, 0] * gain(frequencies)
    noise = np.fft.irfft(spectrum, length)[:n]
    return unit_rms(noise.astype(np.float32, copy=False))


def band(low_hz: float, high_hz: float, slope: float = 2.0) -> Callable[..., NDArray[np.float32]]:
    """Return a gain that passes [low_hz, high_hz] and falls with `slope` (in 1/octave powers)."""

    def gain(frequencies: NDArray[np.float32]) -> NDArray[np.float32]:
        above = np.maximum(frequencies, np.float32(1.0)) / np.float32(high_hz)
        below = np.float32(low_hz) / np.maximum(frequencies, np.float32(1.0))
        worst = np.maximum(np.maximum(above, below), np.float32(1.0))
        return (worst ** np.float32(-slope)).astype(np.float32)

    return gain


def modes(
    frequencies_hz: Sequence[float] | Reals,
    decays_s: Sequence[float] | Reals,
    levels: Sequence[float] | Reals,
    n: int,
    rate_hz: int,
) -> Waveform:
    """Return (n,) a sum of exponentially decaying sinusoids; those above 0.45 rate_hz are dropped.

    `decays_s` are the times to fall to 1/e. The powers of each mode's complex pole are the outer
    product of a coarse and a fine geometric series: one product per sample, no sine per sample.
    """
    heard = np.asarray(frequencies_hz) < 0.45 * rate_hz
    pole = -1.0 / np.asarray(decays_s)[heard] + 2j * np.pi * np.asarray(frequencies_hz)[heard]
    steps = np.arange(-(-n // _MODE_BLOCK)) * (_MODE_BLOCK / rate_hz)
    coarse = np.asarray(levels)[heard] * np.exp(np.outer(steps, pole))
    fine = np.exp(np.outer(pole, np.arange(_MODE_BLOCK) / rate_hz))
    block = coarse.astype(np.complex64) @ fine.astype(np.complex64)
    return np.ascontiguousarray(block.imag.ravel()[:n])


def harmonic_table(levels: Sequence[float] | Reals, rng: np.random.Generator) -> Waveform:
    """Return one period with the given harmonic levels in random phases, RMS 1."""
    spectrum = np.zeros(_TABLE_SIZE // 2 + 1, np.complex64)
    phases = np.exp(2j * np.pi * rng.random(len(levels)))
    spectrum[1 : len(levels) + 1] = np.asarray(levels) * phases
    return unit_rms(np.fft.irfft(spectrum, _TABLE_SIZE).astype(np.float32))


def play_table(table: Waveform, turns: Reals) -> Waveform:
    """Read a one-period table at phases given in turns."""
    places = (turns * _TABLE_SIZE).astype(np.int64) & (_TABLE_SIZE - 1)
    played: Waveform = table[places]
    return played


def turns_of(frequency_hz: Reals, rate_hz: int) -> NDArray[np.float64]:
    """Integrate a frequency (T,) in Hz to a phase (T,) in turns."""
    return np.cumsum(frequency_hz, dtype=np.float64) / rate_hz


def drift(rng: np.random.Generator, n: int, rate_hz: int, *, per_second: float) -> Waveform:
    """Return (n,) a smooth random walk in about [-1, 1] with that many turning points a second."""
    n_knots = max(2, round(per_second * n / rate_hz) + 2)
    return between(rng.uniform(-1, 1, n_knots), n)


def between(knots: Sequence[float] | Reals, n: int) -> Waveform:
    """Return (n,) values that pass linearly through evenly spaced knots.

    The last knot lies at the end or, where n does not divide evenly, a little after it.
    """
    heights = np.asarray(knots, np.float32)
    step = -(-n // (len(heights) - 1))
    along = np.arange(step, dtype=np.float32) / np.float32(step)
    return (heights[:-1, None] + np.diff(heights)[:, None] * along).ravel()[:n]


def rhythm(
    rng: np.random.Generator, seconds: float, *, per_second: float, swing: float
) -> NDArray[np.float64]:
    """Return onsets in seconds: a beat with `swing` in [0, 1], from steady to random; at least one.

    The first onset lies in the first half of the first beat.
    """
    period = 1.0 / per_second
    n_beats = max(1, int(seconds * per_second))
    gaps = period * (1 + swing * rng.uniform(-0.6, 0.6, n_beats))
    onsets = 0.5 * period * rng.random() + np.concatenate([[0.0], np.cumsum(gaps[:-1])])
    kept = onsets[onsets < seconds - 0.05]
    return kept if len(kept) else np.zeros(1)


def lay(
    parts: Sequence[Waveform],
    which: Sequence[int] | NDArray[np.int64],
    onsets_s: NDArray[np.float64],
    levels: NDArray[np.float64],
    n: int,
    rate_hz: int,
) -> Waveform:
    """Add `parts[which[i]] * levels[i]` at `onsets_s[i]` into silence of (n,)."""
    total = np.zeros(n, np.float32)
    for part, onset, level in zip(which, onsets_s, levels, strict=True):
        start = round(onset * rate_hz)
        stop = min(n, start + len(parts[part]))
        total[start:stop] += np.float32(level) * parts[part][: stop - start]
    return total


def in_room(rng: np.random.Generator, waveform: Waveform, rate_hz: int) -> Waveform:
    """Tilt the spectrum at random and add a few echoes: another distance, another room."""
    tilt = np.float32(rng.uniform(-0.35, 0.5))
    heard = waveform.copy()
    heard[1:] += tilt * waveform[:-1]
    for delay_s, gain in zip(rng.uniform(0.01, 0.09, 3), rng.uniform(0, 0.25, 3), strict=True):
        delay = round(delay_s * rate_hz)
        heard[delay:] += np.float32(gain) * waveform[: len(waveform) - delay]
    return heard


def fade(waveform: Waveform, rate_hz: int, *, fade_s: float) -> Waveform:
    """Raise the start and lower the end of a part, in place, so that it does not click."""
    n = min(len(waveform) // 2, max(1, round(fade_s * rate_hz)))
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    waveform[:n] *= ramp
    waveform[-n:] *= ramp[::-1]
    return waveform


def rms(waveform: Waveform) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.dot(waveform, waveform) / len(waveform)))


def peak(waveform: Waveform) -> float:
    """Return the largest magnitude."""
    return float(max(waveform.max(), -waveform.min()))


def unit_rms(waveform: Waveform) -> Waveform:
    """Scale to a root mean square of 1; silence stays silence."""
    loudness = rms(waveform)
    return waveform * np.float32(1 / loudness) if loudness > 0 else waveform


def _fast_length(n: int) -> int:
    """Return the least even m ≥ n whose only factors are 2, 3 and 5: a quick transform."""
    best = 1 << max(1, (n - 1).bit_length())
    five = 2
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-n // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best
