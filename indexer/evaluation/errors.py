"""What can go wrong when an index is evaluated.

IndexerError
└── EvaluationError
    ├── OptionsInvalid      options that no evaluation can follow
    ├── NothingToEvaluate   too few items, or nobody says which answers are right
    ├── LabelsInvalid       pseudo labels that do not fit the index or their own vocabulary
    ├── IndexChanged        a newer generation was published while the index was open
    └── NoScratch           the folder for temporary files has no room for vectors
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from indexer.errors import IndexerError


class EvaluationError(IndexerError):
    """Base of every error of an evaluation."""


class OptionsInvalid(EvaluationError):
    """Options that no evaluation can follow."""


class NothingToEvaluate(EvaluationError):
    """Too few items, or nobody says which answers are right."""


class LabelsInvalid(EvaluationError):
    """Pseudo labels that do not fit the index or their own vocabulary."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(
            f"labels of {provider}: {reason}; label the index anew: `retrieval label` with this "
            "provider"
        )


class IndexChanged(EvaluationError):
    """A newer generation was published while the index was open."""

    def __init__(self, index_dir: Path) -> None:
        super().__init__(f"{index_dir}: changed while it was evaluated; run the command again")


class NoScratch(EvaluationError):
    """The folder for temporary files has no room for vectors."""

    def __init__(self, n_bytes: int, error: OSError) -> None:
        super().__init__(
            f"{tempfile.gettempdir()}: no room for {n_bytes / 1e6:.0f} MB of vectors "
            f"({error.strerror}); set TMPDIR to a folder with room"
        )
