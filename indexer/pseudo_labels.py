"""What a labeller says of the items: the best ten labels of each, in one vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoder.labellers.protocol import N_LABELS, NO_LABEL, Modality

MODALITIES: tuple[Modality, ...] = ("image", "audio")
Origin = Literal["model", "column", "file"]
"""Where labels come from: a pair of labellers, a column of the manifest, a file of labels."""


@dataclass(frozen=True, kw_only=True)
class TopLabels:
    """The labels of one modality, one row per item.

    Items without any label are not among them.

    Attributes
    ----------
    ids : (N,) item ids, ascending.
    labels : (N, 10) indices into the vocabulary, best first; -1 where an item has fewer.
    scores : (N, 10) higher is surer; 0 where the label is -1.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """One provider's labels of frames and sounds, in ONE vocabulary.

    Attributes
    ----------
    names : the vocabulary; `names[k]` is the name of id k.
    image, audio : None where the provider says nothing of that modality.
    """

    provider: str
    version: str
    vocabulary: str
    names: tuple[str, ...]
    image: TopLabels | None
    audio: TopLabels | None

    def of(self, modality: Modality) -> TopLabels | None:
        """Return the labels of one modality."""
        return self.image if modality == "image" else self.audio


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """What an index knows of one provider and version, without the labels themselves.

    Attributes
    ----------
    created : when the set was begun, UTC, ISO 8601.
    n_names : size of the vocabulary.
    n_frames, n_sounds : items that may be shown and have at least one label.
    n_failures : frames and sounds of such items that could not be labelled.
    """

    provider: str
    version: str
    origin: Origin
    vocabulary: str
    n_names: int
    created: str
    n_frames: int
    n_sounds: int
    n_failures: int


__all__ = [
    "MODALITIES",
    "NO_LABEL",
    "N_LABELS",
    "LabelSet",
    "Modality",
    "Origin",
    "PseudoLabels",
    "TopLabels",
]
