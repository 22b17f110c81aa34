"""A bank that decodes its files whenever they are asked for: as many pairs as the disk holds.

144 000 pairs of the papers' size are 270 GB decoded. What is read twice is decoded twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.embedder import sound_windows
from encoder.errors import MediaError
from encoder.media import read_frame, read_sound
from encoder.two_stream import TwoStreamEncoder
from indexer.options import n_cores
from train.bank import NONE, Bank, OnFile, Regions, counted, fronts, shrink
from train.errors import PairsError
from train.pairs import Pair, Picture, Span

T = TypeVar("T")
S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class OnDemandBank(Bank):
    """Rows of pictures and sounds on disk.

    Attributes
    ----------
    picture_files, sound_files : what `picture_of` and `sound_of` are indices into.
    network : whose window and weightless sound front are meant.
    picture_px : side that pictures are resized to.
    """

    picture_files: tuple[Picture, ...]
    sound_files: tuple[Span, ...]
    network: TwoStreamEncoder
    picture_px: int

    @property
    def n_pictures(self) -> int:
        return len(self.picture_files)

    @property
    def n_sounds(self) -> int:
        return len(self.sound_files)

    def pictures_at(self, places: NDArray[np.int64]) -> Tensor:
        """Decode some of the pictures, (B, 3, px, px) uint8. Raises PairsError."""
        files = [self.picture_files[place] for place in places]
        return torch.from_numpy(np.stack(_at_once(self._picture, files)))

    def sounds_at(self, places: NDArray[np.int64]) -> Tensor:
        """Decode some of the sounds, (B, …) float32. Raises PairsError."""
        files = [self.sound_files[place] for place in places]
        return fronts(self.network, np.stack(_at_once(self._sound, files)))

    def _picture(self, file: Picture) -> NDArray[np.uint8]:
        return shrink(read_frame(file.path, file.time_s), self.picture_px)

    def _sound(self, file: Span) -> NDArray[np.float32]:
        config = self.network.config
        waveform = read_sound(file.path, t0_s=file.t0_s, t1_s=file.t1_s, rate_hz=config.rate_hz)
        window: NDArray[np.float32] = sound_windows(waveform, config.window_samples)[0]
        return window


def on_demand_bank(
    pairs: Sequence[Pair],
    network: TwoStreamEncoder,
    *,
    picture_px: int,
    regions: Regions | None = None,
) -> OnDemandBank:
    """Make a bank without decoding anything; every row is its own picture and its own sound."""
    pictures = [pair.picture for pair in pairs if pair.picture is not None]
    sounds = [pair.sound for pair in pairs if pair.sound is not None]
    names = tuple(sorted({pair.label for pair in pairs if pair.label is not None}))
    number = {name: i for i, name in enumerate(names)}
    nothing = torch.empty(0)
    return OnDemandBank(
        pictures=nothing,
        sounds=nothing,
        picture_of=_numbered([pair.picture is not None for pair in pairs]),
        sound_of=_numbered([pair.sound is not None for pair in pairs]),
        labels=np.array([NONE if p.label is None else number[p.label] for p in pairs], np.int64),
        names=names,
        regions=regions,
        picture_files=tuple(pictures),
        sound_files=tuple(sounds),
        network=network,
        picture_px=picture_px,
    )


def readable(pairs: Sequence[Pair], *, on_file: OnFile | None = None) -> list[str | None]:
    """Decode every file once: None for each pair that can be used, else which file cannot and why.

    A training of days must not end at a file that is broken, nor go on with another in its place.
    """

    def problem(i: int) -> str | None:
        pair = pairs[i]
        try:
            if pair.picture is not None:
                read_frame(pair.picture.path, pair.picture.time_s)
            if pair.sound is not None:
                read_sound(pair.sound.path, t0_s=pair.sound.t0_s, t1_s=pair.sound.t1_s)
        except MediaError as error:
            return str(error)
        return None

    return list(counted(problem, len(pairs), on_file))


def _at_once(decode: Callable[[T], NDArray[S]], files: Sequence[T]) -> list[NDArray[S]]:
    try:
        with ThreadPoolExecutor(n_cores()) as pool:
            return list(pool.map(decode, files))
    except MediaError as error:
        raise PairsError(f"{error}; take it out of the list") from None


def _numbered(there: Sequence[bool]) -> NDArray[np.int64]:
    """Number what is there from 0; `NONE` for the rest."""
    is_there = np.array(there, bool)
    return np.where(is_there, np.cumsum(is_there) - 1, NONE)
