"""What can go wrong in training.

TrainError
├── DataAbsent        what a row of the papers is computed on is not there; says what to put where
├── PairsError        the list of pairs cannot be used; names the row or the split
├── RecipeError       settings that cannot be, or that contradict each other
├── ResumeError       an unfinished run that cannot be gone on with, or one that is in the way
├── RoomError         the output folder has too little room, or cannot be written any more
├── ToolMissing       an optional package that an option asks for; names the extra that brings it
├── TrainingDiverged  the loss is not finite any more; names the step and its rows
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


class ResumeError(TrainError):
    """An unfinished run is damaged, another one, not there, or in the way of a new one."""


class RoomError(TrainError):
    """The output folder has too little room for the run, or cannot be written any more."""


class ToolMissing(TrainError):
    """An option asks for a package that is not installed."""


class TrainingDiverged(TrainError):
    """The loss became NaN or infinite."""
