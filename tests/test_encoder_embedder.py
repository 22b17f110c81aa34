"""Inference: preparation, windows, invariance, checkpoints on disk, heat maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from encoder.checkpoint import load_checkpoint, save_checkpoint
from encoder.config import TwoStreamConfig, compact, tiny
from encoder.embedder import Embedder, choose_device
from encoder.errors import CheckpointError, InputError
from encoder.heatmap import heatmap, overlay, resize_map
from encoder.two_stream import TwoStreamEncoder

WINDOW = 22_050


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(TwoStreamEncoder(tiny()), name="tiny", device="cpu")


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(n_samples) / 10).astype(np.float32)


def picture(seed: int = 0, size: tuple[int, int] = (48, 90)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


def test_a_short_sound_is_tiled(embedder: Embedder) -> None:
    sound = noise(WINDOW // 3)
    windows = embedder.prepare_sound(sound)
    assert windows.shape == (1, WINDOW)
    np.testing.assert_array_equal(windows[0, : len(sound)], sound)
    np.testing.assert_array_equal(windows[0, len(sound) : 2 * len(sound)], sound)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5 * WINDOW))
def test_windows_hear_every_sample(n_samples: int) -> None:
    embedder = Embedder(TwoStreamEncoder(tiny()), name="tiny", fingerprint="f", device="cpu")
    sound = np.arange(1, n_samples + 1, dtype=np.float32)
    windows = embedder.prepare_sound(sound)
    assert windows.shape[1] == WINDOW
    assert set(np.unique(windows)) == set(sound)
    assert len(windows) == max(1, -(-n_samples // WINDOW))


def test_a_long_sound_is_the_average_of_its_windows(embedder: Embedder) -> None:
    sound = noise(3 * WINDOW)
    whole = embedder.embed_sounds([embedder.prepare_sound(sound)])
    with torch.inference_mode():
        parts = embedder.network.encode_sound(torch.from_numpy(sound.reshape(3, WINDOW))).f_s
        h = embedder.network.context(parts.mean(dim=0))
    mean = parts.mean(dim=0)
    np.testing.assert_allclose(whole.f_s[0], (mean / mean.norm()).numpy(), atol=1e-6)
    np.testing.assert_allclose(whole.h[0], h.numpy(), atol=1e-6)


def test_embeddings_do_not_depend_on_batch_mates_or_order(embedder: Embedder) -> None:
    frames = [embedder.prepare_frame(picture(i)) for i in range(5)]
    sounds = [embedder.prepare_sound(noise(n, n)) for n in (4000, WINDOW, 2 * WINDOW + 7, 9000)]
    together, reversed_ = embedder.embed_frames(frames), embedder.embed_frames(frames[::-1])
    alone = embedder.embed_frames(frames[3:4])
    assert together.coarse[3] @ alone.coarse[0] > 1 - 1e-5
    assert together.coarse[3] @ reversed_.coarse[1] > 1 - 1e-5
    all_sounds, one = embedder.embed_sounds(sounds), embedder.embed_sounds(sounds[2:3])
    assert all_sounds.f_s[2] @ one.f_s[0] > 1 - 1e-5
    np.testing.assert_allclose(all_sounds.h[2], one.h[0], atol=1e-5)


@pytest.mark.parametrize("config", [tiny(), compact()])
def test_the_embedder_computes_what_the_plain_network_does(config: TwoStreamConfig) -> None:
    """Folding is the fast path; the network itself is its slow twin."""
    network = TwoStreamEncoder(config, seed=1).train()
    network.encode_frame(torch.rand(4, 3, 64, 64))  # statistics other than 0 and 1
    network.encode_sound(torch.randn(4, WINDOW) / 10)
    network.eval()
    fast = Embedder(network, name="t", device="cpu")
    frames = [fast.prepare_frame(picture(i)) for i in range(5)]
    sounds = [fast.prepare_sound(noise(WINDOW, i)) for i in range(5)]
    with torch.inference_mode():
        maps = network.encode_frame(torch.from_numpy(np.stack(frames)).float() / 255)
        slow = network.encode_sound(torch.from_numpy(np.concatenate(sounds)))
        coarse = normalize(network.coarse(maps), dim=1).numpy()
        f_s = normalize(slow.f_s, dim=1).numpy()
    embedded, heard = fast.embed_frames(frames), fast.embed_sounds(sounds)
    np.testing.assert_allclose(embedded.maps, maps.numpy(), rtol=2e-3, atol=2e-3)  # float16
    assert (embedded.coarse * coarse).sum(axis=1).min() > 1 - 1e-5
    assert (heard.f_s * f_s).sum(axis=1).min() > 1 - 1e-5
    np.testing.assert_allclose(heard.h, slow.h.numpy(), rtol=1e-3, atol=1e-4)


def test_the_embedder_leaves_the_network_it_is_given_alone() -> None:
    network = TwoStreamEncoder(tiny()).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    embedder = Embedder(network, name="t", device="cpu")
    embedder.embed_frames([embedder.prepare_frame(picture())])
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_shapes_and_norms(embedder: Embedder) -> None:
    frames = embedder.embed_frames([embedder.prepare_frame(picture())])
    sounds = embedder.embed_sounds([embedder.prepare_sound(noise(WINDOW))])
    assert (frames.maps.dtype, frames.maps.shape) == (np.float16, (1, 16, 512))
    looked = embedder.condition(frames.maps, sounds.h)
    for unit in (frames.coarse, sounds.f_s, looked.f_v):
        assert np.linalg.norm(unit[0]) == pytest.approx(1, abs=1e-5)
    assert looked.attention.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(looked.response).max() <= 1


def test_what_cannot_be_embedded_is_refused(embedder: Embedder) -> None:
    with pytest.raises(InputError, match="waveform"):
        embedder.prepare_sound(np.zeros(0, np.float32))
    with pytest.raises(InputError, match="NaN"):
        embedder.embed_sounds([np.full((1, WINDOW), np.nan, np.float32)])
    with pytest.raises(InputError, match="unknown"):
        choose_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no usable CUDA"):
        choose_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_cpu_and_gpu_agree() -> None:
    """Invariant 7 of the architecture: 1e-5 in cosine."""
    on = {d: Embedder(TwoStreamEncoder(tiny()), name="tiny", device=d) for d in ("cpu", "cuda")}
    frame = on["cpu"].prepare_frame(picture())
    sound = on["cpu"].prepare_sound(noise(WINDOW))
    coarse = [on[d].embed_frames([frame]).coarse[0] for d in on]
    f_s = [on[d].embed_sounds([sound]).f_s[0] for d in on]
    assert coarse[0] @ coarse[1] > 1 - 1e-5
    assert f_s[0] @ f_s[1] > 1 - 1e-5


def test_a_checkpoint_comes_back_and_keeps_its_fingerprint(tmp_path: Path) -> None:
    network = TwoStreamEncoder(tiny(), seed=3)
    save_checkpoint(tmp_path / "a", network, name="t", facts={"licence": "none"}, card="# t")
    first = load_checkpoint(tmp_path / "a")
    save_checkpoint(tmp_path / "b", first.network, name="t", facts=first.facts, card="# t")
    second = load_checkpoint(tmp_path / "b")
    assert first.fingerprint == second.fingerprint, "a save after a load changes nothing"
    assert (first.name, first.facts) == ("t", {"licence": "none"})
    before, after = (Embedder(n, name="t", device="cpu") for n in (network, first.network))
    frame = before.prepare_frame(picture())
    cosine = before.embed_frames([frame]).coarse[0] @ after.embed_frames([frame]).coarse[0]
    assert cosine > 0.9999, "float16 weights change little"
    other = TwoStreamEncoder(tiny(), seed=4)
    save_checkpoint(tmp_path / "c", other, name="t", facts={}, card="")
    assert load_checkpoint(tmp_path / "c").fingerprint != first.fingerprint


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        load_checkpoint(folder)
    save_checkpoint(folder, TwoStreamEncoder(tiny()), name="t", facts={}, card="")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(folder)
    (folder / "model.safetensors").write_bytes(weights)
    description = json.loads((folder / "config.json").read_text())
    description["network"]["visual_width"] = 16
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="another network"):
        load_checkpoint(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_checkpoint(folder)


def test_heatmap_spreads_over_zero_to_one() -> None:
    attention = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    np.testing.assert_allclose(heatmap(attention, (2, 2)), [[0, 1 / 3], [2 / 3, 1]], atol=1e-6)
    assert heatmap(np.full(4, 0.25, np.float32), (2, 2)).max() == 0, "flat attention shows nothing"
    with pytest.raises(InputError, match="grid"):
        heatmap(attention, (3, 2))


def test_overlay_paints_where_the_map_is_high() -> None:
    image = np.full((64, 96, 3), 100, np.uint8)
    values = np.zeros((4, 6), np.float32)
    values[:, 3:] = 1
    painted = np.asarray(overlay(image, values), dtype=int)
    assert painted.shape == image.shape
    assert painted[:, 70:].mean() > painted[:, :20].mean() + 30
    assert resize_map(values, (64, 96)).shape == (64, 96)
