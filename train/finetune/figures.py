"""What fine-tuning changed on the items that it did not see: before, after, and the difference.

A picture is looked at as the index prepares it, with the first window of its sound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.intervals import Figure, mean_figure, rate_figure
from encoder.localization.evaluate import centre_ious, consensus_ious, whole_ious
from encoder.localization.ground_truth import GroundTruth, score_maps
from encoder.localization.masks import ADAPTIVE, MEDIAN, SIZE_PX, resize_maps
from encoder.localization.metrics import SUCCESS_AT, Values, area_under_success
from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank
from train.figures import Figures, is_measurable, measure
from train.looking import AT_ONCE, to_frames

Maps = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """One network on the held-back part.

    Attributes
    ----------
    maps : (A, H', W') attention of each annotated item under its own sound.
    cious, median_cious : (A,) with as much area as there is to find, and with half of the frame.
    inside : (A,) share of the attention that lies where annotators saw the source.
    retrieval : None where labels are too few to rank anything.
    """

    maps: Maps
    cious: Values
    median_cious: Values
    inside: Values
    retrieval: Figures | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One quantity before and after; `difference` is paired, None where pairs are not kept."""

    name: str
    before: Figure
    after: Figure
    difference: Figure | None = None

    def to_json(self) -> dict[str, Any]:
        parts = {"before": self.before, "after": self.after, "difference": self.difference}
        return {name: one and figure_json(one) for name, one in parts.items()}


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All quantities, the most telling first, and what knows nothing of sound or picture.

    Attributes
    ----------
    blind : success and AUC of regions that are the same for every picture.
    """

    rows: tuple[Change, ...]
    blind: tuple[tuple[str, Figure, Figure], ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON; an interval that there is not is null."""
        return {
            **{row.name: row.to_json() for row in self.rows},
            "blind": {
                name: {"success": figure_json(success), "AUC": figure_json(auc)}
                for name, success, auc in self.blind
            },
        }

    def named(self, name: str) -> Change:
        """Return one of the rows; raises StopIteration for a name that is none."""
        return next(row for row in self.rows if row.name == name)


def figure_json(figure: Figure) -> dict[str, float | int | None]:
    """Return a figure as JSON, in which NaN is null."""
    values: dict[str, float | int] = asdict(figure)
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def held_figures(
    network: TwoStreamEncoder, bank: Bank, annotated: Bank, truths: Sequence[GroundTruth]
) -> Held:
    """Measure a network in eval mode.

    Parameters
    ----------
    bank : everything that is held back; `annotated`, the rows of it that the truths belong to.
    """
    maps = attention_of(network, annotated)
    adaptive, median = consensus_ious(maps, truths, [ADAPTIVE, MEDIAN])
    frame_px = network.config.frame_px
    return Held(
        maps=maps,
        cious=adaptive,
        median_cious=median,
        inside=share_inside(maps, score_maps(truths, SIZE_PX) > 0),
        retrieval=measure(network, bank, frame_px=frame_px) if is_measurable(bank) else None,
    )


@torch.inference_mode()
def attention_of(network: TwoStreamEncoder, bank: Bank) -> Maps:
    """Attention (N, H', W') of each row's picture under its own sound."""
    frame_px = network.config.frame_px
    parts = []
    for rows in np.split(np.arange(len(bank)), range(AT_ONCE, len(bank), AT_ONCE)):
        pictures = bank.pictures_at(bank.picture_of[rows])
        visual_map = network.encode_frame(to_frames(pictures, frame_px, frame_px))
        f_s = network.sound.from_front(bank.sounds_at(bank.sound_of[rows]))
        parts.append(network.condition(visual_map, network.context(f_s)).attention)
    maps: Maps = torch.cat(parts).view(len(bank), *network.config.grid).numpy()
    return maps


def share_inside(maps: Maps, regions: NDArray[np.bool_]) -> Values:
    """Share of each map's mass (N,) that lies in a region (N, H, W), after resizing to its size."""
    resized = resize_maps(maps, regions.shape[1:]).astype(np.float64)
    within = np.where(regions, resized, 0).sum(axis=(1, 2))
    return np.asarray(within / resized.sum(axis=(1, 2)), dtype=np.float64)


def changes(before: Held, after: Held, truths: Sequence[GroundTruth]) -> Changes:
    """Compare two networks on the same items."""
    rows = [
        _rate("success", before.cious >= SUCCESS_AT, after.cious >= SUCCESS_AT),
        _mean("AUC", area_under_success(before.cious), area_under_success(after.cious)),
        _mean("mean cIoU", before.cious, after.cious),
        _rate(
            "success, median", before.median_cious >= SUCCESS_AT, after.median_cious >= SUCCESS_AT
        ),
        _mean("attention inside", before.inside, after.inside),
    ]
    if before.retrieval is not None and after.retrieval is not None:
        rows += _retrieval(before.retrieval, after.retrieval)
    blind = [("centre box", centre_ious(truths)), ("whole picture", whole_ious(truths))]
    return Changes(
        rows=tuple(rows),
        blind=tuple(
            (name, rate_figure(values >= SUCCESS_AT), mean_figure(area_under_success(values)))
            for name, values in blind
        ),
    )


def _rate(name: str, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Change:
    gains = after.astype(np.float64) - before
    return Change(
        name=name,
        before=rate_figure(before),
        after=rate_figure(after),
        difference=mean_figure(gains),
    )


def _mean(name: str, before: Values, after: Values) -> Change:
    return Change(
        name=name,
        before=mean_figure(before),
        after=mean_figure(after),
        difference=mean_figure(after - before),
    )


def _retrieval(before: Figures, after: Figures) -> list[Change]:
    names = {
        "side accuracy": "side_accuracy",
        "class mAP, audio→image": "leak_free_audio_to_image",
        "class mAP, image→audio": "leak_free_image_to_audio",
    }
    return [
        Change(name=name, before=getattr(before, field), after=getattr(after, field))
        for name, field in names.items()
    ]
