"""From files to records: how a picture and a sound are decoded, and what of them a bank keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
from train.cache import Filled, Record, Shelf, content_digest
from train.pairs import Picture, Span
from train.records import Wanted

SOUNDS_AT_ONCE = 64
DECODING = 1
"""Counts up when decoding, resizing or a sound's front changes: cached records are then unused."""
OnFile = Callable[[int, int], None]
T = TypeVar("T")


class Pictures:
    """How pictures are decoded and kept."""

    def __init__(self, pictures: Sequence[Picture], picture_px: int) -> None:
        self._pictures, self._px = pictures, picture_px
        self.wanted = [Wanted(picture.path, (picture.time_s,)) for picture in pictures]
        self.shape: tuple[int, ...] = (3, picture_px, picture_px)
        self.dtype = np.uint8

    def decode(self, i: int) -> NDArray[np.uint8]:
        picture = self._pictures[i]
        return shrink(read_frame(picture.path, picture.time_s), self._px)

    def shelf(self, cache: Path) -> Shelf:
        parameters = {"decoding": DECODING, "resize": "bilinear, both sides alike"}
        return Shelf(
            cache, kind="pictures", parameters=parameters, shape=self.shape, dtype=self.dtype
        )


class Sounds:
    """How sounds are decoded, and what of the stream's front is kept."""

    def __init__(self, sounds: Sequence[Span], network: TwoStreamEncoder) -> None:
        self._sounds, self._network, self._config = sounds, network, network.config
        self.wanted = [Wanted(span.path, (span.t0_s, span.t1_s)) for span in sounds]
        at = np.arange(network.config.window_samples)
        self._probe = fronts(network, np.sin(0.01 * at**1.2).astype(np.float32)[None])[0]
        self.shape: tuple[int, ...] = tuple(self._probe.shape)
        self.dtype = np.float32

    def decode(self, i: int) -> NDArray[np.float32]:
        span, config = self._sounds[i], self._config
        waveform = read_sound(span.path, t0_s=span.t0_s, t1_s=span.t1_s, rate_hz=config.rate_hz)
        window = sound_windows(waveform, config.window_samples)[:1]
        front: NDArray[np.float32] = fronts(self._network, window)[0].numpy()
        return front

    def shelf(self, cache: Path) -> Shelf:
        parameters = {
            "decoding": DECODING,
            "front": self._config.sound,
            "rate_hz": self._config.rate_hz,
            "window_samples": self._config.window_samples,
            # What the front gives of a known sound changes with the front.
            "probe": [round(float(self._probe.mean()), 3), round(float(self._probe.std()), 3)],
        }
        return Shelf(
            cache, kind="sounds", parameters=parameters, shape=self.shape, dtype=self.dtype
        )


class Memory:
    """Keeps records in memory: the slow twin of a `Shelf`, which decodes everything every time."""

    def __init__(self, kind: Pictures | Sounds) -> None:
        self._records = np.empty((len(kind.wanted), *kind.shape), kind.dtype)

    def filled(
        self,
        wanted: Sequence[Wanted],
        decode: Callable[[int], Record],
        on_done: Callable[[int], None],
    ) -> Filled:
        def keep(i: int) -> str | MediaError:
            try:
                self._records[i] = decode(i)
                return content_digest(wanted[i].path)
            except MediaError as error:
                return error

        results = list(counted(keep, len(wanted), lambda done, _: on_done(done)))
        return Filled(
            places=np.arange(len(wanted)),
            digests=[result for result in results if isinstance(result, str)],
            failures=[result for result in results if isinstance(result, MediaError)],
        )

    def tensor(self) -> Tensor:
        return torch.from_numpy(self._records)


def span_key(span: Span) -> tuple[str, float, float]:
    """Order of spans; an open end comes last."""
    return str(span.path), span.t0_s, math.inf if span.t1_s is None else span.t1_s


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
