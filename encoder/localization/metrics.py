"""Localization metrics (definitions §4): pure functions of regions, agreements and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoder.intervals import SHARES, Figure, equal_interval
from encoder.localization.errors import GroundTruthError, MapError, ShapeError
from encoder.localization.masks import Maps, Masks

Values = NDArray[np.float64]
CURVE_AT: Values = np.arange(21) / 20
"""Where the success curve is taken: 0, 0.05, …, 1 (i / 20, since 3 · 0.05 is more than 0.15)."""
SUCCESS_AT = 0.5
"""From this cIoU on a sample is found: what the papers print as "cIoU"."""


def consensus_iou(masks: Masks, agreement: Maps) -> Values:
    """Consensus IoU of regions (S19 eq. 10); with a binary agreement it is the IoU.

    Parameters
    ----------
    masks : (…, H, W), the regions that maps claim.
    agreement : (…, H, W) in [0, 1], the annotators' agreement g.

    Returns
    -------
    (…) in [0, 1]: Σ g over the region / (Σ g + pixels of the region where g is 0).

    Raises
    ------
    ShapeError : the two differ in size.
    GroundTruthError : an agreement is zero everywhere.

    Examples
    --------
    >>> consensus_iou(np.ones((2, 2), bool), np.array([[1.0, 0.0], [0.0, 0.0]]))
    array(0.25)
    """
    if masks.shape != agreement.shape:
        raise ShapeError(f"regions {masks.shape} against agreements {agreement.shape}")
    wanted = agreement.sum(axis=(-2, -1), dtype=np.float64)
    if not np.all(wanted > 0):
        raise GroundTruthError("agreement: zero everywhere; nothing is there to be found")
    found = np.where(masks, agreement, 0).sum(axis=(-2, -1), dtype=np.float64)
    beside = (masks & (agreement == 0)).sum(axis=(-2, -1))
    return np.asarray(found / (wanted + beside), dtype=np.float64)


def success_curve(values: Values) -> Values:
    """Share of (n,) cIoU at or above each of `CURVE_AT`, (21,); NaN where n is 0 (S19 Fig. 9)."""
    if not len(values):
        return np.full(len(CURVE_AT), np.nan)
    return np.asarray((values[:, None] >= CURVE_AT).mean(axis=0), dtype=np.float64)


def area_under_success(values: Values) -> Values:
    """Area under each sample's own success curve, (n,) in [0.025, 1].

    The curve of many samples is the mean of theirs, so its area is the mean of these: AUC.

    Examples
    --------
    >>> area_under_success(np.array([0.0, 0.5, 1.0]))
    array([0.025, 0.525, 1.   ])
    """
    reached = (values[:, None] >= CURVE_AT).astype(np.float64)
    return np.asarray(np.trapezoid(reached, CURVE_AT, axis=1), dtype=np.float64)


def all_found(values: Values, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each frame whether every one of its sources was found (IIoU@0.5; S19 Fig. 6).

    Parameters
    ----------
    values : (n,) cIoU of a source under its own sound.
    frames : (n,) which frame the source is in.

    Returns
    -------
    (frames,) in the order of ascending `frames`.
    """
    _, of_frame = np.unique(frames, return_inverse=True)
    missed = np.bincount(of_frame, weights=values < SUCCESS_AT)
    return np.asarray(missed == 0, dtype=np.bool_)


def auroc(positives: Values, negatives: Values) -> float:
    """Chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947).

    NaN where either is empty. Raises MapError for NaN scores.

    Examples
    --------
    >>> auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
    if np.isnan(positives).any() or np.isnan(negatives).any():
        raise MapError("scores: hold NaN")
    if not len(positives) or not len(negatives):
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    up_to = np.searchsorted(ordered, positives, side="right")
    return float((below + up_to).mean() / (2 * len(negatives)))


def auroc_figure(
    positives: Values,
    negatives: Values,
    *,
    paired: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """AUROC with its bootstrap 95 % interval; n counts both sides.

    One score on a side has no interval (NaN). Sides that are wholly apart, which resampled they
    would always be, are as sure as the scores of the smaller one are many (`equal_interval`).

    Parameters
    ----------
    paired : scores i of both sides belong to one frame, and are drawn together. Otherwise the two
        sides are drawn apart, and the order of their scores does not matter.
    """
    value, n = auroc(positives, negatives), len(positives) + len(negatives)
    if np.isnan(value):
        return Figure(value, value, value, 0, n)
    if paired and len(positives) != len(negatives):
        raise ShapeError(f"paired scores: {len(positives)} against {len(negatives)}")
    fewest = min(len(positives), len(negatives))
    if fewest == 1:
        return Figure(value, np.nan, np.nan, n)
    if value in (0.0, 1.0):
        return Figure(value, *equal_interval(value, fewest, within=SHARES), n)
    if not paired:
        positives, negatives = np.sort(positives), np.sort(negatives)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n_resamples):
        of_positives = rng.integers(0, len(positives), len(positives))
        of_negatives = of_positives if paired else rng.integers(0, len(negatives), len(negatives))
        drawn.append(auroc(positives[of_positives], negatives[of_negatives]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(value, float(low), float(high), n)


def right_mass(maps: Maps) -> Values:
    """Share of each map's mass on the right half, (N,) in [0, 1].

    Parameters
    ----------
    maps : (N, H', W'), nowhere negative: `attention` or `heatmap`. A middle column counts half on
        each side. A map of zeros has its mass nowhere: 0.5.

    Raises
    ------
    MapError : a map holds NaN or negative values.
    """
    if not (np.isfinite(maps).all() and (maps >= 0).all()):
        raise MapError("mass of a map: it holds negative values or NaN; give attention or heatmap")
    columns = maps.sum(axis=1, dtype=np.float64)
    n = columns.shape[1]
    on_right = np.clip(np.arange(1, n + 1) - n / 2, 0, 1)
    total = columns.sum(axis=1)
    share = (columns @ on_right) / np.where(total > 0, total, 1)
    return np.asarray(np.where(total > 0, share, 0.5), dtype=np.float64)
