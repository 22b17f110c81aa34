"""Small media files, good ones and broken ones, written where a test asks for them.

`write_good` and `write_broken` fill a folder. What each file holds is described in `media_files`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from media_files import encoded, noise_picture, picture, tone, write_clip, write_tone
from numpy.typing import NDArray
from PIL import Image

Reads = Literal["image", "frame", "sound"]


@dataclass(frozen=True, kw_only=True)
class BrokenFile:
    """A file, the function that must refuse it (`read_image` …) and the code it must give."""

    path: Path
    reads: Reads
    code: str


# ------------------------------------------------------------------ folders of them


def write_good(folder: Path) -> list[Path]:
    """Twelve files that can be read, some of them under a wrong or an unusual name."""
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[str, bytes] = {
        "photo.jpg": encoded(picture(), "JPEG"),
        "really a jpeg.png": encoded(picture(), "JPEG"),
        "grey.png": encoded(Image.fromarray(np.full((8, 8), 9_000, np.uint16)), "PNG"),
        "photo.webp": encoded(picture(), "WEBP"),
        "print.jpeg": encoded(picture().convert("CMYK"), "JPEG"),
    }
    for name, content in images.items():
        (folder / name).write_bytes(content)
    sounds = ("tone.wav", "tone.flac", "tone.ogg", "Größe – 音.mp3")
    paths = [write_tone(folder / name) for name in sounds]
    paths.append(write_tone(folder / "tone.opus", rate_hz=48_000))
    paths.append(write_clip(folder / "tone.m4a", video=None))
    paths.append(write_clip(folder / "clip.mp4"))
    return [folder / name for name in images] + paths


def write_broken(folder: Path) -> list[BrokenFile]:
    """More than fifty files, each broken in its own way."""
    return [write_broken_file(folder, name) for name in BROKEN]


def write_broken_file(folder: Path, name: str) -> BrokenFile:
    """One row of BROKEN."""
    folder.mkdir(parents=True, exist_ok=True)
    reads, code, write = BROKEN[name]
    content = write(folder / name)
    if content is not None:
        (folder / name).write_bytes(content)
    return BrokenFile(path=folder / name, reads=reads, code=code)


# ------------------------------------------------------------------ how files break
# Each of these takes the path that will be written and gives the bytes, or writes by itself.

_Break = Callable[[Path], bytes | None]


def _bytes(content: bytes) -> _Break:
    return lambda path: content


def _cut(content: Callable[[Path], bytes], keep: float = 0.6) -> _Break:
    def write(path: Path) -> bytes:
        whole = content(path)
        return whole[: int(len(whole) * keep)]

    return write


def _patched(content: Callable[[Path], bytes], at: int, patch: bytes) -> _Break:
    def write(path: Path) -> bytes:
        whole = content(path)
        return whole[:at] + patch + whole[at + len(patch) :]

    return write


def _image(fmt: str) -> Callable[[Path], bytes]:
    return lambda path: encoded(noise_picture(), fmt)


def _sound(
    samples: NDArray[np.float32] | None = None, subtype: str = "", rate_hz: int = 44_100
) -> Callable[[Path], bytes]:
    return lambda path: write_tone(path, samples, rate_hz, subtype).read_bytes()


def _wav(path: Path) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(), 44_100, format="WAV")
    return buffer.getvalue()


def _clip(**how: object) -> Callable[[Path], bytes]:
    return lambda path: write_clip(path, **how).read_bytes()  # type: ignore[arg-type]


def _bomb_jpeg(path: Path) -> bytes:
    """The frame header says 65 000 x 65 000, the pixels are of 64 x 48."""
    whole = encoded(noise_picture(), "JPEG")
    at = whole.index(b"\xff\xc0") + 5
    return whole[:at] + struct.pack(">HH", 65_000, 65_000) + whole[at + 4 :]


def _bomb_png(path: Path) -> bytes:
    """50 000 x 50 000 pixels of nothing, in a few kilobytes that any reader would unpack."""
    return _png_with_size(50_000, 50_000)


def _png_with_size(width: int, height: int) -> bytes:
    whole = encoded(picture(), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def _bomb_webp(path: Path) -> bytes:
    """An extended header with a canvas of 16 383 x 16 383."""
    image = encoded(picture(), "WEBP")[12:]
    size = (16_382).to_bytes(3, "little")
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + size + image
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _three_hours(path: Path) -> bytes:
    whole = write_tone(path, tone(1.0, 22_050), 22_050).read_bytes()
    n_bytes = 3 * 3600 * 22_050 * 2
    return (
        whole[:4]
        + struct.pack("<I", n_bytes + 36)
        + whole[8:40]
        + struct.pack("<I", n_bytes)
        + whole[44:]
    )


def _ten_hours(path: Path) -> bytes:
    """FLAC's 36 bits of length, at the end of byte 21 of the file, say ten hours."""
    whole = bytearray(write_tone(path).read_bytes())
    n_samples = 10 * 3600 * 44_100
    whole[21] = whole[21] & 0xF0 | n_samples >> 32
    whole[22:26] = (n_samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(whole)


def _scrambled_flac(path: Path) -> bytes:
    whole = write_tone(path, np.random.default_rng(0).uniform(-0.5, 0.5, 88_200).astype(np.float32))
    content = bytearray(whole.read_bytes())
    content[60_000:90_000] = bytes(30_000)
    return bytes(content)


def _without_media(path: Path) -> bytes:
    """An MP4 whose index is whole and whose packets are all zero."""
    whole = write_clip(path, audio=None).read_bytes()
    at = whole.index(b"mdat") + 4
    n_bytes = int.from_bytes(whole[at - 8 : at - 4], "big") - 8
    return whole[:at] + bytes(n_bytes) + whole[at + n_bytes :]


def _unknown_codec(path: Path) -> bytes:
    whole = write_clip(path, audio=None).read_bytes()
    return whole.replace(b"V_MPEG4/ISO/AVC", b"V_NOBODY/KNOWS/")


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere" + path.suffix))


_HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20
_PLAYLIST = b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n"
_NOISE = np.random.default_rng(7).integers(0, 256, 4096, np.uint8).tobytes()
_NAN = np.where(np.arange(22_050) == 11_000, np.float32("nan"), tone(0.5))
_INFINITE = np.where(np.arange(22_050) == 11_000, np.float32("inf"), tone(0.5))
_QUIET = tone(0.5) * np.float32(1e-5)

_IMAGES: dict[str, tuple[str, _Break]] = {
    "empty.jpg": ("empty", _bytes(b"")),
    "cut.jpg": ("truncated", _cut(_image("JPEG"))),
    "cut.png": ("truncated", _cut(_image("PNG"))),
    "cut.webp": ("truncated", _cut(_image("WEBP"))),
    "cut.gif": ("truncated", _cut(_image("GIF"))),
    "cut.bmp": ("truncated", _cut(_image("BMP"))),
    "cut.tif": ("truncated", _cut(_image("TIFF"))),
    "header only.jpg": ("truncated", _cut(_image("JPEG"), 0.01)),
    "page.jpg": ("unsupported", _bytes(_HTML)),
    "noise.png": ("unsupported", _bytes(_NOISE)),
    "phone.jpg": ("unsupported", _bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + _NOISE)),
    "sound.png": ("unsupported", _wav),
    "bomb.png": ("too-large", _bomb_png),
    "bomb.jpg": ("too-large", _bomb_jpeg),
    "bomb.webp": ("too-large", _bomb_webp),
    "bomb.gif": ("too-large", _patched(_image("GIF"), 6, b"\xf0\xff\xf0\xff")),
    "bomb.bmp": ("too-large", _patched(_image("BMP"), 18, struct.pack("<ii", 60_000, 60_000))),
    "noise behind the name.jpg": ("corrupt", _bytes(b"\xff\xd8\xff\xe0\0\x04ab" + _NOISE)),
    "checksum.png": ("corrupt", _patched(_image("PNG"), 29, b"\0\0\0\0")),
    "pixels.png": ("corrupt", _patched(_image("PNG"), 60, bytes(400))),
    "folder.jpg": ("unsupported", _folder),
    "dangling.png": ("missing", _dangling),
}

