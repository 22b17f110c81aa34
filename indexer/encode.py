"""Planned items to rows of a segment: every part decoded and embedded once, batch by batch.

A thread decodes a batch and takes it through the network. There are as many threads as cores and
each keeps to one, so none waits for a decoder, nor for the others after every layer.

What a later item of the same segment needs again is kept until then: sounds are small (6 KB), and
the users of a frame stand next to each other (`plan.frames_together`). What an earlier segment
holds is copied from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.config import F_S, F_V, D
from encoder.embedder import Embedder
from indexer.blocks import Floats, FrameBlock, Halves, SoundBlock
from indexer.decode import Decoded, DecodeJob, Decoder, Part
from indexer.history import EmbeddedPart
from indexer.plan import FailureRow, FramePart, PlannedItem, SoundPart
from indexer.segments import SegmentRows
from indexer.store import SegmentStore

READY_BYTES = 64 << 20
"""Prepared pixels and samples that go through the network at once, whatever the batch holds."""
MAX_ENCODERS = 4
"""Passes at a time: past it, activations take more memory than speed is worth."""


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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Items that belong together, and the parts that nobody before them needed."""

    items: Sequence[PlannedItem]
    jobs: Sequence[DecodeJob]


@dataclass(kw_only=True)
class EncodedParts:
    """The parts of a batch by key: their vectors, or why there are none.

    Attributes
    ----------
    digests : source path → blake2b, of the sources that were read for the first time.
    """

    frames: dict[str, FrameVectors | FailureRow] = field(default_factory=dict)
    sounds: dict[str, SoundVectors | FailureRow] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def batches(items: Sequence[PlannedItem], known: KnownParts, size: int) -> Iterator[Batch]:
    """Cut items into batches; each part is a job where it is first needed, unless it is known."""
    seen: set[str] = set()
    read: set[str] = set()
    for start in range(0, len(items), size):
        chosen = items[start : start + size]
        jobs = []
        for part in (part for item in chosen for part in item.parts):
            if part.key not in seen and not known.holds(part):
                jobs.append(DecodeJob(part=part, digests=part.source.path not in read))
                seen.add(part.key)
                read.add(part.source.path)
        yield Batch(items=chosen, jobs=jobs)


class BatchEncoder:
    """Decodes and embeds the parts of a batch; called from several threads."""

    def __init__(self, decoder: Decoder, *, n_encoders: int) -> None:
        self.decoder, self.embedder = decoder, decoder.embedder
        self._encoding = BoundedSemaphore(n_encoders)

    def __call__(self, batch: Batch) -> tuple[Batch, EncodedParts]:
        """Return the batch with its parts. A file that cannot be used is a result."""
        encoded = EncodedParts()
        ready: list[Decoded] = []
        for job in batch.jobs:
            decoded = self.decoder(job)
            ready.append(decoded)
            if decoded.digest:
                encoded.digests[decoded.part.source.path] = decoded.digest
            if sum(one.n_bytes for one in ready) >= READY_BYTES:
                self._embed(ready, encoded)
                ready = []
        self._embed(ready, encoded)
        return batch, encoded

    def _embed(self, ready: list[Decoded], encoded: EncodedParts) -> None:
        frames = [decoded for decoded in ready if isinstance(decoded.part, FramePart)]
        sounds = [decoded for decoded in ready if isinstance(decoded.part, SoundPart)]
        encoded.frames.update({d.part.key: d.failure for d in frames if d.failure})
        encoded.sounds.update({d.part.key: d.failure for d in sounds if d.failure})
        with self._encoding:
            self._embed_sounds([d for d in sounds if not d.failure], encoded)
            self._embed_frames([d for d in frames if not d.failure], encoded)

    def _embed_frames(self, good: list[Decoded], encoded: EncodedParts) -> None:
        if not good:
            return
        embedded = self.embedder.embed_frames([_prepared(d) for d in good])
        for d, visual_map, coarse in zip(good, embedded.maps, embedded.coarse, strict=True):
            finite = np.isfinite(coarse).all() and np.isfinite(visual_map).all()
            encoded.frames[d.part.key] = (
                FrameVectors(visual_map, coarse) if finite else _not_finite(d.part)
            )

    def _embed_sounds(self, good: list[Decoded], encoded: EncodedParts) -> None:
        if not good:
            return
        embedded = self.embedder.embed_sounds([_prepared(d) for d in good])
        # As the segment keeps it: so a frame meets the same h today and from the disk.
        contexts = embedded.h.astype(np.float16).astype(np.float32)
        for d, f_s, h in zip(good, embedded.f_s, contexts, strict=True):
            finite = np.isfinite(f_s).all() and np.isfinite(h).all()
            encoded.sounds[d.part.key] = (
                SoundVectors(f_s, h, d.duration_s) if finite else _not_finite(d.part)
            )


def n_encoders(embedder: Embedder, workers: int) -> int:
    """Return how many passes of the network may run at a time: one keeps a GPU busy."""
    return min(workers, MAX_ENCODERS) if embedder.device.type == "cpu" else 1


@contextmanager
def cores_shared_by(n: int) -> Iterator[Callable[[], None]]:
    """Give what each of the threads calls first, so that n passes use every core once.

    PyTorch keeps the number per thread, but new threads start with the last set: it is put back.
    The caller keeps to its share, too: a team of threads would spin between its small products.
    """
    before = torch.get_num_threads()
    share = max(1, before // n)
    try:
        torch.set_num_threads(share)
        yield partial(torch.set_num_threads, share)
    finally:
        torch.set_num_threads(before)


class PartShelf:
    """Parts of one segment, by the items that still need them."""

    def __init__(self, items: Sequence[PlannedItem], known: KnownParts) -> None:
        self.known = known
        self._uses = Counter(part.key for item in items for part in item.parts)
        self._frames: dict[str, FrameVectors | FailureRow] = {}
        self._sounds: dict[str, SoundVectors | FailureRow] = {}

    def take(self, batch: Batch, encoded: EncodedParts) -> list[EncodedItem]:
        """Return the items of a batch; `encoded` holds what they are the first to need."""
        self._frames |= encoded.frames
        self._sounds |= encoded.sounds
        taken = [self._item(item) for item in batch.items]
        self._uses.subtract(part.key for item in batch.items for part in item.parts)
        self._frames = {key: kept for key, kept in self._frames.items() if self._uses[key]}
        self._sounds = {key: kept for key, kept in self._sounds.items() if self._uses[key]}
        return taken

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
