"""The two pairs of labellers, by name. torch is imported when one is loaded, not before."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from encoder.errors import InputError, WeightsUnavailable
from encoder.labellers.protocol import LabellerPair

PairName = Literal["shipped", "paper"]


def load_labellers(
    pair: PairName | Path = "shipped",
    *,
    image_weights: Path | None = None,
    audio_weights: Path | None = None,
    device: str = "auto",
) -> LabellerPair:
    """Load a labeller of frames and one of sounds that share a vocabulary.

    Parameters
    ----------
    pair : `shipped`; `paper`, VGG-16 and SoundNet over ImageNet-1000 (S19 §5.3); or a folder with
        `frames` and `sounds` that `python -m train.labellers` wrote.
    image_weights : of `paper`: torchvision's VGG-16, `.safetensors` or `.pth`; None asks
        torchvision, which downloads.
    audio_weights : of `paper`: what `python -m encoder.labellers.convert` wrote.

    Raises
    ------
    WeightsUnavailable : no network, no such file, or no file given where one is needed.
    LabellerDamaged, WeightsRefused : weights that are damaged or of another network.
    VocabularyMismatch : the two do not share their labels.
    InputError : no such pair or device, or weights given for a pair that brings its own.

    Examples
    --------
    >>> pair = load_labellers("shipped", device="cpu")
    >>> pair.image.vocabulary == pair.audio.vocabulary
    True
    """
    if pair == "paper":
        return _paper(image_weights, audio_weights, device)
    if image_weights is not None or audio_weights is not None:
        raise InputError(f"labellers {pair}: they bring their weights; leave the weight files out")
    if isinstance(pair, str) and pair != "shipped":
        raise InputError(f"labellers {pair!r}: unknown; use shipped, paper or a folder")
    from encoder.labellers.shipped import SHIPPED, ShippedLabeller

    folder = SHIPPED if isinstance(pair, str) else pair
    return LabellerPair(
        name="shipped" if isinstance(pair, str) else folder.name,
        image=ShippedLabeller.load(folder / "frames", device=device),
        audio=ShippedLabeller.load(folder / "sounds", device=device),
    )


def _paper(image_weights: Path | None, audio_weights: Path | None, device: str) -> LabellerPair:
    from encoder.labellers.imagenet import VggLabeller
    from encoder.labellers.soundnet import SoundNetLabeller

    if audio_weights is None:
        raise WeightsUnavailable(
            "labellers paper: SoundNet's weights are not distributed with this project; fetch "
            "sound8.npy or sound8.pth, run `python -m encoder.labellers.convert`, and give the "
            "file it writes"
        )
    return LabellerPair(
        name="paper",
        image=VggLabeller.load(image_weights, device=device),
        audio=SoundNetLabeller.load(audio_weights, device=device),
    )
