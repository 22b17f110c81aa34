"""The pairs of a bank as the network sees and hears them: every score that figures are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from encoder.config import F_V
from encoder.two_stream import TwoStreamEncoder
from indexer.rules import Moved, Numbers, Swap, moved, sampled, swapped
from train.bank import Bank
from train.items import Items

AT_ONCE = 32
SOUNDS_AT_ONCE = 1024
"""Sounds that one frame meets in one pass: 4 MB of f_v."""
MAX_PAIRS = 1_000_000
"""Pairs of a distinct query and a distinct answer, per direction; above, queries are sampled."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Sounds:
    """Distinct sounds: `f_s` (S + E, 1000), unit norm, and `h` (S, 512) as an index keeps it."""

    f_s: Tensor
    h: Tensor


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Scores and vectors of n items with F distinct frames and S distinct sounds.

    Attributes
    ----------
    sound_queries, frame_queries : positions that ask; samples where all would be too many.
    frames_for_sound : (A, F) cos(f_v(Y_v, X_s), f_s(X_s)) of the distinct sounds that ask.
    sounds_for_frame : (B, S) cos(f_v(X_v, Y_s), f_s(Y_s)) of the distinct frames that ask.
    coarse : (F, 1000) f_v under uniform attention. Unit norm, as the next two.
    own, swapped : (n, 1000) f_v under the item's own sound and under its partner's.
    f_s : (S, 1000).
    moved : how far other sounds move each asking frame's f_v.
    """

    sound_queries: Numbers
    frame_queries: Numbers
    frames_for_sound: Floats
    sounds_for_frame: Floats
    coarse: Floats
    own: Floats
    swapped: Floats
    f_s: Floats
    moved: tuple[Moved, ...]


@torch.inference_mode()
def hear(network: TwoStreamEncoder, bank: Bank, items: Items) -> Sounds:
    """Encode every distinct sound once."""
    parts = [bank.sounds_at(part) for part in _parts(items.waves, AT_ONCE)]
    device = network.fc9.weight.device
    f_s = torch.cat([network.sound.from_front(part.to(device)) for part in parts])
    h = network.context(f_s[: items.n_sounds])
    return Sounds(f_s=normalize(f_s, dim=1), h=h.half().float())


@torch.inference_mode()
def look(
    network: TwoStreamEncoder,
    bank: Bank,
    items: Items,
    sounds: Sounds,
    swap: Swap,
    *,
    frame_px: int,
    seed: int,
) -> Looked:
    """Look at every frame with the sounds that the figures ask for, one frame at a time.

    Maps are rounded to float16, as an index holds them, and let go at once.
    """
    work = _Work(items, sounds, swap, seed)
    for frames in _parts(np.arange(len(items.pictures)), AT_ONCE):
        pictures = bank.pictures_at(items.pictures[frames]).to(sounds.h.device)
        maps = network.encode_frame(to_frames(pictures, frame_px, frame_px))
        work.coarse[frames] = _array(normalize(network.coarse(maps), dim=1))
        for frame, visual_map in zip(frames.tolist(), maps.half().float(), strict=True):
            work.take(network, frame, visual_map)
    return work.result()


def swap_of(items: Items, seed: int) -> Swap:
    """Draw the partners of the swap test; where all have one sound, each is its own."""
    return swapped(items.labels, items.sounds, seed) or Swap(
        sounds=items.sounds, n_other_label=0, n_other_item=0
    )


class _Work:
    """Gathers `Looked` frame by frame."""

    def __init__(self, items: Items, sounds: Sounds, swap: Swap, seed: int) -> None:
        self._items, self._sounds, self._swap = items, sounds, swap
        n, n_frames, n_sounds = len(items), len(items.pictures), items.n_sounds
        rng, everybody = np.random.default_rng(seed), np.arange(n)
        self._queries = tuple(
            sampled(everybody, of, n_answers, items.judged, MAX_PAIRS, rng)
            for of, n_answers in ((items.sounds, n_frames), (items.frames, n_sounds))
        )
        self._asking_sounds = np.unique(items.sounds[self._queries[0]])
        self._asking_frames = np.unique(items.frames[self._queries[1]])
        self._frames_for_sound = np.zeros((len(self._asking_sounds), n_frames), np.float32)
        self._sounds_for_frame = np.zeros((len(self._asking_frames), n_sounds), np.float32)
        self.coarse = np.zeros((n_frames, F_V), np.float32)
        self._own, self._swapped = (np.zeros((n, F_V), np.float32) for _ in range(2))
        self._moved: dict[int, Moved] = {}

    def take(self, network: TwoStreamEncoder, frame: int, visual_map: Tensor) -> None:
        """Look at one frame (M, 512)."""
        items = self._items
        members = np.flatnonzero(items.frames == frame)
        self._own[members] = _array(self._seen(network, visual_map, items.sounds[members]))
        self._swapped[members] = _array(self._seen(network, visual_map, self._swap.sounds[members]))
        row = int(np.searchsorted(self._asking_frames, frame))
        asks = row < len(self._asking_frames) and self._asking_frames[row] == frame
        heard = np.arange(items.n_sounds) if asks else self._asking_sounds
        asking = members[np.isin(members, self._queries[1])] if asks else members[:0]
        scores = np.zeros(items.n_sounds, np.float32)
        cosines = np.zeros((len(asking), items.n_sounds), np.float32)
        for part in _parts(heard, SOUNDS_AT_ONCE):
            f_v = self._seen(network, visual_map, part)
            scores[part] = _array((f_v * self._sounds.f_s[part]).sum(dim=1))
            cosines[:, part] = self._own[asking] @ _array(f_v).T
        self._frames_for_sound[:, frame] = scores[self._asking_sounds]
        if asks:
            self._sounds_for_frame[row] = scores
        for query, of_sounds in zip(asking.tolist(), cosines, strict=True):
            self._moved[query] = moved(
                of_sounds[items.sounds], query, np.arange(len(items)), items.labels, items.sounds
            )

    def _seen(self, network: TwoStreamEncoder, visual_map: Tensor, sounds: Numbers) -> Tensor:
        """f_v (n, 1000), unit norm, of one frame with some sounds (n,)."""
        return normalize(network.condition(visual_map[None], self._sounds.h[sounds]).f_v, dim=1)

    def result(self) -> Looked:
        return Looked(
            sound_queries=self._queries[0],
            frame_queries=self._queries[1],
            frames_for_sound=self._frames_for_sound,
            sounds_for_frame=self._sounds_for_frame,
            coarse=self.coarse,
            own=self._own,
            swapped=self._swapped,
            f_s=_array(self._sounds.f_s[: self._items.n_sounds]),
            moved=tuple(self._moved[query] for query in self._queries[1].tolist()),
        )


def to_frames(pictures: Tensor, height_px: int, width_px: int) -> Tensor:
    """(B, 3, H, W) uint8 → (B, 3, height_px, width_px) float32 in [0, 1]."""
    frames = pictures.float() / 255
    if frames.shape[-2:] == (height_px, width_px):
        return frames
    return interpolate(frames, size=(height_px, width_px), mode="bilinear", antialias=True)


def _array(values: Tensor) -> Floats:
    array: Floats = values.float().cpu().numpy()
    return array


def _parts(numbers: Numbers, size: int) -> Iterator[Numbers]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
