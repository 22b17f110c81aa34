"""Maps against what people drew: figures of one set of maps, block by block.

    figures = evaluate_maps(maps, ground_truths, threshold=ADAPTIVE)
    print(figures.success, figures.auc)

It takes arrays and knows neither networks nor indexes. Every function works on a block of samples
at a time, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import SHARES, Figure, mean_figure, pair_figure, rate_figure
from encoder.localization.baselines import centre_box, random_maps, whole_picture
from encoder.localization.errors import ShapeError
from encoder.localization.ground_truth import GroundTruth, ScoreMap, score_maps
from encoder.localization.masks import (
    ADAPTIVE,
    SIZE_PX,
    Maps,
    Masks,
    Threshold,
    check_maps,
    masks_of,
    resize_maps,
)
from encoder.localization.metrics import (
    SUCCESS_AT,
    Values,
    area_under_success,
    consensus_iou,
    success_curve,
)

AT_ONCE = 64
"""Samples in one block: 64 maps of 224 × 224 in float32 are 13 MB."""
Members = NDArray[np.int64]
"""(n,) which picture a sample is made of, numbers from 0."""
GroundTruths = Sequence[GroundTruth] | ScoreMap
"""Boxes of each sample, or agreements (N, H, W) made already; maps are resized to their size."""


@dataclass(frozen=True, kw_only=True)
class MapFigures:
    """How well one set of maps finds its sources.

    Attributes
    ----------
    success : share of samples with cIoU ≥ 0.5, with Wilson's interval: the papers' "cIoU".
    auc : area under the success curve, with its interval (`encoder.intervals.mean_figure`).
    mean : mean cIoU, with its interval, too.
    curve : success at 0, 0.05, …, 1 (21 values).
    """

    success: Figure
    auc: Figure
    mean: Figure
    curve: tuple[float, ...]

    @classmethod
    def of(cls, values: Values, *, seed: int = 0) -> MapFigures:
        """Sum up cIoU (n,); their order does not matter."""
        values = np.sort(values)
        return cls(
            success=rate_figure(values >= SUCCESS_AT),
            auc=mean_figure(area_under_success(values), seed=seed, within=SHARES),
            mean=mean_figure(values, seed=seed, within=SHARES),
            curve=tuple(float(share) for share in success_curve(values)),
        )

    @classmethod
    def of_pairs(
        cls, values: Values, first: Members, second: Members, *, seed: int = 0
    ) -> MapFigures:
        """Sum up cIoU (n,) of glued frames; intervals resample the pictures (`pair_figure`)."""

        def figure(of_each: Values) -> Figure:
            return pair_figure(of_each, first, second, seed=seed)

        return cls(
            success=figure((values >= SUCCESS_AT).astype(np.float64)),
            auc=figure(area_under_success(values)),
            mean=figure(values),
            curve=tuple(float(share) for share in success_curve(values)),
        )


def evaluate_maps(
    maps: Maps, ground_truths: GroundTruths, *, threshold: Threshold = ADAPTIVE, seed: int = 0
) -> MapFigures:
    """Measure maps (N, H', W') against what people drew.

    Parameters
    ----------
    ground_truths : N, or agreements (N, H, W) in [0, 1].
    seed : of the bootstrap.

    Raises
    ------
    ShapeError, MapError, GroundTruthError : the sample is named by its number.
    """
    return MapFigures.of(consensus_ious(maps, ground_truths, [threshold])[0], seed=seed)


def consensus_ious(
    maps: Maps, ground_truths: GroundTruths, thresholds: Sequence[Threshold]
) -> Values:
    """Return cIoU (thresholds, N) of maps (N, H', W') (S19 eq. 10)."""
    if len(maps) != len(ground_truths):
        raise ShapeError(f"{len(maps)} maps against {len(ground_truths)} ground truths")
    check_maps(maps)
    return _scored(ground_truths, thresholds, lambda part, size: resize_maps(maps[part], size))


def random_ious(
    ground_truths: GroundTruths,
    thresholds: Sequence[Threshold],
    *,
    keys: Sequence[int] | None = None,
    seed: int = 0,
) -> Values:
    """Return cIoU (thresholds, N) of random maps; see `random_maps` for the keys."""
    of_sample = range(len(ground_truths)) if keys is None else keys
    return _scored(
        ground_truths, thresholds, lambda part, size: random_maps(of_sample[part], size, seed=seed)
    )


def region_ious(ground_truths: GroundTruths, region: Callable[[tuple[int, int]], Masks]) -> Values:
    """Return cIoU (N,) of one region for all: `centre_box` or `whole_picture`."""
    return np.concatenate(
        [
            consensus_iou(np.broadcast_to(region(truths.shape[1:]), truths.shape), truths)
            for _, truths in _blocks(ground_truths)
        ]
        or [np.empty(0)]
    )


def centre_ious(ground_truths: GroundTruths) -> Values:
    """Return cIoU (N,) of the centred box."""
    return region_ious(ground_truths, centre_box)


def whole_ious(ground_truths: GroundTruths) -> Values:
    """Return cIoU (N,) of the whole picture."""
    return region_ious(ground_truths, whole_picture)


def annotator_ious(
    maps: Maps,
    ground_truths: Sequence[GroundTruth],
    *,
    threshold: Threshold = ADAPTIVE,
    size_px: tuple[int, int] = SIZE_PX,
) -> dict[str, Values]:
    """Return the IoU of each annotator's own boxes with the map's region (S19 Table 3).

    The region is the one that is scored against the consensus. An annotator whose boxes cover no
    pixel of a frame is left out of that frame.
    """
    check_maps(maps)
    found: dict[str, list[float]] = {}
    for part, truths in _blocks(ground_truths, size_px):
        regions = masks_of(resize_maps(maps[part], size_px), threshold, truths)
        for truth, region in zip(ground_truths[part], regions, strict=True):
            for name, drawn in zip(truth.annotators, truth.masks(size_px), strict=True):
                if drawn.any():
                    value = consensus_iou(region, drawn.astype(np.float32))
                    found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in sorted(found.items())}


def areas(ground_truths: GroundTruths) -> Values:
    """Return the share of the frame that each ground truth covers at all, (N,)."""
    shares = [(truths > 0).mean(axis=(1, 2)) for _, truths in _blocks(ground_truths)]
    return np.concatenate(shares or [np.empty(0)])


def random_expectations(ground_truths: GroundTruths) -> Values:
    """Return what a random half of the frame is expected to score, (n,): Σg / (2 Σg + |g = 0|).

    With a binary g of relative area a that is a / (1 + a) (definitions §4).
    """
    return np.concatenate(
        [
            (wanted := truths.sum(axis=(1, 2), dtype=np.float64))
            / (2 * wanted + (truths == 0).sum(axis=(1, 2)))
            for _, truths in _blocks(ground_truths)
        ]
        or [np.empty(0)]
    )


def _scored(
    ground_truths: GroundTruths,
    thresholds: Sequence[Threshold],
    maps_of: Callable[[slice, tuple[int, int]], NDArray[np.float32]],
) -> Values:
    blocks = [np.empty((len(thresholds), 0))]
    for part, truths in _blocks(ground_truths):
        maps = maps_of(part, (truths.shape[1], truths.shape[2]))
        regions = (masks_of(maps, threshold, truths) for threshold in thresholds)
        blocks.append(np.stack([consensus_iou(region, truths) for region in regions]))
    return np.concatenate(blocks, axis=1)


def _blocks(
    ground_truths: GroundTruths, size_px: tuple[int, int] = SIZE_PX
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    for first in range(0, len(ground_truths), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        yield part, score_maps(ground_truths[part], size_px, first=first)
