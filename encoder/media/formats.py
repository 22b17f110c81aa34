"""What a media file is, and whether it is all there, told from its bytes.

`identify` names the format by its signature, whatever the suffix says. `declared_end` gives the
byte at which the headers say that the file ends: one that is shorter is truncated, which decoders
tend to pass over (libsndfile shortens a WAV to what is there, FFmpeg only misses the index that
an MP4 keeps at its end).

No decoder is imported here, and nothing is allocated that a header asks for.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Kind = Literal["image", "audio", "video"]
Reader = Literal["pillow", "soundfile", "ffmpeg", "none"]

_SUFFIXES: dict[Kind, str] = {
    "image": ".jpg .jpeg .jpe .png .webp .gif .bmp .tif .tiff .avif",
    "audio": ".wav .wave .flac .ogg .oga .opus .mp3 .m4a .m4b .aac .aif .aiff .aifc .au .caf .rf64"
    " .w64 .wma .mka .weba",
    "video": ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .mts .m2ts .flv .wmv .ogv .3gp",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, text in _SUFFIXES.items() for suffix in text.split()}

HEAD_BYTES = 512
"""Enough for every signature below; the longest is three packets of an MPEG transport stream."""
_MAX_STEPS = 4096
"""Chunks or boxes to walk at most: a hostile file can hold a billion empty ones."""
_WAV_UNKNOWN = {0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}
"""Lengths that recorders and pipes write where they do not know one (SoX, arecord, FFmpeg)."""
_OGG_PAGE_BYTES = 65_307
"""The largest page that Ogg allows (RFC 3533 §6)."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format of file.

    Parameters
    ----------
    name : for messages, and the key of `declared_end`.
    reader : the library that decodes it; `none` of those at hand does.
    demuxer : FFmpeg's name of it. Naming it keeps FFmpeg from guessing, and so from taking a text
        file for a playlist whose entries it would open.
    """

    name: str
    reader: Reader
    demuxer: str = ""


_WAV = Format(name="WAV", reader="soundfile", demuxer="wav")
_AIFF = Format(name="AIFF", reader="soundfile", demuxer="aiff")
_FLAC = Format(name="FLAC", reader="soundfile", demuxer="flac")
# Not by libsndfile: it only guesses the length of an MP3 without a Xing frame, and its decoder
# writes to the terminal where a file is damaged.
_MP3 = Format(name="MP3", reader="ffmpeg", demuxer="mp3")
_AAC = Format(name="AAC", reader="ffmpeg", demuxer="aac")
_OGG = Format(name="Ogg", reader="soundfile", demuxer="ogg")
# libsndfile decodes Opus too, in twice the time (15.4 against 7.7 ms per 5 s mono on one core).
_OGG_FFMPEG = Format(name="Ogg", reader="ffmpeg", demuxer="ogg")
_HEIC = Format(name="HEIC", reader="none")
_TIFF = Format(name="TIFF", reader="pillow")
_AVIF = Format(name="AVIF", reader="pillow")
_MP4 = Format(name="MP4", reader="ffmpeg", demuxer="mov")
_MPEG_TS = Format(name="MPEG-TS", reader="ffmpeg", demuxer="mpegts")

# Bytes that must stand at offsets; the first row that fits decides, so special cases come first.
_SIGNATURES: tuple[tuple[dict[int, bytes], Format], ...] = (
    ({0: b"\xff\xd8\xff"}, Format(name="JPEG", reader="pillow")),
    ({0: b"\x89PNG\r\n\x1a\n"}, Format(name="PNG", reader="pillow")),
    ({0: b"RIFF", 8: b"WEBP"}, Format(name="WebP", reader="pillow")),
    ({0: b"GIF87a"}, Format(name="GIF", reader="pillow")),
    ({0: b"GIF89a"}, Format(name="GIF", reader="pillow")),
    ({0: b"II*\0"}, _TIFF),
    ({0: b"MM\0*"}, _TIFF),
    ({0: b"BM", 6: b"\0\0\0\0"}, Format(name="BMP", reader="pillow")),
    ({0: b"RIFF", 8: b"WAVE"}, _WAV),
    ({0: b"RF64", 8: b"WAVE"}, Format(name="RF64", reader="soundfile", demuxer="wav")),
    ({0: b"riff\x2e\x91\xcf\x11"}, Format(name="W64", reader="soundfile", demuxer="w64")),
    ({0: b"RIFF", 8: b"AVI "}, Format(name="AVI", reader="ffmpeg", demuxer="avi")),
    ({0: b"FORM", 8: b"AIFF"}, _AIFF),
    ({0: b"FORM", 8: b"AIFC"}, _AIFF),
    ({0: b".snd"}, Format(name="AU", reader="soundfile", demuxer="au")),
    ({0: b"caff"}, Format(name="CAF", reader="soundfile", demuxer="caf")),
    ({0: b"fLaC"}, _FLAC),
    ({0: b"OggS", 28: b"\x01vorbis"}, _OGG),
    ({0: b"OggS", 28: b"\x7fFLAC"}, _OGG),
    ({0: b"OggS"}, _OGG_FFMPEG),
    ({4: b"ftypavif"}, _AVIF),
    ({4: b"ftypavis"}, _AVIF),
    ({4: b"ftyphei"}, _HEIC),
    ({4: b"ftypmif1"}, _HEIC),
    ({4: b"ftyp"}, _MP4),
    ({4: b"moov"}, _MP4),  # QuickTime before MPEG-4 begins with any box
    ({4: b"mdat"}, _MP4),
    ({4: b"wide"}, _MP4),
    ({4: b"skip"}, _MP4),
    ({4: b"free"}, _MP4),
    ({0: b"\x1a\x45\xdf\xa3"}, Format(name="Matroska", reader="ffmpeg", demuxer="matroska")),
    ({0: b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"}, Format(name="ASF", reader="ffmpeg", demuxer="asf")),
    ({0: b"FLV\x01"}, Format(name="FLV", reader="ffmpeg", demuxer="flv")),
    ({0: b"\0\0\x01\xba"}, Format(name="MPEG-PS", reader="ffmpeg", demuxer="mpeg")),
    ({0: b"\x47", 188: b"\x47", 376: b"\x47"}, _MPEG_TS),
    ({4: b"\x47", 196: b"\x47", 388: b"\x47"}, _MPEG_TS),
)


def kind_of(path: Path) -> Kind | None:
    """Tell by the suffix alone what a file is likely to be; None where it is no medium.

    Examples
    --------
    >>> kind_of(Path("birds/Wren.OPUS"))
    'audio'
    """
    return _KIND_OF_SUFFIX.get(path.suffix.lower())


def identify(file: BinaryIO) -> Format | None:
    """Name the format of an open file by its first bytes; None where it is of no known kind."""
    head = _at(file, 0, HEAD_BYTES)
    if not head.startswith(b"ID3"):
        return _by_signature(head)
    behind_tag = _at(file, 10 + _syncsafe(head[6:10]), HEAD_BYTES)
    return _FLAC if behind_tag.startswith(b"fLaC") else _by_signature(behind_tag) or _MP3


def _by_signature(head: bytes) -> Format | None:
    for signature, found in _SIGNATURES:
        if all(head.startswith(mark, offset) for offset, mark in signature.items()):
            return found
    return _by_sync_word(head)


def _by_sync_word(head: bytes) -> Format | None:
    """MP3 and bare AAC begin with a frame: eleven or twelve bits set, then the layer.

    Layer I is left out: nobody has such files, and its sync word is the mark of UTF-16 text.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    layer = head[1] >> 1 & 3
    if layer == 0:
        return _AAC if head[1] & 0xF0 == 0xF0 else None
    return _MP3 if layer in (1, 2) and head[2] & 0xF0 != 0xF0 else None


