"""Inference: decoded pictures and sounds in, numpy embeddings out.

An embedding depends on the file and the weights alone (architecture, invariant 7): float32
everywhere, windows and sizes fixed by the configuration, no state between calls. It does not know
paths, items or indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from encoder.checkpoint import load_checkpoint, network_fingerprint
from encoder.errors import InputError
from encoder.folding import folded
from encoder.fused import can_fuse, fuse
from encoder.preparing import prepared_frame
from encoder.two_stream import TwoStreamEncoder

Floats = NDArray[np.float32]
WINDOWS_AT_ONCE = 32
"""Windows of sound in one pass: bounds memory for a recording of hours."""


@dataclass(frozen=True)
class FrameEmbeddings:
    """`maps` float16 (N, M, 512); `coarse` float32 (N, 1000), unit norm, of the frame alone."""

    maps: NDArray[np.float16]
    coarse: Floats


@dataclass(frozen=True)
class SoundEmbeddings:
    """`f_s` float32 (N, 1000), unit norm; `h` float32 (N, 512)."""

    f_s: Floats
    h: Floats


@dataclass(frozen=True)
class ConditionedFrames:
    """`f_v` (N, 1000), unit norm; `attention` (N, M), sums to 1; `response` (N, M); float32."""

    f_v: Floats
    attention: Floats
    response: Floats


class Embedder:
    """A network ready to embed; safe to share between threads.

    Examples
    --------
    >>> embedder = Embedder.load()
    >>> frames = embedder.embed_frames([embedder.prepare_frame(np.zeros((90, 120, 3), np.uint8))])
    >>> frames.coarse.shape
    (1, 1000)
    """

    def __init__(
        self,
        network: TwoStreamEncoder,
        *,
        name: str,
        fingerprint: str | None = None,
        device: str = "auto",
    ) -> None:
        self.device = choose_device(device)
        if self.device.type == "cuda":  # TF32 would differ from the CPU in the third digit
            torch.backends.cudnn.allow_tf32 = False
        self.network = folded(network).to(self.device)
        if can_fuse(self.device):
            fuse(self.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config, self.name = network.config, name
        self.fingerprint = fingerprint or network_fingerprint(network)

    @classmethod
    def load(cls, folder: Path | None = None, *, device: str = "auto") -> Embedder:
        """Load a checkpoint folder; None is the shipped default. Raises CheckpointError."""
        checkpoint = load_checkpoint(folder)
        return cls(
            checkpoint.network,
            name=checkpoint.name,
            fingerprint=checkpoint.fingerprint,
            device=device,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (H', W') of a prepared frame."""
        return self.config.grid

    def prepare_frame(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize a picture (H, W, 3) to (3, px, px), both sides alike, as S19's code does."""
        return prepared_frame(image, self.config.frame_px)

    def prepare_sound(self, waveform: Floats) -> Floats:
        """Cut a waveform (T,) into windows (n, window_samples); see `sound_windows`."""
        return sound_windows(waveform, self.config.window_samples)

    @torch.inference_mode()
    def embed_frames(self, prepared: Sequence[NDArray[np.uint8]]) -> FrameEmbeddings:
        """Embed what `prepare_frame` gave, or frames (3, H, W) of any one size."""
        pixels = torch.from_numpy(np.stack(prepared)).to(self.device)
        maps = self.network.encode_frame(pixels.float() / 255)
        coarse = normalize(self.network.coarse(maps), dim=1)
        return FrameEmbeddings(maps.half().cpu().numpy(), coarse.cpu().numpy())

    @torch.inference_mode()
    def embed_sounds(self, prepared: Sequence[Floats]) -> SoundEmbeddings:
        """Embed what `prepare_sound` gave; windows of one sound are averaged (S19 §3.1)."""
        windows = np.concatenate(prepared)
        if not np.isfinite(windows).all():
            raise InputError("sound: NaN or infinite samples; decode it again")
        f_s = torch.cat(
            [
                self.network.encode_sound(torch.from_numpy(part).to(self.device)).f_s
                for part in np.split(windows, range(WINDOWS_AT_ONCE, len(windows), WINDOWS_AT_ONCE))
            ]
        )
        means = [part.mean(dim=0) for part in torch.split(f_s, [len(sound) for sound in prepared])]
        f_s = torch.stack(means)
        h = self.network.context(f_s)
        return SoundEmbeddings(normalize(f_s, dim=1).cpu().numpy(), h.cpu().numpy())

    @torch.inference_mode()
    def condition(self, maps: NDArray[np.floating], h: NDArray[np.floating]) -> ConditionedFrames:
        """Look at maps (N, M, 512) with contexts (N, 512); one of either meets all of the other."""
        looked = self.network.condition(self._tensor(maps), self._tensor(h))
        f_v = normalize(looked.f_v, dim=1)
        return ConditionedFrames(
            *(field.cpu().numpy() for field in (f_v, looked.attention, looked.response))
        )

    def _tensor(self, values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self.device)


def sound_windows(waveform: Floats, size: int) -> Floats:
    """Cut a waveform (T,) into windows (n, size).

    A sound shorter than a window is tiled to fill it. A longer one gives windows end to end; the
    last is moved back to end where the sound ends, so every sample is heard.
    """
    if waveform.ndim != 1 or waveform.size == 0:
        raise InputError(f"waveform: shape {waveform.shape}; give (T,) with T > 0")
    if waveform.size <= size:
        return np.resize(waveform, (1, size))
    starts = np.append(np.arange(0, waveform.size - size, size), waveform.size - size)
    windows: Floats = np.lib.stride_tricks.sliding_window_view(waveform, size)[starts]
    return windows


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where it works. Raises InputError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name}: no usable CUDA device; use --device cpu or auto")
    try:
        return torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r}: unknown; use auto, cpu or cuda") from None
