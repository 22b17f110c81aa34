"""What all labellers do: choose a device, check an item, average a sound over its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.embedder import WINDOWS_AT_ONCE, choose_device
from encoder.errors import InputError


def exact_device(name: str) -> torch.device:
    """Choose a device and make it compute in float32; raises InputError where it is not there."""
    device = choose_device(name)
    if device.type == "cuda":  # TF32 would differ from the CPU in the third digit
        torch.backends.cudnn.allow_tf32 = False
    return device


def check_frame(decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a decoded frame as it is; raises InputError unless it is (H, W, 3) uint8."""
    if decoded.ndim != 3 or decoded.shape[2] != 3 or decoded.dtype != np.uint8 or not decoded.size:
        raise InputError(f"frame: {decoded.dtype} {decoded.shape}; give (H, W, 3) uint8")
    return decoded


def finite_windows(windows: NDArray[Any]) -> NDArray[np.float32]:
    """Return windows (n, T) as float32; raises InputError for another shape, NaN or infinity."""
    if windows.ndim != 2 or not windows.size:
        raise InputError(f"sound: windows of shape {windows.shape}; give what prepare returned")
    if not np.isfinite(windows).all():
        raise InputError("sound: NaN or infinite samples; decode it again")
    return np.ascontiguousarray(windows, dtype=np.float32)


def mean_over_windows(
    logits_of: Callable[[Tensor], Tensor], windows: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Average logits over the windows of one sound, before the softmax (S19 §3.1 averages conv8).

    Parameters
    ----------
    logits_of : windows (n, T) → logits (n, K).
    """
    parts = torch.from_numpy(windows).split(WINDOWS_AT_ONCE)
    logits = torch.cat([logits_of(part.to(device)) for part in parts])
    return logits.mean(dim=0).cpu().numpy()