def declared_end(file: BinaryIO, found: Format, size: int) -> int:
    """Give the byte at which the headers say that the file ends.

    Returns
    -------
    int : 0 where the format does not say, or not in a way that can be trusted.
    """
    match found.name:
        case "WAV":
            return _wav_end(file)
        case "WebP" | "AVI":
            return _form_end(_at(file, 0, 8), "<I")
        case "AIFF":
            return _form_end(_at(file, 0, 8), ">I")
        case "MP4" | "AVIF":
            return _box_end(file, size)
        case "Matroska":
            return _segment_end(_at(file, 0, HEAD_BYTES))
        case "Ogg":
            return _last_page_end(file, size)
        case "MP3":
            return _xing_end(file)
        case "TIFF":
            return _directory_end(_at(file, 0, 8))
    return 0


def webp_pixels(file: BinaryIO) -> tuple[int, int]:
    """Width and height of a WebP's canvas; 0 × 0 where its header is damaged.

    Pillow's reader allocates the canvas when it opens the file, which is too late to refuse it.
    """
    head = _at(file, 12, 18)
    if len(head) < 18:
        return 0, 0
    if head.startswith(b"VP8X"):
        width, height = _little_endian(head[12:15]) + 1, _little_endian(head[15:18]) + 1
    elif head.startswith(b"VP8L"):
        bits = _little_endian(head[9:13])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (_little_endian(head[at : at + 2]) & 0x3FFF for at in (14, 16))
    return width, height


