"""Which trainings the rows compare: how much data of which kind, by which losses (S19 §5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from train.recipe import Recipe
from train.reproduce.size import Size

Attention = Literal["cos", "relu"]
NAMES: dict[Attention, str] = {"cos": "softmax", "relu": "ReLU+softmax"}
"""What S19's tables call the two mechanisms (eq. 2, eq. 3)."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way of training.

    Parameters
    ----------
    n_unlabelled, n_labelled : pairs without and with annotation.
    attention : mechanism 1 or 2 of S19 §3.3.
    unsupervised, supervised : loss weights w_U and w_S (S19 Table 5).
    eq_6 : take S19's own L_U whatever the size's recipe says.
    test : number of the test set, none of whose pairs is trained on.
    """

    n_unlabelled: int = 0
    n_labelled: int = 0
    attention: Attention = "cos"
    unsupervised: float = 1.0
    supervised: float = 1.0
    eq_6: bool = False
    test: int = 0

    @property
    def name(self) -> str:
        """As S19 writes it: `Sup. 2500 + Unsup. 10000`."""
        parts = [
            f"{what} {n}"
            for what, n in (("Sup.", self.n_labelled), ("Unsup.", self.n_unlabelled))
            if n
        ]
        return " + ".join(parts) + (" (eq. 6)" if self.eq_6 else "")

    def recipe(self, size: Size, seed: int) -> Recipe:
        """Return the training run, completely."""
        mixed = bool(self.n_labelled and self.n_unlabelled)
        return replace(
            size.recipe,
            loss="distance-ratio" if self.eq_6 else size.recipe.loss,
            unsupervised=self.unsupervised,
            supervised=self.supervised if self.n_labelled else 0.0,
            annotated_share=size.recipe.annotated_share if mixed else None,
            seed=seed,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def unsupervised(size: Size, *, large: bool, attention: Attention = "cos") -> Scheme:
    return Scheme(n_unlabelled=size.n_unlabelled[large], attention=attention)


def supervised(size: Size, *, attention: Attention = "cos") -> Scheme:
    return Scheme(n_labelled=size.n_labelled[-1], attention=attention)


def semi_supervised(
    size: Size,
    *,
    n_labelled: int | None = None,
    attention: Attention = "cos",
    test: int = 0,
) -> Scheme:
    """Annotated pairs, by default as many as `supervised` has, beside unlabelled ones."""
    return Scheme(
        n_unlabelled=size.n_unlabelled[size.semi_large],
        n_labelled=n_labelled or size.n_labelled[-1],
        attention=attention,
        test=test,
    )


def both_unsupervised(size: Size) -> list[Scheme]:
    """Fewer and more pairs, without annotations."""
    return [unsupervised(size, large=False), unsupervised(size, large=True)]


def of_table_1(size: Size) -> list[Scheme]:
    """Rows that S19 Table 1 has under both attentions; under softmax, it also has fewer pairs."""
    return [unsupervised(size, large=True), supervised(size), semi_supervised(size)]


def of_table_2(size: Size, counts: Sequence[int]) -> list[Scheme]:
    """A semi-supervised row per number of annotated pairs, and one with the other unlabelled set.

    S19 Table 2 counts from 100 on, that of S18 from 500.
    """
    rows = [semi_supervised(size, n_labelled=n) for n in counts]
    return [*rows, replace(rows[-1], n_unlabelled=size.n_unlabelled[not size.semi_large])]


def of_table_4(size: Size, n_sets: int) -> list[list[Scheme]]:
    """For each test set, a semi-supervised row per number of annotated pairs."""
    counts = size.n_labelled_of_sets
    return [
        [semi_supervised(size, n_labelled=n, test=test) for n in counts] for test in range(n_sets)
    ]


WEIGHTS = ((0.1, 0.9), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.9, 0.1))
"""w_U and w_S of S19 Table 5."""


def of_table_5(size: Size) -> list[Scheme]:
    """A row per pair of weights: the larger unlabelled set and few annotated pairs."""
    few = semi_supervised(size, n_labelled=size.n_few)
    base = replace(few, n_unlabelled=size.n_unlabelled[1])
    return [replace(base, unsupervised=w_u, supervised=w_s) for w_u, w_s in WEIGHTS]
