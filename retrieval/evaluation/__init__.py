"""retrieval.evaluation: how good the answers of an index are, measured and laid out.

`evaluate` measures (`indexer.evaluation` has the protocols), `evaluation_report` lays the figures
out as a `retrieval.report`.
"""

from __future__ import annotations

from retrieval.evaluation.galleries import Illustrator
from retrieval.evaluation.report import evaluation_report
from retrieval.evaluation.run import Evaluation, evaluate

__all__ = ["Evaluation", "Illustrator", "evaluate", "evaluation_report"]
