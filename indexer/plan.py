"""What a build is going to do: sources, their parts, and the items made of them. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ItemKind = Literal["image", "audio", "pair", "video"]
Metadata = dict[str, Any]

OWN_CODES = {
    "outside-corpus": "the path leads out of the corpus",
    "bad-row": "a row of the manifest cannot be understood",
}
"""Codes of failures that the indexer itself finds, beside `encoder.errors.MEDIA_CODES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file of the corpus as it was found.

    Attributes
    ----------
    path : POSIX, relative to the corpus, in the text form of `indexer.paths`.
    """

    path: str
    kind: Literal["image", "audio", "video"]
    size: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePart:
    """The picture of an item: a still, or the frame of a video at `time_s`."""

    source: Source
    time_s: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.source.path}@{self.time_s:.3f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundPart:
    """The sound of an item, from `t0_s` to `t1_s`; None is the end of the file."""

    source: Source
    t0_s: float = 0.0
    t1_s: float | None = None

    @property
    def key(self) -> str:
        end = "" if self.t1_s is None else f"{self.t1_s:.3f}"
        return f"{self.source.path}@{self.t0_s:.3f}-{end}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Where a person saw the source of the sound, in pixels of the stored picture.

    Attributes
    ----------
    kind : `object`, or `ambient` for a sound that no place in the picture makes.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    annotator: str = ""
    kind: Literal["object", "ambient"] = "object"
    tag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRow:
    """A file, or a stream of it, that could not be used.

    Attributes
    ----------
    path : relative to the corpus, or a row of the manifest.
    code : of `encoder.errors.MEDIA_CODES` or `OWN_CODES`.
    """

    path: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedItem:
    """An item to be: a frame, a sound, both, or neither where the scan saw that nothing is there.

    Attributes
    ----------
    key : the same in every run over the same corpus; repetitions are numbered.
    failures : what the scan already knows to be missing or broken.
    """

    key: str
    kind: ItemKind
    frame: FramePart | None = None
    sound: SoundPart | None = None
    label: str | None = None
    metadata: Metadata = field(default_factory=dict)
    boxes: tuple[Box, ...] = ()
    failures: tuple[FailureRow, ...] = ()

    @property
    def parts(self) -> list[FramePart | SoundPart]:
        """The frame and the sound, those that there are."""
        return [part for part in (self.frame, self.sound) if part is not None]

    @property
    def stamp(self) -> str:
        """Digest of what the item is made from; another stamp means that it must be made anew."""
        files = [(part.source.size, part.source.mtime_ns) for part in self.parts]
        boxes = [(b.x0, b.y0, b.x1, b.y1, b.annotator, b.kind, b.tag) for b in self.boxes]
        known = [(failure.path, failure.code) for failure in self.failures]
        facts = json.dumps(
            [files, self.label, self.metadata, boxes, known], sort_keys=True, default=str
        )
        return hashlib.blake2b(facts.encode("utf-8", "replace"), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Move:
    """An item whose files are elsewhere, or have another time, and hold what they held.

    Attributes
    ----------
    item, former : as it is planned now, and as it was.
    item_id : None for what was removed, which stays so under its new name.
    digests : source path → blake2b, of the files as they are now.
    """

    item: PlannedItem
    former: PlannedItem
    item_id: int | None
    digests: Mapping[str, str]

    @property
    def is_renamed(self) -> bool:
        """Whether a path differs, in place of a time alone."""
        return self.item.key != self.former.key

    @property
    def paths(self) -> dict[str, str]:
        """Former path → path, of every file."""
        pairs = zip(self.former.parts, self.item.parts, strict=True)
        return {was.source.path: now.source.path for was, now in pairs}


def item_key(frame: FramePart | None, sound: SoundPart | None) -> str:
    """Return the key of an item made of these parts."""
    return f"{frame.key if frame else ''}|{sound.key if sound else ''}"


def frames_together(items: Iterable[PlannedItem]) -> Iterator[PlannedItem]:
    """Bring items that share a frame next to each other, otherwise in the order they came.

    A visual map takes about 0.1 MB or more: with its users side by side one map in memory is
    enough to embed it once.
    """
    groups: dict[str, list[PlannedItem]] = {}
    for n, item in enumerate(items):
        groups.setdefault(item.frame.key if item.frame else f"\0{n}", []).append(item)
    for group in groups.values():
        yield from group
