"""The shipped classifiers: residual networks over pixels or log-mel, and their configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from encoder.config import TwoStreamConfig
from encoder.labellers.errors import LabellerDamaged
from encoder.labellers.protocol import Modality
from encoder.resnet import ResidualTrunk
from encoder.sound import LogMelStream
from encoder.visual import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """A classifier, completely. Saved beside its weights.

    Parameters
    ----------
    modality : `image` or `audio`.
    n_labels : labels that it can say.
    width, blocks : channels of the first residual stage, blocks in each of the four.
    frame_px : side that both sides of a frame are resized to.
    window_s, rate_hz : seconds of sound in one pass, and their sampling rate.
    """

    modality: Modality
    n_labels: int
    width: int
    blocks: tuple[int, int, int, int]
    frame_px: int = 160
    window_s: float = 5.0
    rate_hz: int = 22_050

    @property
    def window_samples(self) -> int:
        return round(self.window_s * self.rate_hz)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ClassifierConfig:
        """Read what `to_json` wrote; raises LabellerDamaged for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise LabellerDamaged(
                f"classifier configuration: its settings are not {', '.join(sorted(names))}: "
                "damaged, or written by another release; copy it again"
            )
        blocks = values["blocks"]
        numbers = [values[n] for n in ("n_labels", "width", "frame_px", "window_s", "rate_hz")]
        if (
            values["modality"] not in ("image", "audio")
            or not (isinstance(blocks, list) and len(blocks) == 4)
            or not all(isinstance(n, int | float) and n > 0 for n in [*numbers, *blocks])
        ):
            raise LabellerDamaged(
                "classifier configuration: a setting is out of range; copy it again"
            )
        return cls(**{**values, "blocks": tuple(blocks)})


class FrameClassifier(nn.Module):
    """Frames in [0, 1] to logits: a residual trunk at stride 32, averaged over the cells."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.trunk = ResidualTrunk(3, config.width, config.blocks, last_stride=2)
        self.head = nn.Linear(self.trunk.n_out, config.n_labels)

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → logits (B, n_labels)."""
        pixels = ((frame - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return self.head(self.trunk(pixels).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class SoundClassifier(LogMelStream):
    """The log-mel stream with labels in place of f_s.

    Only the code is the two-stream network's: the weights are trained apart, from scratch.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        stream = TwoStreamConfig(
            visual="resnet",
            sound="logmel",
            sound_width=config.width,
            sound_blocks=config.blocks,
            window_s=config.window_s,
            rate_hz=config.rate_hz,
        )
        super().__init__(stream)
        self.head = nn.Sequential(nn.Linear(self.trunk.n_out, config.n_labels))


def classifier(config: ClassifierConfig, *, seed: int = 0) -> FrameClassifier | SoundClassifier:
    """Return the network of a configuration, initialised by `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FrameClassifier(config) if config.modality == "image" else SoundClassifier(config)
