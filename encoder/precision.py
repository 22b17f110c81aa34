"""Where bfloat16 is worth it."""

from __future__ import annotations

import platform

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed in hardware; emulated it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.machine().lower() in ("x86_64", "amd64"):  # oneDNN emulates it on plain AVX512
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
