"""The sound streams: a waveform of any length to f_s (S19 §3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from encoder.config import F_S, TwoStreamConfig
from encoder.resnet import ResidualTrunk

SOUNDNET_SCALE = 256.0
"""SoundNet was trained on samples in [-256, 256]."""
SOUNDNET_MIN_SAMPLES = 209_374
"""Below this conv8 has no time step; the window of the `paper` preset (20 s) is well above."""
SILENCE = 1e-6
"""Power added to every mel band before the logarithm."""

# in, out, kernel, stride, padding, max-pool (definitions §1); BatchNorm and ReLU after conv1–7.
SOUNDNET_LAYERS = (
    (1, 16, 64, 2, 32, 8),
    (16, 32, 32, 2, 16, 8),
    (32, 64, 16, 2, 8, 1),
    (64, 128, 8, 2, 4, 1),
    (128, 256, 4, 2, 2, 4),
    (256, 512, 4, 2, 2, 1),
    (512, 1024, 4, 2, 2, 1),
)


class SoundNet8(nn.Module):
    """SoundNet-8 (Aytar et al. 2016) with 1000 filters in conv8, averaged over time (S19 §3.1)."""

    least_samples = SOUNDNET_MIN_SAMPLES

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out, kernel, stride, padding, pool in SOUNDNET_LAYERS:
            layers += [nn.Conv1d(n_in, n_out, kernel, stride, padding), nn.BatchNorm1d(n_out)]
            layers += [nn.ReLU(inplace=True)] + ([nn.MaxPool1d(pool)] if pool > 1 else [])
        self.conv1_to_7 = nn.Sequential(*layers)
        self.conv8 = nn.Conv1d(1024, F_S, 8, stride=2)

    def steps(self, waveform: Tensor) -> Tensor:
        """(B, T) → (B, 1000, n_steps): 20 s give 4 steps."""
        return self.conv8(self.conv1_to_7(waveform[:, None] * SOUNDNET_SCALE))  # type: ignore[no-any-return]

    def front(self, waveform: Tensor) -> Tensor:
        """Return the waveform (B, T): SoundNet has no fixed front end."""
        return waveform

    def from_front(self, waveform: Tensor) -> Tensor:
        """(B, T ≥ 209 374) → f_s (B, 1000)."""
        return self.steps(waveform).mean(dim=2)

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T ≥ 209 374) in [-1, 1] at 22 050 Hz → f_s (B, 1000)."""
        return self.from_front(self.front(waveform))


class LogMelStream(nn.Module):
    """A ResNet over a log-mel spectrogram, averaged over time and frequency.

    Each window is brought to zero mean and unit variance, so the level of a recording says nothing.
    `front` has no weights: training computes it once per recording and augments what it gives.
    """

    n_mels, n_fft, hop = 64, 1024, 441  # 46 ms windows every 20 ms
    least_samples = 4096  # a few frames of spectrogram, so that its variance means something

    def __init__(self, config: TwoStreamConfig) -> None:
        super().__init__()
        self.mel = MelSpectrogram(
            config.rate_hz, n_fft=self.n_fft, hop_length=self.hop, n_mels=self.n_mels, f_min=40.0
        )
        for buffer in ("spectrogram.window", "mel_scale.fb"):
            owner, name = buffer.split(".")
            self.mel.get_submodule(owner)._non_persistent_buffers_set.add(name)
        self.trunk = ResidualTrunk(1, config.sound_width, config.sound_blocks, last_stride=2)
        # Centred by its statistics: else every f_s shares one large component and all are alike.
        self.head = nn.Sequential(nn.Linear(self.trunk.n_out, F_S, bias=False), nn.BatchNorm1d(F_S))

    def front(self, waveform: Tensor) -> Tensor:
        """(B, T) → natural log of mel power (B, 64, 1 + T // 441), in float32."""
        with torch.autocast(waveform.device.type, enabled=False):
            return torch.log(self.mel(waveform.float()) + SILENCE)

    def from_front(self, log_mel: Tensor) -> Tensor:
        """(B, 64, n_frames) → f_s (B, 1000)."""
        mean, std = log_mel.mean(dim=(1, 2), keepdim=True), log_mel.std(dim=(1, 2), keepdim=True)
        image = ((log_mel - mean) / (std + 1e-3))[:, None]
        cells = self.trunk(image.contiguous(memory_format=torch.channels_last))
        return self.head(cells.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) in [-1, 1] → f_s (B, 1000)."""
        return self.from_front(self.front(waveform))


def sound_stream(config: TwoStreamConfig) -> SoundNet8 | LogMelStream:
    """Return the stream that the configuration names."""
    return SoundNet8() if config.sound == "soundnet8" else LogMelStream(config)
