"""The rows of the localization tables: maps, what knows nothing, annotators, single samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from encoder.localization.evaluate import (
    MapFigures,
    annotator_ious,
    areas,
    centre_ious,
    consensus_ious,
    random_expectations,
    random_ious,
    whole_ious,
)
from encoder.localization.ground_truth import GroundTruth
from encoder.localization.masks import Threshold
from encoder.localization.metrics import Values
from indexer.evaluation.localization.figures import (
    AnnotatorRow,
    BaselineRow,
    MapRow,
    SampleRecord,
)
from indexer.evaluation.localization.items import Candidate
from indexer.evaluation.localization.looks import Looks
from indexer.evaluation.localization.options import LocalizationOptions


@dataclass(frozen=True, kw_only=True)
class SampleRows:
    """All that is measured of samples with boxes; `values` are the cIoU (n,) of the first row."""

    values: Values
    expected_random: float = float("nan")
    maps: tuple[MapRow, ...] = ()
    baselines: tuple[BaselineRow, ...] = ()
    annotators: tuple[AnnotatorRow, ...] = ()
    records: tuple[SampleRecord, ...] = ()


def rows_of(samples: Sequence[Candidate], looks: Looks, options: LocalizationOptions) -> SampleRows:
    """Measure samples, looked at with their own sounds; empty where there are none."""
    truths = [sample.truth for sample in samples if sample.truth is not None]
    if not truths:
        return SampleRows(values=np.empty(0))
    maps, values = _map_rows(looks, truths, options)
    keys, sum_up = [sample.key for sample in samples], partial(MapFigures.of, seed=options.seed)
    return SampleRows(
        values=values,
        expected_random=float(np.sort(random_expectations(truths)).mean()),
        maps=maps,
        baselines=baseline_rows(truths, options.thresholds, sum_up, keys=keys, seed=options.seed),
        annotators=_annotator_rows(looks, truths, options),
        records=_records(samples, truths, values),
    )


def _map_rows(
    looks: Looks, truths: Sequence[GroundTruth], options: LocalizationOptions
) -> tuple[tuple[MapRow, ...], Values]:
    """Return map kinds × thresholds, and the cIoU (n,) of the first of both."""
    rows: list[MapRow] = []
    first = np.empty(0)
    for kind in options.map_kinds:
        values = consensus_ious(looks.maps(kind), truths, options.thresholds)
        first = first if rows else values[0]
        rows += [
            MapRow(
                kind=kind,
                threshold=str(threshold),
                figures=MapFigures.of(of_threshold, seed=options.seed),
            )
            for threshold, of_threshold in zip(options.thresholds, values, strict=True)
        ]
    return tuple(rows), first


def baseline_rows(
    truths: Sequence[GroundTruth],
    thresholds: Sequence[Threshold],
    sum_up: Callable[[Values], MapFigures],
    *,
    keys: Sequence[int],
    seed: int,
) -> tuple[BaselineRow, ...]:
    """Return the rows that are always printed (definitions §4).

    Parameters
    ----------
    sum_up : makes figures of cIoU (n,), as those of the maps beside them are made.
    keys : of the samples; each one's random map depends on its key and the seed alone.
    """
    noise = random_ious(truths, thresholds, keys=keys, seed=seed)
    return (
        *(
            BaselineRow(name="random map", threshold=str(threshold), figures=sum_up(values))
            for threshold, values in zip(thresholds, noise, strict=True)
        ),
        BaselineRow(name="centre box", threshold="", figures=sum_up(centre_ious(truths))),
        BaselineRow(name="whole picture", threshold="", figures=sum_up(whole_ious(truths))),
    )


def _annotator_rows(
    looks: Looks, truths: Sequence[GroundTruth], options: LocalizationOptions
) -> tuple[AnnotatorRow, ...]:
    """Return the figures against each annotator alone (S19 Table 3)."""
    values = annotator_ious(looks.maps(options.map_kind), truths, threshold=options.threshold)
    return tuple(
        AnnotatorRow(annotator=name, figures=MapFigures.of(of_one, seed=options.seed))
        for name, of_one in values.items()
    )


def _records(
    samples: Sequence[Candidate], truths: Sequence[GroundTruth], values: Values
) -> tuple[SampleRecord, ...]:
    """Return one record per sample."""
    return tuple(
        SampleRecord(
            item=sample.id,
            name=sample.row.image or "",
            label=sample.row.label,
            ciou=float(value),
            area=float(area),
            n_annotators=len(truth.annotators),
        )
        for sample, truth, value, area in zip(samples, truths, values, areas(truths), strict=True)
    )
