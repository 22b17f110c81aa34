"""What the kinds and the ambience sound like: one physically inspired family of sounds for each.

A family is told by how its sound is made: struck, blown, plucked, rushing, whirring. Pitch,
rhythm, level, bandwidth, room and noise are drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.world.config import WorldError
from train.world.synthesis import (
    Waveform,
    band,
    between,
    drift,
    fade,
    harmonic_table,
    in_room,
    lay,
    modes,
    peak,
    play_table,
    rhythm,
    shaped_noise,
    turns_of,
    unit_rms,
)

LEVEL_DB = (-34.0, -20.0)
"""Range of a sound's RMS, dB below full scale. The same for all kinds: loudness tells nothing."""

PEAK = 0.97
"""No sample is louder; a sound with a higher crest is scaled down as a whole."""


@dataclass(frozen=True, kw_only=True)
class _Span:
    """How long a sound is and how finely it is sampled."""

    seconds: float
    rate_hz: int

    @property
    def n(self) -> int:
        return round(self.seconds * self.rate_hz)

    def samples(self, seconds: float) -> int:
        return max(1, min(self.n, round(seconds * self.rate_hz)))


Voice = Callable[[np.random.Generator, _Span], Waveform]


def make_sound(
    kind: str, rng: np.random.Generator, *, seconds: float = 5.0, rate_hz: int = 22_050
) -> Waveform:
    """Make one sound of a kind.

    Parameters
    ----------
    kind : one of `KINDS` or `AMBIENT_SOUNDS`.
    rng : where pitch, rhythm, level and the rest come from.
    seconds : length of the sound, at least 0.5.
    rate_hz : sampling rate, at least 8 000.

    Returns
    -------
    (round(seconds × rate_hz),) float32 in [-0.97, 0.97], RMS within `LEVEL_DB` or, where the
    peak forbids that, below.

    Raises
    ------
    WorldError : an unknown kind.
    """
    if kind not in VOICES:
        raise WorldError(f"{kind}: makes no sound here; choose among {', '.join(VOICES)}")
    span = _Span(seconds=seconds, rate_hz=rate_hz)
    dry = VOICES[kind](rng, span)
    heard = unit_rms(in_room(rng, dry, rate_hz))
    level = 10 ** (rng.uniform(*LEVEL_DB) / 20)
    return heard * np.float32(min(level, PEAK / peak(heard)))


def _bell(rng: np.random.Generator, span: _Span) -> Waveform:
    """Struck metal: inharmonic partials from hum to nominal and up, the low ones last longest."""
    strike_hz = 2 ** rng.uniform(np.log2(260), np.log2(1100))
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.62, 3.01, 4.17, 5.43])
    ratios *= 1 + rng.uniform(-0.015, 0.015, len(ratios))
    levels = rng.uniform(0.4, 1.0, len(ratios)) / ratios ** rng.uniform(0.1, 0.7)
    decays = rng.uniform(0.6, 1.6) / ratios ** rng.uniform(0.5, 0.9)
    ring = modes(strike_hz * ratios, decays, levels, span.samples(2.6), span.rate_hz)
    soft = modes(strike_hz * ratios[:5], decays[:5], levels[:5], span.samples(2.6), span.rate_hz)
    onsets = rhythm(rng, span.seconds, per_second=rng.uniform(0.5, 2.4), swing=rng.random())
    return _strike(rng, [ring, soft], onsets, span)


def _drum(rng: np.random.Generator, span: _Span) -> Waveform:
    """Struck skin: the modes of a circular membrane, soon gone, and the knock of the stick."""
    skin_hz = rng.uniform(65, 210)
    ratios = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156])
    n = span.samples(0.6)
    beats = []
    for brightness in rng.uniform(0.2, 1.0, 3):
        decays = rng.uniform(0.08, 0.25) / ratios**0.7
        skin = unit_rms(modes(skin_hz * ratios, decays, ratios**-brightness, n, span.rate_hz))
        knock = shaped_noise(rng, n, span.rate_hz, band(150, rng.uniform(900, 5000), 1.5))
        knock *= _decay(n, rng.uniform(0.01, 0.09), span)
        beats.append(skin + np.float32(2 * brightness * rng.random()) * knock)
    onsets = rhythm(rng, span.seconds, per_second=rng.uniform(2, 6.5), swing=0.5 * rng.random())
    rests = rng.random(len(onsets)) < rng.uniform(0, 0.35)
    rests[0] = False
    return _strike(rng, beats, onsets[~rests], span)


