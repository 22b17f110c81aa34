"""Small corpora of files that something is wrong with, and what an inspection says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from indexer_fixtures import options
from media_files import tone, write_tone
from numpy.typing import NDArray
from PIL import Image

from indexer.inspection.corpus import Inspection, inspect_corpus
from indexer.inspection.findings import Finding
from indexer.scan import scan

RATE_HZ = 8_000


def inspected(corpus: Path, **changes: object) -> Inspection:
    chosen = options(**changes)
    return inspect_corpus(scan(corpus, options=chosen), options=chosen)


def found_in(corpus: Path, kind: str, **changes: object) -> list[Finding]:
    return [one for one in inspected(corpus, **changes).findings if one.kind == kind]


def write_level(path: Path, decibels: float, seconds: float = 0.5) -> None:
    """Write a sine whose RMS is `decibels` dBFS; from 0 dB on it would have to be a square."""
    peak = np.sqrt(2) * 10 ** (decibels / 20)
    write_samples(path, tone(seconds, RATE_HZ) / 0.5 * np.float32(peak))


def write_samples(path: Path, samples: NDArray[np.float32]) -> None:
    write_tone(path, samples, RATE_HZ, "FLOAT")


def large_picture(seed: int = 0, size_px: tuple[int, int] = (80, 96)) -> Image.Image:
    """Coarse coloured noise that no limit objects to."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize(size_px[::-1], Image.Resampling.BICUBIC)
