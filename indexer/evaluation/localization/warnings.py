"""What the reader of localization figures must not overlook, and how they were measured."""

from __future__ import annotations

from indexer.evaluation.localization.figures import LocalizationFigures
from indexer.evaluation.localization.options import LocalizationOptions

FEW = 30
"""Below so many samples an interval says more than its middle."""
SMALL = 0.25
"""Below this area a region of half the frame has an IoU under 0.5, whatever it holds."""
LARGE = 0.75
"""From this area on any region as large as the target overlaps it to an IoU of 0.5."""
CHANCE = 0.5


def warnings_of(figures: LocalizationFigures) -> tuple[str, ...]:
    """Return what casts doubt on the figures."""
    return (*_of_rows(figures), *_of_sides(figures))


def notes_of(figures: LocalizationFigures) -> tuple[str, ...]:
    """Return the choices behind the figures."""
    notes = _notes_of_boxes(figures.options) if figures.options.boxes else []
    notes += [
        f"{name}: {2 * found.n_frames} samples from {found.n_items} items; intervals resample the "
        "items"
        for name, found in (("concat", figures.concat), ("glued", figures.glued))
        if found is not None
    ]
    if figures.n_fraction_boxes:
        notes.append(f"{figures.n_fraction_boxes} items: boxes read as fractions of the frame")
    return tuple(notes)


def _notes_of_boxes(options: LocalizationOptions) -> list[str]:
    rule = (
        f"consensus of {options.n_agree}"
        if options.agreement == "consensus"
        else "mean of the annotators"
    )
    return [
        f"ground truth: {rule}, or of all where there are fewer; several boxes of one annotator "
        "are one region",
        f"figures printed once: {options.map_kind}, {options.threshold}",
    ]


def _of_rows(figures: LocalizationFigures) -> list[str]:
    found: list[str] = []
    if figures.primary is None:
        return found
    if figures.n_samples < FEW:
        found.append(f"{figures.n_samples} samples are few: read the intervals")
    reached = figures.primary.figures.auc.mean
    blind = [row for row in figures.baselines if row.figures.auc.mean >= reached]
    if blind:
        best = max(blind, key=lambda row: row.figures.auc.mean)
        found.append(
            f"the map (AUC {reached:.3f}) is no better than a {best.name} "
            f"({best.figures.auc.mean:.3f}), which sees and hears nothing"
        )
    return [*found, *_of_areas(figures)]


def _of_areas(figures: LocalizationFigures) -> list[str]:
    """Say which targets a threshold decides, whatever the map."""
    thresholds = {row.threshold for row in figures.rows}
    n_small = sum(record.area < SMALL for record in figures.samples)
    n_large = sum(record.area >= LARGE for record in figures.samples)
    found = []
    if n_small and "median" in thresholds:
        found.append(
            f"{n_small} of {figures.n_samples} ground truths cover less than a quarter of the "
            "frame: under `median` a map finds them only where half of it is one value"
        )
    if n_large and "adaptive" in thresholds:
        found.append(
            f"{n_large} of {figures.n_samples} ground truths cover three quarters of the frame or "
            "more: under `adaptive` nearly any map finds them"
        )
    return found


def _of_sides(figures: LocalizationFigures) -> list[str]:
    glued = figures.glued or figures.concat
    if glued is None or glued.side_accuracy.low > CHANCE:
        return []
    return [
        f"side accuracy {glued.side_accuracy}: not surely above chance ({CHANCE}); nothing shows "
        "that the heat maps follow the sound"
    ]
