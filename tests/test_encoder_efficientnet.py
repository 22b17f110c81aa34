"""EfficientNet-Lite0 at stride 16 against the same weights run plainly at stride 32."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu6

from encoder.config import compact
from encoder.efficientnet import STAGES, EfficientNetLite, MBConv, published_names
from encoder.folding import folded
from encoder.two_stream import TwoStreamEncoder

N_BLOCKS = 16
STRIDE_2_BLOCKS = (1, 3, 5, 11)
"""Blocks that halve the sides in the published classifier (Tan and Le 2019, Table 1)."""


@pytest.fixture(scope="module")
def trunk() -> EfficientNetLite:
    torch.manual_seed(0)
    trunk = EfficientNetLite()
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return trunk.eval()


def as_tensorflow_pads(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad "same": ⌈n/stride⌉ outputs a side, what is odd of the padding at the end."""
    sides = []
    for n in (x.shape[3], x.shape[2]):
        whole = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
        sides += [whole // 2, whole - whole // 2]
    return pad(x, sides)


def plain(layer: nn.Sequential, x: Tensor, stride: int) -> Tensor:
    """Convolution and batch statistics, written out."""
    conv, norm = layer.conv, layer.norm
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    x = as_tensorflow_pads(x, conv.kernel_size[0], stride)
    x = conv2d(x, conv.weight, stride=stride, groups=conv.groups)
    columns = [
        t.view(1, -1, 1, 1) for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    ]
    mean, variance, weight, bias = columns
    return (x - mean) / (variance + norm.eps).sqrt() * weight + bias


def at_stride_32(trunk: EfficientNetLite, x: Tensor) -> Tensor:
    """Run the classifier's own trunk: no dilation, five halvings."""
    x = relu6(plain(trunk.stem, x, 2))
    for i, block in enumerate(trunk.blocks):
        assert isinstance(block, MBConv)
        wide = x
        if isinstance(block.expand, nn.Sequential):
            wide = relu6(plain(block.expand, x, 1))
        out = relu6(plain(block.depthwise, wide, 2 if i in STRIDE_2_BLOCKS else 1))
        out = plain(block.project, out, 1)
        x = out + x if out.shape == x.shape else out
    return x


@torch.inference_mode()
def test_every_other_cell_is_the_published_network(trunk: EfficientNetLite) -> None:
    """Dilation in place of the last stride computes the same, at every place between too."""
    x = torch.randn(2, 3, 96, 128)
    fine, coarse = trunk(x), at_stride_32(trunk, x)
    assert fine.shape == (2, 320, 6, 8)
    assert coarse.shape == (2, 320, 3, 4)
    torch.testing.assert_close(fine[:, :, 1::2, 1::2], coarse, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_fifth_stage_comes_behind_the_last(trunk: EfficientNetLite) -> None:
    both = EfficientNetLite(fifth_too=True).eval()
    both.load_state_dict(trunk.state_dict())
    x = torch.randn(2, 3, 64, 96)
    fifth = []
    with both.blocks[10].register_forward_hook(lambda *args: fifth.append(args[2])):
        found = both(x)
    assert both.n_out == found.shape[1] == 320 + 112
    torch.testing.assert_close(found[:, :320], trunk(x))
    assert torch.equal(found[:, 320:], fifth[0])


def test_shapes_of_the_stages(trunk: EfficientNetLite) -> None:
    assert len(trunk.blocks) == sum(stage.repeats for stage in STAGES) == N_BLOCKS
    # 4 652 008 of the classifier (Google's Lite0) without conv_head, its norm and the last layer
    assert sum(w.numel() for w in trunk.parameters()) == 4_652_008 - 320 * 1280 - 2560 - 1_281_000


def test_published_names_are_distinct(trunk: EfficientNetLite) -> None:
    names = dict(published_names(trunk))
    assert len(set(names.values())) == len(names) == len(trunk.state_dict())
    assert names["blocks.0.depthwise.conv.weight"] == "_blocks.0._depthwise_conv.weight"
    assert names["blocks.15.project.norm.running_var"] == "_blocks.15._bn2.running_var"


@torch.inference_mode()
@pytest.mark.parametrize("fifth_too", [False, True])
def test_folding_keeps_the_function(fifth_too: bool) -> None:
    network = TwoStreamEncoder(replace(compact(), visual_fifth_too=fifth_too)).eval()
    frame = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        folded(network).encode_frame(frame), network.encode_frame(frame), rtol=1e-4, atol=1e-4
    )
