"""SoundNet-8's object head as a labeller of sounds over ImageNet-1000 (S19 §5.3).

Its weights are not distributed with this project: `encoder.labellers.convert` turns the public
files into the one that is read here. The network is `encoder.sound.SoundNet8`, whose conv8 is the
object head, and the second head of 401 scenes beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoder.embedder import sound_windows
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch
from encoder.labellers.imagenet import imagenet_vocabulary
from encoder.labellers.inference import exact_device, finite_windows, mean_over_windows
from encoder.labellers.protocol import Labelled, Modality, Prepared, best_labels
from encoder.labellers.weight_file import read_tensors
from encoder.sound import SOUNDNET_SCALE, SoundNet8

RATE_HZ = 22_050
WINDOW_S = 20.0
"""The paper's window (S19 §5.1); a shorter sound is repeated, as SoundNet's own code does."""
N_SCENES = 401
PREPROCESSING_VERSION = 1


class SoundNetHeads(SoundNet8):
    """SoundNet-8 with both heads: objects (conv8, ImageNet-1000) and scenes (Places2, 401)."""

    def __init__(self) -> None:
        super().__init__()
        self.scenes = nn.Conv1d(1024, N_SCENES, 8, stride=2)

    def scene_logits(self, waveform: Tensor) -> Tensor:
        """(B, T ≥ 209 374) → (B, 401), averaged over time as conv8 is."""
        features = self.conv1_to_7(waveform[:, None] * SOUNDNET_SCALE)
        return self.scenes(features).mean(dim=2)  # type: ignore[no-any-return]


class SoundNetLabeller:
    """Labels sounds by SoundNet's object head; safe to share between threads."""

    name = "soundnet8"
    modality: Modality = "audio"
    rate_hz = RATE_HZ

    def __init__(self, network: SoundNet8, *, version: str, device: str = "auto") -> None:
        self.device = exact_device(device)
        self.network = network.float().eval().to(self.device)
        self.version = version
        self.vocabulary = imagenet_vocabulary()

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> SoundNetLabeller:
        """Read what `python -m encoder.labellers.convert` wrote.

        Raises
        ------
        WeightsUnavailable : no such file.
        WeightsRefused : not a weight file.
        LabellerDamaged : not SoundNet-8 in our layout.
        VocabularyMismatch : its object head has another number of labels.
        """
        network, content = read_soundnet(path)
        return cls(network, version=fingerprint(content), device=device)

    def prepare(self, decoded: NDArray[Any]) -> Prepared:
        """Cut a sound (T,) into windows (n, 441 000) of 20 s; a shorter one is repeated."""
        return sound_windows(decoded, round(WINDOW_S * RATE_HZ))

    @torch.inference_mode()
    def label(self, prepared: Sequence[Prepared]) -> Labelled:
        """Label what `prepare` gave: conv8 averaged over time and windows, then the softmax."""
        logits = np.empty((len(prepared), len(self.vocabulary)), np.float32)
        for i, windows in enumerate(prepared):
            logits[i] = mean_over_windows(self.network, finite_windows(windows), self.device)
        return best_labels(logits, np.arange(len(self.vocabulary), dtype=np.int32))


def read_soundnet(path: Path) -> tuple[SoundNetHeads, bytes]:
    """Read SoundNet-8 with both heads from our layout; see `SoundNetLabeller.load`."""
    tensors = read_tensors(path)
    network = SoundNetHeads()
    check_soundnet(path, tensors, network)
    network.load_state_dict(tensors)
    return network, path.read_bytes()


def check_soundnet(path: Path, tensors: dict[str, Tensor], network: nn.Module) -> None:
    """Raise LabellerDamaged or VocabularyMismatch where tensors do not fit the network."""
    wanted = network.state_dict()
    missing, unknown = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or unknown:
        first = f"{missing[0]} is missing" if missing else f"{unknown[0]} is unknown"
        raise LabellerDamaged(
            f"{path}: not SoundNet-8 in this project's layout, for one {first}; convert the "
            "public file with `python -m encoder.labellers.convert`"
        )
    for name, tensor in sorted(tensors.items()):
        if tensor.shape == wanted[name].shape:
            continue
        found = f"{name} is {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        if name.startswith(("conv8.", "scenes.")) and tensor.shape[1:] == wanted[name].shape[1:]:
            raise VocabularyMismatch(f"{path}: a head of another number of labels: {found}")
        raise LabellerDamaged(f"{path}: weights of another network: {found}")


def fingerprint(content: bytes) -> str:
    """Return the sha256 of the weight file and the preprocessing, in hex."""
    digest = hashlib.sha256(content)
    digest.update(f"soundnet8 {RATE_HZ} Hz {WINDOW_S} s, {PREPROCESSING_VERSION}".encode())
    return digest.hexdigest()
