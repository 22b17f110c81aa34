"""What the rows are computed on, whatever it was made of: one bank, and which of its rows serve.

Two sources give it: the procedural world and a folder of the papers' data. What a source does not
have stays empty, and the row that asks for it ends as `not reproduced: data absent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.localization.ground_truth import GroundTruth
from train.bank import Bank
from train.errors import DataAbsent

Places = NDArray[np.int64]
"""Row numbers of a bank."""
Waveform = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Film:
    """A few frames of a video with its sound.

    Attributes
    ----------
    frames : (F, H, W, 3) uint8; a panorama's are twice as wide as high.
    times_s : (F,) when each is shown.
    waveform : (T,) float32 at `rate_hz`.
    window_s : seconds of sound that a frame is looked at with, around it.
    truths : what is to be found in some of the frames, by number.
    azimuth_deg, elevation_deg : (F,) where a panorama's source is, positive to the left and up;
        None where nobody knows.
    """

    name: str
    frames: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    waveform: Waveform
    rate_hz: int
    window_s: float
    truths: Mapping[int, GroundTruth]
    azimuth_deg: NDArray[np.float64] | None = None
    elevation_deg: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that rows ask for.

    Attributes
    ----------
    name, key : what a person calls it, and what tells it from every other material.
    bank : pictures and sounds; all row numbers below are of this bank.
    unlabelled : pairs that nobody annotated, in the order in which trainings take them.
    tests : the three disjoint test sets (S19 Table 4), the first being that of all other rows.
    annotated : pairs that three people annotated, test sets included, in the order of the taking.
    truths : what is to be found, by row.
    ambient : rows whose sound no place in a picture makes.
    duets : groups of two or more rows that share a picture, each with the sound of one source.
    accompanied : annotated rows where a silent companion always stands beside the source, as the
        railway beside the train (S19 Figure 3); None where nobody knows.
    waveform : the sound of a row as it was recorded, at 22 050 Hz.
    clips, panoramas : made or read when asked for.
    remarks : what was left out, and other things that a reader of the figures must know.
    """

    name: str
    key: str
    is_world: bool
    bank: Bank
    unlabelled: Places
    tests: tuple[Places, ...]
    annotated: Places
    truths: Mapping[int, GroundTruth]
    ambient: Places
    duets: tuple[tuple[int, ...], ...]
    accompanied: Places | None
    waveform: Callable[[int], Waveform]
    clips: Callable[[], tuple[Film, ...]]
    panoramas: Callable[[], tuple[Film, ...]]
    remarks: tuple[str, ...] = ()

    @property
    def n_labelled(self) -> int:
        """Annotated pairs that there are to train on beside any of the test sets."""
        return min((len(self.labelled_for(i)) for i in range(len(self.tests))), default=0)

    def labelled_for(self, test: int) -> Places:
        """Annotated rows that a training may see whose network is measured on a test set."""
        return self.annotated[~np.isin(self.annotated, self.tests[test])]


def wanted(places: Places, n: int, what: str) -> Places:
    """Return the first n rows, or as many as there are; raises DataAbsent where there are none."""
    if not len(places):
        raise DataAbsent(what)
    return places[:n]
