"""VGG-16 over ImageNet-1000: torchvision's preprocessing, its files, and files that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.models import VGG16_Weights, vgg16

from encoder.errors import InputError, WeightsUnavailable
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch, WeightsRefused
from encoder.labellers.imagenet import VggLabeller, imagenet_vocabulary, vgg16_of
from encoder.labellers.imagenet import fingerprint as vgg_fingerprint


def picture(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height * width)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def some_weights() -> dict[str, Tensor]:
    """VGG-16's tensors in torchvision's layout, random, half precision: 277 MB."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {n: t.shape for n, t in vgg16(init_weights=False).state_dict().items()}

    def values(shape: torch.Size) -> Tensor:
        n_first = min(shape[0], 64)  # the wide layers repeat themselves: fewer draws
        drawn = torch.randn(n_first, *shape[1:], generator=generator)
        scale = (2 / drawn[0].numel()) ** 0.5 if len(shape) > 1 else 0.1
        repeated = (scale * drawn).half().repeat(-(-shape[0] // n_first), *[1] * (len(shape) - 1))
        return repeated[: shape[0]].contiguous()

    weights = {name: values(shape) for name, shape in shapes.items()}
    # All labels apart from each other, or their order would be a matter of rounding.
    weights["classifier.6.weight"] += torch.randn(1000, 1, generator=generator).half() / 50
    return weights


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return some_weights()


@pytest.fixture(scope="module")
def labeller(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> VggLabeller:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(weights, path)
    loaded = VggLabeller.load(path, device="cpu")
    path.unlink()
    return loaded


@pytest.mark.parametrize("size", [(300, 400), (123, 77), (256, 256), (90, 1001), (224, 225)])
def test_a_frame_is_prepared_as_torchvision_does(
    size: tuple[int, int], labeller: VggLabeller
) -> None:
    frame = picture(*size)
    theirs = VGG16_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(frame))
    prepared = torch.from_numpy(labeller.prepare(frame)).float() / 255
    ours = (prepared - labeller._mean) / labeller._std
    if max(size) <= 8 * min(size):
        torch.testing.assert_close(ours, theirs)
    else:  # only the middle of a strip is resized: the same picture, but for the sampling grid
        assert (ours - theirs).abs().mean() < 0.05


def test_a_strip_of_one_pixel_does_not_fill_the_memory(labeller: VggLabeller) -> None:
    assert labeller.prepare(np.zeros((1, 60_000, 3), np.uint8)).shape == (3, 224, 224)


def test_labels_are_the_networks_own(labeller: VggLabeller, weights: dict[str, Tensor]) -> None:
    frame = picture(240, 320)
    pixels = VGG16_Weights.IMAGENET1K_V1.transforms()(Image.fromarray(frame))
    with torch.device("meta"):
        network = vgg16(init_weights=False)
    network.load_state_dict(weights, assign=True)
    with torch.inference_mode():
        logits = network.float().eval()(pixels[None])[0]
    best = torch.softmax(logits.double(), 0).topk(10)
    prepared = [labeller.prepare(picture(80, 60)), labeller.prepare(frame)]
    said = labeller.label(prepared)
    assert said.ids[1].tolist() == best.indices.tolist()
    np.testing.assert_allclose(said.scores[1], best.values, rtol=1e-4)
    np.testing.assert_array_equal(labeller.label(prepared[:1]).scores[0], said.scores[0])
    assert (labeller.modality, labeller.rate_hz, len(labeller.version)) == ("image", 0, 64)
    with pytest.raises(InputError, match="prepare"):
        labeller.label([np.zeros((3, 64, 64), np.uint8)])


def test_names_are_in_synset_order() -> None:
    names = imagenet_vocabulary().names
    assert names == tuple(VGG16_Weights.IMAGENET1K_V1.meta["categories"])
    assert len(names) == len(set(names)) == 1000
    # https://github.com/pytorch/vision, `_meta.py`: n01440764 is the first synset, n15075141 last.
    assert (names[0], names[402], names[999]) == ("tench", "acoustic guitar", "toilet tissue")


def test_the_version_is_of_the_values_whatever_the_precision_of_the_file() -> None:
    values = {"a": torch.arange(6).reshape(2, 3).half(), "b": torch.ones(2)}
    assert vgg_fingerprint(values) == vgg_fingerprint(dict(reversed(values.items())))
    assert vgg_fingerprint(values) == vgg_fingerprint({k: v.float() for k, v in values.items()})
    assert vgg_fingerprint(values) != vgg_fingerprint({**values, "b": torch.zeros(2)})


def test_weights_of_another_network_are_refused(weights: dict[str, Tensor]) -> None:
    headless = {name: value for name, value in weights.items() if "classifier" not in name}
    with pytest.raises(LabellerDamaged, match="with its classifier"):
        vgg16_of(headless, source="w.pth")
    other = {"classifier.6.weight": torch.zeros(365, 4096), "classifier.6.bias": torch.zeros(365)}
    with pytest.raises(VocabularyMismatch, match=r"w\.pth: VGG-16 with 365 labels"):
        vgg16_of(weights | other, source="w.pth")
    narrow = {"features.0.weight": torch.zeros(16, 3, 3, 3)}
    with pytest.raises(LabellerDamaged, match=r"features\.0\.weight is \(16, 3, 3, 3\)"):
        vgg16_of(weights | narrow, source="w.pth")


def test_weights_that_are_not_there_or_are_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsUnavailable, match="no such file"):
        VggLabeller.load(tmp_path / "none.pth")
    for name in ("page.pth", "page.safetensors"):
        (tmp_path / name).write_bytes(b"<html>not weights</html>")
        with pytest.raises(WeightsRefused, match=name):
            VggLabeller.load(tmp_path / name)
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(WeightsRefused, match="table of named tensors"):
        VggLabeller.load(tmp_path / "list.pth")

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(VGG16_Weights, "get_state_dict", offline)
    with pytest.raises(WeightsUnavailable, match="cannot be downloaded"):
        VggLabeller.load(None)


class Runs:
    """Pickled, it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.mkdir, (self.folder,)  # type: ignore[return-value]


def test_a_pth_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2), "extra": Runs(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(WeightsRefused, match="nothing was executed"):
        VggLabeller.load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()
