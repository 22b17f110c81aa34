"""Conditional queries by stages, each on fewer items: codes, compact maps, the exact formula.

Pictures: f_v⁰ of all frames by their codes → the frames that could be among the best, by compact
maps → the best of these, exactly. Sounds: all of them by their codes, along chords → the best of
these by their codes, through the layers → the best, exactly; where the frame is kept, one stage to
first order stands for both. How many go from stage to stage was
measured when the generation was made (`effort`). What comes back is scored by
`indexer.conditional`; the stages before only choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from indexer.blocks import Floats, FrameBlock, Ids, SoundBlock
from indexer.compact.codes import CodeFiles
from indexer.compact.effort import Effort
from indexer.compact.projection import Codes, Projection
from indexer.compact.resident import Resident
from indexer.compact.scan import (
    FRAMES_AT_ONCE,
    SOUNDS_AT_ONCE,
    ChordScan,
    FrameScan,
    Head,
    KeptScan,
    SoundScan,
    on_cores,
)
from indexer.conditional import score_frames, score_sounds
from indexer.neighbours import Neighbours, best, best_of
from indexer.segments import Segment
from indexer.store import SegmentStore
from indexer.terms import FrameTerm, SoundTerm, cancelling, weighted

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Rows = NDArray[np.int64]
Part = tuple[Ids, tuple[Codes, ...]]
Keep = Callable[[Ids], NDArray[np.bool_]]
"""Says for ids (n,) which may be returned."""
CODES_AT_ONCE = 1 << 14
DECIMALS = 5
"""Scores of codes and compact maps are rounded, so that copies of a picture tie and the first of
them comes through, as in the exact order."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The best of a gallery; `exact` where every item was scored in full, by its full map."""

    neighbours: Neighbours
    exact: bool


