"""Near duplicates: pictures and sounds of which an index keeps nearly the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.blocks import Floats, Ids
from indexer.inspection.findings import Finding, Thresholds
from indexer.inspection.grouping import FITTED_ON, NOTHING, Numbers, same_as
from indexer.inspection.kept import KeptMaps, KeptSounds
from indexer.plan import PlannedItem
from indexer.reader import IndexReader

MOST_PARTS = 200_000
"""Pictures or sounds that are compared, the first of them. 20 000 different vectors took a core
0.9 s (and 0.12 ms to read each map); the time grows as their square."""
Part = tuple[str, float]
"""A file, and where in it: the time of a frame, the beginning of a sound."""


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """What an index says.

    Attributes
    ----------
    n_compared : distinct pictures and sounds.
    n_left_out : those past `MOST_PARTS` of their kind.
    n_without_map : frames that the index keeps no map of (`--maps none`).
    """

    findings: tuple[Finding, ...]
    n_compared: int
    n_left_out: int
    n_without_map: int


def near_duplicates(
    reader: IndexReader,
    items: Sequence[PlannedItem],
    limits: Thresholds,
    known: Collection[tuple[str, str]] = (),
) -> NearDuplicates:
    """Compare all pictures with each other, and all sounds, by what an index keeps of them.

    Pictures by their visual maps, cell by cell: f_v⁰ says what is in a picture, and two
    photographs of one thing have the same. Sounds by f_s. Parts of one file are not compared, and
    each part once however many items use it.

    Parameters
    ----------
    items : of the scan, to say which of them a finding touches.
    known : (file, file that it repeats) of exact duplicates, which are left out here.
    """
    findings: list[Finding] = []
    n_compared = n_left_out = 0
    maps, sounds = KeptMaps(reader), KeptSounds(reader)
    for vectors, cosine in ((maps, limits.near_frame), (sounds, limits.near_sound)):
        parts = _Parts(reader, vectors)
        same = same_as(parts.blocks(), parts.read, cosine, parts.sample())
        n_compared, n_left_out = n_compared + len(same), n_left_out + parts.n_left_out
        findings += _findings(parts, same, _keys(items, is_sound=vectors is sounds), known)
    return NearDuplicates(
        findings=tuple(findings),
        n_compared=n_compared,
        n_left_out=n_left_out,
        n_without_map=maps.n_without,
    )


class _Parts:
    """The distinct parts that there are vectors of, in the order of the index."""

    def __init__(self, reader: IndexReader, vectors: KeptMaps | KeptSounds) -> None:
        self.reader, self.vectors = reader, vectors
        self.seen: list[Part] = []
        self.ids: list[int] = []
        self.n_left_out = 0
        self._known: set[Part] = set()
        self._files: dict[str, int] = {}

    def sample(self) -> Floats | None:
        """Return up to `FITTED_ON` vectors from all over the index; None where there are none."""
        ids = self.vectors.ids()
        places = np.linspace(0, len(ids) - 1, min(len(ids), FITTED_ON)).astype(np.int64)
        return self.vectors.read(ids[places]) if len(ids) else None

    def blocks(self) -> Iterator[tuple[Floats, Numbers]]:
        """Yield vectors with the numbers of their files."""
        for ids, vectors in self.vectors.blocks():
            new = self._new(ids)
            if len(new):
                files = [
                    self._files.setdefault(path, len(self._files))
                    for path, _ in self.seen[-len(new) :]
                ]
                yield vectors[new], np.array(files, np.int64)

    def read(self, places: Numbers) -> Floats:
        """Return vectors (k, d) again by their places among those that `blocks` gave."""
        return self.vectors.read(np.array([self.ids[place] for place in places], np.int64))

    def _new(self, ids: Ids) -> list[int]:
        """Remember the parts of a block that were not there before; return their rows."""
        rows = []
        for n, row in enumerate(self.reader.rows(ids)):
            part = self.vectors.part(row)
            if part in self._known:
                continue
            self._known.add(part)
            if len(self.seen) == MOST_PARTS:
                self.n_left_out += 1
                continue
            rows.append(n)
            self.seen.append(part)
            self.ids.append(row.id)
        return rows


def _keys(items: Sequence[PlannedItem], *, is_sound: bool) -> dict[Part, list[str]]:
    """Return keys of planned items by the part that they use."""
    keys: dict[Part, list[str]] = {}
    for item in items:
        if is_sound and item.sound:
            part = (item.sound.source.path, round(item.sound.t0_s, 3))
        elif not is_sound and item.frame:
            part = (item.frame.source.path, round(item.frame.time_s, 3))
        else:
            continue
        keys.setdefault(part, []).append(item.key)
    return keys


def _findings(
    parts: _Parts, same: Numbers, keys: dict[Part, list[str]], known: Collection[tuple[str, str]]
) -> Iterator[Finding]:
    for n in np.flatnonzero(same != NOTHING):
        (path, at_s), (first, first_at_s) = parts.seen[n], parts.seen[same[n]]
        if (path, first) in known:
            continue
        there = f" at {first_at_s:g} s" if first_at_s else ""
        yield Finding(
            kind="near-duplicate",
            path=path,
            message=f"its {parts.vectors.what} is nearly that of {first}{there}",
            t0_s=at_s or None,
            same_as=first,
            items=tuple(keys.get((path, at_s), ())),
        )
