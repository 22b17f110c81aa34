"""The labellers that ship with the project: folders with weights, `config.json` and a card.

Matrices and convolutions are kept in float16, vectors in float32, as in `encoder.checkpoint`;
inference is float32. Each item goes through the network alone, so that no rounding of a batch
decides which of two close labels comes first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load
from safetensors.torch import save as to_bytes
from torch import nn

from encoder.checkpoint import CARD, CONFIG, WEIGHTS
from encoder.embedder import sound_windows
from encoder.errors import InputError
from encoder.labellers.classifier import ClassifierConfig, classifier
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch
from encoder.labellers.inference import (
    check_frame,
    exact_device,
    finite_windows,
    mean_over_windows,
)
from encoder.labellers.protocol import Labelled, Modality, Prepared, Vocabulary, best_labels

SHIPPED = Path(__file__).parent / "weights"
"""Holds `frames` and `sounds`."""
PREPROCESSING_VERSION = 1
"""Raise it with any change to `prepare`: the same file may then be labelled differently."""


@dataclass(frozen=True, kw_only=True)
class LabellerDescription:
    """What a labeller's `config.json` says.

    Attributes
    ----------
    label_ids : ascending vocabulary ids that the network can say; the others of the vocabulary
        were not in its training material.
    facts : where the weights come from: data, licence, recipe, figures.
    """

    name: str
    classifier: ClassifierConfig
    vocabulary: Vocabulary
    label_ids: tuple[int, ...]
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        """Raise VocabularyMismatch where the numbers of labels disagree."""
        ids = self.label_ids
        in_order = all(a < b for a, b in pairwise(ids))
        if not in_order or not ids or ids[0] < 0 or ids[-1] >= len(self.vocabulary):
            raise VocabularyMismatch(
                f"labeller {self.name}: its label ids are not ascending numbers of a vocabulary of "
                f"{len(self.vocabulary)} labels; copy the folder again"
            )
        if len(ids) != self.classifier.n_labels:
            raise VocabularyMismatch(
                f"labeller {self.name}: {len(ids)} label ids for a network of "
                f"{self.classifier.n_labels} labels; copy the folder again"
            )


class ShippedLabeller:
    """A trained classifier that labels; safe to share between threads.

    Examples
    --------
    >>> labeller = ShippedLabeller.load(SHIPPED / "frames", device="cpu")
    >>> labeller.label([labeller.prepare(np.zeros((90, 120, 3), np.uint8))]).ids.shape
    (1, 10)
    """

    def __init__(
        self,
        network: nn.Module,
        description: LabellerDescription,
        *,
        version: str,
        device: str = "auto",
    ) -> None:
        self.device = exact_device(device)
        self.network = network.float().eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.description, self.version = description, version
        self.name, self.vocabulary = description.name, description.vocabulary
        self.config = description.classifier
        self._label_ids = np.array(description.label_ids, np.int32)

    @classmethod
    def load(cls, folder: Path, *, device: str = "auto") -> ShippedLabeller:
        """Read a labeller's folder.

        Raises
        ------
        LabellerDamaged : missing, damaged, or weights of another network.
        VocabularyMismatch : its labels and its network differ in number.
        """
        description = read_labeller(folder)
        weights = _weights(folder)
        network = classifier(description.classifier)
        try:
            network.load_state_dict(load(weights))  # copies into float32
        except (SafetensorError, RuntimeError) as error:
            first_line = str(error).splitlines()[0]
            raise LabellerDamaged(
                f"{folder / WEIGHTS}: damaged or of another network ({first_line}); copy the "
                "whole folder again"
            ) from None
        return cls(network, description, version=fingerprint(weights, description), device=device)

    @property
    def modality(self) -> Modality:
        return self.config.modality

    @property
    def rate_hz(self) -> int:
        return self.config.rate_hz if self.modality == "audio" else 0

    def prepare(self, decoded: NDArray[Any]) -> Prepared:
        """Resize a frame (H, W, 3) to (3, px, px), or cut a sound (T,) into windows (n, T').

        A sound is cut as for the encoder: a short one tiled, a long one into windows end to end.
        """
        if self.modality == "audio":
            return sound_windows(decoded, self.config.window_samples)
        side = self.config.frame_px
        picture = Image.fromarray(check_frame(decoded))
        resized = picture.resize((side, side), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    @torch.inference_mode()
    def label(self, prepared: Sequence[Prepared]) -> Labelled:
        """Label what `prepare` gave; logits of the windows of one sound are averaged."""
        one = self._sound if self.modality == "audio" else self._frame
        logits = [one(item) for item in prepared]
        if not logits:
            return best_labels(np.zeros((0, len(self._label_ids))), self._label_ids)
        return best_labels(np.stack(logits), self._label_ids)

    def _frame(self, pixels: Prepared) -> NDArray[np.float32]:
        if pixels.dtype != np.uint8 or pixels.shape[:1] != (3,):
            raise InputError(f"frame: {pixels.dtype} {pixels.shape}; give what prepare returned")
        frame = torch.from_numpy(pixels[None]).to(self.device).float() / 255
        return self.network(frame)[0].cpu().numpy()  # type: ignore[no-any-return]

    def _sound(self, windows: Prepared) -> NDArray[np.float32]:
        return mean_over_windows(self.network, finite_windows(windows), self.device)


def save_labeller(
    folder: Path, network: nn.Module, description: LabellerDescription, card: str
) -> None:
    """Write a labeller's folder; `card` is Markdown. Raises OSError where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    vocabulary = description.vocabulary
    text = {
        "name": description.name,
        "classifier": description.classifier.to_json(),
        "vocabulary": {"name": vocabulary.name, "names": list(vocabulary.names)},
        "label_ids": list(description.label_ids),
        "facts": description.facts,
    }
    for name, content in (
        (WEIGHTS, to_bytes(tensors)),
        (CONFIG, (json.dumps(text, indent=1, ensure_ascii=False) + "\n").encode()),
        (CARD, card.encode()),
    ):
        partial = folder / f".{name}.part"
        partial.write_bytes(content)
        partial.replace(folder / name)


def read_labeller(folder: Path) -> LabellerDescription:
    """Read what a labeller is without building its network.

    Raises
    ------
    LabellerDamaged : its description is missing or damaged.
    VocabularyMismatch : its labels and its network differ in number.
    """
    path = folder / CONFIG
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        names = text["vocabulary"]["names"]
        if not all(isinstance(name, str) for name in names):
            raise TypeError
        return LabellerDescription(
            name=str(text["name"]),
            classifier=ClassifierConfig.from_json(text["classifier"]),
            vocabulary=Vocabulary(str(text["vocabulary"]["name"]), tuple(names)),
            label_ids=tuple(int(k) for k in text["label_ids"]),
            facts=dict(text["facts"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        raise LabellerDamaged(
            f"{folder}: no labeller here ({CONFIG} is missing); give the folder that "
            "`python -m train.labellers` wrote"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise LabellerDamaged(f"{path}: damaged: copy the folder again") from None


def fingerprint(weights: bytes, description: LabellerDescription) -> str:
    """Return the sha256 of weights, network, labels and preprocessing, in hex."""
    vocabulary = description.vocabulary
    said = [description.classifier.to_json(), vocabulary.name, vocabulary.names]
    digest = hashlib.sha256(weights)
    digest.update(json.dumps([*said, description.label_ids], sort_keys=True).encode())
    digest.update(f"preprocessing {PREPROCESSING_VERSION}".encode())
    return digest.hexdigest()


def _weights(folder: Path) -> bytes:
    try:
        return (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        raise LabellerDamaged(f"{folder / WEIGHTS}: no such file; copy the whole folder") from None
