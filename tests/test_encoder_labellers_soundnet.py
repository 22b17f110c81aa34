"""SoundNet's public layouts, written here and converted: equal to a plain reference forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, relu

from encoder.errors import InputError, WeightsUnavailable
from encoder.labellers.convert import convert, main
from encoder.labellers.errors import LabellerDamaged, VocabularyMismatch, WeightsRefused
from encoder.labellers.soundnet import SoundNetLabeller, read_soundnet

Table = dict[str, dict[str, NDArray[Any]]]

# name, kernel, in, out, stride, padding, max-pool: `model.py` of eborboihuc/SoundNet-tensorflow.
LAYERS = (
    ("conv1", 64, 1, 16, 2, 32, 8),
    ("conv2", 32, 16, 32, 2, 16, 8),
    ("conv3", 16, 32, 64, 2, 8, 0),
    ("conv4", 8, 64, 128, 2, 4, 0),
    ("conv5", 4, 128, 256, 2, 2, 4),
    ("conv6", 4, 256, 512, 2, 2, 0),
    ("conv7", 4, 512, 1024, 2, 2, 0),
    ("conv8", 8, 1024, 1000, 2, 0, 0),
    ("conv8_2", 8, 1024, 401, 2, 0, 0),
)


@pytest.fixture(scope="module")
def table() -> Table:
    """The dictionary inside `sound8.npy`: kernels (k, 1, in, out), norms for conv1 to conv7."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    made: Table = {}
    for name, kernel, n_in, n_out, *_ in LAYERS:
        made[name] = {
            "weights": draw(kernel, 1, n_in, n_out) / np.float32(np.sqrt(kernel * n_in)),
            "biases": draw(n_out) / 10,
        }
        if not name.startswith("conv8"):
            made[name] |= {
                "gamma": 1 + draw(n_out) / 10,
                "beta": draw(n_out) / 10,
                "mean": draw(n_out) / 10,
                "var": 1 + rng.random(n_out, dtype=np.float32),
            }
    return made


