"""The public functions: choose a library by the file's content, and ask it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoder.media import ffmpeg, images, libsndfile
from encoder.media.formats import Reader
from encoder.media.source import DEFAULT_LIMITS, MediaLimits, MediaProbe, Source, opened
from encoder.media.spans import Excerpt, Span, check_time, finished

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def probe(path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> MediaProbe:
    """Read the headers of a file.

    Raises
    ------
    MediaError : it is missing, no medium, over the limits, or damaged in a way that headers show.
    """
    with opened(path, limits) as source:
        match _reader(source):
            case "pillow":
                return images.probed(source)
            case "soundfile":
                return libsndfile.probed(source)
        return ffmpeg.probed(source)


def read_image(path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Read a still image.

    Returns
    -------
    (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    MediaError : it cannot be read, or is a sound or a video.
    """
    with opened(path, limits) as source:
        if source.format.reader != "pillow":
            raise source.error("unsupported", f"it is {source.format.name}, not an image")
        return images.pixels(source)


def read_frame(
    path: Path | str, time_s: float, *, limits: MediaLimits = DEFAULT_LIMITS
) -> NDArray[np.uint8]:
    """Read the frame that a video shows at a time.

    Parameters
    ----------
    time_s : ≥ 0. Before the first frame it is the first, behind the last the last; a still image
        is the same at all times.

    Returns
    -------
    (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    MediaError : the file cannot be read, or shows nothing.
    InputError : `time_s` is negative or not a number.
    """
    check_time("time_s", time_s)
    with opened(path, limits) as source:
        match _reader(source):
            case "pillow":
                return images.pixels(source)
            case "soundfile":
                raise source.error("no-video-stream", f"{source.format.name} holds sound alone")
        return ffmpeg.frame_at(source, time_s)


def read_sound(
    path: Path | str,
    *,
    t0_s: float = 0.0,
    t1_s: float | None = None,
    rate_hz: int = 22_050,
    limits: MediaLimits = DEFAULT_LIMITS,
) -> NDArray[np.float32]:
    """Read a sound, or a span of it, as mono at one rate.

    Equals `read_sound(path)[round(t0_s * rate_hz):round(t1_s * rate_hz)]` without decoding what
    lies outside. A span that runs past the end gives what there is.

    Returns
    -------
    (T,) float32 in [-1, 1].

    Raises
    ------
    MediaError : the file cannot be read or has no sound; the span is silent (never above -80 dBFS),
        holds NaN or infinity, or gives less than 10 ms.
    InputError : a time is negative or not a number.
    """
    span = Span.of(t0_s, t1_s, rate_hz)
    return finished(path, decoded_excerpt(path, span, limits), span)


def decoded_excerpt(path: Path | str, span: Span, limits: MediaLimits) -> Excerpt:
    """Decode what a span depends on: all of `read_sound` that needs a decoder, and no PyTorch.

    Raises
    ------
    MediaError : the file cannot be read, has no sound, or ends before the span.
    """
    with opened(path, limits) as source:
        match _reader(source):
            case "pillow":
                raise source.error("no-audio-stream", f"{source.format.name} is an image")
            case "soundfile":
                return libsndfile.excerpt(source, span)
        return ffmpeg.excerpt(source, span)


def _reader(source: Source) -> Reader:
    """FFmpeg has the last word on sounds that libsndfile cannot open."""
    if source.format.reader == "soundfile" and not libsndfile.can_read(source):
        return "ffmpeg"
    return source.format.reader
