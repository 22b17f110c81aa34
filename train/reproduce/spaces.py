"""Everything scored against everything in the learned space, as S19 §5.3 does and leak-free.

S19 ranks frames by f_v under their own sounds, which can leak the sound into the frame. That
protocol is reproduced as it stands, and the leak-free one stands beside it (definitions §3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import normalize

from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank
from train.reproduce.lab import Lab
from train.reproduce.looking import every_pair, sounds_of
from train.reproduce.material import Places
from train.reproduce.schemes import semi_supervised

Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """Scores (N, N) of every query (rows) against every item of the database, higher is nearer.

    `keep_image` and `keep_audio` are the two associative searches of S19 Figure 12.
    """

    own_audio_to_image: Scores
    own_image_to_audio: Scores
    free_audio_to_image: Scores
    free_image_to_audio: Scores
    keep_image: Scores
    keep_audio: Scores


def databases(lab: Lab) -> list[Places]:
    """Pairs among which neighbours are looked for: parts of the first test set (S19 §5.3).

    The paper takes all of it. More pairs of each kind than there are neighbours would hide why
    success falls, so a larger set serves as several databases, each asked by its own pairs.
    """
    rows, n = lab.test(), lab.size.n_database
    return [rows[start : start + n] for start in range(0, max(1, len(rows) - n + 1), n)]


def spaces_of(lab: Lab, rows: Places) -> list[Space]:
    """Score a database with each run of the semi-supervised network."""
    return [_space(network, lab.bank, rows) for network in lab.networks(semi_supervised(lab.size))]


def _space(network: TwoStreamEncoder, bank: Bank, rows: Places) -> Space:
    f_v, free = every_pair(network, bank, rows)
    f_s = normalize(sounds_of(network, bank, rows).f_s, dim=1)
    itself = np.arange(len(rows))
    own = f_v[itself, itself]
    cosines = (own @ f_s.T).numpy()
    return Space(
        own_audio_to_image=cosines.T,
        own_image_to_audio=cosines,
        free_audio_to_image=free.numpy().T,
        free_image_to_audio=free.numpy(),
        keep_image=(f_v @ own[:, :, None])[:, :, 0].numpy(),
        keep_audio=(f_v.transpose(0, 1) @ own[:, :, None])[:, :, 0].numpy(),
    )