_SOUNDS: dict[str, tuple[str, _Break]] = {
    "empty.wav": ("empty", _bytes(b"")),
    "three hours.wav": ("truncated", _three_hours),
    "ten hours.flac": ("too-large", _ten_hours),
    "cut.flac": ("truncated", _cut(_sound())),
    "cut.ogg": ("truncated", _cut(_sound())),
    "cut.opus": ("truncated", _cut(_sound(rate_hz=48_000))),
    "cut.mp3": ("truncated", _cut(_sound())),
    "cut.aiff": ("truncated", _cut(_sound())),
    "scrambled.flac": ("corrupt", _scrambled_flac),
    "silent.wav": ("silent", _sound(np.zeros(22_050, np.float32))),
    "nearly silent.wav": ("silent", _sound(_QUIET, "FLOAT")),
    "nan.wav": ("not-finite", _sound(_NAN, "FLOAT")),
    "infinite.wav": ("not-finite", _sound(_INFINITE, "FLOAT")),
    "blip.wav": ("too-short", _sound(tone(0.005))),
    "no samples.wav": ("too-short", _sound(tone(0.0))),
    "one hertz.wav": ("unsupported", _sound(tone(0.1), rate_hz=1)),
    "page.mp3": ("unsupported", _bytes(_HTML)),
    "playlist.mp3": ("unsupported", _bytes(_PLAYLIST)),
    "noise behind the name.flac": ("corrupt", _bytes(b"fLaC" + _NOISE * 8)),
    "picture.wav": ("no-audio-stream", _image("JPEG")),
    "pipe.wav": ("unsupported", _pipe),
}

