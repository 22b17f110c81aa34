"""What augmentation changes and what it leaves: crops, colour, sounds; the same for a seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from encoder.config import tiny
from encoder.sound import LogMelStream
from train.augment import (
    cut,
    cut_bandwidth,
    erase,
    jitter_colour,
    mask_bands,
    random_crops,
    random_windows,
    vary_log_mel,
    vary_waveform,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 3, 48, 48), generator=seeded(9)).to(torch.uint8)


def white_noise(n: int, n_samples: int = 22_050) -> Tensor:
    return 0.1 * torch.randn(n, n_samples, generator=seeded(9))


def log_mels(n: int) -> Tensor:
    return torch.randn(n, 64, 50, generator=seeded(9))


def highest(waveform: Tensor) -> Tensor:
    """Where the spectrum of each sound (B, T) ends, as a share of the highest frequency."""
    power = torch.fft.rfft(waveform).abs()
    heard = power > 1e-3 * power.amax(dim=1, keepdim=True)
    return torch.tensor([row.nonzero().max().item() / (row.numel() - 1) for row in heard])


@pytest.mark.parametrize(
    "vary",
    [
        lambda g: random_crops(pictures(8), 32, g, area=(0.3, 1.0)),
        lambda g: jitter_colour(pictures(8) / 255, g, strength=0.3),
        lambda g: erase(pictures(8) / 255, g),
        lambda g: vary_log_mel(log_mels(8), g),
        lambda g: vary_waveform(white_noise(8), g),
    ],
    ids=["crops", "colour", "erasing", "log-mel", "waveform"],
)
def test_a_seed_decides(vary: Callable[[torch.Generator], Tensor]) -> None:
    torch.manual_seed(0)
    first = vary(seeded(1))
    torch.manual_seed(1)
    assert torch.equal(first, vary(seeded(1))), "nothing but the generator is drawn from"
    assert not torch.equal(first, vary(seeded(2)))


def test_the_whole_picture_uncut_is_the_picture() -> None:
    images, whole = pictures(4), torch.eye(2, 3).expand(4, 2, 3)
    torch.testing.assert_close(cut(images, whole, 48), images / 255, rtol=0, atol=1e-5)
    mirrored = whole * torch.tensor([[-1.0], [1.0]])
    torch.testing.assert_close(cut(images, mirrored, 48), images.flip(3) / 255, rtol=0, atol=1e-5)


def test_windows_lie_inside_and_have_the_area_asked_for() -> None:
    windows = random_windows(400, seeded(), area=(0.35, 1.0))
    width, height = windows[:, 0, 0].abs(), windows[:, 1, 1]
    assert bool((windows[:, 0, 2].abs() + width <= 1 + 1e-6).all())
    assert bool((windows[:, 1, 2].abs() + height <= 1 + 1e-6).all())
    area = width * height
    assert float(area.max()) <= 1
    assert float(area.min()) < 0.45
    flipped = (windows[:, 0, 0] < 0).float().mean()
    assert 0.4 < float(flipped) < 0.6


def test_colours_stay_in_range_and_some_pictures_go_grey() -> None:
    frames = jitter_colour(pictures(200) / 255, seeded(), strength=0.3)
    assert float(frames.min()) >= 0
    assert float(frames.max()) <= 1
    spread = (frames.amax(dim=1) - frames.amin(dim=1)).amax(dim=(1, 2))
    assert 0.05 < float((spread < 1e-6).float().mean()) < 0.25


def test_a_share_of_the_frames_loses_one_rectangle() -> None:
    frames = torch.zeros(300, 3, 40, 40)
    grey = erase(frames, seeded(), share=0.3) == 0.5
    touched = grey.flatten(1).any(dim=1)
    assert 0.2 < float(touched.float().mean()) < 0.4
    area = grey[touched].float().mean(dim=(1, 2, 3))
    assert bool((area <= 0.25).all())
    rows, columns = grey[touched][:, 0].any(dim=2).sum(1), grey[touched][:, 0].any(dim=1).sum(1)
    torch.testing.assert_close(area, rows * columns / 1600, msg="one rectangle, not more")


def test_half_of_the_sounds_lose_their_highs_and_nothing_else() -> None:
    sounds = white_noise(200, 4410)
    narrow = cut_bandwidth(sounds, seeded())
    untouched = (narrow == sounds).all(dim=1)
    assert 0.4 < float(untouched.float().mean()) < 0.6
    ends = highest(narrow[~untouched])
    assert 0.15 < float(ends.min()) < 0.25
    assert float(ends.median()) < 0.6
    before, after = torch.fft.rfft(sounds), torch.fft.rfft(narrow)
    for i in (~untouched).nonzero().flatten().tolist():
        kept = after[i].abs() > 1e-3
        torch.testing.assert_close(after[i][kept], before[i][kept], rtol=0, atol=1e-4)


def test_waveforms_lose_their_highs_before_the_noise_comes() -> None:
    """Varied as training does: of loud tones above the cut-off nothing but noise is left."""
    time_s = torch.arange(22_050) / 22_050
    tones = (0.4 * torch.sin(6.2832 * 500 * time_s) + 0.4 * torch.sin(6.2832 * 10_000 * time_s))[
        None
    ].repeat(60, 1)
    varied = vary_waveform(tones, seeded())
    power = torch.fft.rfft(varied).abs()
    low, high = power[:, 500], power[:, 10_000]
    gone = high < 0.1 * low
    assert 0.3 < float(gone.float().mean()) < 0.7
    assert bool((high[~gone] > 0.9 * low[~gone]).all())
    assert float(varied.abs().max()) <= 1


def test_waveforms_change_level_and_place_and_get_a_noise_floor() -> None:
    click = torch.zeros(50, 2000)
    click[:, 100] = 1.0
    varied = vary_waveform(click, seeded())
    places = varied.abs().argmax(dim=1)
    assert len(set(places.tolist())) > 40
    assert float(varied[:, :].abs().median()) > 1e-5, "silence is filled"
    level = varied.square().sum(dim=1).sqrt()
    assert float(level.max() / level.min()) > 2
    assert torch.equal(click[:, 100], torch.ones(50)), "what was given is left alone"


def test_log_mels_vary_and_what_was_given_is_left_alone() -> None:
    given = log_mels(60)
    before = given.clone()
    varied = vary_log_mel(given, seeded())
    assert torch.equal(given, before)
    assert varied.shape == given.shape
    assert bool(torch.isfinite(varied).all())
    loud = given.clone()
    loud[:, 60:] = 10.0
    highs = vary_log_mel(loud, seeded())[:, 60:].mean(dim=(1, 2))
    assert 0.3 < float((highs < 8).float().mean()) < 0.8, "half of them are cut below band 60"


def test_masked_bands_are_the_mean_and_most_is_left() -> None:
    given = log_mels(40)
    masked = mask_bands(given.clone(), seeded())
    changed = masked != given
    assert 0 < float(changed.float().mean()) < 0.5
    mean = given.mean(dim=(1, 2))[:, None, None].expand_as(given)
    torch.testing.assert_close(masked[changed], mean[changed])


def test_the_level_says_nothing_to_a_log_mel_stream() -> None:
    """Why `vary_log_mel` has no gain: each window is standardised."""
    stream = LogMelStream(tiny()).eval()
    log_mel = log_mels(3)
    gain = torch.tensor([-3.0, 0.5, 4.0])[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(
            stream.from_front(log_mel + gain), stream.from_front(log_mel), rtol=0, atol=1e-4
        )
