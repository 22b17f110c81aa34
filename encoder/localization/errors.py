"""What can go wrong between a map, the boxes that people drew, and a figure.

LocalizationError
├── ShapeError         a map and its ground truth, or maps among themselves, differ in size
├── MapError           a map holds NaN or infinity
├── GroundTruthError   boxes that leave nothing to be found, or lie outside their frame
├── ThresholdError     a threshold that cannot be understood
├── AnnotationError    a file of annotations that cannot be read
└── ConcatError        glued pairs that cannot be drawn or written
"""

from __future__ import annotations

from encoder.errors import EncoderError


class LocalizationError(EncoderError):
    """Base of every error that `encoder.localization` raises."""


class ShapeError(LocalizationError):
    """A map and its ground truth, or maps among themselves, differ in size."""


class MapError(LocalizationError):
    """A map holds NaN or infinity."""


class GroundTruthError(LocalizationError):
    """Boxes that leave nothing to be found, or lie outside their frame."""


class ThresholdError(LocalizationError):
    """A threshold that cannot be understood."""


class AnnotationError(LocalizationError):
    """A file of annotations that cannot be read."""


class ConcatError(LocalizationError):
    """Glued pairs that cannot be drawn or written."""
