"""Ordinary media as bytes: JPEG, FLAC, MP4. Reading them is the encoder's; here they are made."""

from __future__ import annotations

from io import BytesIO
from typing import cast

import av
import numpy as np
import soundfile
from av.container import OutputContainer
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY = 92
_MODERN = "libx264"
_ALWAYS_THERE = "mpeg4"
"""Part of every FFmpeg; x264 is left out of some."""


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encode a picture (H, W, 3)."""
    out = BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def flac(waveform: NDArray[np.float32], rate_hz: int) -> bytes:
    """Encode a sound (T,) in [-1, 1], 16 bits."""
    out = BytesIO()
    soundfile.write(out, waveform, rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def mp4(
    frames: NDArray[np.uint8], frame_hz: int, waveform: NDArray[np.float32], rate_hz: int
) -> bytes:
    """Encode frames (F, H, W, 3) with even sides and a mono sound (T,) in [-1, 1].

    One thread and no stamps: the same input gives the same bytes with the same FFmpeg.
    """
    out = BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        picture = _picture_stream(container, frames.shape[1], frames.shape[2], frame_hz)
        sound = container.add_stream("aac", rate=rate_hz, layout="mono", bit_rate=96_000)
        for frame in frames:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(picture.encode())
        for unit in (_samples(waveform, rate_hz), None):
            container.mux(sound.encode(unit))
    return out.getvalue()


def _picture_stream(
    container: OutputContainer, height: int, width: int, frame_hz: int
) -> av.VideoStream:
    codec = _MODERN if _MODERN in av.codecs_available else _ALWAYS_THERE
    stream = cast("av.VideoStream", container.add_stream(codec, rate=frame_hz))
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.thread_count = 1
    stream.bit_rate = 2_000_000
    stream.options = {"preset": "veryfast"} if codec == _MODERN else {}
    return stream


def _samples(waveform: NDArray[np.float32], rate_hz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
    frame.sample_rate = rate_hz
    frame.pts = 0
    return frame
