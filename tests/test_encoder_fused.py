"""The fused EfficientNet against the folded one, its slow twin, and against the network itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, relu6

from encoder.config import compact
from encoder.efficientnet import EfficientNetLite, conv_bn
from encoder.embedder import Embedder
from encoder.folding import folded
from encoder.fused import AT_ONCE, FusedConv, can_fuse, fuse
from encoder.two_stream import TwoStreamEncoder

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not can_fuse(CPU), reason="this PyTorch has no oneDNN")


def with_lively_norms(network: TwoStreamEncoder) -> TwoStreamEncoder:
    """Draw batch statistics, so that folding has something to fold and ReLU6 cuts both ways."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 3.0)
            nn.init.normal_(module.bias, std=0.5)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["last stage", "fifth too"])
def network(request: pytest.FixtureRequest) -> TwoStreamEncoder:
    config = replace(compact(), visual_fifth_too=request.param)
    return with_lively_norms(TwoStreamEncoder(config))


@pytest.mark.parametrize("n_frames", [1, AT_ONCE + 1])
@torch.inference_mode()
def test_fusing_keeps_the_function(network: TwoStreamEncoder, n_frames: int) -> None:
    frames = torch.rand(n_frames, 3, 96, 128)
    slow, fast = folded(network), folded(network)
    fuse(fast)
    torch.testing.assert_close(
        fast.encode_frame(frames), slow.encode_frame(frames), rtol=1e-4, atol=1e-4
    )
    likeness = cosine_similarity(fast.encode_frame(frames), network.encode_frame(frames), dim=2)
    assert likeness.min() > 1 - 1e-5


@torch.inference_mode()
def test_a_frame_is_the_same_alone_and_in_company(network: TwoStreamEncoder) -> None:
    frames = torch.rand(2 * AT_ONCE + 1, 3, 64, 64)
    fast = folded(network)
    fuse(fast)
    alone = torch.cat([fast.encode_frame(frame[None]) for frame in frames])
    torch.testing.assert_close(fast.encode_frame(frames), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_a_fused_layer_pads_convolves_and_cuts(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = conv_bn(8, 8, kernel, stride=stride, groups=8)
    conv = layer.get_submodule("conv")
    conv.bias, layer.norm = nn.Parameter(torch.randn(8)), nn.Identity()
    x = 20 * torch.randn(2, 8, 12, 20)
    expected = layer(x)
    assert expected.min() < 0 < 6 < expected.max()
    fused, cut = FusedConv(layer, relu6=False), FusedConv(layer, relu6=True)
    torch.testing.assert_close(fused(x), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(cut(x), relu6(expected), rtol=1e-5, atol=1e-4)


def test_an_embedder_on_a_processor_runs_fused_layers_alone() -> None:
    embedder = Embedder(TwoStreamEncoder(compact()), name="compact", device="cpu")
    trunks = [m for m in embedder.network.modules() if isinstance(m, EfficientNetLite)]
    (trunk,) = trunks
    assert not any(isinstance(m, nn.Conv2d | nn.ReLU6) for m in trunk.modules())
    assert sum(isinstance(m, FusedConv) for m in trunk.modules()) == 1 + 2 + 3 * 15


def test_fusing_leaves_the_given_network_alone(network: TwoStreamEncoder) -> None:
    before = list(network.state_dict())
    fuse(folded(network))
    assert list(network.state_dict()) == before
