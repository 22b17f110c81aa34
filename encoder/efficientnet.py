"""EfficientNet-Lite0 to stride 16, for the visual stream (Tan and Le 2019; Google's Lite variant).

The Lite variant has no squeeze-and-excitation, and ReLU6 in place of swish: what runs well on
processors. Stage 6 keeps its resolution and dilates instead, so that a cell is 16 pixels wide.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PIXEL_MEAN, PIXEL_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""What the published weights expect of pixels in [0, 1]."""
STEM_WIDTH = 32
AT_ONCE = 16
"""Frames that evaluation takes together: their wide layers still lie in a processor's cache, and 64
at once took more than twice the time."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one shape: expansion, kernel, stride of the first, dilations, width, repeats."""

    expand: int
    kernel: int
    stride: int
    n_out: int
    repeats: int
    first_dilation: int = 1
    dilation: int = 1


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 1, 192, 4, dilation=2),  # stride 2 in the classifier
    Stage(6, 3, 1, 320, 1, first_dilation=2, dilation=2),
)
FIFTH = 4
N_TO_FIFTH = sum(stage.repeats for stage in STAGES[: FIFTH + 1])
PUBLISHED_NORMS = {"stem": "_bn0", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}


class MBConv(nn.Module):
    """Mobile inverted bottleneck (Sandler et al. 2018): widen, one filter per channel, narrow."""

    def __init__(self, n_in: int, stage: Stage, stride: int, dilation: int) -> None:
        super().__init__()
        n_mid = n_in * stage.expand
        self.expand = conv_bn(n_in, n_mid, 1) if stage.expand > 1 else nn.Identity()
        self.depthwise = conv_bn(
            n_mid, n_mid, stage.kernel, stride=stride, dilation=dilation, groups=n_mid
        )
        self.project = conv_bn(n_mid, stage.n_out, 1)
        self.relu = nn.ReLU6(inplace=True)
        self.has_shortcut = stride == 1 and n_in == stage.n_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) → (B, n_out, H/stride, W/stride); sides divide by the stride."""
        wide = x if isinstance(self.expand, nn.Identity) else self.relu(self.expand(x))
        out: Tensor = self.project(self.relu(self.depthwise(wide)))
        return out + x if self.has_shortcut else out


class EfficientNetLite(nn.Module):
    """Stem and seven stages at stride 16; `n_out` is 320, or 432.

    Parameters
    ----------
    fifth_too : give the fifth stage's 112 channels behind the last one's 320. That stage comes
        before the dilated ones: it sees less far, and its edges are sharper.
    """

    def __init__(self, *, fifth_too: bool = False) -> None:
        super().__init__()
        self.fifth_too, self.at_once = fifth_too, AT_ONCE
        self.stem = conv_bn(3, STEM_WIDTH, 3, stride=2)
        self.relu = nn.ReLU6(inplace=True)
        blocks, n_in = [], STEM_WIDTH
        for stage in STAGES:
            for i in range(stage.repeats):
                stride, dilation = (
                    (1, stage.dilation) if i else (stage.stride, stage.first_dilation)
                )
                blocks.append(MBConv(n_in, stage, stride, dilation))
                n_in = stage.n_out
        self.blocks = nn.Sequential(*blocks)
        self.n_out = n_in + (STAGES[FIFTH].n_out if fifth_too else 0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, n_out, H/16, W/16); H and W divide by 16."""
        if self.training or len(x) <= self.at_once:
            return self._together(x)
        return torch.cat([self._together(part) for part in x.split(self.at_once)])

    def _together(self, x: Tensor) -> Tensor:
        fifth: Tensor = self.blocks[:N_TO_FIFTH](self.relu(self.stem(x)))
        last: Tensor = self.blocks[N_TO_FIFTH:](fifth)
        return torch.cat([last, fifth], dim=1) if self.fifth_too else last


def conv_bn(
    n_in: int, n_out: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution padded as TensorFlow pads it ("same") and batch statistics."""
    both = dilation * (kernel - 1)
    layers: dict[str, nn.Module] = {}
    if stride == 2:  # of an even side the padding is uneven: one less at the start
        first = (both - 1) // 2
        layers["pad"] = nn.ZeroPad2d((first, both - 1 - first, first, both - 1 - first))
    layers["conv"] = nn.Conv2d(
        n_in,
        n_out,
        kernel,
        stride=stride,
        padding=0 if stride == 2 else both // 2,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    layers["norm"] = nn.BatchNorm2d(n_out, eps=1e-3)
    return nn.Sequential(OrderedDict(layers))


def published_names(trunk: EfficientNetLite) -> list[tuple[str, str]]:
    """Names of the trunk's tensors, each with its name in the published PyTorch port.

    >>> published_names(EfficientNetLite())[0]
    ('stem.conv.weight', '_conv_stem.weight')
    """
    return [(name, _published_name(name)) for name in trunk.state_dict()]


def _published_name(name: str) -> str:
    *block, part, layer, tensor = name.split(".")
    prefix = f"_blocks.{block[1]}." if block else ""
    conv = "_conv_stem" if part == "stem" else f"_{part}_conv"
    return f"{prefix}{conv if layer == 'conv' else PUBLISHED_NORMS[part]}.{tensor}"
