"""What can go wrong when an encoder is fine-tuned on an index.

FinetuneError
├── AnnotationsMissing   no boxes that could be learned from, or too few
├── FilesMissing         files of indexed items are not there any more
├── FinetuneInterrupted  stopped by Ctrl-C or a cluster; says how to go on
└── OutputTaken          the folder of the new checkpoint holds something already
"""

from __future__ import annotations

from train.errors import TrainError


class FinetuneError(TrainError):
    """Base of every error of fine-tuning alone."""


class AnnotationsMissing(FinetuneError):
    """The index has no boxes that could be learned from, or too few of them."""


class FilesMissing(FinetuneError):
    """Files that the index was made of are not there any more."""


class FinetuneInterrupted(FinetuneError):
    """Somebody stopped the run, and it is written down as it was."""


class OutputTaken(FinetuneError):
    """The folder of the new checkpoint holds something already."""
