"""VGG-16 over ImageNet-1000 as a labeller of frames (S19 §5.3), in torchvision's layout."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from encoder.errors import InputError, WeightsUnavailable
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch
from encoder.labellers.inference import check_frame, exact_device
from encoder.labellers.protocol import Labelled, Modality, Prepared, Vocabulary, best_labels
from encoder.labellers.weight_file import read_tensors
from encoder.visual import IMAGENET_MEAN, IMAGENET_STD

N_OBJECTS = 1000
SHORT_SIDE_PX, CROP_PX = 256, 224
"""As torchvision evaluates VGG-16: the shorter side to 256, then the middle 224 × 224."""
MAX_ASPECT = 8
"""Of a longer strip only the middle is resized; the middle 224 pixels come from it either way."""
PREPROCESSING_VERSION = 1


def imagenet_vocabulary() -> Vocabulary:
    """Return the 1000 names of ImageNet in synset order, which SoundNet's object head shares."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES  # torchvision is slow to import

    return Vocabulary("imagenet-1000", tuple(_IMAGENET_CATEGORIES))


class VggLabeller:
    """Labels frames by VGG-16; safe to share between threads."""

    name = "vgg16"
    modality: Modality = "image"
    rate_hz = 0

    def __init__(self, network: nn.Module, *, version: str, device: str = "auto") -> None:
        self.device = exact_device(device)
        self.network = network.float().eval().to(self.device)
        self.version = version
        self.vocabulary = imagenet_vocabulary()
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(3, 1, 1)

    @classmethod
    def load(cls, path: Path | None, *, device: str = "auto") -> VggLabeller:
        """Read torchvision's VGG-16 (`.safetensors` or `.pth`); None asks torchvision for it.

        Raises
        ------
        WeightsUnavailable : no network, or no such file.
        WeightsRefused : not a weight file.
        LabellerDamaged : weights of another network.
        VocabularyMismatch : a head of another number of labels.
        """
        tensors = _download() if path is None else read_tensors(path)
        network = vgg16_of(tensors, source="torchvision" if path is None else str(path))
        return cls(network, version=fingerprint(tensors), device=device)

    def prepare(self, decoded: NDArray[Any]) -> Prepared:
        """(H, W, 3) uint8 → the middle (3, 224, 224) of it, its shorter side brought to 256."""
        picture = Image.fromarray(_middle(check_frame(decoded)))
        width, height = picture.size
        short = min(width, height)
        size = (SHORT_SIDE_PX * width // short, SHORT_SIDE_PX * height // short)
        resized = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
        # torchvision rounds the odd pixel as Python does: to the even neighbour.
        top, left = (round((side - CROP_PX) / 2) for side in resized.shape[:2])
        middle = resized[top : top + CROP_PX, left : left + CROP_PX]
        return np.ascontiguousarray(middle.transpose(2, 0, 1))

    @torch.inference_mode()
    def label(self, prepared: Sequence[Prepared]) -> Labelled:
        """Label what `prepare` gave, one frame at a time."""
        logits = np.empty((len(prepared), N_OBJECTS), np.float32)
        for i, pixels in enumerate(prepared):
            if pixels.dtype != np.uint8 or pixels.shape != (3, CROP_PX, CROP_PX):
                raise InputError(
                    f"frame: {pixels.dtype} {pixels.shape}; give what prepare returned"
                )
            frame = torch.from_numpy(pixels[None]).to(self.device).float() / 255
            logits[i] = self.network((frame - self._mean) / self._std)[0].cpu().numpy()
        return best_labels(logits, np.arange(N_OBJECTS, dtype=np.int32))


def _middle(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the ends off a strip: one pixel by thousands would be resized to gigabytes."""
    height, width = frame.shape[:2]
    longest = MAX_ASPECT * min(height, width)
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return frame[top : top + longest, left : left + longest]


def vgg16_of(tensors: dict[str, Tensor], *, source: str) -> nn.Module:
    """Return VGG-16 with these weights; raises LabellerDamaged or VocabularyMismatch."""
    from torchvision.models import vgg16

    with torch.device("meta"):  # 138 million weights are not made to be thrown away
        network = vgg16(weights=None, init_weights=False)
    wanted = network.state_dict()
    head = tensors.get("classifier.6.weight")
    for name in sorted(wanted):
        if name not in tensors or tensors[name].shape == wanted[name].shape:
            continue
        if name.startswith("classifier.6.") and head is not None and head.shape[1:] == (4096,):
            raise VocabularyMismatch(
                f"{source}: VGG-16 with {len(head)} labels; ImageNet-1000 needs {N_OBJECTS}"
            )
        raise LabellerDamaged(
            f"{source}: not VGG-16: {name} is {tuple(tensors[name].shape)} instead of "
            f"{tuple(wanted[name].shape)}; give torchvision's VGG-16"
        )
    if differing := sorted(set(wanted) ^ set(tensors)):
        raise LabellerDamaged(
            f"{source}: not VGG-16 with its classifier, for one {differing[0]}; give torchvision's "
            "whole state_dict()"
        )
    network.load_state_dict(tensors, assign=True)
    return network  # type: ignore[no-any-return]


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """Return the sha256 of weights and preprocessing, in hex; the same for every file format."""
    digest = hashlib.sha256(f"vgg16 {SHORT_SIDE_PX} {CROP_PX}, {PREPROCESSING_VERSION}".encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _download() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights

    try:
        return dict(VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise WeightsUnavailable(
            f"VGG-16's weights: cannot be downloaded ({error}); fetch them elsewhere and give the "
            "file's path"
        ) from None
