"""How localization is evaluated: the options, each with what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from encoder.localization.concat import N_DRAWS
from encoder.localization.ground_truth import N_AGREE, Agreement
from encoder.localization.masks import ADAPTIVE, HALF, MEDIAN, Threshold
from encoder.localization.splits import N_SPLITS
from indexer.evaluation.errors import OptionsInvalid

MapKind = Literal["attention", "response", "heatmap"]
BoxUnits = Literal["auto", "px", "fraction"]


@dataclass(frozen=True, kw_only=True)
class LocalizationOptions:
    """Options of an evaluation of localization.

    Parameters
    ----------
    thresholds : from maps to regions; figures that are printed once use the first.
    map_kinds : definitions §1; figures that are printed once use the first. `attention` and
        `heatmap` differ by one factor and one offset per map, so every threshold cuts them alike.
    where : a filter (`indexer.where`) that restricts frames and sounds alike.
    annotations : boxes from here instead of the index, by the stem of each picture's file: a
        folder of Flickr-SoundNet XML, or a VGG-SS JSON file.
    agreement, n_agree : `consensus` of so many annotators (S19 eq. 9), or their plain `mean` (O20).
    box_units : what the index's boxes are in. `auto`: fractions of the frame where none of an
        item's corners is past 1, else pixels of the stored picture.
    ambient_where : whose sounds are ambient; None takes items that have ambient boxes alone.
    boxes : measure maps against boxes; side accuracy on glued frames needs none.
    n_concat : glued frames, two samples each (O20 §5); 0 makes none.
    n_splits, n_per_split : disjoint sets of the samples, and how many are in each at most.
    seed : of every draw and interval.
    """

    thresholds: tuple[Threshold, ...] = (ADAPTIVE, MEDIAN, HALF)
    map_kinds: tuple[MapKind, ...] = ("attention", "response", "heatmap")
    where: str | None = None
    annotations: Path | None = None
    agreement: Agreement = "consensus"
    n_agree: int = N_AGREE
    box_units: BoxUnits = "auto"
    ambient_where: str | None = None
    boxes: bool = True
    n_concat: int = N_DRAWS
    n_splits: int = N_SPLITS
    n_per_split: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.thresholds or not self.map_kinds:
            raise OptionsInvalid("localization: give at least one threshold and one map kind")
        for name, least in (("n_agree", 1), ("n_concat", 0), ("n_splits", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionsInvalid(f"{name} {getattr(self, name)}: give {least} or more")

    @property
    def threshold(self) -> Threshold:
        """What figures that are printed once use."""
        return self.thresholds[0]

    @property
    def map_kind(self) -> MapKind:
        """What figures that are printed once use."""
        return self.map_kinds[0]

    def to_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "thresholds": [str(threshold) for threshold in self.thresholds],
            "map_kinds": list(self.map_kinds),
            "annotations": None if self.annotations is None else self.annotations.as_posix(),
        }
