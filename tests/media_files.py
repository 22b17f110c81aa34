"""Small media files of a signal that a test can recognise, and the functions that recognise it.

A tone of TONE_HZ, a picture of two halves, a clip whose frames are grey by their number.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from encoder.errors import MediaError
from encoder.media import read_frame

RATE_HZ = 22_050
"""What `read_sound` gives unless it is asked for another rate."""
TONE_HZ = 440.0
TONE_PEAK = 0.5
RED, BLUE = (200, 40, 30), (20, 60, 190)
GREY_STEP = 5
"""Frame n of a clip is grey of level n * GREY_STEP, plus GREY_FLOOR."""
GREY_FLOOR = 20


def tone(seconds: float = 0.5, rate_hz: int = 44_100, hz: float = TONE_HZ) -> NDArray[np.float32]:
    """(T,) float32, a sine with its peak at TONE_PEAK."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (TONE_PEAK * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Red on the left half, blue on the right one."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return Image.fromarray(pixels)


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    """Bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def noise_picture() -> Image.Image:
    """A picture that does not compress: cutting or flipping its bytes surely hits pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    return Image.fromarray(pixels)


def write_tone(
    path: Path, samples: NDArray[np.float32] | None = None, rate_hz: int = 44_100, subtype: str = ""
) -> Path:
    """A sound file by libsndfile; the suffix says which, `subtype` how samples are kept."""
    fmt = {".ogg": "OGG", ".opus": "OGG"}.get(path.suffix)
    subtype = subtype or {".ogg": "VORBIS", ".opus": "OPUS"}.get(path.suffix, "")
    samples = tone(rate_hz=rate_hz) if samples is None else samples
    soundfile.write(path, samples, rate_hz, format=fmt, subtype=subtype or None)
    return path


def write_clip(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    n_frames: int = 20,
    fps: int = 10,
    gop: int = 8,
    samples: NDArray[np.float32] | None = None,
    image: Image.Image | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A clip by FFmpeg: frames grey by their number (or one image), and a tone at 48 kHz."""
    with av.open(str(path), "w", options=options or {}) as container:
        pictures = container.add_stream(video, rate=fps) if video else None
        sounds = container.add_stream(audio, rate=48_000, layout="mono") if audio else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
            pictures.options = _quick(video or "") | {"g": str(gop)}
            pictures.bit_rate = 2_000_000
            starts_ms = [round(1000 * n / fps) for n in range(n_frames)]
            _mux_frames(container, pictures, starts_ms, image)
        if sounds is not None:
            sounds.bit_rate = 192_000
            samples = tone(n_frames / fps, 48_000) if samples is None else samples
            _mux_samples(container, sounds, samples)
    return path


def write_frames(path: Path, starts_ms: list[int], *, fps: int = 10) -> Path:
    """A clip whose frames begin at the times given: a variable frame rate, or a late start."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"g": "4", "preset": "ultrafast"}
        _mux_frames(container, stream, starts_ms)
    return path


def frame_grey(n: int) -> int:
    """Level of frame n of a clip."""
    return GREY_FLOOR + GREY_STEP * n


def _quick(codec: str) -> dict[str, str]:
    if "vp" in codec:
        return {"deadline": "realtime", "cpu-used": "8"}
    return {"preset": "veryfast"} if codec in ("libx264", "libx265") else {}


def _mux_frames(
    container: av.container.OutputContainer,
    stream: av.VideoStream,
    starts_ms: list[int],
    image: Image.Image | None = None,
) -> None:
    for n, start_ms in enumerate(starts_ms):
        grey = np.full((48, 64, 3), frame_grey(n), np.uint8)
        pixels = grey if image is None else np.asarray(image)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = start_ms, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _mux_samples(
    container: av.container.OutputContainer, stream: av.AudioStream, samples: NDArray[np.float32]
) -> None:
    for at in range(0, len(samples), 1024):
        chunk = np.ascontiguousarray(samples[None, at : at + 1024])
        frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def refusal(read, *args, **options) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(*args, **options)
    return caught.value


def assert_two_halves(rgb, tolerance: int):
    assert rgb.dtype == np.uint8
    assert rgb.shape == (48, 64, 3)
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable
    left, right = rgb[8:40, 8:24].mean((0, 1)), rgb[8:40, 40:56].mean((0, 1))
    assert np.abs(left - RED).max() <= tolerance
    assert np.abs(right - BLUE).max() <= tolerance


def assert_tone(sound, *, peak: float = TONE_PEAK, rate_hz: int = RATE_HZ):
    """One sine of TONE_HZ, and next to nothing else."""
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    middle = sound[len(sound) // 4 :][: len(sound) // 2].astype(np.float64)
    t = np.arange(len(middle)) / rate_hz
    waves = np.stack([np.sin(2 * np.pi * TONE_HZ * t), np.cos(2 * np.pi * TONE_HZ * t)], axis=1)
    weights, *_ = np.linalg.lstsq(waves, middle, rcond=None)
    assert np.hypot(*weights) == pytest.approx(peak, rel=0.03)
    assert np.abs(middle - waves @ weights).max() < 0.08 * peak


def shown(path: Path, time_s: float) -> float:
    """Number of the frame that is shown, by its grey."""
    grey = read_frame(path, time_s)
    assert grey.shape == (48, 64, 3)
    return (float(grey.mean()) - GREY_FLOOR) / GREY_STEP


CLIPS: dict[str, dict] = {
    "h264.mp4": {},
    "mpeg4.mov": {"video": "mpeg4"},
    "h264.mkv": {"audio": "libopus"},
    "vp8.webm": {"video": "libvpx", "audio": "libopus"},
    "vp9.webm": {"video": "libvpx-vp9", "audio": "libopus"},
    "mpeg4.avi": {"video": "mpeg4", "audio": "libmp3lame"},
    "h264.mts": {},
    "fragments.mp4": {"options": {"movflags": "frag_keyframe+delay_moov"}},
}
"""How to write a clip of each container and codec that people have: arguments of `write_clip`."""