class Engine:
    """Answers conditional queries on the items of a generation; safe to share between threads.

    Parameters
    ----------
    grid : cells (H', W') of full maps.
    """

    def __init__(
        self, store: SegmentStore, codes: CodeFiles, embedder: Embedder, grid: tuple[int, int]
    ) -> None:
        self.store, self.codes, self.embedder, self.grid = store, codes, embedder, grid
        self.head = Head(embedder.network, embedder.device)

    # ── pictures ─────────────────────────────────────────────────────────────────────────────

    def frames(
        self, terms: Sequence[FrameTerm], k: int, effort: Effort, keep: Keep | None = None
    ) -> Answer:
        """Return the k frames that score highest by the weighted mean of terms."""
        wide = math.ceil(k * cancelling(terms))
        resident = self._resident if all(term.h is not None for term in terms) else None
        if resident is not None:
            ids, scores = kept(resident.ids, tidy(resident.scores(terms)), keep)
            chosen = best(ids, scores, effort.n_exact(len(ids), wide)).ids
        else:
            ids, scores = self.frames_by_code(terms, keep)
            chosen = best(ids, scores, effort.n_candidates(len(ids), wide)).ids
            if len(chosen) > effort.n_exact(len(ids), wide):
                chosen = best(
                    *self.frames_by_map(terms, chosen), effort.n_exact(len(ids), wide)
                ).ids
        frames = self.store.frames(np.sort(chosen))
        found = best_of(on_cores(partial(self._scored, terms), frames), k)
        exact = len(chosen) == len(ids) and self.store.keeps_maps
        return Answer(neighbours=found, exact=exact)

    @cached_property
    def _resident(self) -> Resident | None:
        if self.head.device.type != "cuda":
            return None
        return Resident.where_it_fits(self.store, self.head)

    def _scored(self, terms: Sequence[FrameTerm], block: FrameBlock) -> tuple[Ids, Floats]:
        return block.ids, score_frames(self.embedder, terms, block)

    def frames_by_code(
        self, terms: Sequence[FrameTerm], keep: Keep | None = None
    ) -> tuple[Ids, Floats]:
        """Score all frames by f_v⁰: ids (n,) and approximate scores (n,)."""
        offset, ask = mixed(terms, self.codes.projections["coarse"], [t.target for t in terms])
        parts = list(cut(((b.ids, (b.coarse,)) for b in self.codes.frames()), keep, CODES_AT_ONCE))

        def score(part: Part) -> Floats:
            (coarse,) = copied(part)
            return tidy(offset + along(coarse, ask))

        return joined(parts, on_cores(score, parts))

    def frames_by_map(self, terms: Sequence[FrameTerm], ids: Ids) -> tuple[Ids, Floats]:
        """Score some frames (n,) by their compact maps: the ids in another order, and scores.

        Where a segment keeps none, f_v⁰ stands for every look at its frames.
        """
        parts = [
            (segment, part)
            for segment, rows in self.store.frames_at(np.sort(ids))
            for part in np.split(rows, range(FRAMES_AT_ONCE, len(rows), FRAMES_AT_ONCE))
        ]
        bases = {id(segment.basis): segment.basis for segment, _ in parts}
        scans = {name: [self._scan(term, basis) for term in terms] for name, basis in bases.items()}
        shares = weighted(terms)

        def score(part: tuple[Segment, Rows]) -> tuple[Ids, Floats]:
            segment, rows = part
            looks = scans[id(segment.basis)]
            alone = segment.coarse_rows(rows) if None in looks else None
            block = segment.compact(rows) if any(looks) else None
            total = np.zeros(len(rows), np.float32)
            for share, term, look in zip(shares, terms, looks, strict=True):
                if look is not None and block is not None:
                    total += np.float32(share) * look(block)
                elif alone is not None:
                    total += np.float32(share) * (alone @ term.target)
            return segment.frame_ids[rows], tidy(total)

        found = on_cores(score, parts)
        return joined(found, [scores for _, scores in found])

    def _scan(self, term: FrameTerm, basis: Projection | None) -> FrameScan | None:
        if term.h is None or basis is None:
            return None
        return FrameScan.of(self.head, basis, term)

    # ── sounds ───────────────────────────────────────────────────────────────────────────────

    def sounds(
        self, terms: Sequence[SoundTerm], k: int, effort: Effort, keep: Keep | None = None
    ) -> Answer:
        """Return the k sounds that score highest by the weighted mean of terms."""
        wide = math.ceil(k * cancelling(terms))
        ids, scores = self.sounds_by_code(terms, keep)
        chosen = best(ids, scores, effort.n_candidates(len(ids), wide)).ids
        n_exact = effort.n_exact(len(ids), wide)
        if len(chosen) > n_exact:
            if any(term.visual_map is not None and term.h is None for term in terms):
                ids_left, scores = self.sounds_by_layers(terms, chosen)
                chosen = best(ids_left, scores, n_exact).ids
            else:  # the layers would say the same again
                chosen = best(ids, scores, n_exact).ids
        sounds = in_blocks(self.store.sound(int(item)) for item in np.sort(chosen))
        found = best_of(on_cores(partial(self._heard, terms), sounds), k)
        return Answer(neighbours=found, exact=len(chosen) == len(ids))

    def _heard(self, terms: Sequence[SoundTerm], block: SoundBlock) -> tuple[Ids, Floats]:
        return block.ids, score_sounds(self.embedder, terms, block)

    def sounds_by_code(
        self, terms: Sequence[SoundTerm], keep: Keep | None = None
    ) -> tuple[Ids, Floats]:
        """Score all sounds by their codes along chords, or where one's own frame is kept by how f_v
        moves: ids (n,) and approximate scores (n,)."""
        return self._sounds(terms, ChordScan, keep)

    def sounds_by_layers(self, terms: Sequence[SoundTerm], ids: Ids) -> tuple[Ids, Floats]:
        """Score some sounds (n,) by their codes: the ids in another order, and scores."""
        return self._sounds(terms, SoundScan, lambda found: np.isin(found, ids))

    def _sounds(
        self, terms: Sequence[SoundTerm], kind: type[ChordScan | SoundScan], keep: Keep | None
    ) -> tuple[Ids, Floats]:
        shares, looks = weighted(terms), [self._sound_scores(term, kind) for term in terms]
        finer = any(
            isinstance(look, KeptScan) for look in looks
        )  # they differ by less than is kept
        parts = list(
            cut(((b.ids, (b.f_s, b.h)) for b in self.codes.sounds()), keep, SOUNDS_AT_ONCE)
        )

        def score(part: Part) -> Floats:
            f_s, h = copied(part)
            total = np.zeros(len(f_s), np.float32)
            for share, look in zip(shares, looks, strict=True):
                total += np.float32(share) * look(f_s, h)
            return total if finer else tidy(total)

        return joined(parts, on_cores(score, parts))

    def _sound_scores(
        self, term: SoundTerm, kind: type[ChordScan | SoundScan]
    ) -> Callable[[Codes, Codes], Floats]:
        f_s = self.codes.projections["f_s"]
        if term.visual_map is not None and term.h is not None:
            return KeptScan.of(self.head, self.codes.projections["h"], term, self.grid)
        if term.visual_map is not None:
            return kind.of(self.head, self.codes.projections["h"], f_s, term, self.grid)
        assert term.target is not None, "a term without a frame has a target"
        offset, ask = f_s.ask(term.target)
        return lambda heard, _: offset + along(heard, ask)


