"""What a decoding process answered, looked at before anything is made of it."""

from __future__ import annotations

from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import MEDIA_CODES, MediaError
from encoder.media import MediaLimits, MediaProbe
from encoder.media.spans import RATES_HZ, Excerpt
from encoder.sandbox.framing import Message

_LONGEST_TEXT = 300
_MOST_PX = (1 << 31) - 1
STOPPED = {"crashed", "timeout", "out-of-memory"}
"""Codes after which a worker is not used again."""
WAYS_OUT = {
    "crashed": "convert it to another format",
    "timeout": "allow it more time (`build-index --timeout`), or convert it",
    "out-of-memory": "cut it into pieces, or make it smaller",
}


def error_in(path: Path | str, message: Message) -> MediaError | None:
    """Return the failure that an answer tells of, if it does."""
    code = message.facts.get("code")
    if code is None:
        return None
    if not isinstance(code, str) or code not in MEDIA_CODES:
        return _not(path, "failure")
    reason, remedy = (_text(message.facts.get(name, "")) for name in ("reason", "remedy"))
    return MediaError(path, code, reason, remedy or WAYS_OUT.get(code, ""))


def picture_in(path: Path | str, message: Message, side_px: int | None) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 array that an answer holds; (3, px, px) with a side."""
    shape = message.facts.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise _not(path, "picture")
    fits = shape == [3, side_px, side_px] if side_px else shape[2:] == [3]
    if not fits or prod(shape) != message.content.size:
        raise _not(path, "picture")
    return message.content.reshape(shape)


def sound_in(path: Path | str, message: Message) -> Excerpt:
    """Return the excerpt that an answer holds."""
    rate_hz = message.facts.get("rate_hz")
    if not (type(rate_hz) is int and rate_hz in RATES_HZ and message.content.size % 4 == 0):
        raise _not(path, "sound")
    return Excerpt(samples=message.content.view(np.float32), rate_hz=rate_hz)


def probe_in(path: Path | str, message: Message, limits: MediaLimits) -> MediaProbe:
    """Return the facts that an answer holds."""
    facts = message.facts
    whole = set(facts) == {field.name for field in fields(MediaProbe)}
    whole = whole and facts["kind"] in ("image", "audio", "video")
    whole = whole and all(_is_size(facts[name]) for name in ("width_px", "height_px"))
    whole = whole and _is_within(facts["duration_s"], limits.max_seconds)
    whole = whole and all(isinstance(facts[name], bool) for name in ("has_sound", "has_frames"))
    if not whole:
        raise _not(path, "description")
    return MediaProbe(**facts)


def _not(path: Path | str, what: str) -> MediaError:
    return MediaError(path, "crashed", f"the decoder's answer is no {what}", WAYS_OUT["crashed"])


def _is_size(value: Any) -> bool:
    """A stream whose header has no size yet has 0."""
    return value is None or (type(value) is int and 0 <= value <= _MOST_PX)


def _is_within(value: Any, most: float) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= most)


def _text(value: Any) -> str:
    """Give a line that a terminal can show, whatever was found in a file."""
    shown = str(value)[:_LONGEST_TEXT]
    return "".join(c if c.isprintable() else "�" for c in shown)
