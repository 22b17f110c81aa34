"""What a two-stream network is made of, and the presets. Loads without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from encoder.errors import CheckpointError

F_S = F_V = 1000
"""Width of the shared space (S19 §3.1: 1000 filters in conv8)."""
D = 512
"""Width of a map cell, of the sound context h and of z (S19 §3.2)."""
STRIDE_PX = 16
"""Frame pixels per cell side: H' = ⌊H/16⌋ (S19 §3.2)."""
LATER = {"visual_fifth_too": False}
"""Settings that came after the first checkpoints, and what they are in those."""


@dataclass(frozen=True, kw_only=True)
class TwoStreamConfig:
    """A two-stream network, completely. Saved beside its weights.

    Parameters
    ----------
    visual : `vgg16` to conv5_3 (S19 §3.2), or with stride 16 a `resnet` or EfficientNet-Lite0.
    sound : `soundnet8` on the waveform (S19 §3.1) or `logmel`, a ResNet on a log-mel spectrogram.
    attention : `cos` (S19 eq. 2) or `relu` (S19 eq. 3).
    learned_scale : multiply g by a learned scale before the softmax. The papers have none.
    relu_after_conv5_3 : False takes conv5_3 before its ReLU, as the published code does.
    visual_fifth_too : give the projection of an EfficientNet's features those of its fifth stage,
        too, which are sharper than the last one's.
    visual_blocks, sound_blocks : residual blocks in each of a ResNet's four stages.
    visual_width, sound_width : channels of a ResNet's first stage; doubled at each next stage.
    frame_px : side of a prepared frame in the index; both sides are resized to it.
    window_s : seconds of sound that one pass sees; shorter sounds are tiled, longer ones averaged.
    rate_hz : sampling rate of the waveform.
    """

    visual: Literal["vgg16", "resnet", "efficientnet"]
    sound: Literal["soundnet8", "logmel"]
    attention: Literal["cos", "relu"] = "cos"
    learned_scale: bool = False
    relu_after_conv5_3: bool = True
    visual_fifth_too: bool = False
    visual_blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    visual_width: int = 64
    sound_blocks: tuple[int, int, int, int] = (1, 1, 1, 1)
    sound_width: int = 64
    frame_px: int = 320
    window_s: float = 20.0
    rate_hz: int = 22_050

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (H', W') of a prepared frame."""
        side = self.frame_px // STRIDE_PX
        return side, side

    @property
    def window_samples(self) -> int:
        return round(self.window_s * self.rate_hz)

    def to_json(self) -> dict[str, Any]:
        """Return every setting; later ones only where they say something.

        Fingerprints are taken over it, and those of earlier checkpoints must stay.
        """
        return {k: v for k, v in asdict(self).items() if k not in LATER or v != LATER[k]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TwoStreamConfig:
        """Read what `to_json` wrote; raises CheckpointError on unknown or missing names."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise CheckpointError(
                f"network configuration: unknown settings {', '.join(unknown)}: "
                "written by a newer release; update this one"
            )
        lists_as_tuples: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        try:
            return cls(**lists_as_tuples)
        except TypeError as error:
            raise CheckpointError(
                f"network configuration: {error}; train or copy it again"
            ) from None


def paper(*, attention: Literal["cos", "relu"] = "cos") -> TwoStreamConfig:
    """Return the network of S19 §3: VGG-16 to conv5_3, SoundNet-8, no temperature."""
    return TwoStreamConfig(visual="vgg16", sound="soundnet8", attention=attention)


def compact() -> TwoStreamConfig:
    """Return the shipped default: EfficientNet-Lite0 at stride 16 and a log-mel ResNet."""
    return TwoStreamConfig(
        visual="efficientnet",
        sound="logmel",
        learned_scale=True,
        visual_fifth_too=True,
        sound_width=48,
        frame_px=224,
        window_s=5.0,
    )


def tiny() -> TwoStreamConfig:
    """Return a network of the same code that tests can run in milliseconds."""
    return TwoStreamConfig(
        visual="resnet",
        sound="logmel",
        learned_scale=True,
        visual_blocks=(1, 1, 1, 1),
        visual_width=8,
        sound_blocks=(1, 1, 1, 1),
        sound_width=8,
        frame_px=64,
        window_s=1.0,
    )
