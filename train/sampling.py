"""Which rows of a bank make a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.bank import NONE, Bank
from train.errors import PairsError

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """B pictures and B sounds; `group` (B,) says which belong together: equal is a positive.

    `regions` (B,) says which of the bank's regions people drew into the picture for this sound.
    """

    pictures: Indices
    sounds: Indices
    group: Indices
    regions: Indices


class LabelSampler:
    """Draw a label, then any picture and any sound of it: pairs within a class.

    A label is drawn in proportion to the square root of its number of sounds, so that the rare ones
    are seen and the common ones still count more.
    """

    def __init__(self, bank: Bank) -> None:
        pictures, sounds = bank.members(bank.picture_of), bank.members(bank.sound_of)
        self.labels = np.array([k for k in pictures if k in sounds and k >= 0], dtype=np.int64)
        if len(self.labels) < 2:
            raise PairsError(
                f"training pairs: {len(self.labels)} labels have both pictures and sounds; "
                "at least two are needed, or --positives recording"
            )
        self.pictures = [pictures[k] for k in self.labels.tolist()]
        self.sounds = [sounds[k] for k in self.labels.tolist()]
        self.drawn = [regions_by_picture(bank, k) for k in self.labels.tolist()]
        weights = np.sqrt([len(entries) for entries in self.sounds])
        self.shares = weights / weights.sum()

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        picks = rng.choice(len(self.labels), n, p=self.shares)
        pictures = [int(rng.choice(self.pictures[i])) for i in picks]
        drawn = [
            self.drawn[i].get(picture, NONE) for i, picture in zip(picks, pictures, strict=True)
        ]
        return Rows(
            np.array(pictures, dtype=np.int64),
            np.array([rng.choice(self.sounds[i]) for i in picks], dtype=np.int64),
            self.labels[picks],
            np.array(drawn, dtype=np.int64),
        )


def shared_pictures(bank: Bank, groups: Indices) -> dict[int, frozenset[int]]:
    """Return the groups of each picture that has more than one: it shows what several sounds are.

    Parameters
    ----------
    groups : (N,) the group of each row of the bank, or `NONE`.
    """
    rows = (bank.picture_of != NONE) & (groups != NONE)
    pairs = np.unique(np.stack([bank.picture_of[rows], groups[rows]], axis=1), axis=0)
    pictures, first = np.unique(pairs[:, 0], return_index=True)
    groups_of = np.split(pairs[:, 1], first[1:])
    return {
        int(picture): frozenset(found.tolist())
        for picture, found in zip(pictures, groups_of, strict=False)
        if len(found) > 1
    }


def shown_beside(rows: Rows, shared: dict[int, frozenset[int]]) -> NDArray[np.bool_]:
    """Say which sounds each picture shows the source of, (B, B) pictures × sounds."""
    shown = np.zeros((len(rows.group), len(rows.group)), bool)
    for i, picture in enumerate(rows.pictures.tolist()):
        if picture in shared:
            shown[i] = np.isin(rows.group, list(shared[picture]))
    return shown


def regions_by_picture(bank: Bank, label: int) -> dict[int, int]:
    """For each picture that somebody drew a label's source into, the region."""
    if bank.regions is None:
        return {}
    rows = np.flatnonzero((bank.labels == label) & bank.is_annotated)
    pictures, regions = bank.picture_of[rows], bank.regions.of[rows]
    return dict(zip(pictures.tolist(), regions.tolist(), strict=True))


class RecordingSampler:
    """Draw rows as they are: a picture belongs to the sound recorded with it, and to no other.

    The sound names the group: rows that share one are no negatives of each other.
    """

    def __init__(self, bank: Bank) -> None:
        self.bank, self.rows = bank, bank.paired
        if len(self.rows) < 2:
            raise PairsError("training pairs: fewer than two rows have a picture and a sound")

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        rows = rng.choice(self.rows, n, replace=n > len(self.rows))
        sounds, drawn = self.bank.sound_of[rows], self.bank.regions
        regions = np.full(n, NONE) if drawn is None else drawn.of[rows]
        return Rows(self.bank.picture_of[rows], sounds, sounds, regions)


def draw_from(
    samplers: list[tuple[LabelSampler | RecordingSampler, int]], rng: np.random.Generator
) -> Rows:
    """One batch with a given number of rows from each sampler."""
    parts = [sampler.draw(n, rng) for sampler, n in samplers if n]
    return Rows(
        np.concatenate([part.pictures for part in parts]),
        np.concatenate([part.sounds for part in parts]),
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.regions for part in parts]),
    )