def _car(rng: np.random.Generator, span: _Span) -> Waveform:
    """Engine: a low pulse train of uneven cylinders whose speed drifts, and its exhaust noise."""
    firing_hz = rng.uniform(28, 85)
    speed = 1 + rng.uniform(0.03, 0.4) * drift(rng, span.n, span.rate_hz, per_second=0.8)
    turns = turns_of(firing_hz / 4 * speed, span.rate_hz)
    orders = np.arange(1, 121)
    body = 1 / (1 + (orders * firing_hz / 4 / rng.uniform(90, 320)) ** rng.uniform(1.2, 2.0))
    uneven = np.where(orders % 4 == 0, 1.0, rng.uniform(0.1, 0.45))
    engine = play_table(harmonic_table(body * uneven * rng.uniform(0.3, 1, 120), rng), turns)
    pulses = 1 + np.float32(rng.uniform(0.2, 0.9)) * play_table(harmonic_table([1], rng), 4 * turns)
    exhaust = shaped_noise(rng, span.n, span.rate_hz, band(60, rng.uniform(200, 1200), 1.2))
    return speed * (engine + np.float32(rng.uniform(0.1, 0.5)) * pulses * exhaust)


def _bird(rng: np.random.Generator, span: _Span) -> Waveform:
    """Chirping: a motif of fast sweeps, sung again and again in bursts."""
    centre_hz = 2 ** rng.uniform(np.log2(2200), np.log2(5200))
    notes = [_chirp(rng, centre_hz, span) for _ in range(rng.integers(1, 5))]
    gap_s = rng.uniform(0.02, 0.12)
    steps = np.array([len(note) / span.rate_hz + gap_s for note in notes])
    motif = np.tile(np.arange(len(notes)), rng.integers(1, 4))
    within = np.concatenate([[0.0], np.cumsum(steps[motif])])
    rest_s = rng.uniform(0.15, 0.9)
    starts = np.arange(rng.uniform(0, 0.3), span.seconds, within[-1] + rest_s)
    onsets = (starts[:, None] + within[None, :-1]).ravel()
    which = np.tile(motif, len(starts))
    kept = onsets < span.seconds - 0.02
    return lay(
        notes, which[kept], onsets[kept], rng.uniform(0.5, 1, kept.sum()), span.n, span.rate_hz
    )


def _chirp(rng: np.random.Generator, centre_hz: float, span: _Span) -> Waveform:
    n = span.samples(rng.uniform(0.04, 0.22))
    knots = centre_hz * 2 ** rng.uniform(-0.55, 0.55, rng.integers(2, 5))
    trill = rng.uniform(0, 0.06) * np.sin(
        2 * np.pi * rng.uniform(20, 45) * np.arange(n) / span.rate_hz
    )
    phase = 2 * np.pi * turns_of(between(knots, n) * (1 + trill), span.rate_hz)
    note = np.sin(phase) + rng.uniform(0, 0.2) * np.sin(2 * phase)
    return fade(note.astype(np.float32), span.rate_hz, fade_s=0.012)


def _fountain(rng: np.random.Generator, span: _Span) -> Waveform:
    """Rushing water: broad-band noise that swells slowly, with bubbles in it."""
    low, high = rng.uniform(150, 1400), rng.uniform(2800, 9000)
    rush = shaped_noise(rng, span.n, span.rate_hz, band(low, high, rng.uniform(0.8, 1.6)))
    swell = 1 + rng.uniform(0.05, 0.35) * drift(rng, span.n, span.rate_hz, per_second=1.5)
    n_bubbles = round(span.seconds * rng.uniform(5, 30))
    bubbles = [
        fade(
            modes([hz], [rng.uniform(0.008, 0.03)], [1.0], span.samples(0.1), span.rate_hz),
            span.rate_hz,
            fade_s=0.002,
        )
        for hz in rng.uniform(400, 2600, 6)
    ]
    onsets = rng.uniform(0, span.seconds - 0.1, n_bubbles)
    drops = lay(
        bubbles,
        rng.integers(0, 6, n_bubbles),
        onsets,
        rng.uniform(0.2, rng.uniform(0.6, 2.5), n_bubbles),
        span.n,
        span.rate_hz,
    )
    return swell * rush + drops


