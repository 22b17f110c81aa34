"""Vectors in a small space: x ≈ mean + decode u, u = round(encode (x - mean)) in int8.

The axes are the principal ones of a sample. Each has a step of its own, the largest coefficient of
the sample over 127, so the codes of every axis use the whole of int8 and no row needs a scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from indexer.blocks import Floats

Codes = NDArray[np.int8]
Floats64 = NDArray[np.float64]
LEAST_REACH = 3.0
"""Standard deviations that 127 stands for at least: a small sample has not seen its extremes. What
is farther out than the sample was is cut. A reach for all axes alike lost: what is heard is bounded
along the wide axes and far-flung along the narrow ones."""
FLAT = 1e-4
"""Axes along which the sample varies less than this part of the widest one carry nothing."""


@dataclass(frozen=True, eq=False)
class Projection:
    """An affine map to a small space and back, D to r dimensions.

    Attributes
    ----------
    mean : (D,) float32.
    encode : (D, r) float32; its columns have the steps divided out.
    decode : (r, D) float32.
    """

    mean: Floats
    encode: Floats
    decode: Floats

    @classmethod
    def fit(cls, rows: NDArray[np.floating], rank: int) -> Projection:
        """Fit to a sample (n, D), n > 0; the rank is smaller where the sample has no more axes."""
        mean = rows.mean(axis=0, dtype=np.float64)
        centred = rows.astype(np.float64) - mean
        deviations, axes = _principal(centred, rank)
        n_axes = max(1, int((deviations > FLAT * max(deviations[0], 1e-12)).sum()))
        axes = axes[:, :n_axes]
        reach = np.maximum(np.abs(centred @ axes).max(axis=0), LEAST_REACH * deviations[:n_axes])
        steps = np.maximum(reach, 1e-12) / 127
        return cls(
            mean.astype(np.float32),
            (axes / steps).astype(np.float32),
            (axes * steps).T.astype(np.float32),
        )

    @property
    def rank(self) -> int:
        return int(self.encode.shape[1])

    def codes(self, rows: NDArray[np.floating]) -> Codes:
        """Rows (…, D) → int8 (…, r)."""
        coefficients = (rows - self.mean) @ self.encode
        return np.clip(np.rint(coefficients), -127, 127).astype(np.int8)

    def rows(self, codes: Codes) -> Floats:
        """Codes int8 (…, r) → float32 (…, D)."""
        restored: Floats = codes.astype(np.float32) @ self.decode + self.mean
        return restored

    def ask(self, vector: Floats) -> tuple[float, Floats]:
        """Return (a, b) such that x·vector ≈ a + code·b; `vector` is (D,), b is (r,)."""
        return float(self.mean @ vector), self.decode @ vector


def _principal(centred: NDArray[np.float64], rank: int) -> tuple[Floats64, Floats64]:
    """Return the widest standard deviations (r,) of rows (n, D), and their axes (D, r)."""
    n, width = centred.shape
    sample = torch.from_numpy(centred)
    if n < width:
        _, lengths, across = torch.linalg.svd(sample, full_matrices=False)
        return lengths[:rank].numpy() / np.sqrt(n), across[:rank].T.numpy()
    variances, axes = torch.linalg.eigh(sample.T @ sample / n)
    return variances.clamp_min(0).sqrt().flip(0)[:rank].numpy(), axes.flip(1)[:, :rank].numpy()


def to_bytes(projections: dict[str, Projection]) -> bytes:
    """Write projections by name as safetensors."""
    return save(
        {
            f"{name}.{part}": np.ascontiguousarray(getattr(projection, part))
            for name, projection in projections.items()
            for part in ("mean", "encode", "decode")
        }
    )


def from_bytes(content: bytes) -> dict[str, Projection]:
    """Read what `to_bytes` wrote. Raises ValueError where the content is damaged."""
    try:
        tensors = load(content)
        names = sorted({name.rpartition(".")[0] for name in tensors})
        return {
            name: Projection(*(tensors[f"{name}.{part}"] for part in ("mean", "encode", "decode")))
            for name in names
        }
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"no projections: {error}") from None
