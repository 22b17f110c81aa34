"""What can go wrong with labellers; `WeightsUnavailable` and `InputError` serve here, too.

CheckpointError
├── LabellerDamaged     a labeller's folder or weight file is missing, damaged or of another network
├── VocabularyMismatch  two labellers, or a labeller and its weights, disagree on the labels
└── WeightsRefused      a weight file holds something other than arrays, or an unknown layout
"""

from __future__ import annotations

from encoder.errors import CheckpointError


class LabellerDamaged(CheckpointError):
    """A labeller is missing, damaged, or its tensors do not fit its configuration."""


class VocabularyMismatch(CheckpointError):
    """Labels of two vocabularies would be compared, or a head has another number of labels."""


class WeightsRefused(CheckpointError):
    """A weight file that will not be read: unsafe content, or no layout that is known."""
