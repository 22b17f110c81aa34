"""The two-stream network of S19 §3: sound context, attention over cells, conditioned embedding.

Shape legend: B batch, N frames, K sounds, M = H'W' cells, D = 512, T samples. Nothing here knows
of files, preprocessing or devices; `embedder` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from encoder.config import F_S, F_V, D, TwoStreamConfig
from encoder.errors import InputError
from encoder.sound import sound_stream
from encoder.visual import VisualStream

MAX_SCALE = 50.0
"""The learned scale stays below it: past it the softmax picks single cells and stops learning."""


@dataclass(frozen=True)
class SoundFeatures:
    """What the sound stream says of a batch: f_s (B, 1000) and the context h (B, 512)."""

    f_s: Tensor
    h: Tensor


@dataclass(frozen=True)
class Conditioned:
    """A frame looked at with a sound.

    Attributes
    ----------
    response : (B, M) in [-1, 1], g before the softmax: absolute, comparable between frames.
    attention : (B, M), sums to 1 (S19 eq. 1).
    z : (B, 512), the attended cell vector (S19 eq. 4).
    f_v : (B, 1000), the sound-conditioned frame, not normalised.
    """

    response: Tensor
    attention: Tensor
    z: Tensor
    f_v: Tensor


class TwoStreamEncoder(nn.Module):
    """The network, its initial weights drawn from `seed` alone.

    Examples
    --------
    >>> from encoder.config import tiny
    >>> network = TwoStreamEncoder(tiny(), seed=0).eval()
    >>> sound = network.encode_sound(torch.zeros(1, 22_050))
    >>> visual_map = network.encode_frame(torch.zeros(1, 3, 64, 96))
    >>> tuple(visual_map.shape), tuple(network.condition(visual_map, sound.h).f_v.shape)
    ((1, 24, 512), (1, 1000))
    """

    def __init__(self, config: TwoStreamConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.sound = sound_stream(config)
            self.visual = VisualStream(config)
            self.fc9, self.fc10 = nn.Linear(F_S, 1000), nn.Linear(1000, D)
            self.fc_z1, self.fc_z2 = nn.Linear(D, D), nn.Linear(D, F_V)
            for fc in (self.fc9, self.fc10, self.fc_z1, self.fc_z2):
                nn.init.kaiming_normal_(fc.weight, nonlinearity="relu")
                nn.init.zeros_(fc.bias)
        if config.learned_scale:
            self.log_scale = nn.Parameter(torch.tensor(2.0))

    @property
    def scale(self) -> Tensor | float:
        """Factor on g before the softmax: 1 in the papers, learned where the config says so."""
        if not self.config.learned_scale:
            return 1.0
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def encode_sound(self, waveform: Tensor) -> SoundFeatures:
        """(B, T) in [-1, 1] → f_s (B, 1000) and h (B, 512) (S19 §3.1).

        A sound too short for one step of the stream is tiled to a window first.
        """
        if waveform.ndim != 2 or waveform.shape[1] == 0:
            raise InputError(f"waveform: shape {tuple(waveform.shape)}; give (B, T) with T > 0")
        if waveform.shape[1] < self.sound.least_samples:
            n_tiles = -(-self.config.window_samples // waveform.shape[1])
            waveform = waveform.repeat(1, n_tiles)[:, : self.config.window_samples]
        f_s = self.sound(waveform)
        return SoundFeatures(f_s, self.context(f_s))

    def context(self, f_s: Tensor) -> Tensor:
        """f_s (…, 1000) → h (…, 512), two ReLU-FC blocks (S19 §3.1)."""
        return self.fc10(torch.relu(self.fc9(torch.relu(f_s))))  # type: ignore[no-any-return]

    def encode_frame(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → visual map (B, M, 512), M = ⌊H/16⌋ ⌊W/16⌋, row by row."""
        if frame.ndim != 4 or frame.shape[1] != 3:
            raise InputError(f"frame: shape {tuple(frame.shape)}; give (B, 3, H, W)")
        if min(frame.shape[2:]) < 16:
            raise InputError(f"frame: {frame.shape[3]}×{frame.shape[2]} px; both sides need 16")
        return self.visual(frame).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]

    def response(self, visual_map: Tensor, h: Tensor) -> Tensor:
        """g(v_i, h) of maps (N, M, D) and contexts (K, D) → (N, K, M) (S19 eq. 2 and 3)."""
        g = torch.einsum("nmd,kd->nkm", normalize(visual_map, dim=-1), normalize(h, dim=-1))
        return g.relu() if self.config.attention == "relu" else g

    def embed_z(self, z: Tensor) -> Tensor:
        """z (…, 512) → f_v (…, 1000), two ReLU-FC blocks (S19 §3.2)."""
        return self.fc_z2(torch.relu(self.fc_z1(torch.relu(z))))  # type: ignore[no-any-return]

    def condition(self, visual_map: Tensor, h: Tensor) -> Conditioned:
        """Look at frame b with sound b (S19 §3.3).

        Parameters
        ----------
        visual_map : (B, M, 512). A batch of one meets every row of the other argument.
        h : (B, 512).
        """
        n = max(len(visual_map), len(h))
        if n == 0 or {len(visual_map), len(h)} - {1, n}:
            raise InputError(f"condition: {len(visual_map)} maps with {len(h)} sounds do not pair")
        if len(visual_map) == 1:
            return self._rows(self.condition_matrix(visual_map, h), dim=0)
        if len(h) == 1:
            return self._rows(self.condition_matrix(visual_map, h), dim=1)
        v, s = normalize(visual_map, dim=-1), normalize(h, dim=-1)
        g = (v @ s[:, :, None])[:, :, 0]
        g = g.relu() if self.config.attention == "relu" else g
        attention = torch.softmax(self.scale * g, dim=1)
        z = (attention[:, None] @ visual_map)[:, 0]
        return Conditioned(g, attention, z, self.embed_z(z))

    def condition_matrix(self, visual_map: Tensor, h: Tensor) -> Conditioned:
        """Look at every frame with every sound: maps (N, M, D), h (K, D) → fields (N, K, …)."""
        g = self.response(visual_map, h)
        attention = torch.softmax(self.scale * g, dim=2)
        z = attention @ visual_map
        return Conditioned(g, attention, z, self.embed_z(z))

    def coarse(self, visual_map: Tensor) -> Tensor:
        """f_v under uniform attention, (N, M, D) → (N, 1000): depends on the frame alone."""
        return self.embed_z(visual_map.mean(dim=1))

    @staticmethod
    def _rows(pairs: Conditioned, dim: int) -> Conditioned:
        return Conditioned(
            *(field.squeeze(dim) for field in (pairs.response, pairs.attention, pairs.z, pairs.f_v))
        )
