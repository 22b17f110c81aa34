"""Glued pairs as ordinary files with a manifest: pictures, sounds, boxes, sides.

    concat/
      pictures/0000.png     two pictures side by side
      sounds/dog-0012.wav   each sound once, 16 bits
      manifest.csv          two rows per picture, written last

`retrieval build-index concat --manifest concat/manifest.csv` indexes it like any corpus.
"""

from __future__ import annotations

import csv
import re
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.localization.boxes import AnnotatedBox, boxes_json
from encoder.localization.concat import SIDES, ConcatDraw, Picture, glue, half_boxes, half_picture
from encoder.localization.errors import ConcatError

Waveform = NDArray[np.float32]
COLUMNS = ("image", "audio", "label", "boxes", "side", "left", "right")
"""`left` and `right` name the two sources, `side` the one that is heard."""
MANIFEST = "manifest.csv"
HALVES_KEPT = 256


@dataclass(frozen=True, kw_only=True)
class ConcatSource:
    """A pair that can be glued.

    Attributes
    ----------
    name : distinct, and the same in every run.
    picture : reads the picture, (H, W, 3) uint8.
    sound : reads the sound, (T,) float32 in [-1, 1].
    boxes : on the whole picture; empty where nobody drew any.
    """

    name: str
    picture: Callable[[], Picture]
    sound: Callable[[], Waveform]
    label: str = ""
    boxes: tuple[AnnotatedBox, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ConcatReport:
    """What was written: `n_samples` rows over `n_pictures` pictures and `n_sounds` sounds."""

    root: Path
    manifest: Path
    n_pictures: int
    n_sounds: int
    n_samples: int


def write_concat(
    root: Path,
    sources: Sequence[ConcatSource],
    draws: Sequence[ConcatDraw],
    *,
    size_px: int = 320,
    rate_hz: int = 22_050,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConcatReport:
    """Write glued pairs; the same sources and draws give the same bytes.

    Parameters
    ----------
    size_px : side of the square frames, even.
    rate_hz : sampling rate of what `ConcatSource.sound` gives.
    on_progress : called with (done, total) after each picture.

    Raises
    ------
    ConcatError : nothing to write, or the folder holds something or cannot be written.
    MediaError : a source cannot be read.
    """
    if not draws:
        raise ConcatError(f"{root}: no two pairs to glue; give two labels with boxes and sounds")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConcatError(f"{root}: is not an empty folder; choose another")
    half_of = lru_cache(maxsize=HALVES_KEPT)(
        lambda at: half_picture(sources[at].picture(), size_px)
    )
    rows: list[dict[str, str]] = []
    sounds: dict[int, str] = {}
    try:
        for folder in ("pictures", "sounds"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for number, draw in enumerate(draws):
            image = f"pictures/{number:04d}.png"
            Image.fromarray(glue(half_of(draw.left), half_of(draw.right))).save(root / image)
            for at in (draw.left, draw.right):
                if at not in sounds:
                    sounds[at] = f"sounds/{_stem(sources[at].name)}-{at:04d}.wav"
                    _write_wav(root / sounds[at], sources[at].sound(), rate_hz)
            rows += _rows(sources, draw, image, sounds, size_px)
            if on_progress is not None:
                on_progress(number + 1, len(draws))
        _write_table(root / MANIFEST, rows)
    except OSError as error:
        raise ConcatError(f"{root}: cannot be written ({error.strerror or error})") from error
    return ConcatReport(
        root=root,
        manifest=root / MANIFEST,
        n_pictures=len(draws),
        n_sounds=len(sounds),
        n_samples=len(rows),
    )


def _rows(
    sources: Sequence[ConcatSource],
    draw: ConcatDraw,
    image: str,
    sounds: dict[int, str],
    size_px: int,
) -> list[dict[str, str]]:
    rows = []
    for side in SIDES:
        heard = sources[draw.of(side)]
        boxes = half_boxes(heard.boxes, side)
        cells = (
            *(image, sounds[draw.of(side)], heard.label),
            boxes_json(boxes, (size_px, size_px)) if boxes else "",
            *(side, sources[draw.left].name, sources[draw.right].name),
        )
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def _stem(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-")[:60] or "sound"


def _write_wav(path: Path, waveform: Waveform, rate_hz: int) -> None:
    samples = np.rint(np.clip(waveform, -1, 1) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
