"""indexer.evaluation: how good the answers of an index are, with honest intervals."""

from indexer.evaluation.errors import (
    EvaluationError,
    IndexChanged,
    LabelsInvalid,
    NothingToEvaluate,
    OptionsInvalid,
)
from indexer.evaluation.figures import RankingFigures, RetrievalFigures
from indexer.evaluation.localization import (
    ConcatFigures,
    LocalizationFigures,
    LocalizationOptions,
    evaluate_localization,
    write_concat_and_localize,
)
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.progress import EvaluationProgress
from indexer.evaluation.retrieval import evaluate_retrieval

__all__ = [
    "ConcatFigures",
    "EvaluationError",
    "EvaluationProgress",
    "IndexChanged",
    "LabelsInvalid",
    "LocalizationFigures",
    "LocalizationOptions",
    "NothingToEvaluate",
    "OptionsInvalid",
    "RankingFigures",
    "RetrievalFigures",
    "RetrievalOptions",
    "evaluate_localization",
    "evaluate_retrieval",
    "write_concat_and_localize",
]
