"""What a file is worth, measured in one pass: levels of its sound, looks of its pictures.

Everything is decoded and nothing of it is kept but some numbers per tenth of a second or per look.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from encoder.media import ffmpeg, images, libsndfile
from encoder.media.levels import Levels, levels_of
from encoder.media.looks import Look, Motion, look_of, motion_of
from encoder.media.source import DEFAULT_LIMITS, MediaLimits, opened


def measure_sound(path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> Levels:
    """Decode all of a file's sound and measure it.

    Raises
    ------
    MediaError : the file cannot be read or has no sound. Silence, NaN and
        shortness are measured, but for a sound without a sample.
    """
    with opened(path, limits) as source:
        match source.format.reader:
            case "pillow":
                raise source.error("no-audio-stream", f"{source.format.name} is an image")
            case "soundfile" if libsndfile.can_read(source):
                blocks = libsndfile.channel_blocks(source)
            case _:
                blocks = ffmpeg.channel_blocks(source)
        return levels_of(blocks)


def measure_picture(path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> Look:
    """Decode a still image and look at it.

    Raises
    ------
    MediaError : it cannot be read, or is a sound or a video.
    """
    with opened(path, limits) as source:
        if source.format.reader != "pillow":
            raise source.error("unsupported", f"it is {source.format.name}, not an image")
        return look_of(images.pixels(source))


def measure_video(
    path: Path | str,
    *,
    every_s: float,
    times_s: Sequence[float] = (),
    limits: MediaLimits = DEFAULT_LIMITS,
) -> Motion:
    """Decode all frames of a video and look at it every so often, and at some times besides.

    A still image under the name of a video has one look.

    Parameters
    ----------
    times_s : ascending.

    Raises
    ------
    MediaError : it cannot be read, or shows nothing.
    """
    with opened(path, limits) as source:
        match source.format.reader:
            case "pillow":
                return Motion.still(look_of(images.pixels(source)))
            case "soundfile":
                raise source.error("no-video-stream", f"{source.format.name} holds sound alone")
        return motion_of(ffmpeg.moving_frames(source, every_s, times_s))
