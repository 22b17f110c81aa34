"""What a network takes for what: for the model card."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from encoder.two_stream import TwoStreamEncoder
from train.bank import Bank
from train.figures import leak_free_of

N_MISTAKES = 12


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Of n sounds of `asked`, the share whose best picture of another row bears `answered`."""

    asked: str
    answered: str
    share: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """Per label how often the best picture is right, and the most frequent mistakes."""

    recalls: tuple[Confusion, ...] = ()
    worst: tuple[Confusion, ...] = ()


def confusions(network: TwoStreamEncoder, bank: Bank) -> Mistakes:
    """Ask leak-free audio→image over the bank's paired rows, the row and its copies excluded."""
    ranking, _ = leak_free_of(network, bank, frame_px=network.config.frame_px)
    labels, answered = ranking.items.labels, np.zeros(len(ranking.queries), np.int64)
    for rows, scores, excluded in ranking.blocks():
        answered[rows] = labels[np.where(excluded, -np.inf, scores).argmax(axis=1)]
    asked = labels[ranking.queries].tolist()
    counts, pairs = Counter(asked), Counter(zip(asked, answered.tolist(), strict=True))

    def entry(asked: int, given: int) -> Confusion:
        n = counts[asked]
        return Confusion(
            asked=bank.names[asked], answered=bank.names[given], share=pairs[asked, given] / n, n=n
        )

    wrong = [pair for pair, _ in pairs.most_common() if pair[0] != pair[1]]
    return Mistakes(
        recalls=tuple(entry(label, label) for label in sorted(counts) if counts[label] > 1),
        worst=tuple(entry(*pair) for pair in wrong[:N_MISTAKES]),
    )
