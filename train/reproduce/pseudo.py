"""Pseudo labels of a database: what two labellers say of its frames and its sounds (S19 §5.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.labellers.protocol import NO_LABEL
from indexer.evaluation.judges import PseudoJudge
from train.reproduce.lab import Lab
from train.reproduce.material import Places

Labels = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class PseudoPair:
    """The best labels (N, 10) of each item's frame and of its sound, -1 where there are fewer."""

    image: Labels
    audio: Labels
    n_names: int
    note: str

    def judge(self, asks: str) -> PseudoJudge:
        pair = (self.image, self.audio) if asks == "image" else (self.audio, self.image)
        return PseudoJudge(*pair, self.n_names)


def pseudo_labels(lab: Lab, rows: Places) -> PseudoPair:
    """Ask the labellers. Of a small vocabulary fewer labels are kept: ten of it fit everything."""
    pair, bank = lab.labellers(), lab.bank
    n_kept = min(10, max(1, round(SHARE_OF_VOCABULARY * len(pair.vocabulary))))
    pictures = bank.pictures_at(bank.picture_of[rows]).permute(0, 2, 3, 1).numpy()
    sounds = [lab.material.waveform(row) for row in rows.tolist()]
    image = pair.image.label([pair.image.prepare(one) for one in pictures]).ids.copy()
    audio = pair.audio.label([pair.audio.prepare(one) for one in sounds]).ids.copy()
    image[:, n_kept:] = audio[:, n_kept:] = NO_LABEL
    note = (
        f"Labellers {pair.name}: the best {n_kept} of {len(pair.vocabulary)} labels of a frame and "
        "of a sound (S19: ten of a thousand)."
    )
    return PseudoPair(image=image, audio=audio, n_names=len(pair.vocabulary), note=note)


SHARE_OF_VOCABULARY = 0.03
"""Two of the shipped labellers' 68 labels: with ten, any two made scenes share one."""
