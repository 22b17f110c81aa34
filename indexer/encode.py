"""Planned items to rows of a segment: every part decoded and embedded once, batch by batch.

What a later item of the same segment may need again is kept: the sounds (6 KB each) and the frame
of the item before (`plan.frames_together` brings the users of a frame next to each other). What an
earlier segment holds is copied from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from encoder.embedder import Embedder
from indexer.blocks import Floats, FrameBlock, Halves, SoundBlock
from indexer.decode import Decoded, DecodeJob, Part
from indexer.ledger import EmbeddedPart
from indexer.plan import FailureRow, FramePart, PlannedItem, SoundPart
from indexer.segments import SegmentRows
from indexer.store import SegmentStore

BATCH_BYTES = 64 << 20
"""Prepared pixels and samples that close a batch: 32 sounds of an hour would take gigabytes."""


@dataclass(frozen=True)
class FrameVectors:
    """One embedded frame: `map` float16 (M, 512), `coarse` float32 (1000,)."""

    map: Halves
    coarse: Floats


@dataclass(frozen=True)
class SoundVectors:
    """One embedded sound: `f_s` float32 (1000,), `h` float32 (512,) as a segment keeps it."""

    f_s: Floats
    h: Floats
    duration_s: float


@dataclass(frozen=True, kw_only=True)
class EncodedItem:
    """An item with what could be had of it; neither side after two failures."""

    plan: PlannedItem
    frame: FrameVectors | None
    sound: SoundVectors | None
    failures: tuple[FailureRow, ...]

    @property
    def usable(self) -> bool:
        return self.frame is not None or self.sound is not None


@dataclass
class EncodeCounts:
    """What a build embedded, in place of what it copied or shared."""

    n_frames: int = 0
    n_sounds: int = 0


@dataclass(frozen=True, kw_only=True)
class KnownParts:
    """Parts that earlier segments hold, by part key."""

    store: SegmentStore
    frames: Mapping[str, EmbeddedPart]
    sounds: Mapping[str, EmbeddedPart]

    def holds(self, part: Part) -> bool:
        return part.key in (self.frames if isinstance(part, FramePart) else self.sounds)

    def frame(self, key: str) -> FrameVectors:
        block = self.store.frame(self.frames[key].item)
        return FrameVectors(block.maps[0], block.coarse[0])

    def sound(self, key: str) -> SoundVectors:
        known = self.sounds[key]
        block = self.store.sound(known.item)
        return SoundVectors(block.f_s[0], block.h[0], known.duration_s)


def decode_jobs(items: Sequence[PlannedItem], known: KnownParts) -> list[list[DecodeJob]]:
    """Return, for each item, the parts that it is the first to need; digests once per source."""
    seen_parts: set[tuple[bool, str]] = set()
    seen_sources: set[str] = set()
    jobs: list[list[DecodeJob]] = []
    for item in items:
        jobs.append([])
        for part in (item.frame, item.sound):
            if part is None or known.holds(part):
                continue
            name = (isinstance(part, FramePart), part.key)
            if name not in seen_parts:
                seen_parts.add(name)
                jobs[-1].append(DecodeJob(part=part, digests=part.source.path not in seen_sources))
                seen_sources.add(part.source.path)
    return jobs


@dataclass
class SegmentEncoder:
    """Encodes the items of one segment, in order.

    Attributes
    ----------
    digests : source path → blake2b, filled on the way.
    """

    embedder: Embedder
    known: KnownParts
    counts: EncodeCounts
    batch_size: int
    digests: dict[str, str] = field(default_factory=dict)
    _frames: dict[str, FrameVectors | FailureRow] = field(default_factory=dict)
    _sounds: dict[str, SoundVectors | FailureRow] = field(default_factory=dict)

    def batches(
        self,
        items: Sequence[PlannedItem],
        jobs: Sequence[Sequence[DecodeJob]],
        decoded: Iterator[Decoded],
    ) -> Iterator[list[EncodedItem]]:
        """Yield encoded items; `decoded` gives the results of `jobs`, in order."""
        batch: list[PlannedItem] = []
        ready: list[Decoded] = []
        for n, (item, own_jobs) in enumerate(zip(items, jobs, strict=True), start=1):
            batch.append(item)
            ready += [next(decoded) for _ in own_jobs]
            n_bytes = sum(d.prepared.nbytes for d in ready if d.prepared is not None)
            if len(batch) == self.batch_size or n_bytes >= BATCH_BYTES or n == len(items):
                yield self._encode(batch, ready)
                batch, ready = [], []

    def _encode(self, batch: list[PlannedItem], ready: list[Decoded]) -> list[EncodedItem]:
        self.digests.update({d.part.source.path: d.digest for d in ready if d.digest})
        self._embed_sounds([d for d in ready if isinstance(d.part, SoundPart)])
        self._embed_frames([d for d in ready if isinstance(d.part, FramePart)])
        encoded = [self._item(item) for item in batch]
        last = batch[-1].frame
        self._frames = {k: v for k, v in self._frames.items() if last and k == last.key}
        return encoded

    def _embed_frames(self, decoded: list[Decoded]) -> None:
        self._frames.update({d.part.key: d.failure for d in decoded if d.failure})
        good = [d for d in decoded if d.prepared is not None]
        if not good:
            return
        self.counts.n_frames += len(good)
        embedded = self.embedder.embed_frames([_prepared(d) for d in good])
        for d, visual_map, coarse in zip(good, embedded.maps, embedded.coarse, strict=True):
            finite = np.isfinite(coarse).all() and np.isfinite(visual_map).all()
            self._frames[d.part.key] = (
                FrameVectors(visual_map, coarse) if finite else _not_finite(d.part)
            )

    def _embed_sounds(self, decoded: list[Decoded]) -> None:
        self._sounds.update({d.part.key: d.failure for d in decoded if d.failure})
        good = [d for d in decoded if d.prepared is not None]
        if not good:
            return
        self.counts.n_sounds += len(good)
        embedded = self.embedder.embed_sounds([_prepared(d) for d in good])
        # As the segment keeps it: so a frame meets the same h today and from the disk.
        contexts = embedded.h.astype(np.float16).astype(np.float32)
        for d, f_s, h in zip(good, embedded.f_s, contexts, strict=True):
            finite = np.isfinite(f_s).all() and np.isfinite(h).all()
            self._sounds[d.part.key] = (
                SoundVectors(f_s, h, d.duration_s) if finite else _not_finite(d.part)
            )

    def _item(self, item: PlannedItem) -> EncodedItem:
        frame = sound = None
        failures = list(item.failures)
        if item.frame:
            frame = self._frames.get(item.frame.key) or self.known.frame(item.frame.key)
        if item.sound:
            sound = self._sounds.get(item.sound.key) or self.known.sound(item.sound.key)
        failures += [side for side in (frame, sound) if isinstance(side, FailureRow)]
        return EncodedItem(
            plan=item,
            frame=frame if isinstance(frame, FrameVectors) else None,
            sound=sound if isinstance(sound, SoundVectors) else None,
            failures=tuple(failures),
        )


def segment_rows(
    embedder: Embedder, encoded: Iterable[EncodedItem], ids: Mapping[str, int]
) -> SegmentRows:
    """Lay encoded items out as rows; `ids` is by plan key. Frames meet their own sounds here."""
    usable = [item for item in encoded if item.usable]
    framed = [(item, item.frame) for item in usable if item.frame]
    voiced = [(item, item.sound) for item in usable if item.sound]
    n_cells = embedder.grid[0] * embedder.grid[1]
    frames = FrameBlock(
        ids=np.array([ids[item.plan.key] for item, _ in framed], dtype=np.int64),
        maps=_stacked([frame.map for _, frame in framed], (n_cells, D), np.float16),
        coarse=_stacked([frame.coarse for _, frame in framed], (F_V,), np.float32),
    )
    sounds = SoundBlock(
        ids=np.array([ids[item.plan.key] for item, _ in voiced], dtype=np.int64),
        f_s=_stacked([sound.f_s for _, sound in voiced], (F_S,), np.float32),
        h=_stacked([sound.h for _, sound in voiced], (D,), np.float32),
    )
    heard = np.array([item.sound is not None for item, _ in framed], dtype=np.bool_)
    own_sound = np.zeros((len(framed), F_V), dtype=np.float32)
    if heard.any():
        contexts = np.stack([item.sound.h for item, _ in framed if item.sound])
        own_sound[heard] = embedder.condition(frames.maps[heard], contexts).f_v
    return SegmentRows(sounds=sounds, frames=frames, own_sound=own_sound, heard=heard)


def _stacked(rows: list[NDArray[Any]], shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    return np.stack(rows) if rows else np.empty((0, *shape), dtype=kind)


def _prepared(decoded: Decoded) -> NDArray[Any]:
    assert decoded.prepared is not None
    return decoded.prepared


def _not_finite(part: Part) -> FailureRow:
    path = part.source.path
    reason = "the encoder overflows on it"
    return FailureRow(path=path, code="not-finite", message=f"{path}: not-finite: {reason}")
