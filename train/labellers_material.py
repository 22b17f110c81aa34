"""Labelled pictures or sounds that a labeller learns from, and the vocabulary they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.config import TwoStreamConfig
from encoder.labellers.classifier import ClassifierConfig
from encoder.labellers.protocol import Modality, Vocabulary
from encoder.two_stream import TwoStreamEncoder
from train.bank import NONE, PICTURE_PX, Bank, OnFile, bank_of_pairs, bank_of_world
from train.errors import PairsError
from train.pairs import Pair
from train.world import KINDS

Ids = NDArray[np.int64]
LEAST_PX = 32
"""Side of the world's pictures where only its sounds are wanted."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Examples of one modality, every file once per label that it bears.

    Attributes
    ----------
    inputs : (P, 3, px, px) uint8 pictures, or (S, 64, n_frames) float32 log-mel.
    of : (n,) index into `inputs` per example.
    labels : (n,) vocabulary ids.
    n_unlabelled : files left out because they bear no label, or one outside the vocabulary.
    """

    inputs: Tensor
    of: Ids
    labels: Ids
    n_unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.of)

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Labels that occur, ascending."""
        return tuple(int(k) for k in np.unique(self.labels))

    def only(self, label_ids: Sequence[int]) -> Material:
        """Examples of some labels; the others are counted as unlabelled."""
        keep = np.isin(self.labels, label_ids)
        left_out = len(np.unique(self.of[~keep]))
        return replace(
            self,
            of=self.of[keep],
            labels=self.labels[keep],
            n_unlabelled=self.n_unlabelled + left_out,
        )


def shared_vocabulary(pairs: Sequence[Pair], *, name: str, with_world: bool) -> Vocabulary:
    """Labels of rows, of both modalities, and the world's kinds: one word is one label.

    A drawn bird is a bird: kinds of the world that are also labels of the rows are merged. The
    order is alphabetical, so that a labeller of frames and one of sounds agree.
    """
    labels = {pair.label for pair in pairs if pair.label is not None}
    if with_world:
        labels |= set(KINDS)
    if len(labels) < 2:
        raise PairsError(f"labels: {len(labels)} in the training rows; at least two are needed")
    return Vocabulary(name, tuple(sorted(labels)))


def material_of_pairs(
    pairs: Sequence[Pair],
    vocabulary: Vocabulary,
    config: ClassifierConfig,
    *,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
) -> Material:
    """Decode the pictures or the sounds of rows. Raises PairsError where files cannot be read."""
    is_image = config.modality == "image"
    kept = [replace(p, sound=None) if is_image else replace(p, picture=None) for p in pairs]
    kept = [pair for pair in kept if pair.picture or pair.sound]
    if not kept:
        raise PairsError(f"{config.modality}: no row has one; give another modality or manifest")
    bank = bank_of_pairs(kept, fronted(config), picture_px=picture_px, on_file=on_file)
    return _of_bank(bank, bank.names, vocabulary, config.modality)


def material_of_world(
    vocabulary: Vocabulary,
    config: ClassifierConfig,
    *,
    n_scenes: int,
    seed: int,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
) -> Material:
    """Make scenes of the procedural world, each with one visible source."""
    if config.modality == "audio":
        picture_px = LEAST_PX
    bank = bank_of_world(
        fronted(config), n_scenes=n_scenes, seed=seed, picture_px=picture_px, on_file=on_file
    )
    kinds = tuple(name.removeprefix("world: ") for name in bank.names)
    return _of_bank(bank, kinds, vocabulary, config.modality)


def fronted(config: ClassifierConfig) -> TwoStreamEncoder:
    """Return a network whose window and weightless sound front are the classifier's.

    Banks ask a two-stream network how to decode; none of its weights is used. For pictures its
    front is the waveform itself, and a short one.
    """
    is_image = config.modality == "image"
    return TwoStreamEncoder(
        TwoStreamConfig(
            visual="resnet",
            sound="soundnet8" if is_image else "logmel",
            visual_width=8,
            visual_blocks=(1, 1, 1, 1),
            sound_width=8,
            window_s=0.5 if is_image else config.window_s,
            rate_hz=config.rate_hz,
        )
    ).eval()


def _of_bank(
    bank: Bank, names: tuple[str, ...], vocabulary: Vocabulary, modality: Modality
) -> Material:
    id_of = {name: k for k, name in enumerate(vocabulary.names)}
    entries = bank.picture_of if modality == "image" else bank.sound_of
    labels = np.array([id_of.get(name, NONE) for name in names] + [NONE])[bank.labels]
    unique = np.unique(np.stack([entries, labels], axis=1)[entries != NONE], axis=0)
    known = unique[unique[:, 1] != NONE]
    n_files = len(bank.pictures) if modality == "image" else len(bank.sounds)
    return Material(
        inputs=bank.pictures if modality == "image" else bank.sounds,
        of=known[:, 0],
        labels=known[:, 1],
        n_unlabelled=n_files - len(np.unique(known[:, 0])),
    )


def joined(first: Material, second: Material) -> Material:
    """Put two materials one behind the other."""
    return Material(
        inputs=torch.cat([first.inputs, second.inputs]),
        of=np.concatenate([first.of, second.of + len(first.inputs)]),
        labels=np.concatenate([first.labels, second.labels]),
        n_unlabelled=first.n_unlabelled + second.n_unlabelled,
    )
