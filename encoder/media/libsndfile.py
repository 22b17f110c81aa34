"""Sounds, by libsndfile: WAV, AIFF, FLAC, Vorbis and their kin, exact to the sample.

It is given the file's descriptor, not the file object: its reads then cost no call into Python, and
a seek that a damaged header asks for is its own error and not a traceback on the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from encoder.errors import MediaError
from encoder.media.source import MediaProbe, Source
from encoder.media.spans import Excerpt, SoundBlock, Span, checked_rate, mixed_down, rate_change

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_SAMPLES = 1 << 20
"""Decoded at a time, all channels together: 4 MiB, however many of them a header claims."""
_SLACK_S = 0.05
"""Vorbis that was copied out of another container declares up to 48 samples more than it gives."""
_UNKNOWN_FRAMES = 1 << 62
"""libsndfile gives the greatest int64 for a stream whose header has no length."""


def can_read(source: Source) -> bool:
    """Tell whether libsndfile knows the codec and the length."""
    try:
        with _sound(source) as sound:
            return bool(sound.frames < _UNKNOWN_FRAMES)
    except soundfile.LibsndfileError:
        return False


def probed(source: Source) -> MediaProbe:
    """Read the header."""
    with _opened(source) as sound:
        return MediaProbe(kind="audio", duration_s=sound.frames / sound.samplerate, has_sound=True)


def excerpt(source: Source, span: Span) -> Excerpt:
    """Decode what a span depends on.

    Raises
    ------
    MediaError : `too-short` where the file ends before the span, `truncated`, `corrupt`, …
    """
    with _opened(source) as sound:
        change = rate_change(source, sound.samplerate, span.rate_hz)
        first, needed = change.needed(span.first, span.last)
        last = sound.frames if needed is None else min(needed, sound.frames)
        if first >= last:
            raise source.error("too-short", f"it ends at {sound.frames / sound.samplerate:g} s")
        try:
            samples = _mono(sound, first, last)
        except soundfile.SoundFileRuntimeError as error:
            raise _cut_off(source, error) from error
    if len(samples) < last - first - _SLACK_S * sound.samplerate:
        reason = f"{first + len(samples)} samples of the {last} that its header promises"
        raise source.error("truncated", reason)
    return Excerpt(samples=samples, rate_hz=sound.samplerate)


def channel_blocks(source: Source) -> Iterator[SoundBlock]:
    """Decode all of a sound once, block by block.

    Raises
    ------
    MediaError : `too-short` without a sample, `truncated`, `corrupt`, …
    """
    with _opened(source) as sound:
        rate_hz = checked_rate(source, sound.samplerate)
        at, n_block = 0, max(1, _BLOCK_SAMPLES // sound.channels)
        while at < sound.frames:
            try:
                samples = sound.read(n_block, dtype="float32", always_2d=True)
            except soundfile.SoundFileRuntimeError as error:
                raise _cut_off(source, error) from error
            if len(samples) == 0:
                break
            yield SoundBlock(samples=samples, first=at, rate_hz=rate_hz)
            at += len(samples)
        if at == 0:
            raise source.error("too-short", "there is no sample in it")
        if at < sound.frames - _SLACK_S * rate_hz:
            reason = f"{at} samples of the {sound.frames} that its header promises"
            raise source.error("truncated", reason)


@contextmanager
def _sound(source: Source) -> Iterator[soundfile.SoundFile]:
    descriptor = source.file.fileno()
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            yield sound
    finally:  # where the file object, with its buffer, believes it to be
        os.lseek(descriptor, position, os.SEEK_SET)


@contextmanager
def _opened(source: Source) -> Iterator[soundfile.SoundFile]:
    try:
        with _sound(source) as sound:
            source.check_seconds(sound.frames / sound.samplerate)
            yield sound
    except soundfile.SoundFileRuntimeError as error:
        raise _damaged(source, error, "corrupt") from error


def _cut_off(source: Source, error: soundfile.SoundFileRuntimeError) -> MediaError:
    """Truncated, if the decoder has read all there is and wants more."""
    at_end = not os.read(source.file.fileno(), 1)
    return _damaged(source, error, "truncated" if at_end else "corrupt")


def _damaged(source: Source, error: soundfile.SoundFileRuntimeError, code: str) -> MediaError:
    return source.error(code, f"libsndfile: {getattr(error, 'error_string', error)}")


def _mono(sound: soundfile.SoundFile, first: int, last: int) -> NDArray[np.float32]:
    """Mono samples [first, last), fewer where the file ends before."""
    n_block = max(1, _BLOCK_SAMPLES // sound.channels)
    _go_to(sound, first, n_block)
    samples = np.empty(last - first, np.float32)
    at = 0
    while at < len(samples):
        block = sound.read(min(n_block, len(samples) - at), dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        samples[at : at + len(block)] = mixed_down(block)
        at += len(block)
    return samples[:at]


def _go_to(sound: soundfile.SoundFile, sample: int, n_block: int) -> None:
    """Seek, or read up to there: G.721 and old GSM can only be decoded from the beginning."""
    if sound.seekable():
        sound.seek(sample)
        return
    while sample > 0 and len(passed := sound.read(min(n_block, sample), dtype="float32")):
        sample -= len(passed)
