"""With whose sound a frame is looked at in the swap test (definitions §3, "The leak")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.evaluation.database import NONE, Database, Positions


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Partners for the swap test.

    Attributes
    ----------
    sounds : (P,) distinct sound that each pair's frame is looked at with instead of its own.
    n_other_label : pairs whose sound is one of another label.
    n_other_item : pairs without a label, or with the only label there is: any other sound.
    """

    sounds: Positions
    n_other_label: int
    n_other_item: int


def swap_partners(database: Database, seed: int) -> Swap | None:
    """Draw a sound for every pair; None where all pairs have one and the same sound."""
    rng = np.random.default_rng(seed)
    pairs = database.pairs
    labels, own = database.labels[pairs], database.sounds[pairs]
    if len(np.unique(own)) < 2:
        return None
    partner = np.full(len(pairs), NONE)
    for label in np.unique(labels[labels != NONE]):
        others = own[(labels != label) & (labels != NONE)]
        for row in np.flatnonzero(labels == label):
            partner[row] = _drawn(rng, others, int(own[row]))
    n_other_label = int((partner != NONE).sum())
    for row in np.flatnonzero(partner == NONE):
        partner[row] = _drawn(rng, own, int(own[row]))
    return Swap(
        sounds=partner,
        n_other_label=n_other_label,
        n_other_item=len(pairs) - n_other_label,
    )


def _drawn(rng: np.random.Generator, sounds: Positions, own: int) -> int:
    """Draw one of the sounds that is not `own`; NONE where there is no other."""
    if not len(sounds):
        return NONE
    sound = int(sounds[rng.integers(len(sounds))])
    if sound != own:
        return sound
    # One sound may stand in many items, under two labels even.
    strange = sounds[sounds != own]
    return int(strange[rng.integers(len(strange))]) if len(strange) else NONE