def _siren(rng: np.random.Generator, span: _Span) -> Waveform:
    """Alarm: rich tone that glides up and down or alternates between two pitches."""
    low = rng.uniform(380, 750)
    high = low * rng.uniform(1.3, 2.2)
    cycles = np.arange(span.n) / span.rate_hz * 2 ** rng.uniform(-1.6, 1.6) + rng.random()
    style = rng.integers(3)
    if style == 0:
        height = 0.5 - 0.5 * np.cos(2 * np.pi * cycles)
    elif style == 1:
        height = cycles % 1.0
    else:
        height = np.clip(8 * np.sin(2 * np.pi * cycles), -0.5, 0.5) + 0.5
    levels = np.arange(1, 13) ** -rng.uniform(0.7, 1.8)
    table = harmonic_table(levels[: max(2, int(0.45 * span.rate_hz / high))], rng)
    return play_table(table, turns_of(low * (high / low) ** height, span.rate_hz))


def _clock(rng: np.random.Generator, span: _Span) -> Waveform:
    """Ticking: two short clicks in strict alternation."""
    n = span.samples(0.09)
    clicks = []
    for base_hz in rng.uniform(900, 3600) * np.array([1.0, rng.uniform(0.65, 0.95)]):
        ratios = np.array([1.0, 1.47, 2.09, 2.56, 3.4]) * rng.uniform(0.95, 1.05, 5)
        decays = rng.uniform(0.003, 0.014) / ratios**0.3
        click = modes(base_hz * ratios, decays, rng.uniform(0.3, 1, 5), n, span.rate_hz)
        snap = shaped_noise(rng, n, span.rate_hz, band(1500, 9000)) * _decay(n, 0.002, span)
        clicks.append(click + np.float32(rng.uniform(0.2, 1.2)) * snap)
    per_second = rng.choice((1.0, 2.0, 3.0, 4.0, 5.0)) * rng.uniform(0.9, 1.1)
    onsets = rhythm(rng, span.seconds, per_second=max(2.0, per_second), swing=0.01)
    which = np.arange(len(onsets)) % 2
    return lay(
        clicks, which, onsets, np.where(which, rng.uniform(0.5, 1), 1.0), span.n, span.rate_hz
    )


def _guitar(rng: np.random.Generator, span: _Span) -> Waveform:
    """Plucked string: harmonics whose high ones die first, in a riff on a pentatonic scale."""
    root_hz = rng.uniform(82, 220)
    scale = root_hz * 2 ** (np.array([0, 3, 5, 7, 10, 12, 15, 17]) / 12)
    order = np.arange(1, 21)
    pluck = np.abs(np.sin(np.pi * order * rng.uniform(0.12, 0.4))) / order ** rng.uniform(0.6, 1.3)
    stretch = order * np.sqrt(1 + rng.uniform(0, 3e-4) * order**2)
    ring_s = rng.uniform(0.4, 1.1)
    strings = [
        modes(
            hz * stretch, ring_s / (1 + 0.05 * order**1.5), pluck, span.samples(1.5), span.rate_hz
        )
        for hz in rng.choice(scale, 4, replace=False)
    ]
    onsets = rhythm(rng, span.seconds, per_second=rng.uniform(1.6, 4.5), swing=0.4 * rng.random())
    return _strike(rng, strings, onsets, span)


def _kettle(rng: np.random.Generator, span: _Span) -> Waveform:
    """Blown whistle: a steady high tone with slight vibrato in a veil of breath noise."""
    pitch_hz = rng.uniform(900, 2600)
    cycles = rng.uniform(4, 9) / span.rate_hz * np.arange(span.n)
    vibrato = rng.uniform(0, 0.009) * play_table(harmonic_table([1], rng), cycles)
    rise = between([1 - rng.uniform(0, 0.3), 1.0, 1.0, 1.0], span.n)
    wander = rng.uniform(0, 0.02) * drift(rng, span.n, span.rate_hz, per_second=2)
    levels = [1.0, rng.uniform(0.05, 0.5), rng.uniform(0.02, 0.25), rng.uniform(0, 0.1)]
    table = harmonic_table(levels[: max(1, int(0.45 * span.rate_hz / pitch_hz))], rng)
    tone = play_table(table, turns_of(pitch_hz * (rise + vibrato + wander), span.rate_hz))
    breath = shaped_noise(rng, span.n, span.rate_hz, band(pitch_hz * 0.7, pitch_hz * 2.5, 1.5))
    steam = 1 + rng.uniform(0, 0.3) * drift(rng, span.n, span.rate_hz, per_second=6)
    return rise * rise * rise * steam * (tone + np.float32(rng.uniform(0.1, 0.7)) * breath)