_SOUNDS_OF_CLIPS: dict[str, tuple[str, _Break]] = {
    "no audio.mp4": ("no-audio-stream", _clip(audio=None)),
    "mute.mp4": ("silent", _clip(samples=np.zeros(96_000, np.float32))),
    "cut.m4a": ("truncated", _cut(_clip(video=None))),
}

_FRAMES_OF_CLIPS: dict[str, tuple[str, _Break]] = {
    "empty.mkv": ("empty", _bytes(b"")),
    "no video.mp4": ("no-video-stream", _clip(video=None)),
    "only sound.flac": ("no-video-stream", _sound()),
    "cut.mp4": ("truncated", _cut(_clip())),
    "cut, index first.mov": ("truncated", _cut(_clip(options={"movflags": "faststart"}), 0.9)),
    "cut.mkv": ("truncated", _cut(_clip(audio="libopus"))),
    "cut.webm": ("truncated", _cut(_clip(video="libvpx", audio="libopus"))),
    "cut.avi": ("truncated", _cut(_clip(video="mpeg4", audio="libmp3lame"))),
    "zeros.mp4": ("corrupt", _without_media),
    "noise behind the name.mp4": (
        "corrupt",
        _bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + _NOISE),
    ),
    "unknown codec.mkv": ("no-video-stream", _unknown_codec),
    "archive.mp4": ("unsupported", _bytes(b"PK\x03\x04" + _NOISE)),
    "playlist.mp4": ("unsupported", _bytes(_PLAYLIST)),
}

BROKEN: dict[str, tuple[Reads, str, _Break]] = {
    name: (reads, code, write)
    for rows, reads in (
        (_IMAGES, "image"),
        (_SOUNDS, "sound"),
        (_SOUNDS_OF_CLIPS, "sound"),
        (_FRAMES_OF_CLIPS, "frame"),
    )
    for name, (code, write) in rows.items()
}
