"""What a provider of labels is: the one protocol, and what passes through it. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from indexer.plan import FailureRow, FramePart, SoundPart
from indexer.pseudo_labels import Modality, Origin

VERSION_LETTERS = 16
Part = FramePart | SoundPart


@dataclass(frozen=True, kw_only=True)
class SetFacts:
    """What names a set of labels: another version is another set.

    Attributes
    ----------
    version : changes with whatever decides the labels: weights, the file, the vocabulary.
    names : the vocabulary; `names[k]` is the name of id k.
    """

    provider: str
    version: str
    origin: Origin
    vocabulary: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A frame or a sound to be labelled, and the items that it belongs to."""

    modality: Modality
    part: Part
    items: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a provider says of one side.

    Attributes
    ----------
    labels : (k,) vocabulary ids, best first, k ≤ 10, none where nothing was recognised; None
        where the provider does not know this side, or after a failure.
    scores : (k,) float, beside them.
    """

    side: Side
    labels: NDArray[np.int32] | None = None
    scores: NDArray[np.float32] | None = None
    failure: FailureRow | None = None


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """What a provider leaves out, and how often; `example` is one such case, in words."""

    reason: str
    n: int
    example: str = ""


class LabelProvider(Protocol):
    """Gives labels to frames and sounds, all from one vocabulary."""

    @property
    def facts(self) -> SetFacts: ...

    @property
    def by_content(self) -> bool:
        """Whether a frame has the same labels whichever item it belongs to."""

    @property
    def excluded(self) -> Sequence[Excluded]:
        """What was left out before the first answer."""

    def answers(self, sides: Sequence[Side]) -> Generator[Sequence[Answer]]:
        """Yield one answer for each side, in batches that may be kept as they come."""


def digest_of(*facts: str) -> str:
    """Return a version made of texts: the same texts give the same version."""
    digest = hashlib.blake2b(digest_size=VERSION_LETTERS // 2)
    for fact in facts:
        content = fact.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