def _wav_end(file: BinaryIO) -> int:
    """End of the `data` chunk: the length of the whole file is often left wrong."""
    position = 12
    for _ in range(_MAX_STEPS):
        header = _at(file, position, 8)
        if len(header) < 8:
            return position
        n_bytes = _little_endian(header[4:])
        if header.startswith(b"data"):
            return 0 if n_bytes in _WAV_UNKNOWN else position + 8 + n_bytes
        position += 8 + n_bytes + n_bytes % 2
    return 0


def _form_end(head: bytes, layout: str) -> int:
    (n_bytes,) = struct.unpack(layout, head[4:])
    return 0 if n_bytes in _WAV_UNKNOWN else 8 + int(n_bytes)


def _box_end(file: BinaryIO, size: int) -> int:
    """End of the last of the boxes that make up an MP4 (ISO/IEC 14496-12 §4.2)."""
    position = 0
    for _ in range(_MAX_STEPS):
        header = _at(file, position, 16) if position < size else b""
        if not re.match(rb"[ -~]{4}", header[4:8]):
            return position
        n_bytes = int.from_bytes(header[:4], "big")
        if n_bytes == 1:  # the length did not fit into 32 bits
            n_bytes = int.from_bytes(header[8:16], "big")
        if n_bytes < 8:  # 0: up to the end of the file
            return position
        position += n_bytes
    return 0


def _segment_end(head: bytes) -> int:
    """End of the first segment of a Matroska file (RFC 8794 §4, RFC 9559 §5)."""
    n_bytes, position = _variable_length(head, 4)
    segment = position + n_bytes
    if not head.startswith(b"\x18\x53\x80\x67", segment):
        return 0
    n_bytes, position = _variable_length(head, segment + 4)
    return position + n_bytes if n_bytes else 0


def _variable_length(head: bytes, at: int) -> tuple[int, int]:
    """Value of an EBML length, 0 where it is the reserved `unknown`, and the byte behind it."""
    n_bytes = 9 - head[at].bit_length() if at < len(head) else 9
    value = int.from_bytes(head[at : at + n_bytes], "big") & (1 << 7 * n_bytes) - 1
    return (0 if value == (1 << 7 * n_bytes) - 1 else value), at + n_bytes


def _last_page_end(file: BinaryIO, size: int) -> int:
    """End of the last page of an Ogg file: a cut nearly always goes through one."""
    start = max(0, size - _OGG_PAGE_BYTES)
    tail = _at(file, start, _OGG_PAGE_BYTES)
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    n_segments = tail[page + 26] if page + 26 < len(tail) else 0
    lacing = tail[page + 27 : page + 27 + n_segments]
    return start + page + 27 + max(n_segments, 1) + sum(lacing)


def _xing_end(file: BinaryIO) -> int:
    """End of an MP3 that says it: the encoder's information frame may count the bytes."""
    head = _at(file, 0, 10)
    start = 10 + _syncsafe(head[6:]) if head.startswith(b"ID3") else 0
    found = re.search(rb"(?:Xing|Info)\0\0\0(.)", _at(file, start, 64), re.DOTALL)
    if not found or found[1][0] & 2 == 0:
        return 0
    at = start + found.end() + (4 if found[1][0] & 1 else 0)
    # One per cent of slack: encoders do not agree on whether the frame counts itself.
    return start + int.from_bytes(_at(file, at, 4), "big") * 99 // 100


def _directory_end(head: bytes) -> int:
    """End of the entry count of the first directory of a TIFF, most often at the end of it."""
    return int.from_bytes(head[4:8], "little" if head.startswith(b"II") else "big") + 2


def _syncsafe(four: bytes) -> int:
    """Seven bits of each byte, as ID3 writes its length."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=False))


def _little_endian(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _at(file: BinaryIO, position: int, n_bytes: int) -> bytes:
    file.seek(position, os.SEEK_SET)
    return file.read(n_bytes)
