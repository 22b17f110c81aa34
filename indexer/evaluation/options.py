"""How retrieval is evaluated: the options, each with what it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from indexer.evaluation.errors import OptionsInvalid
from indexer.pseudo_labels import N_LABELS


@dataclass(frozen=True, kw_only=True)
class RetrievalOptions:
    """Options of an evaluation of retrieval.

    Parameters
    ----------
    ks : where precision, success and any-hit are measured (S19 Table 6: 10, 15, 20).
    recall_ks : where recall of the recorded partner is measured.
    where : a filter (`indexer.where`) that restricts queries and gallery alike.
    include_self : the query's own item may be an answer.
    include_duplicates : answers with exactly the query item's content may be given, too.
    seed : of swap partners, sampled queries, chance trials and intervals.
    n_trials : trials of the chance level.
    labels_kept : how many of an item's pseudo labels count, from the best on; S19 keeps 10. With a
        small vocabulary ten labels meet by chance, and fewer say more.
    max_pairs : pairs of a distinct query and a distinct answer that are looked at, per direction,
        for the conditional rankings. Above, queries are sampled.
    ann : measure what FAISS serves, too, and its recall against the exact ranking.
    database : `pairs` ranks items that have both sides, as S19 does; `all` also frames without a
        sound and sounds without a frame. None is `pairs` where there are two of them.
    """

    ks: tuple[int, ...] = (10, 15, 20)
    recall_ks: tuple[int, ...] = (1, 5, 10)
    where: str | None = None
    include_self: bool = False
    include_duplicates: bool = False
    seed: int = 0
    n_trials: int = 100
    labels_kept: int = N_LABELS
    max_pairs: int = 1_000_000
    ann: bool = False
    database: Literal["pairs", "all"] | None = None

    def __post_init__(self) -> None:
        for name, ks in (("ks", self.ks), ("recall_ks", self.recall_ks)):
            if not ks or min(ks) < 1:
                raise OptionsInvalid(f"{name} {ks}: give whole numbers from 1")
        if self.seed < 0:
            raise OptionsInvalid(f"seed {self.seed}: give 0 or more")
        if self.n_trials < 2:
            raise OptionsInvalid(f"{self.n_trials} trials have no standard error; give 2 or more")
        if not 1 <= self.labels_kept <= N_LABELS:
            raise OptionsInvalid(f"labels_kept {self.labels_kept}: give 1 to {N_LABELS}")
        if self.max_pairs < 1:
            raise OptionsInvalid(f"max_pairs {self.max_pairs}: give 1 or more")
