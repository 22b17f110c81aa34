"""What an inspection can find in a file, by which measure, and where the limits come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "broken",
    "one-sided",
    "not-finite",
    "silent",
    "cancelling",
    "clipped",
    "too-short",
    "still",
    "black",
    "one-colour",
    "tiny",
    "duplicate",
    "near-duplicate",
]

KINDS: dict[Kind, str] = {
    "broken": "cannot be used; its code says why",
    "one-sided": "the video holds no sound, or no picture",
    "not-finite": "samples are NaN or infinite",
    "silent": "the sound's RMS is under -60 dBFS",
    "cancelling": "channels cancel each other when mixed to mono",
    "clipped": "a thousandth of the samples or more stand in runs at full scale",
    "too-short": "the sound lasts under 0.3 s",
    "still": "the video shows one picture",
    "black": "the picture is black",
    "one-colour": "the picture is of one colour",
    "tiny": "the picture's shorter side is under 64 px",
    "duplicate": "another file has the same bytes",
    "near-duplicate": "the index keeps nearly the same of another file",
}
"""Every kind of finding, in the order in which they are shown."""
ONE_SIDED = ("no-audio-stream", "no-video-stream")
"""Codes of files whose other half can be used."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on something is a finding.

    Parameters
    ----------
    silent_db : RMS of all channels in dBFS, a square wave at full scale being 0: FFmpeg's
        `silencedetect` takes -60 dB for silence unless it is told otherwise.
    cancelled_db : mix-down over what unrelated channels would leave (`Level.mix_db`). At -7 dB a
        fifth of that is left: of two equally loud channels a correlation of -0.8 or lower.
    clipped_share : samples in runs at full scale (`encoder.media.levels`), of all.
    short_s : seconds of a sound. The shortest clip of FSD50K has 0.3 s (Fonseca et al. 2022).
    still_change : grey levels of 255 (`Motion.change_between`). Photographs as clips of 5 s change
        by 0.8 to 1.5 at 200 and 400 kbit/s in H.264, MPEG-4 and VP8; a person who speaks in a
        quiet room by 3 or more.
    black_level : grey level of 255 that 98 % of the pixels do not exceed: a tenth of the range, as
        in FFmpeg's `blackdetect`.
    colour_reach : levels between the 1st and the 99th percentile of every channel.
    tiny_px : shorter side. An encoder's cell is 16 px, and frames are made 224 px wide.
    near_frame, near_sound : cosine of two frames' maps, of two sounds' f_s, from which on they are
        nearly the same; measured, see docs/scanning.md.
    """

    silent_db: float = -60.0
    cancelled_db: float = -7.0
    clipped_share: float = 0.001
    short_s: float = 0.3
    still_change: float = 1.5
    black_level: float = 25.5
    colour_reach: int = 8
    tiny_px: int = 64
    near_frame: float = 0.96
    near_sound: float = 0.999


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found in one file.

    Attributes
    ----------
    path : relative to the corpus, or a row of the manifest.
    t0_s, t1_s : where in the file; both None where it is so from end to end.
    value : what was measured, in the unit of its threshold; None where nothing was.
    code : of a broken or one-sided file: `encoder.errors.MEDIA_CODES`, `indexer.plan.OWN_CODES`.
    same_as : of a duplicate, the file that it repeats: the first of them by order of the corpus.
    message : one line for a person.
    items : keys of the planned items that it touches.
    """

    kind: Kind
    path: str
    message: str
    t0_s: float | None = None
    t1_s: float | None = None
    value: float | None = None
    code: str = ""
    same_as: str = ""
    items: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return what `scan --json` and `--jsonl` print of it."""
        return {
            "kind": self.kind,
            "path": self.path,
            "t0_s": self.t0_s,
            "t1_s": self.t1_s,
            "value": None if self.value is None else round(self.value, 6),
            "code": self.code or None,
            "same_as": self.same_as or None,
            "message": self.message,
            "n_items": len(self.items),
        }
