"""The list of what is trained on: rows of a manifest, each a picture, a sound and a label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from indexer.manifest import BadRow, ManifestRow, read_manifest
from train.errors import PairsError

MIDDLE_S = 5.0
"""Where a row gives only a video and no span: its frame at this time."""


@dataclass(frozen=True, order=True)
class Picture:
    """A still, or the frame of a video at `time_s`."""

    path: Path
    time_s: float = 0.0


@dataclass(frozen=True, order=True)
class Span:
    """A sound from `t0_s` to `t1_s`, None being its end."""

    path: Path
    t0_s: float = 0.0
    t1_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row: a picture, a sound or both; the label and the split where the manifest has them."""

    picture: Picture | None
    sound: Span | None
    label: str | None
    split: str | None


def read_pairs(manifest: Path) -> list[Pair]:
    """Read the rows of a manifest; paths are relative to its folder.

    Raises
    ------
    PairsError : no such manifest, a row that cannot be understood, or no usable row.
    ManifestError : the file is no table.
    """
    if not manifest.is_file():
        raise PairsError(f"{manifest}: no such manifest; give a CSV, JSON-lines or Parquet file")
    pairs = [_pair(row, manifest) for row in read_manifest(manifest)]
    pairs = [pair for pair in pairs if pair.picture or pair.sound]
    if not pairs:
        raise PairsError(
            f"{manifest}: no row names an image, an audio or a video file; fill one in"
        )
    return pairs


def of_split(pairs: Iterable[Pair], split: str) -> list[Pair]:
    """Rows of one split; rows without a split are `train`.

    Raises
    ------
    PairsError : some of them name files that are not there.
    """
    chosen = [pair for pair in pairs if (pair.split or "train") == split]
    named = {p.path for pair in chosen for p in (pair.picture, pair.sound) if p is not None}
    missing = sorted(path for path in named if not path.is_file())
    if missing:
        raise PairsError(
            f"split {split}: {len(missing)} of {len(named)} files are not there, the first "
            f"{missing[0]}; paths are relative to the manifest's folder"
        )
    return chosen


def _pair(row: ManifestRow | BadRow, manifest: Path) -> Pair:
    if isinstance(row, BadRow):
        raise PairsError(f"{manifest}: row {row.number}: {row.reason}; mend or remove it")
    seen, heard = row.image or row.video, row.audio or row.video
    start, end = row.start_s or 0.0, row.end_s
    middle = MIDDLE_S if end is None else (start + end) / 2
    split = row.metadata.get("split")
    return Pair(
        picture=Picture(manifest.parent / seen, 0.0 if row.image else middle) if seen else None,
        sound=Span(manifest.parent / heard, start, end) if heard else None,
        label=row.label,
        split=None if split is None else str(split),
    )
