"""The network of S19 §3: golden shapes and counts (definitions §1), attention, presets."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from encoder.config import LATER, TwoStreamConfig, compact, paper, tiny
from encoder.errors import CheckpointError, InputError
from encoder.sound import SOUNDNET_MIN_SAMPLES, SoundNet8
from encoder.two_stream import TwoStreamEncoder

RATE_HZ = 22_050


def n_parameters(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.fixture(scope="module")
def paper_network() -> TwoStreamEncoder:
    return TwoStreamEncoder(paper()).eval()


@pytest.fixture
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny()).eval()


def test_paper_parameter_counts(paper_network: TwoStreamEncoder) -> None:
    """Counts of definitions §1."""
    soundnet = paper_network.sound
    assert isinstance(soundnet, SoundNet8)
    norms = [m for m in soundnet.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert sum(n_parameters(norm) for norm in norms) == 4_064
    assert n_parameters(soundnet.conv1_to_7) == 2_870_256 + 4_064
    assert n_parameters(soundnet.conv8) == 8_193_000
    assert n_parameters(paper_network.visual) == 14_714_688
    heads = [getattr(paper_network, name) for name in ("fc9", "fc10", "fc_z1", "fc_z2")]
    assert sum(n_parameters(head) for head in heads) == 2_289_168


@pytest.mark.parametrize(("seconds", "steps"), [(10, 1), (15, 2), (20, 4), (30, 7)])
def test_soundnet_steps(paper_network: TwoStreamEncoder, seconds: int, steps: int) -> None:
    with torch.inference_mode():
        out = paper_network.sound.steps(torch.zeros(1, seconds * RATE_HZ))  # type: ignore[operator]
    assert out.shape == (1, 1000, steps)


def test_soundnet_has_no_step_below_its_least_length(paper_network: TwoStreamEncoder) -> None:
    with torch.inference_mode():
        least = paper_network.sound.steps(torch.zeros(1, SOUNDNET_MIN_SAMPLES))  # type: ignore[operator]
        assert least.shape[2] == 1
        with pytest.raises(RuntimeError, match="Kernel size"):
            paper_network.sound.steps(torch.zeros(1, SOUNDNET_MIN_SAMPLES - 1))  # type: ignore[operator]


@pytest.mark.parametrize(("height", "width", "cells"), [(320, 320, 20 * 20), (480, 960, 30 * 60)])
def test_vgg_map_shapes(
    paper_network: TwoStreamEncoder, height: int, width: int, cells: int
) -> None:
    with torch.inference_mode():
        visual_map = paper_network.encode_frame(torch.zeros(1, 3, height, width))
    assert visual_map.shape == (1, cells, 512)
    assert visual_map.min() >= 0, "conv5_3 is taken after its ReLU"


def test_conv5_3_before_its_relu_is_a_switch() -> None:
    config = TwoStreamConfig(visual="vgg16", sound="soundnet8", relu_after_conv5_3=False)
    with torch.inference_mode():
        visual_map = TwoStreamEncoder(config).eval().encode_frame(torch.rand(1, 3, 64, 64))
    assert visual_map.min() < 0


def test_compact_has_the_same_interface_and_fits_in_forty_megabytes() -> None:
    network = TwoStreamEncoder(compact()).eval()
    with torch.inference_mode():
        sound = network.encode_sound(torch.randn(2, 5 * RATE_HZ) / 10)
        visual_map = network.encode_frame(torch.rand(2, 3, 170, 250))
        looked = network.condition(visual_map, sound.h)
    assert (sound.f_s.shape, sound.h.shape) == ((2, 1000), (2, 512))
    assert visual_map.shape == (2, 10 * 15, 512), "⌊170/16⌋ × ⌊250/16⌋"
    assert (looked.z.shape, looked.f_v.shape) == ((2, 512), (2, 1000))
    assert n_parameters(network) * 2 < 40e6, "float16 bytes"


def test_a_sound_changes_what_is_seen(network: TwoStreamEncoder) -> None:
    visual_map, h = torch.randn(1, 16, 512), torch.randn(2, 512)
    looked = network.condition(visual_map, h)
    assert not torch.allclose(looked.f_v[0], looked.f_v[1], atol=1e-4)


@pytest.mark.parametrize("attention", ["cos", "relu"])
def test_attention_is_the_papers(attention: str) -> None:
    """Eq. 1 to 4 of S19 §3.3, written out."""
    network = TwoStreamEncoder(
        TwoStreamConfig.from_json(
            {**tiny().to_json(), "attention": attention, "learned_scale": False}
        )
    )
    v, h = torch.randn(1, 9, 512), torch.randn(1, 512)
    g = torch.stack([normalize(cell, dim=0) @ normalize(h[0], dim=0) for cell in v[0]])
    g = g.clamp(min=0) if attention == "relu" else g
    weights = g.exp() / g.exp().sum()
    looked = network.condition(v, h)
    torch.testing.assert_close(looked.response[0], g)
    torch.testing.assert_close(looked.attention[0], weights)
    torch.testing.assert_close(
        looked.z[0], sum(w * cell for w, cell in zip(weights, v[0], strict=True))
    )
    torch.testing.assert_close(
        looked.f_v[0],
        network.fc_z2(network.fc_z1(looked.z[0].relu()).relu()),
    )


@pytest.mark.parametrize(("attention", "most"), [("cos", 0.0182), ("relu", 0.0068)])
def test_without_temperature_attention_stays_flat(attention: str, most: float) -> None:
    """Bounds of definitions §1 for 400 cells: one cell agrees, all others oppose (or are at 0)."""
    network = TwoStreamEncoder(
        TwoStreamConfig.from_json(
            {**tiny().to_json(), "attention": attention, "learned_scale": False}
        )
    )
    h = torch.randn(1, 512)
    v = -h[:, None].repeat(1, 400, 1)
    v[0, 7] = h[0]
    assert network.condition(v, h).attention.max().item() == pytest.approx(most, abs=5e-5)


def test_condition_matrix_is_condition_on_every_pair(network: TwoStreamEncoder) -> None:
    v, h = torch.randn(3, 16, 512), torch.randn(4, 512)
    matrix = network.condition_matrix(v, h)
    for n in range(3):
        for k in range(4):
            pair = network.condition(v[n : n + 1], h[k : k + 1])
            torch.testing.assert_close(matrix.f_v[n, k], pair.f_v[0])
            torch.testing.assert_close(matrix.attention[n, k], pair.attention[0])
    rows = network.condition(v, h[:3])
    torch.testing.assert_close(rows.f_v, torch.stack([matrix.f_v[i, i] for i in range(3)]))


def test_coarse_is_uniform_attention(network: TwoStreamEncoder) -> None:
    v = torch.randn(2, 16, 512)
    torch.testing.assert_close(network.coarse(v), network.embed_z(v.mean(dim=1)))


def test_batch_mates_do_not_matter(network: TwoStreamEncoder) -> None:
    waveform, frame = torch.randn(4, RATE_HZ) / 10, torch.rand(4, 3, 64, 80)
    with torch.inference_mode():
        together, alone = network.encode_sound(waveform), network.encode_sound(waveform[2:3])
        maps, map_alone = network.encode_frame(frame), network.encode_frame(frame[2:3])
    assert cosine_similarity(together.f_s[2], alone.f_s[0], dim=0) > 1 - 1e-5
    torch.testing.assert_close(maps[2], map_alone[0], rtol=1e-4, atol=1e-5)


def test_the_seed_decides_the_weights() -> None:
    a, b, c = (TwoStreamEncoder(tiny(), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["fc9.weight"], c["fc9.weight"])


@pytest.mark.parametrize("n_samples", [1, 300, 4095])
def test_a_sound_too_short_for_a_step_is_tiled(network: TwoStreamEncoder, n_samples: int) -> None:
    sound = torch.randn(1, n_samples) / 10
    tiled = sound.repeat(1, -(-RATE_HZ // n_samples))[:, :RATE_HZ]
    with torch.inference_mode():
        torch.testing.assert_close(network.encode_sound(sound).f_s, network.encode_sound(tiled).f_s)


def test_level_says_nothing_to_the_log_mel_stream(network: TwoStreamEncoder) -> None:
    waveform = torch.randn(1, RATE_HZ).clamp(-1, 1) / 4
    with torch.inference_mode():
        loud, quiet = network.encode_sound(waveform).f_s, network.encode_sound(waveform / 3).f_s
    assert cosine_similarity(loud, quiet).item() > 0.999


@pytest.mark.parametrize(
    "call",
    [
        lambda n: n.encode_sound(torch.zeros(5)),
        lambda n: n.encode_sound(torch.zeros(1, 0)),
        lambda n: n.encode_frame(torch.zeros(1, 1, 64, 64)),
        lambda n: n.encode_frame(torch.zeros(1, 3, 8, 64)),
        lambda n: n.condition(torch.zeros(2, 4, 512), torch.zeros(3, 512)),
    ],
)
def test_wrong_shapes_are_refused(network: TwoStreamEncoder, call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError):
        call(network)


def test_later_settings_leave_earlier_fingerprints_as_they_are() -> None:
    earlier = TwoStreamConfig(visual="efficientnet", sound="logmel")
    assert not set(LATER) & set(earlier.to_json())
    later = replace(earlier, visual_fifth_too=True)
    assert later.to_json() == earlier.to_json() | {"visual_fifth_too": True}
    assert TwoStreamConfig.from_json(later.to_json()) == later


def test_configuration_round_trip_and_unknown_settings() -> None:
    for config in (paper(), compact(), tiny()):
        assert TwoStreamConfig.from_json(config.to_json()) == config
        assert math.prod(config.grid) == (config.frame_px // 16) ** 2
    with pytest.raises(CheckpointError, match="depth"):
        TwoStreamConfig.from_json({**tiny().to_json(), "depth": 3})
    with pytest.raises(CheckpointError, match="sound"):
        TwoStreamConfig.from_json({"visual": "resnet"})
