"""What an evaluation of localization found: plain numbers with intervals, ready to print.

Nothing here computes; `indexer.evaluation.localization.evaluate` fills it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from encoder.intervals import Figure
from encoder.localization.annotations import Exclusion
from encoder.localization.evaluate import MapFigures
from encoder.localization.splits import SplitFigures
from indexer.evaluation.figures import plain
from indexer.evaluation.localization.options import LocalizationOptions, MapKind

Degenerate = Literal["random map", "centre box", "whole picture", "the right half"]


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """One kind of map under one threshold."""

    kind: MapKind
    threshold: str
    figures: MapFigures


@dataclass(frozen=True, kw_only=True)
class BaselineRow:
    """What knows nothing. `threshold` is empty for the regions that need none."""

    name: Degenerate
    threshold: str
    figures: MapFigures


@dataclass(frozen=True, kw_only=True)
class AnnotatorRow:
    """IoU with one annotator's own boxes (S19 Table 3); an empty name is who gave none."""

    annotator: str
    figures: MapFigures


@dataclass(frozen=True, kw_only=True)
class InteractiveFigures:
    """One frame, several sounds: all must be found (S19 Fig. 6).

    Attributes
    ----------
    found : IIoU@0.5: share of frames with cIoU ≥ 0.5 for every source, Wilson.
    sources : figures of the single sources.
    chance : the same share for what knows nothing, by name.
    n_shared, n_by_tag : frames whose items bring several sounds; frames with boxes of several tags,
        each looked at with a lone sound of the label that the tag names.
    """

    found: Figure
    sources: MapFigures
    chance: dict[str, Figure]
    n_shared: int
    n_by_tag: int


@dataclass(frozen=True, kw_only=True)
class AmbientFigures:
    """Frames of objects looked at with their own sound and with an ambient one (S19 Fig. 10).

    Attributes
    ----------
    object_max, ambient_max, object_mean, ambient_mean : over frames, of the greatest and of the
        mean `response` of a frame, in [-1, 1].
    auroc_max, auroc_mean : chance that the object's sound gets the higher one.
    n_ambient_sounds : distinct sounds that were drawn from.
    """

    object_max: Figure
    ambient_max: Figure
    object_mean: Figure
    ambient_mean: Figure
    auroc_max: Figure
    auroc_mean: Figure
    n_ambient_sounds: int


@dataclass(frozen=True, kw_only=True)
class OnscreenFigures:
    """Frames that show what is heard against frames that do not: the greatest `response`."""

    onscreen_max: Figure
    offscreen_max: Figure
    auroc: Figure


@dataclass(frozen=True, kw_only=True)
class ConcatFigures:
    """Two pictures glued, one of their sounds (O20 §5, definitions §3 and §4).

    Attributes
    ----------
    side_accuracy : share of samples with more than half of the attention on the sound's half.
    conditional_accuracy : share with f_v nearer to the mean f_s of the sound's label than to the
        other's, the frame's two sounds left out; chance of both is 0.5.
    maps : cIoU by the options' first map kind and threshold; None where nobody drew boxes.
    baselines : the degenerate rows, on the same samples.
    n_frames : glued frames, two samples each.
    n_items : items that they were glued from; intervals resample them.
    """

    side_accuracy: Figure
    conditional_accuracy: Figure
    maps: MapFigures | None
    baselines: tuple[BaselineRow, ...]
    n_frames: int
    n_items: int


@dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """One sample, by the options' first map kind and threshold.

    Attributes
    ----------
    area : share of the frame that anybody's box covers.
    """

    item: int
    name: str
    label: str | None
    ciou: float
    area: float
    n_annotators: int


@dataclass(frozen=True, kw_only=True)
class LocalizationFigures:
    """How good localization is on an index.

    Attributes
    ----------
    n_samples : items with a frame, a sound and a ground truth.
    area : share of the frame that ground truths cover.
    rows : map kinds × thresholds.
    baselines : the degenerate rows: a random map for each threshold, the centred box, everything.
    expected_random : what a random half of the frame is expected to score on average.
    annotators : by the first map kind and threshold.
    splits : disjoint sets of the same samples; None where there are too few.
    concat : glued samples, and `glued` all labelled pairs of frame and sound, boxes or not.
    samples : in order of content.
    exclusions : items left out, counted by reason; `excluded` names the first of each. What is left
        out of the interactive or the glued figures alone says so in its reason.
    n_fraction_boxes : items whose boxes were read as fractions by `box_units="auto"`.
    not_applicable : reason by figure that could not be measured.
    """

    encoder: str
    generation: int
    options: LocalizationOptions
    n_samples: int
    area: Figure
    rows: tuple[MapRow, ...]
    baselines: tuple[BaselineRow, ...]
    expected_random: float
    annotators: tuple[AnnotatorRow, ...]
    splits: SplitFigures | None
    interactive: InteractiveFigures | None
    ambient: AmbientFigures | None
    onscreen: OnscreenFigures | None
    concat: ConcatFigures | None
    glued: ConcatFigures | None
    samples: tuple[SampleRecord, ...]
    exclusions: dict[str, int]
    excluded: tuple[Exclusion, ...]
    n_fraction_boxes: int
    not_applicable: dict[str, str]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def row(self, kind: MapKind, threshold: str) -> MapRow | None:
        """Return one row; None where it was not asked for, or nothing could be measured."""
        return next((r for r in self.rows if (r.kind, r.threshold) == (kind, threshold)), None)

    @property
    def primary(self) -> MapRow | None:
        """The first map kind under the first threshold."""
        return self.rows[0] if self.rows else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what is undefined is None, never NaN."""
        values = {field.name: plain(getattr(self, field.name)) for field in fields(self)}
        return values | {"options": plain(self.options.to_json())}
