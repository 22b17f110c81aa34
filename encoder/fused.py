"""EfficientNet's convolutions with their padding and ReLU6 in one pass of oneDNN, for processors.

The operator is the one that `torch.compile` writes for them; nothing is compiled here. Taken singly
the passes are bound by memory, and for few frames on one thread PyTorch leaves oneDNN altogether.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from encoder.efficientnet import EfficientNetLite
from encoder.two_stream import TwoStreamEncoder

AT_ONCE = 4
"""Frames taken together: 9.1 ms each at 224 px on one core, 12.0 singly; 16 at once outgrow what a
thread's heap keeps, and every pass then pays for fresh pages (12.6)."""


class FusedConv(nn.Module):
    """A convolution, and ReLU6 after it where `relu6` is set.

    Parameters
    ----------
    layer : what `folding.folded` made of an EfficientNet's layer: perhaps zero padding, a `conv`
        with bias, nothing in place of its batch statistics.
    """

    def __init__(self, layer: nn.Sequential, *, relu6: bool) -> None:
        super().__init__()
        conv = layer.get_submodule("conv")
        assert isinstance(conv, nn.Conv2d)
        weight, self.padding = conv.weight.detach(), list(map(int, conv.padding))
        for module in layer:
            if isinstance(module, nn.ZeroPad2d):
                weight, self.padding = _padding_within(weight, module)
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), conv.bias
        self.stride, self.dilation = list(conv.stride), list(conv.dilation)
        self.groups = conv.groups
        self.activation = ("hardtanh", [0.0, 6.0], "") if relu6 else ("none", [], "")

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) → (B, n_out, H/stride, W/stride); sides divide by the stride."""
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            self.weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            *self.activation,
        )
        return fused


def can_fuse(device: torch.device) -> bool:
    """Tell whether oneDNN runs there: on processors, in builds of PyTorch that have it."""
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


def fuse(network: TwoStreamEncoder) -> None:
    """Fuse, in place, the EfficientNet of a network that `folding.folded` gave, if it has one.

    Its outputs differ from the folded network's by float32 rounding alone.
    """
    for module in network.modules():
        if isinstance(module, EfficientNetLite):
            _fuse_trunk(module)


def _fuse_trunk(trunk: EfficientNetLite) -> None:
    trunk.at_once = AT_ONCE
    _fuse_layers(trunk, {"stem": True})
    for block in trunk.blocks:
        _fuse_layers(block, {"expand": True, "depthwise": True, "project": False})


def _fuse_layers(module: nn.Module, has_relu6: dict[str, bool]) -> None:
    """Replace the layers of these names, and the module's own ReLU6."""
    for name, relu6 in has_relu6.items():
        layer = module.get_submodule(name)
        if isinstance(layer, nn.Sequential):  # nothing expands in the first block
            setattr(module, name, FusedConv(layer, relu6=relu6))
    module.relu = nn.Identity()


def _padding_within(weight: Tensor, padding: nn.ZeroPad2d) -> tuple[Tensor, list[int]]:
    """Weights with a row and a column of zeros in front, so that all sides are padded alike.

    Padding is one less at the start: the zeros meet the first pixel of what is added there.
    """
    before, after = padding.padding[:2]
    assert after == before + 1
    return pad(weight, (1, 0, 1, 0)), [after, after]
