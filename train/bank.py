"""Pictures and sounds decoded once and kept in memory, with what pairs them.

A bank is the only thing the loop reads: no file is opened after it is made. Pictures are kept a
little larger than a training crop, sounds as what the sound stream's weightless front gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from encoder.embedder import sound_windows
from encoder.errors import MediaError
from encoder.media import read_frame, read_sound
from encoder.two_stream import TwoStreamEncoder
from indexer.options import n_cores
from train.errors import PairsError
from train.pairs import Pair, Span
from train.world import WorldConfig, make_scene

PICTURE_PX = 192
"""Side of a kept picture: more than a training crop, so that a crop shows detail."""
AGREEMENT_PX = 160
"""Side of a kept agreement: grids of 8, 10 and 20 cells divide it."""
SOUNDS_AT_ONCE = 64
NONE = -1
"""Stands for a missing picture or sound of a row, and for a missing label."""


OnFile = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Where annotators saw the source of the sound, for the rows that they looked at.

    Attributes
    ----------
    maps : (A, 1, AGREEMENT_PX, AGREEMENT_PX) uint8, their agreement g (S19 eq. 9), 255 for 1.
    of : (N,) index into `maps` per row of the bank, or `NONE`: there λ of S19 eq. 7 is 0.
    """

    maps: Tensor
    of: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Features:
    """What frozen streams say of every picture and sound of a bank (`train.frozen`).

    Attributes
    ----------
    pictures : (P, C, H', W') float16, what the visual stream's trained part takes.
    f_s : (S, 1000) float32.
    """

    pictures: Tensor
    f_s: Tensor


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Rows of pictures and sounds.

    Attributes
    ----------
    pictures : (P, 3, px, px) uint8.
    sounds : (S, …) float32, the sound stream's front of one window each.
    picture_of, sound_of : (N,) index into them per row, or `NONE`.
    labels : (N,) index into `names`, or `NONE`.
    names : the labels.
    regions : what people drew, or None where nobody did.
    features : kept so that frozen streams run once for many trainings, or None.
    """

    pictures: Tensor
    sounds: Tensor
    picture_of: NDArray[np.int64]
    sound_of: NDArray[np.int64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    regions: Regions | None = None
    features: Features | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_pictures(self) -> int:
        return len(self.pictures)

    @property
    def n_sounds(self) -> int:
        return len(self.sounds)

    def pictures_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the pictures, (B, 3, px, px) uint8."""
        return self.pictures[places]

    def sounds_at(self, places: NDArray[np.int64]) -> Tensor:
        """Some of the sounds, (B, …) float32."""
        return self.sounds[places]

    @property
    def is_annotated(self) -> NDArray[np.bool_]:
        """Rows into whose picture somebody drew where the sound comes from, (N,)."""
        return np.zeros(len(self), bool) if self.regions is None else self.regions.of != NONE

    @property
    def paired(self) -> NDArray[np.int64]:
        """Rows that have both a picture and a sound."""
        return np.flatnonzero((self.picture_of != NONE) & (self.sound_of != NONE))

    def only(self, keep: NDArray[np.bool_]) -> Bank:
        """Some of the rows; `keep` is (N,) bool. Pictures, sounds and labels keep their numbers."""
        return self.at(np.flatnonzero(keep))

    def at(self, rows: NDArray[np.int64]) -> Bank:
        """Some of the rows by number, in the order given. Pictures and sounds keep theirs."""
        regions = self.regions and replace(self.regions, of=self.regions.of[rows])
        return replace(
            self,
            picture_of=self.picture_of[rows],
            sound_of=self.sound_of[rows],
            labels=self.labels[rows],
            regions=regions,
        )

    def members(self, of: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
        """For each label, the distinct entries of `picture_of` or `sound_of` that bear it."""
        found = {int(k): np.unique(of[(self.labels == k) & (of != NONE)]) for k in set(self.labels)}
        return {label: entries for label, entries in sorted(found.items()) if len(entries)}


def bank_of_pairs(
    pairs: Sequence[Pair],
    network: TwoStreamEncoder,
    *,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
) -> Bank:
    """Decode every file of the rows once; of a sound longer than a window, its first window.

    Parameters
    ----------
    picture_px : side of a kept picture; the index's `frame_px` gives what an index would hold.
    on_file : called with the number of files done and in all.

    Raises
    ------
    PairsError : some files cannot be read: how many, and the first of them with its code.
    """
    pictures = sorted({pair.picture for pair in pairs if pair.picture is not None})
    sounds = sorted({p.sound for p in pairs if p.sound is not None}, key=span_key)
    total = len(pictures) + len(sounds)
    decoded_pictures = np.empty((len(pictures), 3, picture_px, picture_px), np.uint8)
    n_samples, rate_hz = network.config.window_samples, network.config.rate_hz
    decoded_sounds = np.empty((len(sounds), n_samples), np.float32)

    def decode(i: int) -> MediaError | None:
        try:
            if i < len(pictures):
                image = read_frame(pictures[i].path, pictures[i].time_s)
                decoded_pictures[i] = shrink(image, picture_px)
            else:
                span = sounds[i - len(pictures)]
                waveform = read_sound(span.path, t0_s=span.t0_s, t1_s=span.t1_s, rate_hz=rate_hz)
                decoded_sounds[i - len(pictures)] = sound_windows(waveform, n_samples)[0]
        except MediaError as error:
            return error
        return None

    failures = [error for error in counted(decode, total, on_file) if error is not None]
    if failures:
        raise PairsError(
            f"{len(failures)} of {total} training files cannot be read, the first {failures[0]}; "
            "take their rows out of the manifest"
        )
    names = tuple(sorted({pair.label for pair in pairs if pair.label is not None}))
    return Bank(
        pictures=torch.from_numpy(decoded_pictures),
        sounds=fronts(network, decoded_sounds),
        picture_of=_places([pair.picture for pair in pairs], pictures),
        sound_of=_places([pair.sound for pair in pairs], sounds),
        labels=_places([pair.label for pair in pairs], names),
        names=names,
    )


def bank_of_world(
    network: TwoStreamEncoder,
    *,
    n_scenes: int,
    seed: int,
    picture_px: int = PICTURE_PX,
    on_file: OnFile | None = None,
) -> Bank:
    """Make scenes of the procedural world; those without a visible source are left out."""
    config = WorldConfig(
        n_scenes=n_scenes,
        seed=seed,
        two_source_share=0.0,
        offscreen_share=0.0,
        ambient_share=0.0,
        sound_s=network.config.window_s,
        rate_hz=network.config.rate_hz,
    )
    pictures = np.empty((n_scenes, 3, picture_px, picture_px), np.uint8)
    sounds = np.empty((n_scenes, network.config.window_samples), np.float32)

    def make(i: int) -> str:
        scene = make_scene(config, i)
        pictures[i] = shrink(scene.image, picture_px)
        sounds[i] = scene.waveform[: sounds.shape[1]]
        return scene.kind

    kinds = list(counted(make, n_scenes, on_file))
    names = tuple(sorted(set(kinds)))
    return Bank(
        pictures=torch.from_numpy(pictures),
        sounds=fronts(network, sounds),
        picture_of=np.arange(n_scenes),
        sound_of=np.arange(n_scenes),
        labels=_places(kinds, names),
        names=tuple(f"world: {name}" for name in names),
    )


def span_key(span: Span) -> tuple[str, float, float]:
    """Order of spans; an open end comes last."""
    return str(span.path), span.t0_s, math.inf if span.t1_s is None else span.t1_s


def join(banks: Sequence[Bank]) -> Bank:
    """Put banks one behind the other; their labels stay apart even where names agree.

    Kept features are dropped: they say nothing of the other banks' pictures.
    """

    def shifted(values: NDArray[np.int64], by: int) -> NDArray[np.int64]:
        return np.where(values == NONE, NONE, values + by)

    n_pictures = np.cumsum([0] + [len(bank.pictures) for bank in banks])
    n_sounds = np.cumsum([0] + [len(bank.sounds) for bank in banks])
    n_names = np.cumsum([0] + [len(bank.names) for bank in banks])
    return Bank(
        pictures=torch.cat([bank.pictures for bank in banks]),
        sounds=torch.cat([bank.sounds for bank in banks]),
        picture_of=np.concatenate(
            [shifted(b.picture_of, n_pictures[i]) for i, b in enumerate(banks)]
        ),
        sound_of=np.concatenate([shifted(b.sound_of, n_sounds[i]) for i, b in enumerate(banks)]),
        labels=np.concatenate([shifted(b.labels, n_names[i]) for i, b in enumerate(banks)]),
        names=tuple(name for bank in banks for name in bank.names),
        regions=_joined_regions(banks),
    )


def _joined_regions(banks: Sequence[Bank]) -> Regions | None:
    drawn = [bank.regions for bank in banks]
    if not any(drawn):
        return None
    maps = [torch.empty(0, 1, AGREEMENT_PX, AGREEMENT_PX, dtype=torch.uint8)]
    of, n_maps = [], 0
    for bank, regions in zip(banks, drawn, strict=True):
        if regions is None:
            of.append(np.full(len(bank), NONE))
            continue
        of.append(np.where(regions.of == NONE, NONE, regions.of + n_maps))
        maps.append(regions.maps)
        n_maps += len(regions.maps)
    return Regions(maps=torch.cat(maps), of=np.concatenate(of))


def counted(work: Callable[[int], T], n: int, on_file: OnFile | None) -> Iterator[T]:
    """Do `work` for 0 … n − 1 on all cores, in order, and tell how far it is."""
    with ThreadPoolExecutor(n_cores()) as pool:
        for done, result in enumerate(pool.map(work, range(n)), start=1):
            if on_file is not None:
                on_file(done, n)
            yield result


def shrink(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (3, px, px), both sides resized alike as for the index."""
    resized = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1)


@torch.inference_mode()
def fronts(network: TwoStreamEncoder, waveforms: NDArray[np.float32]) -> Tensor:
    """Waveforms (S, T) to what the sound stream's front makes of them."""
    parts = torch.from_numpy(waveforms).split(SOUNDS_AT_ONCE)
    return torch.cat([network.sound.front(part).clone() for part in parts])


def _places(values: Sequence[object], of: Sequence[object]) -> NDArray[np.int64]:
    place = {value: i for i, value in enumerate(of)}
    return np.array([NONE if value is None else place[value] for value in values], dtype=np.int64)
