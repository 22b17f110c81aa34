"""What can go wrong in training.

TrainError
├── DataAbsent        what a row of the papers is computed on is not there; says what to put where
├── PairsError        the list of pairs cannot be used; names the row or the split
├── RecipeError       settings that cannot be, or that contradict each other
├── TrainingDiverged  the loss is not finite any more; names the step
└── WorldError        a world with impossible settings (`train.world`)
"""

from __future__ import annotations


class TrainError(Exception):
    """Base of every error that `train` raises."""


class DataAbsent(TrainError):
    """What a row of the papers is computed on is not there."""


class PairsError(TrainError):
    """The training list is empty, one-sided, or names files that are not there."""


class RecipeError(TrainError):
    """Settings of a training run that cannot be, or that contradict each other."""


class TrainingDiverged(TrainError):
    """The loss became NaN or infinite."""
