"""Small valid files of every kind that can be read, and what they become when they are damaged.

A mutant is decided by its number alone: the same number gives the same bytes, whatever ran before.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile
from media_files import encoded, noise_picture, picture, tone, write_clip
from numpy.random import Generator
from PIL import Image

from encoder.media.formats import kind_of

SECONDS, RATE_HZ = 0.1, 22_050
HUGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFF00, 0x10000000, 0x00FFFFFF, 0)
"""What a field of four bytes is set to; of shorter ones, the lower half."""
HEADER_BYTES = 256


def write_seeds(folder: Path) -> list[Path]:
    """Write one file for each of SEEDS, in order; every suffix of `kind_of` is among them."""
    for name, write in SEEDS.items():
        write(folder / name)
    return [folder / name for name in SEEDS]


def mutant(seeds: list[bytes], which: int, number: int) -> bytes:
    """Damage a seed in one to four ways; some of them are mended where only a checksum is wrong."""
    rng = np.random.default_rng([which, number])
    content = bytearray(seeds[which])
    for _ in range(rng.integers(1, 5)):
        damage = DAMAGES[rng.integers(len(DAMAGES))]
        content = damage(content, rng, seeds)
    return _with_checksums(bytes(content)) if rng.random() < 0.8 else bytes(content)


# ------------------------------------------------------------------ seeds


def _image(fmt: str, **options: object) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(encoded(_small(noise_picture()), fmt, **options))


def _plain(mode: str, fmt: str, **options: object) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(encoded(_small(picture()).convert(mode), fmt, **options))


def _animated(fmt: str) -> Callable[[Path], object]:
    frames = [_small(noise_picture().rotate(90 * n)) for n in range(2)]
    return lambda path: path.write_bytes(
        encoded(frames[0], fmt, save_all=True, append_images=frames[1:], duration=50)
    )


def _exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(encoded(_small(noise_picture()), "JPEG", exif=exif, progressive=True))


def _small(image: Image.Image) -> Image.Image:
    return image.resize((20, 12))


def _sound(fmt: str, subtype: str, n_channels: int = 1) -> Callable[[Path], object]:
    samples = np.repeat(tone(SECONDS, RATE_HZ)[:, None], n_channels, axis=1)
    return lambda path: soundfile.write(path, samples, RATE_HZ, format=fmt, subtype=subtype)


def _clip(video: str | None, audio: str | None, **how: object) -> Callable[[Path], object]:
    return lambda path: write_clip(path, video=video, audio=audio, n_frames=3, fps=25, **how)


def _av1(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=25, options={"preset": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for grey in (60, 120, 180):
            pixels = np.full((64, 64, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _weba(path: Path) -> None:
    write_clip(path.with_suffix(".webm"), video=None, audio="libopus", n_frames=3, fps=25)
    path.with_suffix(".webm").rename(path)


SEEDS: dict[str, Callable[[Path], object]] = {
    "photo.jpg": _image("JPEG"),
    "upright.jpeg": _exif,
    "print.jpe": _plain("CMYK", "JPEG"),
    "photo.png": _image("PNG"),
    "grey.png": lambda path: path.write_bytes(
        encoded(Image.fromarray(np.full((8, 8), 9_000, np.uint16)), "PNG")
    ),
    "palette.png": _plain("P", "PNG", transparency=0),
    "moving.png": _animated("PNG"),
    "photo.webp": _image("WEBP"),
    "exact.webp": _image("WEBP", lossless=True),
    "moving.webp": _animated("WEBP"),
    "moving.gif": _animated("GIF"),
    "photo.bmp": _image("BMP"),
    "palette.bmp": _plain("P", "BMP"),
    "photo.tif": _image("TIFF"),
    "deflated.tif": _image("TIFF", compression="tiff_adobe_deflate"),
    "lzw.tiff": _image("TIFF", compression="tiff_lzw"),
    "jpeg.tiff": _image("TIFF", compression="jpeg"),
    "fax.tiff": _plain("1", "TIFF", compression="group4"),
    "photo.avif": _image("AVIF"),
    "tone.wav": _sound("WAV", "PCM_16"),
    "float.wav": _sound("WAV", "FLOAT", 2),
    "adpcm.wave": _sound("WAV", "IMA_ADPCM"),
    "msadpcm.wav": _sound("WAV", "MS_ADPCM"),
    "gsm.wav": _sound("WAV", "GSM610"),
    "tone.rf64": _sound("RF64", "PCM_16"),
    "tone.w64": _sound("W64", "PCM_24"),
    "tone.aiff": _sound("AIFF", "PCM_16"),
    "law.aif": _sound("AIFF", "ULAW"),
    "law.aifc": _sound("AIFF", "ALAW"),
    "tone.au": _sound("AU", "G721_32"),
    "tone.caf": _sound("CAF", "ALAC_16"),
    "pcm.caf": _sound("CAF", "PCM_16"),
    "tone.flac": _sound("FLAC", "PCM_16", 2),
    "tone.ogg": _sound("OGG", "VORBIS"),
    "tone.oga": _clip(None, "flac"),
    "tone.opus": _clip(None, "libopus"),
    "tone.mp3": _clip(None, "libmp3lame"),
    "tone.aac": _clip(None, "aac"),
    "tone.m4a": _clip(None, "aac"),
    "apple.m4b": _clip(None, "alac"),
    "tone.wma": _clip(None, "wmav2"),
    "tone.mka": _clip(None, "flac"),
    "tone.weba": _weba,
    "h264.mp4": _clip("libx264", "aac"),
    "h265.mp4": _clip("libx265", None),
    "fragments.m4v": _clip("libx264", "aac", options={"movflags": "frag_keyframe+delay_moov"}),
    "mpeg4.mov": _clip("mpeg4", "pcm_s16le"),
    "h264.mkv": _clip("libx264", "libopus"),
    "vp8.webm": _clip("libvpx", "libopus"),
    "vp9.webm": _clip("libvpx-vp9", "libopus"),
    "av1.webm": _av1,
    "mpeg4.avi": _clip("mpeg4", "libmp3lame"),
    "mpeg2.mpg": _clip("mpeg2video", "mp2"),
    "mpeg1.mpeg": _clip("mpeg1video", None),
    "h264.mts": _clip("libx264", "aac"),
    "mpeg2.m2ts": _clip("mpeg2video", "ac3"),
    "flash.flv": _clip("flv", "libmp3lame"),
    "wmv2.wmv": _clip("wmv2", "libmp3lame"),
    "opus.ogv": _clip(None, "libopus"),
    "h264.3gp": _clip("libx264", "aac"),
}


# ------------------------------------------------------------------ damages


def _flip_bits(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    for _ in range(rng.integers(1, 17)):
        content[_place(content, rng)] ^= 1 << rng.integers(8)
    return content


def _cut(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    return content[: max(_place(content, rng), 16)]


def _huge_field(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    """Set two, four or eight bytes to what a length, a count or an offset should not be."""
    size = int(rng.choice([2, 4, 8]))
    at, value = _place(content, rng), int(rng.choice(HUGE))
    field = (value if size > 2 else value & 0xFFFF).to_bytes(size, rng.choice(["little", "big"]))
    content[at : at + size] = field
    return content


def _small_step(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    at = _place(content, rng)
    content[at] = (content[at] + int(rng.integers(-3, 4))) % 256
    return content


def _insert_noise(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]


def _repeat_chunk(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    first, last = _chunk(content, rng)
    times = int(rng.integers(1, 4))
    return content[:last] + content[first:last] * times + content[last:]


def _drop_chunk(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    first, last = _chunk(content, rng)
    return content[:first] + content[last:] if last - first + 16 < len(content) else content


def _splice(content: bytearray, rng: Generator, seeds: list[bytes]) -> bytearray:
    """Put a piece of any seed over a place of this one."""
    other = bytearray(seeds[rng.integers(len(seeds))])
    (first, last), at = _chunk(other, rng), _place(content, rng)
    content[at : at + last - first] = other[first:last]
    return content


DAMAGES = (
    _flip_bits,
    _flip_bits,
    _cut,
    _huge_field,
    _huge_field,
    _huge_field,
    _small_step,
    _insert_noise,
    _repeat_chunk,
    _drop_chunk,
    _splice,
)


def _place(content: bytearray, rng: Generator) -> int:
    """A byte, of the header as often as of the rest; the first four stay: they name the format."""
    end = len(content) if rng.random() < 0.5 else min(len(content), HEADER_BYTES)
    return int(rng.integers(4, max(end, 5))) if end > 4 else 0


def _chunk(content: bytearray, rng: Generator) -> tuple[int, int]:
    first = _place(content, rng)
    return first, min(len(content), first + int(rng.integers(1, 512)))


# ------------------------------------------------------------------ checksums


def _with_checksums(content: bytes) -> bytes:
    """Set the checksums of PNG and Ogg right, which otherwise end all before it begins."""
    if content.startswith(b"\x89PNG"):
        return _png_with_checksums(content)
    return _ogg_with_checksums(content) if content.startswith(b"OggS") else content


def _png_with_checksums(content: bytes) -> bytes:
    mended, at = io.BytesIO(), 8
    mended.write(content[:8])
    while at + 12 <= len(content):
        (n_bytes,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + n_bytes]
        mended.write(content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + n_bytes
    mended.write(content[at:])
    return mended.getvalue()


def _ogg_with_checksums(content: bytes) -> bytes:
    pages = content.split(b"OggS")[1:]
    return b"".join(_page_with_checksum(b"OggS" + page) for page in pages)


def _page_with_checksum(page: bytes) -> bytes:
    if len(page) < 27:
        return page
    blank = page[:22] + bytes(4) + page[26:]
    checksum = 0
    for byte in blank:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _OGG_CRC[checksum >> 24 ^ byte]
    return page[:22] + struct.pack("<I", checksum) + page[26:]


def _ogg_crc(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


_OGG_CRC = tuple(_ogg_crc(byte) for byte in range(256))

assert all(kind_of(Path(name)) for name in SEEDS)
