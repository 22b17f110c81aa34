"""Measure an open index: retrieval always, localization unless it is not wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from encoder.embedder import Embedder
from encoder.localization import read_annotations
from indexer.evaluation import (
    LocalizationFigures,
    LocalizationOptions,
    RetrievalFigures,
    RetrievalOptions,
    evaluate_localization,
    evaluate_retrieval,
)
from indexer.evaluation.progress import OnEvaluation
from indexer.pseudo_labels import PseudoLabels
from indexer.reader import IndexReader


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found. `localization` is None where it was not asked for."""

    corpus: str
    retrieval: RetrievalFigures
    localization: LocalizationFigures | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, under names that stay."""
        localization = self.localization and self.localization.to_json()
        return {"retrieval": self.retrieval.to_json(), "localization": localization}


def evaluate(
    reader: IndexReader,
    embedder: Embedder,
    *,
    retrieval: RetrievalOptions,
    localization: LocalizationOptions | None,
    labels: str | None = None,
    on_progress: OnEvaluation | None = None,
) -> Evaluation:
    """Measure an index.

    Parameters
    ----------
    localization : None leaves it out.
    labels : provider of pseudo labels; None takes the newest set that the index holds, if any.

    Raises
    ------
    EncoderMismatch : the index was built by another encoder.
    EvaluationError, LabelsMissing, FilterError : what was asked for cannot be measured here.
    """
    if localization is not None and localization.annotations is not None:
        read_annotations(localization.annotations)  # before minutes are spent on the rest
    return Evaluation(
        corpus=reader.corpus.name,
        retrieval=evaluate_retrieval(
            reader,
            embedder,
            options=retrieval,
            pseudo_labels=pseudo_labels_of(reader, labels),
            on_progress=on_progress,
        ),
        localization=None
        if localization is None
        else evaluate_localization(reader, embedder, options=localization, on_progress=on_progress),
    )


def pseudo_labels_of(reader: IndexReader, provider: str | None) -> PseudoLabels | None:
    """Return a provider's labels; without a name the newest set, None where there is none."""
    if provider is not None:
        return reader.pseudo_labels(provider)
    sets = sorted(reader.label_sets(), key=lambda one: one.created)
    return reader.pseudo_labels(sets[-1].provider, sets[-1].version) if sets else None