def _bee(rng: np.random.Generator, span: _Span) -> Waveform:
    """Buzzing wings: a harsh tone of many harmonics that flutters as the insect circles."""
    wing_hz = rng.uniform(140, 290)
    flight = drift(rng, span.n, span.rate_hz, per_second=rng.uniform(0.8, 3))
    flutter = drift(rng, span.n, span.rate_hz, per_second=35)
    frequency = wing_hz * (1 + rng.uniform(0.03, 0.12) * flight + 0.015 * flutter)
    n_harmonics = int(0.4 * span.rate_hz / (wing_hz * 1.2))
    order = np.arange(1, n_harmonics + 1)
    body = np.exp(-(((order * wing_hz - rng.uniform(500, 1800)) / rng.uniform(600, 1600)) ** 2))
    table = harmonic_table(order ** -rng.uniform(0.6, 1.1) + rng.uniform(0.2, 0.6) * body, rng)
    near = 0.55 + rng.uniform(0.1, 0.45) * drift(rng, span.n, span.rate_hz, per_second=1.5)
    return near * (1 + 0.25 * flutter) * play_table(table, turns_of(frequency, span.rate_hz))


def _wind(rng: np.random.Generator, span: _Span) -> Waveform:
    """Low noise in gusts."""
    noise = shaped_noise(rng, span.n, span.rate_hz, band(40, rng.uniform(120, 420), 1.6))
    return (0.6 + 0.4 * drift(rng, span.n, span.rate_hz, per_second=0.9)) * noise


def _hum(rng: np.random.Generator, span: _Span) -> Waveform:
    """Mains and machines: steady low harmonics, a little noise."""
    mains_hz = rng.choice((50.0, 60.0)) * rng.choice((1.0, 2.0))
    table = harmonic_table(rng.uniform(0.1, 1, 8) / np.arange(1, 9), rng)
    steady = play_table(table, mains_hz * np.arange(span.n) / span.rate_hz)
    noise = shaped_noise(rng, span.n, span.rate_hz, band(80, 2000, 1.0))
    return steady + np.float32(rng.uniform(0.05, 0.4)) * noise


def _babble(rng: np.random.Generator, span: _Span) -> Waveform:
    """A crowd: several voices whose pitch, vowel and syllables wander, each on its own."""
    total = np.zeros(span.n, np.float32)
    for _ in range(4):
        voice_hz = rng.uniform(95, 240)
        order = np.arange(1, int(3800 / voice_hz))
        vowel = sum(
            np.exp(-(((order * voice_hz - f) / w) ** 2))
            for f, w in zip(
                rng.uniform((300, 900, 2200), (800, 2000, 3000)), (120, 180, 250), strict=True
            )
        )
        table = harmonic_table((vowel + 0.02) * order**-0.5, rng)
        pitch = voice_hz * (1 + 0.12 * drift(rng, span.n, span.rate_hz, per_second=3))
        syllables = np.maximum(0, drift(rng, span.n, span.rate_hz, per_second=9))
        total += syllables * play_table(table, turns_of(pitch, span.rate_hz))
    murmur = shaped_noise(rng, span.n, span.rate_hz, band(200, 1800, 1.2))
    return unit_rms(total) + np.float32(rng.uniform(0.2, 0.6)) * murmur


def _strike(
    rng: np.random.Generator,
    parts: list[Waveform],
    onsets_s: NDArray[np.float64],
    span: _Span,
) -> Waveform:
    """Play parts at random, each time with another force."""
    which = rng.integers(0, len(parts), len(onsets_s))
    return lay(parts, which, onsets_s, rng.uniform(0.35, 1, len(onsets_s)), span.n, span.rate_hz)


def _decay(n: int, decay_s: float, span: _Span) -> Waveform:
    fall: Waveform = np.exp(np.arange(n, dtype=np.float32) / np.float32(-decay_s * span.rate_hz))
    return fall


VOICES: dict[str, Voice] = {
    "bell": _bell,
    "drum": _drum,
    "car": _car,
    "bird": _bird,
    "fountain": _fountain,
    "siren": _siren,
    "clock": _clock,
    "guitar": _guitar,
    "kettle": _kettle,
    "bee": _bee,
    "wind": _wind,
    "hum": _hum,
    "babble": _babble,
}
"""The voice of each of `KINDS` and of `AMBIENT_SOUNDS`."""
