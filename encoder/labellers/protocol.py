"""What a labeller is: a frame or a sound in, its ten best labels out. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError
from encoder.labellers.errors import VocabularyMismatch

Modality = Literal["image", "audio"]
N_LABELS = 10
"""Labels per item (S19 §5.3: "top-10 label predictions")."""
NO_LABEL = -1
"""Stands where a vocabulary has fewer than ten labels; its score is 0."""
Prepared = NDArray[Any]
"""What `prepare` gives: pixels (uint8) or windows of sound (float32)."""


@dataclass(frozen=True)
class Vocabulary:
    """Labels by number: `names[k]` is the name of id k. Equal where name and names are equal."""

    name: str
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Labelled:
    """The ten best labels of n items.

    Attributes
    ----------
    ids : (n, 10) int32, vocabulary ids, best first; equal scores by ascending id; -1 where fewer.
    scores : (n, 10) float32 in [0, 1], softmax over all labels; 0 where the id is -1.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]


class Labeller(Protocol):
    """Names what is seen or heard. Deterministic, and blind to the other items of a call."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str:
        """Fingerprint, sha256 in hex, of the weights, the vocabulary and the preprocessing."""

    @property
    def modality(self) -> Modality: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def rate_hz(self) -> int:
        """Sampling rate that sounds are decoded at; 0 for frames."""

    def prepare(self, decoded: NDArray[Any]) -> Prepared:
        """Cut to size what a decoder gave: (H, W, 3) uint8, or (T,) float32 at `rate_hz`.

        Raises InputError for another shape or type.
        """

    def label(self, prepared: Sequence[Prepared]) -> Labelled:
        """Label what `prepare` gave. Raises InputError for NaN or infinite samples."""


@dataclass(frozen=True, kw_only=True)
class LabellerPair:
    """A labeller of frames and one of sounds that speak one vocabulary.

    Raises
    ------
    VocabularyMismatch : they do not, or they are not one of each.
    """

    name: str
    image: Labeller
    audio: Labeller

    def __post_init__(self) -> None:
        if (self.image.modality, self.audio.modality) != ("image", "audio"):
            raise VocabularyMismatch(
                f"labellers {self.image.name} ({self.image.modality}) and {self.audio.name} "
                f"({self.audio.modality}): give one of frames and one of sounds, in this order"
            )
        if self.image.vocabulary != self.audio.vocabulary:
            raise VocabularyMismatch(
                f"{self.image.name} has {_described(self.image.vocabulary)}, {self.audio.name} "
                f"{_described(self.audio.vocabulary)}: their labels cannot be compared; "
                "train both on one manifest, or load both from one pair"
            )

    @property
    def vocabulary(self) -> Vocabulary:
        return self.image.vocabulary

    @property
    def version(self) -> str:
        """The versions of both."""
        return f"{self.image.version}+{self.audio.version}"


def _described(vocabulary: Vocabulary) -> str:
    return f"vocabulary {vocabulary.name!r} of {len(vocabulary)} labels"


def best_labels(logits: NDArray[np.floating], label_ids: NDArray[np.int32]) -> Labelled:
    """Softmax and the ten highest, in float64.

    Parameters
    ----------
    logits : (n, K), one column per label that the network can say.
    label_ids : (K,) ascending vocabulary ids of the columns.

    Raises
    ------
    InputError : a logit is NaN or infinite.

    Examples
    --------
    >>> best_labels(np.zeros((1, 2)), np.array([3, 7], np.int32)).ids[0, :3].tolist()
    [3, 7, -1]
    """
    if not np.isfinite(logits).all():
        raise InputError("labels: a score is NaN or infinite; check the weights and the input")
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :N_LABELS]
    n, n_best = order.shape
    ids = np.full((n, N_LABELS), NO_LABEL, np.int32)
    scores = np.zeros((n, N_LABELS), np.float32)
    ids[:, :n_best] = label_ids[order]
    scores[:, :n_best] = np.take_along_axis(shares, order, axis=1)
    return Labelled(ids=ids, scores=scores)
