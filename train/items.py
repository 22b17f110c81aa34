"""Which rows of a bank figures are over, and what of them is one and the same content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.metrics import Mask
from indexer.rules import Heard, Numbers, heard_as, numbered
from train.bank import NONE, Bank, Contents


@dataclass(frozen=True, kw_only=True)
class Items:
    """The n rows of a bank that have a picture, a sound and a label, in the order of evaluation.

    Attributes
    ----------
    labels, frames, sounds : (n,) label, number of the distinct picture and of the distinct sound.
    names : the labels.
    pictures : (F,) where each distinct picture lies in the bank.
    waves : (S + E,) where each distinct sound lies; the last E are sounds of no such row.
    heard : every labelled sound of the bank, also of rows without a picture: label means are over
        these. `of_item` begins with the n rows.
    """

    labels: Numbers
    frames: Numbers
    sounds: Numbers
    names: tuple[str, ...]
    pictures: Numbers
    waves: Numbers
    heard: Heard

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_sounds(self) -> int:
        """S, the distinct sounds of the n rows."""
        return int(self.sounds.max(initial=-1)) + 1

    @property
    def judged(self) -> Mask:
        """(n,) rows whose label another row has, too: they can be asked."""
        _, label, n_members = np.unique(self.labels, return_inverse=True, return_counts=True)
        shared: Mask = n_members[label] > 1
        return shared


def items_of(bank: Bank) -> Items:
    """Order rows by content and then label, as the index's evaluation does.

    Rows without a label are left out: nobody could say which answers to them are right.
    """
    contents = bank.contents or numbered_contents(bank)
    labelled = bank.labels != NONE
    has_picture, has_sound = bank.picture_of != NONE, bank.sound_of != NONE

    def order(row: int) -> tuple[object, ...]:
        frame, sound = contents.pictures[bank.picture_of[row]], contents.sounds[bank.sound_of[row]]
        return *frame, *sound, bank.names[bank.labels[row]], row

    pairs = sorted(np.flatnonzero(labelled & has_picture & has_sound).tolist(), key=order)
    rows = np.array(pairs, np.int64)
    lone = np.flatnonzero(labelled & ~has_picture & has_sound)
    frames, first = numbered(contents.pictures[place] for place in bank.picture_of[rows])
    heard = np.concatenate([rows, lone])
    sounds, first_heard = numbered(contents.sounds[place] for place in bank.sound_of[heard])
    return Items(
        labels=bank.labels[rows],
        frames=frames,
        sounds=sounds[: len(rows)],
        names=bank.names,
        pictures=bank.picture_of[rows[first]],
        waves=bank.sound_of[heard[first_heard]],
        heard=heard_as(sounds, bank.labels[heard]),
    )


def numbered_contents(bank: Bank) -> Contents:
    """Take every picture and every sound of a bank for another one."""
    return Contents(
        pictures=tuple((f"{place:012d}", 0.0) for place in range(bank.n_pictures)),
        sounds=tuple((f"{place:012d}", 0.0, 0.0) for place in range(bank.n_sounds)),
    )
