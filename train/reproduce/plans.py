"""Which networks each row asks for at a size, so that the time they take can be told beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from encoder.localization.splits import N_SPLITS
from train.reproduce.schemes import (
    Scheme,
    both_unsupervised,
    of_table_1,
    of_table_2,
    of_table_4,
    of_table_5,
    semi_supervised,
    unsupervised,
)
from train.reproduce.size import Size


def _under_relu(schemes: Sequence[Scheme]) -> list[Scheme]:
    return [replace(scheme, attention="relu") for scheme in schemes]


def table_1(size: Size) -> list[Scheme]:
    rows = of_table_1(size)
    eq_6 = [replace(rows[0], eq_6=True)] if size.eq_6_beside else []
    return [unsupervised(size, large=False), *eq_6, *rows, *_under_relu(rows)]


def table_2(size: Size) -> list[Scheme]:
    rows = of_table_2(size, size.n_labelled)
    return [*both_unsupervised(size), *rows, *_under_relu([many(size)[0], *rows])]


def s18_table_2(size: Size) -> list[Scheme]:
    return [*both_unsupervised(size), *of_table_2(size, size.n_labelled_of_sets)[:-1]]


def table_3(size: Size) -> list[Scheme]:
    return of_table_1(size)


def table_4(size: Size) -> list[Scheme]:
    return [scheme for of_set in of_table_4(size, N_SPLITS) for scheme in of_set]


def table_5(size: Size) -> list[Scheme]:
    return [*many(size), *of_table_5(size)]


def many(size: Size) -> list[Scheme]:
    return [unsupervised(size, large=True)]


def semi(size: Size) -> list[Scheme]:
    return [semi_supervised(size)]


def many_and_semi(size: Size) -> list[Scheme]:
    return [*many(size), *semi(size)]


def all_softmax(size: Size) -> list[Scheme]:
    return [unsupervised(size, large=False), *of_table_1(size)]


def semi_under_both(size: Size) -> list[Scheme]:
    return [*semi(size), *_under_relu(semi(size))]