def kept(ids: Ids, scores: Floats, keep: Keep | None) -> tuple[Ids, Floats]:
    """Leave out what may not be returned."""
    chosen = slice(None) if keep is None else keep(ids)
    return ids[chosen], scores[chosen]


def tidy(scores: Floats) -> Floats:
    """Round approximate scores to `DECIMALS`."""
    return np.round(scores, DECIMALS)


def mixed(
    terms: Sequence[FrameTerm], projection: Projection, targets: Sequence[Floats]
) -> tuple[float, Floats]:
    """Return (a, b) such that the weighted mean of x·target is a + code·b: all terms at once."""
    return projection.ask(
        np.sum([w * t for w, t in zip(weighted(terms), targets, strict=True)], axis=0)
    )


def along(codes: Codes, ask: Floats) -> Floats:
    """Codes int8 (n, r) · (r,) → (n,)."""
    product: Floats = (torch.from_numpy(codes).float() @ torch.from_numpy(ask)).numpy()
    return product


def cut(blocks: Iterable[Part], keep: Keep | None, size: int) -> Iterator[Part]:
    """Yield what may be returned in parts of up to `size` rows, views of the files where all is."""
    for ids, columns in blocks:
        rows = None if keep is None else np.flatnonzero(keep(ids))
        for start in range(0, len(ids) if rows is None else len(rows), size):
            part = slice(start, start + size)
            chosen = part if rows is None else rows[part]
            yield ids[chosen], tuple(codes[chosen] for codes in columns)


def copied(part: Part) -> list[Codes]:
    """Copy the columns of a part: PyTorch warns of views of a file, which are read-only."""
    return [np.array(codes) for codes in part[1]]


def joined(parts: Sequence[tuple[Ids, object]], scores: Sequence[Floats]) -> tuple[Ids, Floats]:
    """Lay parts end to end, of which there may be none."""
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in parts)])
    return ids, np.concatenate([np.empty(0, np.float32), *scores])


def in_blocks(sounds: Iterable[SoundBlock], size: int = 64) -> Iterator[SoundBlock]:
    """Lay blocks of one sound together."""
    for part in batched(sounds, size):
        yield SoundBlock(
            ids=np.concatenate([block.ids for block in part]),
            f_s=np.concatenate([block.f_s for block in part]),
            h=np.concatenate([block.h for block in part]),
        )


def batched(values: Iterable[SoundBlock], size: int) -> Iterator[list[SoundBlock]]:
    """Cut a stream into lists of up to `size`."""
    stream = iter(values)
    while part := list(islice(stream, size)):
        yield part
