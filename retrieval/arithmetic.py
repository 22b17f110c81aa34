"""Query arithmetic: what is added to a question and taken from it, as people write it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError
from retrieval.question import Extra, Picture, Sound

Term = str | Path | NDArray[Any] | tuple[float, Sound | Picture]
"""`0.5:thunder.wav`, a path, an array, or a weight with one of the two."""


def extras_of(add: Sequence[Term], subtract: Sequence[Term]) -> tuple[Extra, ...]:
    """Return what counts beside the main query; the weights of `subtract` change their sign.

    A text is split at its first colon where a number stands before it, unless a file of exactly
    that name exists; a `Path`, and what stands beside a weight, is taken as it is.

    Raises
    ------
    QueryError : no list, no medium, or a weight that is not finite.

    Examples
    --------
    >>> extras_of(["0.5:thunder.wav"], ["beach.jpg"])
    (Extra(weight=0.5, media='thunder.wav'), Extra(weight=-1.0, media='beach.jpg'))
    """
    for name, terms in (("add", add), ("subtract", subtract)):
        if isinstance(terms, str | Path | np.ndarray):
            raise QueryError(f"{name}: a single medium; give a list of them")
    return (*(_extra(term, 1) for term in add), *(_extra(term, -1) for term in subtract))


def _extra(term: Term, sign: int) -> Extra:
    weight, media = _split(term) if isinstance(term, str) else _pair(term)
    return Extra(weight=sign * weight, media=media)


def _split(text: str) -> tuple[float, str]:
    number, colon, name = text.partition(":")
    if not colon or os.path.exists(text):
        return 1.0, text
    try:
        weight = float(number)
    except ValueError:  # a drive letter, or a name with a colon in it
        return 1.0, text
    return weight, name


def _pair(term: Path | NDArray[Any] | tuple[float, Sound | Picture]) -> tuple[float, Any]:
    if not isinstance(term, tuple):
        return 1.0, term
    if len(term) != 2 or not isinstance(term[0], Real):
        raise QueryError(f"a term of {len(term)} values; give (weight, a path or an array)")
    return float(term[0]), term[1]
