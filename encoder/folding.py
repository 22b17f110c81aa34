"""Batch statistics folded into the layers before them: the same function, fewer passes."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from encoder.resnet import BasicBlock, ResidualTrunk
from encoder.two_stream import TwoStreamEncoder


def folded(network: TwoStreamEncoder) -> TwoStreamEncoder:
    """Return a copy for inference in which every BatchNorm has gone into its convolution.

    Its outputs differ from the network's by float32 rounding alone; the network is its slow twin.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
        elif isinstance(module, BasicBlock):
            _fold_named(module, "conv1", "bn1")
            _fold_named(module, "conv2", "bn2")
        elif isinstance(module, ResidualTrunk):
            _fold_named(module, "conv1", "bn1")
    return network


def _fold_sequence(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        layers[i], layers[i + 1] = _fold(layers[i], layers[i + 1])


def _fold_named(module: nn.Module, layer: str, norm: str) -> None:
    fused, nothing = _fold(module.get_submodule(layer), module.get_submodule(norm))
    setattr(module, layer, fused)
    setattr(module, norm, nothing)


def _fold(layer: nn.Module, norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the fused layer and nothing; anything but a layer before its BatchNorm stays."""
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
        return layer, norm
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm), nn.Identity()
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        return fuse_conv_bn_eval(layer, norm), nn.Identity()
    return layer, norm
