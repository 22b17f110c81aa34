"""All segments of a generation as one: blocks in order of segments, rows by item id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.config import F_V
from indexer.blocks import Floats, FrameBlock, Ids, SoundBlock
from indexer.compact.maps import restored
from indexer.compact.projection import Projection
from indexer.segments import Segment
from indexer.storage import FileRecord

FOLDER = "segments"
FRAMES_AT_ONCE = 16


def segment_folder(index_dir: Path, segment: int) -> Path:
    """Return where a segment lives."""
    return index_dir / FOLDER / f"{segment:06d}"


@dataclass(frozen=True)
class _Places:
    """Where ids stand: `ids` ascending, with the segment and the row of each."""

    ids: Ids
    segments: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, per_segment: list[Ids]) -> _Places:
        ids = np.concatenate([np.empty(0, np.int64), *per_segment])
        sizes = [len(part) for part in per_segment]
        segments = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.concatenate([np.empty(0, np.int64), *(np.arange(n) for n in sizes)])
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], segments[order], rows[order])

    def __getitem__(self, item: int) -> tuple[int, int]:
        place = int(np.searchsorted(self.ids, item))
        if place == len(self.ids) or self.ids[place] != item:
            raise KeyError(item)
        return int(self.segments[place]), int(self.rows[place])


class SegmentStore:
    """Committed segments; raises IndexCorrupt as `Segment` does, and takes its parameters."""

    def __init__(
        self,
        index_dir: Path,
        files: Mapping[int, Mapping[str, FileRecord]],
        *,
        bases: Mapping[int, Projection] | None = None,
        mapped: bool = True,
    ) -> None:
        self.segments = [
            Segment(segment_folder(index_dir, segment), records, bases=bases, mapped=mapped)
            for segment, records in files.items()
        ]

    # Looked up when they are first asked for: opening an index reads none of its rows.

    @cached_property
    def _sounds(self) -> _Places:
        return _Places.of([segment.sound_ids for segment in self.segments])

    @cached_property
    def _frames(self) -> _Places:
        return _Places.of([segment.frame_ids for segment in self.segments])

    @cached_property
    def ids(self) -> Ids:
        """(n,) of all items, ascending."""
        return np.union1d(self._sounds.ids, self._frames.ids)

    @property
    def sound_ids(self) -> Ids:
        """(n,) ascending."""
        return self._sounds.ids

    @property
    def frame_ids(self) -> Ids:
        """(n,) ascending."""
        return self._frames.ids

    @property
    def mapped_ids(self) -> Ids:
        """(n,) of the frames that a map is kept of, full or compact."""
        kept = [one.frame_ids for one in self.segments if one.has_maps or one.basis is not None]
        return np.concatenate([np.empty(0, np.int64), *kept])

    @property
    def compact_ids(self) -> Ids:
        """(n,) of the frames that a compact map is kept of."""
        kept = [one.frame_ids for one in self.segments if one.basis is not None]
        return np.concatenate([np.empty(0, np.int64), *kept])

    def compact_maps(self, ids: Ids) -> tuple[Floats, Floats]:
        """Return what compact maps stand for (k, C, 512), k > 0, and the mean (512,) of a basis.

        Raises
        ------
        KeyError : no compact map is kept of one of them.
        """
        rows, maps, mean = [], [], None
        for segment, places in self.frames_at(ids):
            if segment.basis is None:
                raise KeyError("a frame without a compact map")
            block = segment.compact(places)
            rows.append(block.ids)
            maps.append(restored(segment.basis, block))
            mean = segment.basis.mean if mean is None else mean
        assert mean is not None
        found = np.concatenate(rows)
        order = np.argsort(found)
        return np.concatenate(maps)[order[np.searchsorted(found[order], ids)]], mean

    def sound(self, item: int) -> SoundBlock:
        """Return the sound of an item; raises KeyError where it has none."""
        segment, row = self._sounds[item]
        return self.segments[segment].sound_row(row)

    def frame(self, item: int) -> FrameBlock:
        """Return the frame of an item; raises KeyError where it has none."""
        segment, row = self._frames[item]
        return self.segments[segment].frame_row(row)

    def has_map(self, item: int) -> bool:
        """Say whether the full map of an item's frame is kept; raises KeyError without a frame."""
        return self.segments[self._frames[item][0]].has_maps

    @property
    def keeps_maps(self) -> bool:
        """Whether every frame's full map is kept."""
        return all(one.has_maps for one in self.segments if len(one.frame_ids))

    @property
    def can_scan(self) -> bool:
        """Whether stages before the last see all that is kept; False between two steps of a build,
        where full maps have no compact ones beside them."""
        framed = [one for one in self.segments if len(one.frame_ids)]
        return all(one.basis is not None or not one.has_maps for one in framed)

    def frames_at(self, ids: Ids) -> Iterator[tuple[Segment, NDArray[np.int64]]]:
        """Yield, for ids (k,) of frames, each segment that holds some, with their rows ascending.

        Raises
        ------
        KeyError : one of them has no frame.
        """
        if not len(ids):
            return
        places = np.searchsorted(self._frames.ids, ids)
        if not np.array_equal(np.take(self._frames.ids, places, mode="clip"), ids):
            raise KeyError("an item without a frame")
        segments, rows = self._frames.segments[places], self._frames.rows[places]
        order = np.lexsort((rows, segments))
        segments, rows = segments[order], rows[order]
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(segments)) + 1):
            yield self.segments[int(segments[part[0]])], rows[part]

    def frames(self, ids: Ids) -> Iterator[FrameBlock]:
        """Yield the frames of these ids, ascending (k,), in blocks; raises as `frames_at`."""
        for segment, rows in self.frames_at(ids):
            for part in np.split(rows, range(FRAMES_AT_ONCE, len(rows), FRAMES_AT_ONCE)):
                blocks = [segment.frame_row(int(row)) for row in part]
                yield FrameBlock(
                    ids=np.concatenate([block.ids for block in blocks]),
                    maps=np.concatenate([block.maps for block in blocks]),
                    coarse=np.concatenate([block.coarse for block in blocks]),
                )

    def sound_blocks(self) -> Iterator[SoundBlock]:
        for segment in self.segments:
            yield from segment.sound_blocks()

    def frame_blocks(self) -> Iterator[FrameBlock]:
        for segment in self.segments:
            yield from segment.frame_blocks()

    def vectors(self, space: str) -> Iterator[tuple[Ids, Floats]]:
        """Yield ids and unit vectors of `sound`, `coarse` or `own_sound`."""
        if space not in VECTORS:
            raise ValueError(f"unknown space {space!r}")
        for segment in self.segments:
            yield from VECTORS[space](segment)

    def vectors_of(self, space: str, ids: Ids) -> Floats:
        """Return vectors (n, 1000) of `sound`, `coarse` or `own_sound` by ids (n,), in their order.

        Raises
        ------
        KeyError : an item has no such side.
        """
        places = self._sounds if space == "sound" else self._frames
        found = np.searchsorted(places.ids, ids)
        if not np.array_equal(np.take(places.ids, found, mode="clip"), ids):
            raise KeyError(f"an item without {space}")
        segments, rows = places.segments[found], places.rows[found]
        order = np.lexsort((rows, segments))
        vectors = np.empty((len(ids), F_V), np.float32)
        first = np.flatnonzero(np.diff(segments[order], prepend=-1))
        for part in np.split(order, first[1:]):
            if len(part):
                segment = self.segments[int(segments[part[0]])]
                vectors[part] = segment.vector_rows(space, rows[part])
        return vectors

    def close(self) -> None:
        for segment in self.segments:
            segment.close()


def _sounds(segment: Segment) -> Iterator[tuple[Ids, Floats]]:
    return ((block.ids, block.f_s) for block in segment.sound_blocks())


VECTORS: dict[str, Callable[[Segment], Iterator[tuple[Ids, Floats]]]] = {
    "sound": _sounds,
    "coarse": Segment.coarse_blocks,
    "own_sound": Segment.own_sound_blocks,
}
