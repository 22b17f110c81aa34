"""indexer.evaluation.localization: where the heat maps of an index light up (definitions §4)."""

from indexer.evaluation.localization.evaluate import (
    evaluate_localization,
    write_concat_and_localize,
)
from indexer.evaluation.localization.figures import ConcatFigures, LocalizationFigures
from indexer.evaluation.localization.options import LocalizationOptions

__all__ = [
    "ConcatFigures",
    "LocalizationFigures",
    "LocalizationOptions",
    "evaluate_localization",
    "write_concat_and_localize",
]
