"""Which items of an index are trained on, and which are held back to see what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from encoder.localization.ground_truth import GroundTruth
from encoder.localization.splits import linked
from encoder.two_stream import TwoStreamEncoder
from indexer.evaluation.localization.items import GROUPS, Candidate, LeftOut
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.evaluation.localization.reading import read_candidates
from indexer.reader import IndexReader
from train.bank import Bank, OnFile, bank_of_pairs
from train.finetune.errors import AnnotationsMissing, FilesMissing
from train.pairs import Pair, Picture, Span
from train.regions import regions_of

LEAST_ANNOTATED = 10
"""Fewer than this, and nothing can be learned and measured at once."""
MOST_HELD_BACK = 200
"""Items without boxes that are held back at most: class mAP takes every one with every other."""
HOW_TO_ANNOTATE = (
    "draw boxes around what sounds, give them in the column `boxes` of the manifest "
    '(`[{"box": [x0, y0, x1, y1], "annotator": "me", "kind": "object"}]`), and run `retrieval '
    "build-index` again"
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Items with a picture and a sound, dealt to two parts without a file in common."""

    training: tuple[Candidate, ...]
    held_back: tuple[Candidate, ...]

    @property
    def annotated_training(self) -> tuple[Candidate, ...]:
        return tuple(item for item in self.training if item.truth is not None)

    @property
    def others_training(self) -> tuple[Candidate, ...]:
        return tuple(item for item in self.training if item.truth is None)

    @property
    def are_labelled(self) -> bool:
        """Whether every item that is trained on has a label, of which either kind has several."""
        parts = [part for part in (self.annotated_training, self.others_training) if part]
        labels = [{item.row.label for item in part} for part in parts]
        return all(None not in one and len(one) > 1 for one in labels)

    @property
    def annotated_held_back(self) -> tuple[Candidate, ...]:
        return tuple(item for item in self.held_back if item.truth is not None)


def usable_items(reader: IndexReader, where: str | None) -> tuple[Candidate, ...]:
    """Return the items with a picture and a sound, in order of content.

    What people marked as ambient alone is no pair: they heard nothing that the picture shows.

    Raises
    ------
    FilesMissing : some of their files are not there.
    AnnotationsMissing : fewer than `LEAST_ANNOTATED` have boxes around what sounds.
    FilterError : the filter does not parse.
    """
    _check_files(reader, where)
    left_out = LeftOut()
    found = read_candidates(reader, LocalizationOptions(where=where), left_out).items
    pairs = tuple(item for item in found if item.is_pair and not item.is_ambient)
    n_annotated = sum(item.truth is not None for item in pairs)
    if n_annotated < LEAST_ANNOTATED:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.counts.items()))
        raise AnnotationsMissing(
            f"{reader.path}: {n_annotated} of {len(pairs)} items with a picture and a sound have "
            f"boxes to learn from, and {LEAST_ANNOTATED} are needed"
            f"{f' (left out: {reasons})' if reasons else ''}; {HOW_TO_ANNOTATE}"
        )
    return pairs


def deal(items: Sequence[Candidate], *, hold_back: float, most_pairs: int, seed: int = 0) -> Split:
    """Hold back a share of the items, those of one file or recording together.

    Parameters
    ----------
    hold_back : share of the annotated items, and of the others up to `MOST_HELD_BACK`.
    most_pairs : items without boxes that are trained on at most; drawn where there are more.

    Raises
    ------
    AnnotationsMissing : the annotated items share files so that no part can be held back.
    """
    rng = np.random.default_rng(seed)
    group_of = np.array(linked([_origins(item) for item in items]), np.int64)
    annotated = np.array([item.truth is not None for item in items])
    of_annotated = np.isin(group_of, group_of[annotated])
    n_wanted = max(1, round(hold_back * int(annotated.sum())))
    n_others = min(MOST_HELD_BACK, round(hold_back * int((~of_annotated).sum())))
    held = [
        *_drawn(group_of[annotated], n_wanted, rng),
        *_drawn(group_of[~of_annotated], n_others, rng),
    ]
    is_held = np.isin(group_of, held)
    if not (is_held & annotated).any() or not (~is_held & annotated).any():
        raise AnnotationsMissing(
            f"the {int(annotated.sum())} annotated items share files or recordings, so that none "
            "of them can be held back; annotate items of other files"
        )
    others = np.flatnonzero(~is_held & ~annotated)
    kept = others if len(others) <= most_pairs else rng.choice(others, most_pairs, replace=False)
    training = np.sort(np.concatenate([np.flatnonzero(~is_held & annotated), kept]))
    return Split(
        training=tuple(items[at] for at in training.tolist()),
        held_back=tuple(items[at] for at in np.flatnonzero(is_held).tolist()),
    )


def bank_of(
    reader: IndexReader,
    items: Sequence[Candidate],
    network: TwoStreamEncoder,
    *,
    picture_px: int,
    on_file: OnFile | None = None,
) -> Bank:
    """Decode items into a bank, row by row, with what people drew into them.

    Raises PairsError where a file cannot be read.
    """
    pairs = [_pair(reader, item) for item in items]
    bank = bank_of_pairs(pairs, network, picture_px=picture_px, on_file=on_file)
    truths: dict[int, GroundTruth] = {
        row: item.truth for row, item in enumerate(items) if item.truth is not None
    }
    return replace(bank, regions=regions_of(truths, len(bank), "consensus"))


def _check_files(reader: IndexReader, where: str | None) -> None:
    allowed = reader.allowed(where)
    rows = reader.rows(reader.ids if allowed is None else allowed)
    named = sorted({n for r in rows if r.image and r.audio for n in (r.image, r.audio)})
    missing = [name for name in named if not reader.locate(name).is_file()]
    if missing:
        raise FilesMissing(
            f"{reader.locate(missing[0])}: no such file, and {len(missing)} of {len(named)} files "
            "of the index are not there; put them back, or run `retrieval build-index` again "
            "without their rows"
        )


def _drawn(groups: NDArray[np.int64], n_wanted: int, rng: np.random.Generator) -> list[int]:
    """Draw groups while they fit; `groups` (n,) has one entry for each member that counts."""
    sizes = Counter(groups.tolist())
    held: list[int] = []
    n_held = 0
    for group in rng.permutation(np.array(sorted(sizes), np.int64)).tolist():
        if n_held + sizes[group] <= n_wanted:
            held.append(group)
            n_held += sizes[group]
    return held


def _origins(item: Candidate) -> tuple[Hashable, ...]:
    """What ties an item to others: its files, whatever span of them, and a named recording."""
    files = [("file", part[0]) for part in (item.content.frame, item.content.sound) if part]
    named = ((key, item.row.metadata.get(key)) for key in GROUPS)
    return (*files, *((key, str(value)) for key, value in named if value))


def _pair(reader: IndexReader, item: Candidate) -> Pair:
    row = item.row
    assert row.image is not None
    assert row.audio is not None
    return Pair(
        picture=Picture(reader.locate(row.image), row.frame_time_s or 0.0),
        sound=Span(reader.locate(row.audio), row.t0 or 0.0, row.t1),
        label=row.label,
        split=None,
    )
