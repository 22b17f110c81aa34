"""Concat-and-localize: two pictures side by side, one of their two sounds (O20 §5).

Which half must light up is known for free, and nothing but the sound tells: a map that ignores it
is at chance. Here are the draws, the glued pictures and their boxes, and what a map of them is
worth; `concat_files` writes them out as ordinary media.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.intervals import Figure, rate_figure
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import ConcatError, ShapeError
from encoder.localization.ground_truth import GroundTruth
from encoder.localization.metrics import Values

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
Picture = NDArray[np.uint8]
Vectors = NDArray[np.floating]
ENUMERATE_UP_TO = 200_000
"""So many pairs are listed and shuffled; of more, pairs are drawn until there are enough."""
N_DRAWS = 500
"""Two samples each: O20 §5 makes 1 000."""


@dataclass(frozen=True, kw_only=True)
class ConcatDraw:
    """Positions of the two pairs that share a frame."""

    left: int
    right: int

    def of(self, side: Side) -> int:
        return self.left if side == "left" else self.right


def draw_pairs(
    sounds: Sequence[frozenset[str]], *, n_draws: int = N_DRAWS, seed: int = 0
) -> tuple[ConcatDraw, ...]:
    """Draw pairs of samples that can share a frame, each pair at most once.

    Two that have a sound in common cannot: either half would be right. (O20 draws any two.)

    Parameters
    ----------
    sounds : (n,) names of all that sounds in each sample; empty where nobody said, which goes with
        everything.

    Returns
    -------
    n_draws draws, or all that there are; which of the two is on the left is drawn, too.
    """
    rng = np.random.default_rng(seed)
    n = len(sounds)
    if n * (n - 1) // 2 <= ENUMERATE_UP_TO:
        pairs = [pair for pair in combinations(range(n), 2) if _differ(sounds, *pair)]
        drawn = [pairs[at] for at in rng.permutation(len(pairs))[:n_draws]]
    else:
        drawn = _tried(sounds, n_draws, rng)
    turned = rng.random(len(drawn)) < 0.5
    return tuple(
        ConcatDraw(left=b if turn else a, right=a if turn else b)
        for (a, b), turn in zip(drawn, turned, strict=True)
    )


def _tried(
    sounds: Sequence[frozenset[str]], n_draws: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    seen: dict[tuple[int, int], None] = {}
    for a, b in rng.integers(0, len(sounds), (50 * n_draws, 2)).tolist():
        if len(seen) == n_draws:
            break
        if a != b and _differ(sounds, a, b):
            seen[min(a, b), max(a, b)] = None
    return list(seen)


def _differ(sounds: Sequence[frozenset[str]], a: int, b: int) -> bool:
    return not (sounds[a] & sounds[b])


# ── pictures and boxes ───────────────────────────────────────────────────────────────────────────


def half_picture(picture: Picture, size_px: int) -> Picture:
    """Squeeze a picture (H, W, 3) to (size_px, size_px / 2, 3): one half of a square frame."""
    if size_px < 2 or size_px % 2:
        raise ConcatError(f"glued frames of {size_px} px: give an even number")
    half = Image.fromarray(picture).resize((size_px // 2, size_px), Image.Resampling.BILINEAR)
    return np.asarray(half)


def glue(left: Picture, right: Picture) -> Picture:
    """Put two halves side by side: (size, size / 2, 3) twice → (size, size, 3)."""
    if left.shape != right.shape:
        raise ShapeError(f"halves: {left.shape} beside {right.shape}")
    return np.concatenate([left, right], axis=1)


def half_boxes(boxes: Sequence[AnnotatedBox], side: Side) -> tuple[AnnotatedBox, ...]:
    """Return a picture's boxes where they are after it has become one half of a frame."""
    offset = 0.0 if side == "left" else 0.5
    return tuple(replace(box, x0=box.x0 / 2 + offset, x1=box.x1 / 2 + offset) for box in boxes)


def half_truth(truth: GroundTruth, side: Side) -> GroundTruth:
    """Return the ground truth of one half, on the glued frame."""
    return replace(truth, boxes=tuple(half_boxes(boxes, side) for boxes in truth.boxes))


# ── what a map is worth ──────────────────────────────────────────────────────────────────────────


def on_side(right_masses: Values, sides: Sequence[Side]) -> NDArray[np.bool_]:
    """Say whether most of each map's mass is on its sound's half, (N,); half and half is wrong.

    Parameters
    ----------
    right_masses : (N,), as `metrics.right_mass` gives them.
    """
    is_right = np.array([side == "right" for side in sides], dtype=np.bool_)
    return np.where(is_right, right_masses > 0.5, right_masses < 0.5)


@dataclass(frozen=True, kw_only=True)
class LabelMeans:
    """f_s of sounds by label, from which single sounds can be left out of the mean.

    Attributes
    ----------
    f_s : (n, 1000) of unit norm.
    labels : (n,) the label of each; negative where it has none.
    recordings : (n,) number of the recording: one that stands under two labels is there twice.
    """

    f_s: Vectors
    labels: NDArray[np.int64]
    recordings: NDArray[np.int64]

    def without(self, row: int, left_out: Sequence[int]) -> NDArray[np.float64] | None:
        """Return the direction of the mean of a row's label (1000,).

        Parameters
        ----------
        left_out : rows whose recordings stay out of the mean.

        Returns
        -------
        None where the row has no label, or no other recording bears it.
        """
        kept = (self.labels == self.labels[row]) & ~np.isin(
            self.recordings, self.recordings[list(left_out)]
        )
        if self.labels[row] < 0 or not kept.any():
            return None
        mean = self.f_s[kept].mean(axis=0, dtype=np.float64)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def conditional_accuracy(
    f_v: Vectors, means: LabelMeans, own: NDArray[np.int64], other: NDArray[np.int64]
) -> Figure:
    """Share of `conditional_cases`, as if they were independent."""
    cases = conditional_cases(f_v, means, own, other)
    defined = cases[~np.isnan(cases)]
    return replace(rate_figure(defined > 0), n_undefined=len(cases) - len(defined))


def conditional_cases(
    f_v: Vectors, means: LabelMeans, own: NDArray[np.int64], other: NDArray[np.int64]
) -> Values:
    """Say of glued frames whether f_v is nearer to its own sound's label (definitions §3).

    Parameters
    ----------
    f_v : (N, 1000), glued frames looked at with sound `own`.
    own, other : (N,) rows of `means` of the frame's two sounds, of two labels. Both stay out of
        the means.

    Returns
    -------
    (N,) 1 or 0, equally near being wrong; NaN without a third sound of either label.
    """
    cases = np.full(len(f_v), np.nan)
    for i, pair in enumerate(zip(own.tolist(), other.tolist(), strict=True)):
        near, far = (means.without(row, pair) for row in pair)
        if near is not None and far is not None:
            cases[i] = f_v[i] @ near > f_v[i] @ far
    return cases
