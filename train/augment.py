"""Augmentation of whole batches, on any device: crops, flips and colour; time, noise, bandwidth.

Every function takes a `torch.Generator` and draws from it alone, so that a seed gives a run.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """n draws from [low, high), on the CPU."""
    return torch.rand(n, generator=generator) * (high - low) + low


def random_crops(
    images: Tensor, size_px: int, generator: torch.Generator, *, area: tuple[float, float]
) -> Tensor:
    """Cut a random part of each picture, flip half of them, resize to a square.

    Parameters
    ----------
    images : (B, 3, H, W) uint8.
    area : least and largest share of the picture that is kept.

    Returns
    -------
    (B, 3, size_px, size_px) float32 in [0, 1].
    """
    return cut(images, random_windows(len(images), generator, area=area), size_px)


def random_windows(n: int, generator: torch.Generator, *, area: tuple[float, float]) -> Tensor:
    """Draw which part of each picture is kept, and whether it is flipped: (n, 2, 3) for `cut`."""
    share = uniform(n, *area, generator)
    aspect = torch.exp(uniform(n, -math.log(1.6), math.log(1.6), generator))
    width, height = (share * aspect).sqrt().clamp(max=1), (share / aspect).sqrt().clamp(max=1)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2] = uniform(n, -1, 1, generator) * (1 - width)
    theta[:, 1, 2] = uniform(n, -1, 1, generator) * (1 - height)
    return theta


def cut(images: Tensor, windows: Tensor, size_px: int) -> Tensor:
    """Cut windows (B, 2, 3) out of images (B, C, H, W) uint8: (B, C, size_px, size_px) in [0, 1].

    The same windows cut what people drew on the pictures.
    """
    n, n_channels = images.shape[:2]
    where = affine_grid(windows, [n, n_channels, size_px, size_px], align_corners=False)
    pixels = images.float() / 255
    return grid_sample(
        pixels, where.to(images.device), padding_mode="reflection", align_corners=False
    )


def jitter_colour(frames: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """Change brightness, contrast, saturation and, for one in eight, drop the colour.

    frames : (B, 3, H, W) in [0, 1]; the result stays there.
    """
    n = len(frames)

    def factor() -> Tensor:
        return uniform(n, 1 - strength, 1 + strength, generator).view(n, 1, 1, 1).to(frames.device)

    frames = frames * factor()
    mean = frames.mean(dim=(1, 2, 3), keepdim=True)
    frames = mean + (frames - mean) * factor()
    grey = frames.mean(dim=1, keepdim=True)
    saturation = factor()
    saturation[torch.rand(n, generator=generator) < 0.125] = 0
    return (grey + (frames - grey) * saturation).clamp(0, 1)


def erase(frames: Tensor, generator: torch.Generator, *, share: float = 0.3) -> Tensor:
    """Grey out one rectangle in a share of the frames (random erasing)."""
    n, _, height, width = frames.shape
    for i in (torch.rand(n, generator=generator) < share).nonzero().flatten().tolist():
        h, w = (uniform(2, 0.15, 0.5, generator) * torch.tensor([height, width])).int().tolist()
        top = int(torch.randint(0, height - h, (1,), generator=generator))
        left = int(torch.randint(0, width - w, (1,), generator=generator))
        frames[i, :, top : top + h, left : left + w] = 0.5
    return frames


def vary_log_mel(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """Shift in time, tilt the spectrum, cut the bandwidth, add a noise floor, mask bands.

    Random bandwidth matters most: many recordings are narrow-band, and a network that may look at
    the cut-off learns the source instead of the sound. The level is left alone: a gain adds one
    number to the whole logarithm, and the stream takes the mean of each window off.

    Parameters
    ----------
    log_mel : (B, 64, n_frames), natural log of power.
    """
    n, n_mels, n_frames = log_mel.shape
    out = log_mel.clone()
    shift = torch.randint(0, n_frames, (n,), generator=generator).tolist()
    bands = torch.linspace(-1, 1, n_mels, device=log_mel.device)
    tilt = uniform(n, -1.5, 1.5, generator).to(log_mel.device)
    floor = uniform(n, -16, -6, generator).to(log_mel.device)
    cut = torch.where(
        torch.rand(n, generator=generator) < 0.5, uniform(n, 0.45, 1.0, generator), torch.ones(n)
    )
    for i in range(n):
        out[i] = out[i].roll(shift[i], dims=1)
        out[i, int(cut[i] * n_mels) :] = out[i].min()
    out += (tilt[:, None] * bands)[:, :, None]
    peak = out.amax(dim=(1, 2))
    out = torch.logaddexp(out, (peak + floor)[:, None, None].expand_as(out))
    return mask_bands(out, generator)


def mask_bands(log_mel: Tensor, generator: torch.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019): one band of frequency and two of time set to the mean."""
    n, n_mels, n_frames = log_mel.shape
    mean = log_mel.mean(dim=(1, 2))
    for i in range(n):
        width = int(torch.randint(0, n_mels // 6, (1,), generator=generator))
        start = int(torch.randint(0, n_mels - width, (1,), generator=generator))
        log_mel[i, start : start + width] = mean[i]
        for _ in range(2):
            width = int(torch.randint(0, n_frames // 6, (1,), generator=generator))
            start = int(torch.randint(0, n_frames - width, (1,), generator=generator))
            log_mel[i, :, start : start + width] = mean[i]
    return log_mel


def vary_waveform(waveform: Tensor, generator: torch.Generator) -> Tensor:
    """Shift in time, cut the bandwidth, change the level, add noise.

    For streams that take the waveform, what `vary_log_mel` is for the others.

    Parameters
    ----------
    waveform : (B, T) in [-1, 1]; the result stays there.
    """
    n, n_samples = waveform.shape
    shift = torch.randint(0, n_samples, (n,), generator=generator).tolist()
    rolled = torch.stack([sound.roll(by) for sound, by in zip(waveform, shift, strict=True)])
    narrow = cut_bandwidth(rolled, generator)
    gain = torch.exp(uniform(n, math.log(0.3), math.log(1.0), generator))[:, None]
    level = torch.exp(uniform(n, math.log(1e-4), math.log(1e-2), generator))[:, None]
    noise = torch.randn(rolled.shape, generator=generator)
    return (narrow * gain.to(rolled) + (level * noise).to(rolled)).clamp(-1, 1)


def cut_bandwidth(
    waveform: Tensor, generator: torch.Generator, *, share: float = 0.5, least: float = 0.16
) -> Tensor:
    """Take all above a random cut-off out of a share of the sounds (B, T).

    Parameters
    ----------
    least : lowest cut-off as a share of the highest frequency, itself in (0, 1]. At 22 050 Hz 0.16
        are 1.8 kHz, the 29th of 64 mel bands, where `vary_log_mel` cuts at the lowest.
    """
    n, n_samples = waveform.shape
    drawn = torch.rand(n, generator=generator) < share
    cut_off = torch.exp(uniform(n, math.log(least), 0, generator))
    out = waveform.clone()
    for i in drawn.nonzero().flatten().tolist():
        spectrum = torch.fft.rfft(out[i])
        spectrum[math.ceil(float(cut_off[i]) * len(spectrum)) :] = 0
        out[i] = torch.fft.irfft(spectrum, n_samples)
    return out
