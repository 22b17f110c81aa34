"""What there is to be found in a frame: the annotators' masks and their consensus (S19 §5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoder.localization.boxes import AnnotatedBox, Mask, mask_of_boxes
from encoder.localization.errors import GroundTruthError

ScoreMap = NDArray[np.floating]
Agreement = Literal["consensus", "mean"]
N_AGREE = 2
"""Opinions that make an agreement among three (S19 §5.2)."""
DISAGREE = "annotators disagree on object or ambient"
NO_OBJECT = "no object box"
EMPTY = "no pixel's centre in its boxes"


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The boxes of every annotator of one frame.

    Attributes
    ----------
    annotators : names; a box without one counts as drawn by the annotator "".
    boxes : of each annotator; empty for one who looked and found nothing.
    n_agree : opinions that make a pixel count in full: C of S19 eq. 9.
    """

    annotators: tuple[str, ...]
    boxes: tuple[tuple[AnnotatedBox, ...], ...]
    n_agree: int

    def masks(self, size_px: tuple[int, int]) -> Mask:
        """Return each annotator's mask, (annotators, H, W)."""
        return np.stack([mask_of_boxes(boxes, size_px) for boxes in self.boxes])

    def score_map(self, size_px: tuple[int, int]) -> NDArray[np.float32]:
        """Return the annotators' agreement g, (H, W) in [0, 1]."""
        return consensus_map(self.masks(size_px), n_agree=self.n_agree)


def consensus_map(masks: Mask, *, n_agree: int = N_AGREE) -> NDArray[np.float32]:
    """Agreement g = min(Σ_j b_j / C, 1) of annotators' masks (S19 eq. 9).

    Parameters
    ----------
    masks : (annotators, H, W).
    n_agree : C. As many as there are annotators gives their plain mean, which O20 uses.

    Examples
    --------
    >>> consensus_map(np.array([[[True, True]], [[True, False]], [[True, False]]]))
    array([[1. , 0.5]], dtype=float32)
    """
    if n_agree < 1:
        raise GroundTruthError(f"agreement of {n_agree} annotators: give 1 or more")
    votes = masks.sum(axis=0, dtype=np.float32)
    agreement: NDArray[np.float32] = np.minimum(votes / np.float32(n_agree), np.float32(1))
    return agreement


def ground_truth(
    boxes: Iterable[AnnotatedBox],
    *,
    agreement: Agreement = "consensus",
    n_agree: int = N_AGREE,
) -> GroundTruth:
    """Collect the boxes of one frame by annotator.

    Several boxes of one annotator are one region. C is never more than there are annotators: what
    the only one drew counts in full, as in VGG-SS.

    Parameters
    ----------
    agreement : `consensus` (S19 eq. 9) or `mean` (O20).

    Raises
    ------
    GroundTruthError : no box, ambient boxes alone, or an annotator who drew no object where others
        did (S19 §5.1 keeps the frames "that all subjects agree" on).
    """
    by_annotator: dict[str, list[AnnotatedBox]] = {}
    for box in boxes:
        drawn = by_annotator.setdefault(box.annotator, [])
        if box.kind == "object":
            drawn.append(box)
    if not any(by_annotator.values()):
        raise GroundTruthError(NO_OBJECT)
    if not all(by_annotator.values()):
        raise GroundTruthError(DISAGREE)
    names = tuple(sorted(by_annotator))
    return GroundTruth(
        annotators=names,
        boxes=tuple(tuple(by_annotator[name]) for name in names),
        n_agree=len(names) if agreement == "mean" else min(n_agree, len(names)),
    )


def score_maps(
    truths: Sequence[GroundTruth] | ScoreMap, size_px: tuple[int, int], *, first: int = 0
) -> NDArray[np.float32]:
    """Return agreements (N, H, W): rasterised from boxes, or maps that are made already.

    Parameters
    ----------
    first : number of the first of them, for messages.

    Raises
    ------
    GroundTruthError : one of them is empty at this size, outside [0, 1] or not finite.
    """
    if isinstance(truths, np.ndarray):
        maps = np.asarray(truths, dtype=np.float32)
    else:
        maps = np.stack([truth.score_map(size_px) for truth in truths])
    sound = (maps >= 0) & (maps <= 1)
    for reason, bad in (
        ("outside [0, 1] or not finite", ~sound.all(axis=(1, 2))),
        (f"{EMPTY} at {maps.shape[2]} × {maps.shape[1]} px", ~maps.any(axis=(1, 2))),
    ):
        if bad.any():
            raise GroundTruthError(f"ground truth {first + int(np.argmax(bad))}: {reason}")
    return maps
