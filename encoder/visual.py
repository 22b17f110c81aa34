"""The visual streams: a frame to one 512-vector per cell of 16 × 16 pixels (S19 §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encoder.config import STRIDE_PX, D, TwoStreamConfig
from encoder.efficientnet import PIXEL_MEAN, PIXEL_STD, EfficientNetLite
from encoder.resnet import ResidualTrunk

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VisualStream(nn.Module):
    """Frames in [0, 1] to visual maps; the trunk is chosen by the configuration."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: TwoStreamConfig) -> None:
        super().__init__()
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if config.visual == "efficientnet":
            mean, std = PIXEL_MEAN, PIXEL_STD
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.trunk = vgg16_trunk(config) if config.visual == "vgg16" else projected_trunk(config)

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 512, ⌊H/16⌋, ⌊W/16⌋).

        Sides are cut to multiples of 16 first, so that a cell is the same 16 pixels everywhere.
        """
        height, width = (side - side % STRIDE_PX for side in frame.shape[-2:])
        frame = (frame[..., :height, :width] - self.mean) / self.std
        return self.trunk(frame.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def vgg16_trunk(config: TwoStreamConfig) -> nn.Sequential:
    """Return VGG-16 to conv5_3, with its ReLU unless the configuration takes it off."""
    from torchvision.models import vgg16  # slow to import, and only this preset needs it

    n_layers = 30 if config.relu_after_conv5_3 else 29
    features = vgg16(weights=None).features[:n_layers]
    assert isinstance(features, nn.Sequential)
    return features


def projected_trunk(config: TwoStreamConfig) -> nn.Sequential:
    """Return a trunk at stride 16, a linear projection to 512 and a centring.

    The projection has no ReLU: cosines of non-negative vectors are all high, and attention that is
    driven by them starts flat and stays flat.
    """
    trunk = (
        EfficientNetLite(fifth_too=config.visual_fifth_too)
        if config.visual == "efficientnet"
        else ResidualTrunk(3, config.visual_width, config.visual_blocks, last_stride=1)
    )
    return nn.Sequential(trunk, nn.Conv2d(trunk.n_out, D, 1, bias=False), nn.BatchNorm2d(D))
