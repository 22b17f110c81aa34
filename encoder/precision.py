"""Where bfloat16 is worth it."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed in hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
