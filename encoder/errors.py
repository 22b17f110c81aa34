"""What can go wrong below the index: media, checkpoints, tensors.

EncoderError
├── MediaError          one file cannot be used; carries a stable code
├── CheckpointError     a checkpoint is missing, damaged or of another architecture
├── WeightsUnavailable  weights that were asked for cannot be had (no network, say)
├── SandboxError        no process can be started that decodes
└── InputError          a tensor of the wrong shape, range or with NaN
"""

from __future__ import annotations

from pathlib import Path

MEDIA_CODES = {
    "missing": "no such file",
    "empty": "the file has no bytes",
    "truncated": "the file ends before its content does",
    "unsupported": "the content is of no kind that can be read",
    "corrupt": "the decoder gave up",
    "no-audio-stream": "there is no sound in it",
    "no-video-stream": "there is no picture in it",
    "too-large": "more bytes, pixels or seconds than the limits allow",
    "too-short": "fewer samples than one hundredth of a second",
    "silent": "the sound never rises above -80 dBFS",
    "not-finite": "NaN or infinite samples",
    "changed": "the file changed while it was read",
    "permission": "the file may not be read",
    "crashed": "the process that decoded it died",
    "timeout": "decoding it took longer than the limits allow",
    "out-of-memory": "decoding it takes more memory than the limits allow",
}


class EncoderError(Exception):
    """Base of every error that `encoder` raises."""


class MediaError(EncoderError):
    """One media file cannot be used.

    Parameters
    ----------
    path : the file.
    code : one of `MEDIA_CODES`, stable across releases.
    reason : what was found, in a few words.
    remedy : what a person can do; empty where the code says it all.
    """

    def __init__(self, path: Path | str, code: str, reason: str, remedy: str = "") -> None:
        if code not in MEDIA_CODES:
            raise ValueError(f"unknown media code {code!r}")
        self.path, self.code, self.reason, self.remedy = str(path), code, reason, remedy
        way_out = f"; {remedy}" if remedy else ""
        super().__init__(f"{path}: {code}: {reason}{way_out}")


class CheckpointError(EncoderError):
    """A checkpoint is missing, damaged, or does not fit the network it is loaded into."""


class WeightsUnavailable(EncoderError):
    """Initial weights that were asked for cannot be had here."""


class SandboxError(EncoderError):
    """No process can be started that decodes."""


class InputError(EncoderError):
    """A tensor has the wrong shape, range or type, or holds NaN."""
