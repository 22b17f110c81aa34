"""ImageNet weights for the visual stream, from torchvision or from a file."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import ResNet18_Weights, VGG16_Weights

from encoder.errors import WeightsUnavailable
from encoder.two_stream import TwoStreamEncoder


def initialise_visual(network: TwoStreamEncoder, source: str | Path) -> None:
    """Put ImageNet weights into the visual stream of a network (S19 §5.1 starts from them).

    Parameters
    ----------
    source : `imagenet` asks torchvision, which downloads; else a `.safetensors` or `.pth` file in
        torchvision's layout of VGG-16 or ResNet-18.

    Raises
    ------
    WeightsUnavailable : no network, no such file, or weights of another architecture.
    """
    weights = _download(network) if source == "imagenet" else _read(Path(source))
    is_vgg = network.config.visual == "vgg16"
    prefix = "features." if is_vgg else ""
    # A ResNet's projection to 512 has no counterpart in torchvision and keeps its own weights.
    target = network.visual.trunk if is_vgg else network.visual.trunk[0]
    wanted = target.state_dict()
    found = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix) and key.removeprefix(prefix) in wanted
    }
    missing = sorted(
        key for key, value in wanted.items() if key not in found or found[key].shape != value.shape
    )
    if missing:
        raise WeightsUnavailable(
            f"{source}: does not fit the {network.config.visual} stream, for one {missing[0]}; "
            "give VGG-16 or ResNet-18 in torchvision's layout"
        )
    target.load_state_dict(found)


def _download(network: TwoStreamEncoder) -> dict[str, Tensor]:
    enum = VGG16_Weights if network.config.visual == "vgg16" else ResNet18_Weights
    try:
        return dict(enum.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise WeightsUnavailable(
            f"ImageNet weights: cannot be downloaded ({error}); "
            "fetch them elsewhere and give the file's path"
        ) from None


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # weights_only restricts the unpickler to tensors: nothing in the file is executed.
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise WeightsUnavailable(f"{path}: no such file; check the path") from None
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsUnavailable(f"{path}: not a weight file: {reason}") from None