def plain_forward(table: Table, waveform: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """SoundNet-tensorflow's graph, step by step: (objects, scenes), each (n_steps, n)."""
    x = torch.from_numpy(waveform)[None, None, :, None] * 256.0
    heads = []
    for name, _, _, _, stride, padding, pool in LAYERS:
        part = {key: torch.from_numpy(values) for key, values in table[name].items()}
        kernel = part["weights"].permute(3, 2, 0, 1)
        y = conv2d(x, kernel, part["biases"], (stride, 1), (padding, 0))
        if name.startswith("conv8"):
            heads.append(y[0, :, :, 0].T)
            continue
        spread = torch.sqrt(part["var"] + 1e-5)
        y = (y - part["mean"].view(1, -1, 1, 1)) / spread.view(1, -1, 1, 1)
        y = relu(y * part["gamma"].view(1, -1, 1, 1) + part["beta"].view(1, -1, 1, 1))
        x = max_pool2d(y, (pool, 1)) if pool else y
    return heads[0], heads[1]


def as_state_dict(
    table: Table, conv: str, norm: str, objects: str, scenes: str
) -> dict[str, Tensor]:
    """The same weights under the names of a PyTorch port, kernels (out, in, k, 1)."""
    parts = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
    state: dict[str, Tensor] = {}
    for n, (name, layer) in enumerate(table.items(), start=1):
        theirs = {"conv8": objects, "conv8_2": scenes}.get(name, conv.format(n))
        kernel = torch.from_numpy(layer["weights"]).permute(3, 2, 0, 1)
        state[f"{theirs}.weight"] = kernel.contiguous()
        state[f"{theirs}.bias"] = torch.from_numpy(layer["biases"])
        for here, there in parts.items():
            if here in layer:
                state[f"{norm.format(n)}.{there}"] = torch.from_numpy(layer[here])
                state[f"{norm.format(n)}.num_batches_tracked"] = torch.tensor(100)
    return state


SOUNDNET_PYTORCH = ("conv{}.0", "conv{}.1", "conv8.0", "conv8_2.0")
"""Names of smallflyingpig/SoundNet_Pytorch, `pytorch_model.py`."""
PYTORCH_SOUNDNET = ("conv{}", "batchnorm{}", "conv8_objs", "conv8_scns")
"""Names of keunhong/pytorch-soundnet, `soundnet.py`."""


def write_npy(path: Path, table: Any) -> Path:
    np.save(path, table, allow_pickle=True)
    return path


@pytest.fixture(scope="module")
def converted(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soundnet")
    source = write_npy(folder / "sound8.npy", table)
    done = convert(source, folder / "sound8.safetensors")
    assert done.layout == "sound8.npy"
    assert done.n_bytes == done.path.stat().st_size
    return done.path


def noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, round(seconds * 22_050)).astype(np.float32)


def test_the_public_npy_computes_what_its_own_graph_does(table: Table, converted: Path) -> None:
    waveform = noise(10.0)
    objects, scenes = plain_forward(table, waveform)
    network, _ = read_soundnet(converted)
    with torch.inference_mode():
        x = torch.from_numpy(waveform)[None]
        torch.testing.assert_close(network.eval().steps(x)[0].T, objects, rtol=1e-4, atol=1e-4)
        theirs = scenes.mean(dim=0)
        torch.testing.assert_close(network.scene_logits(x)[0], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("names", [SOUNDNET_PYTORCH, PYTORCH_SOUNDNET])
def test_the_pytorch_layouts_give_the_same_file(
    names: tuple[str, str, str, str], table: Table, converted: Path, tmp_path: Path
) -> None:
    torch.save(as_state_dict(table, *names), tmp_path / "sound8.pth")
    done = convert(tmp_path / "sound8.pth", tmp_path / "ours.safetensors")
    assert done.path.read_bytes() == converted.read_bytes()


def test_labels_are_conv8_averaged_over_time_and_windows(table: Table, converted: Path) -> None:
    labeller = SoundNetLabeller.load(converted, device="cpu")
    waveform = noise(25.0)
    prepared = labeller.prepare(waveform)
    assert prepared.shape == (2, 441_000)
    windows = [plain_forward(table, w)[0].mean(dim=0) for w in prepared]
    logits = torch.stack(windows).mean(dim=0).double()
    best = torch.softmax(logits, 0).topk(10)
    said = labeller.label([labeller.prepare(noise(3.0, seed=1)), prepared])
    assert said.ids[1].tolist() == best.indices.tolist()
    np.testing.assert_allclose(said.scores[1], best.values, rtol=1e-3)
    np.testing.assert_array_equal(labeller.label([prepared]).scores[0], said.scores[1])
    assert (labeller.modality, labeller.rate_hz) == ("audio", 22_050)
    assert len(labeller.vocabulary) == 1000
    with pytest.raises(InputError, match="NaN"):
        labeller.label([np.full((1, 441_000), np.nan, np.float32)])


def test_files_that_are_not_soundnet_are_refused(table: Table, tmp_path: Path) -> None:
    def npy(changed: Any) -> Path:
        return write_npy(tmp_path / "changed.npy", changed)

    small: Table = {k: v for k, v in table.items() if not k.startswith("conv8")}
    out = tmp_path / "out.safetensors"
    with pytest.raises(WeightsRefused, match="layer conv8 is missing"):
        convert(npy(small), out)
    partial = {k: v for k, v in table["conv3"].items() if k != "mean"}
    with pytest.raises(WeightsRefused, match="conv3: mean is missing or unknown"):
        convert(npy(table | {"conv3": partial}), out)
    with pytest.raises(WeightsRefused, match=r"not \(k, 1, in, out\)"):
        convert(npy(table | {"conv1": table["conv1"] | {"weights": np.zeros((64, 16), "f4")}}), out)
    fewer = {"weights": table["conv8"]["weights"][..., :50], "biases": np.zeros(50, "f4")}
    with pytest.raises(VocabularyMismatch, match=r"conv8\.\w+ is \(50"):
        convert(npy(table | {"conv8": fewer}), out)
    thin = table["conv7"] | {"weights": table["conv7"]["weights"][:2]}
    with pytest.raises(LabellerDamaged, match="weights of another network"):
        convert(npy(table | {"conv7": thin}), out)
    spoilt = {"weights": table["conv8"]["weights"], "biases": np.full(1000, np.nan, "f4")}
    with pytest.raises(WeightsRefused, match=r"conv8\.bias holds NaN"):
        convert(npy(table | {"conv8": spoilt}), out)
    assert not out.exists(), "nothing was written"


def test_batch_statistics_that_were_lost_are_noticed(table: Table, tmp_path: Path) -> None:
    """A port that copies the convolutions alone leaves its norms as they are made: 0 and 1."""
    state = as_state_dict(table, *PYTORCH_SOUNDNET)
    for name in state:
        if name.endswith("running_mean"):
            state[name] = torch.zeros_like(state[name])
    torch.save(state, tmp_path / "s.pth")
    with pytest.raises(WeightsRefused, match="batch statistics were lost"):
        convert(tmp_path / "s.pth", tmp_path / "o.safetensors")


def test_unknown_layouts_and_suffixes(tmp_path: Path, converted: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no such file"):
        convert(tmp_path / "none.npy", tmp_path / "o.safetensors")
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsRefused, match=r"known layouts .* layer\.weight"):
        convert(tmp_path / "other.pth", tmp_path / "o.safetensors")
    torch.save({"conv1.0.weight": torch.zeros(16, 1, 64, 1)}, tmp_path / "part.pth")
    with pytest.raises(WeightsRefused, match=r"conv1\.0\.bias is missing"):
        convert(tmp_path / "part.pth", tmp_path / "o.safetensors")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(WeightsRefused, match="state_dict"):
        convert(tmp_path / "module.pth", tmp_path / "o.safetensors")
    with pytest.raises(WeightsRefused, match="written as safetensors"):
        convert(converted, tmp_path / "o.npy")


def test_loading_wants_our_layout_whole(tmp_path: Path, converted: Path) -> None:
    tensors = load_file(converted)
    path = tmp_path / "s.safetensors"
    save_file({k: v for k, v in tensors.items() if k != "scenes.bias"}, path)
    with pytest.raises(LabellerDamaged, match=r"scenes\.bias is missing.*convert"):
        SoundNetLabeller.load(path)
    save_file(tensors | {"conv8.bias": torch.zeros(7)}, path)
    with pytest.raises(VocabularyMismatch, match=r"conv8\.bias is \(7,\)"):
        SoundNetLabeller.load(path)
    path.write_bytes(converted.read_bytes()[:-1000])
    with pytest.raises(WeightsRefused, match=r"s\.safetensors"):
        SoundNetLabeller.load(path)


def test_the_command(tmp_path: Path, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_npy(tmp_path / "sound8.npy", table), tmp_path / "o.safetensors"
    assert main([str(source), str(target)]) == 0
    assert "from the layout sound8.npy" in capsys.readouterr().out
    assert main([str(tmp_path / "none.npy"), str(target)]) == 2
    assert "no such file" in capsys.readouterr().err
