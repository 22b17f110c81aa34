"""Compact maps in the memory of a GPU: all of them are scored, without a stage before.

1M frames of 49 × 128 numbers are 6.4 GB, which a card reads in milliseconds; the processor's
memory takes a second. Plain PyTorch, so that the same code runs, and is tested, on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from indexer.blocks import Floats, Ids
from indexer.compact.projection import Projection
from indexer.compact.scan import FrameScan, Head
from indexer.store import SegmentStore
from indexer.terms import FrameTerm, weighted

AT_ONCE = 1 << 14
"""Frames scored at once on a GPU: their maps in bfloat16 take 0.2 GB."""
SHARE = 0.8
"""Of the free memory of the card, what the maps may take."""


class Resident:
    """The compact maps of a store on a device.

    Attributes
    ----------
    ids : (n,), in the order of the scores.
    """

    def __init__(self, store: SegmentStore, head: Head, basis: Projection) -> None:
        self.head, self.basis = head, basis
        self.ids: Ids = np.concatenate([segment.frame_ids for segment in store.segments])
        self.codes = self.norms = torch.empty(0)
        first = 0
        for segment in store.segments:
            n = len(segment.frame_ids)
            if not n:
                continue
            block = segment.compact(np.arange(n))
            codes, norms = torch.from_numpy(block.codes), torch.from_numpy(block.norms)
            if not first:
                self.codes = codes.new_empty((len(self.ids), *codes.shape[1:]), device=head.device)
                self.norms = norms.new_empty((len(self.ids), *norms.shape[1:]), device=head.device)
            self.codes[first : first + n], self.norms[first : first + n] = codes, norms
            first += n

    @classmethod
    def where_it_fits(cls, store: SegmentStore, head: Head) -> Resident | None:
        """Load the maps of a store; None where they are in several bases, or too many."""
        framed = [segment for segment in store.segments if len(segment.frame_ids)]
        bases = {id(segment.basis): segment.basis for segment in framed}
        basis = next(iter(bases.values()), None)
        if len(bases) != 1 or basis is None:
            return None
        if head.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(head.device)
            if sum(segment.compact_bytes for segment in framed) > SHARE * free:
                return None
        return cls(store, head, basis)

    @torch.inference_mode()
    def scores(self, terms: Sequence[FrameTerm]) -> Floats:
        """Return approximate scores (n,) of all frames; every term looks with a sound."""
        scans = [FrameScan.of(self.head, self.basis, term) for term in terms]
        shares, parts = weighted(terms), []
        for codes, norms in zip(self.codes.split(AT_ONCE), self.norms.split(AT_ONCE), strict=True):
            total = torch.zeros(len(codes), device=self.head.device)
            for share, scan in zip(shares, scans, strict=True):
                total += share * scan.scores(codes, norms)
            parts.append(total)
        found: Floats = torch.cat(parts).cpu().numpy()
        return found
