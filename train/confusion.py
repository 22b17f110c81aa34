"""What a network takes for what: for the model card."""

from __future__ import annotations

from collections import Counter

import numpy as np

from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank
from train.card import Confusion
from train.figures import encode, leak_free_scores

N_MISTAKES = 12


def confusions(
    network: TwoStreamEncoder, bank: Bank, *, frame_px: int
) -> tuple[list[Confusion], list[Confusion]]:
    """Return per label how often the best picture is right, and the most frequent mistakes.

    Leak-free audio→image over the bank's paired rows, the row itself excluded.
    """
    rows = encode(network, bank, frame_px=frame_px)
    scores = leak_free_scores(network, rows).T.copy()
    np.fill_diagonal(scores, -np.inf)
    answered = rows.labels[scores.argmax(axis=1)]
    counts = Counter(rows.labels.tolist())
    pairs = Counter(zip(rows.labels.tolist(), answered.tolist(), strict=True))

    def entry(asked: int, given: int) -> Confusion:
        n = counts[asked]
        return Confusion(
            asked=bank.names[asked], answered=bank.names[given], share=pairs[asked, given] / n, n=n
        )

    recalls = [entry(label, label) for label in sorted(counts) if counts[label] > 1]
    wrong = [pair for pair, _ in pairs.most_common() if pair[0] != pair[1]]
    return recalls, [entry(*pair) for pair in wrong[:N_MISTAKES]]
