"""Frames looked at with sounds: heat maps and embeddings of a bank's rows.

Shape legend: N frames, K sounds, M = H'W' cells, D = 512.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from encoder.two_stream import Conditioned, SoundFeatures, TwoStreamEncoder
from train.bank import Bank
from train.frozen import maps_of
from train.looking import to_frames
from train.losses import pair_scores
from train.reproduce.material import Film, Places, Waveform

AT_ONCE = 32
Maps = NDArray[np.float32]


@torch.inference_mode()
def frames_of(network: TwoStreamEncoder, bank: Bank, rows: Places) -> Tensor:
    """Visual maps (N, M, D) of rows of a bank."""
    parts = []
    for start in range(0, len(rows), AT_ONCE):
        places = bank.picture_of[rows[start : start + AT_ONCE]]
        if bank.features is not None:
            parts.append(maps_of(network, bank.features.pictures[places]))
        else:
            side = network.config.frame_px
            pictures = to_frames(bank.pictures_at(places), side, side)
            parts.append(network.encode_frame(pictures))
    return torch.cat(parts)


@torch.inference_mode()
def sounds_of(network: TwoStreamEncoder, bank: Bank, rows: Places) -> SoundFeatures:
    """f_s (N, 1000) and h (N, 512) of rows of a bank."""
    places = bank.sound_of[rows]
    if bank.features is not None:
        f_s = bank.features.f_s[places]
    else:
        parts = np.split(places, range(AT_ONCE, len(places), AT_ONCE))
        f_s = torch.cat([network.sound.from_front(bank.sounds_at(part)) for part in parts])
    return SoundFeatures(f_s, network.context(f_s))


@torch.inference_mode()
def look(
    network: TwoStreamEncoder, bank: Bank, rows: Places, *, sounds: Places | None = None
) -> Conditioned:
    """Look at each row's frame with its own sound, or with that of the row in `sounds`."""
    h = sounds_of(network, bank, rows if sounds is None else sounds).h
    return network.condition(frames_of(network, bank, rows), h)


def attention_maps(network: TwoStreamEncoder, bank: Bank, rows: Places) -> Maps:
    """Attention (N, H', W') of each row's frame under its own sound."""
    return as_grids(look(network, bank, rows).attention)


def as_grids(cells: Tensor) -> Maps:
    """(N, M) of square frames to (N, H', W')."""
    side = round(cells.shape[1] ** 0.5)
    grids: Maps = cells.view(len(cells), side, side).numpy()
    return grids


@torch.inference_mode()
def every_pair(network: TwoStreamEncoder, bank: Bank, rows: Places) -> tuple[Tensor, Tensor]:
    """Every frame with every sound: f_v (N, N, 1000) and leak-free scores (N, N), frame × sound."""
    heard, maps = sounds_of(network, bank, rows), frames_of(network, bank, rows)
    f_v = torch.cat([network.condition_matrix(part, heard.h).f_v for part in maps.split(AT_ONCE)])
    return normalize(f_v, dim=2), pair_scores(f_v, heard.f_s)


@torch.inference_mode()
def film_maps(network: TwoStreamEncoder, film: Film) -> Maps:
    """Attention (F, H', W') of each frame under the sound around it (S19 §6).

    Each frame is seen by itself: no motion is used.
    """
    height, width = (side - side % 16 for side in film.frames.shape[1:3])
    frames = torch.from_numpy(film.frames).permute(0, 3, 1, 2).float() / 255
    maps = torch.cat([network.encode_frame(part) for part in frames.split(AT_ONCE)])
    windows = torch.from_numpy(np.stack([sound_around(film, t) for t in film.times_s.tolist()]))
    looked = network.condition(maps, network.encode_sound(windows).h)
    grids: Maps = looked.attention.view(-1, height // 16, width // 16).numpy()
    return grids


def sound_around(film: Film, time_s: float) -> Waveform:
    """Cut the window centred on a frame, moved to lie within the film."""
    n = min(round(film.window_s * film.rate_hz), len(film.waveform))
    start = round((time_s - film.window_s / 2) * film.rate_hz)
    start = min(max(start, 0), len(film.waveform) - n)
    return film.waveform[start : start + n]
