"""Conditional scores of many items from their codes: approximate, and fast.

The network of S19 §3.3 in the small space. With v = m + D u, the response of a cell is linear in u,
and so is z = Σ α v: both are computed with the codes, of r numbers, and only Σ α u is taken back to
512. Of the last layers f_v itself (1000 numbers an item) is never made: cos(f_v, t) needs x·(W₂ᵀ t)
and ‖f_v‖² = xᵀ(W₂ᵀW₂)x + …, where x is the layer before. `indexer.conditional` over the maps that
the codes stand for is the slow twin.

Items go in parts that fit a core's cache, each part on one core: no thread waits for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from encoder.precision import has_bfloat16
from encoder.two_stream import TwoStreamEncoder
from indexer.blocks import Floats
from indexer.compact.maps import CompactBlock, pooled
from indexer.compact.projection import Codes, Projection
from indexer.terms import FrameTerm, SoundTerm

T = TypeVar("T")
R = TypeVar("R")
FRAMES_AT_ONCE = 256
SOUNDS_AT_ONCE = 1024
LEAST_SQUARE = 1e-12
_STARTING = Lock()


class Head:
    """What follows the attention, on a device, in bfloat16 where that is computed in hardware."""

    def __init__(self, network: TwoStreamEncoder, device: torch.device) -> None:
        self.device = device
        self.dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
        self.scale = float(torch.as_tensor(network.scale).detach())
        self.is_relu = network.config.attention == "relu"
        first, last = network.fc_z1, network.fc_z2
        self.first_exact = self.exact(first.weight.detach().T), self.exact(first.bias.detach())
        self.first, self.first_bias = (part.to(self.dtype) for part in self.first_exact)
        self.last, self.last_bias = self.exact(last.weight.detach()), self.exact(last.bias.detach())
        self.gram = (self.last.T @ self.last).to(self.dtype)
        self.cross = 2 * self.last.T @ self.last_bias
        self.bias_square = float(self.last_bias @ self.last_bias)

    def exact(self, values: Tensor | NDArray[np.floating]) -> Tensor:
        """Put values on the device, in float32."""
        if isinstance(values, np.ndarray):  # PyTorch warns of views of a file, which are read-only
            values = torch.from_numpy(np.array(values, dtype=np.float32))
        return values.to(self.device, torch.float32)

    def fast(self, values: Tensor | NDArray[np.floating]) -> Tensor:
        """Put values on the device, in the type of the scan."""
        return self.exact(values).to(self.dtype)

    def attention(self, response: Tensor) -> Tensor:
        """Responses (n, M) float32 → α (n, M), summing to 1."""
        g = response.relu() if self.is_relu else response
        return torch.softmax(self.scale * g, dim=1)

    def layer(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, 512) → x (n, 512), the layer before f_v, and 1/‖f_v‖ (n,), both float32."""
        x = torch.relu(torch.relu(z) @ self.first + self.first_bias)
        exact = x.float()
        square = ((x @ self.gram).float() * exact).sum(dim=1) + exact @ self.cross
        return exact, (square + self.bias_square).clamp_min(LEAST_SQUARE).rsqrt()

    def f_v(self, z: Tensor) -> Tensor:
        """z (n, 512) → f_v (n, 1000), float32, not normalised."""
        first, bias = self.first_exact
        return torch.relu(torch.relu(z) @ first + bias) @ self.last.T + self.last_bias

    def moves(self, z: Tensor, steps: Tensor) -> Tensor:
        """Return how f_v/‖f_v‖ moves by steps (n, 512) from z (512,), to first order: (n, 1000)."""
        first, bias = self.first_exact
        before = torch.relu(z) @ first + bias
        f_v = self.last @ torch.relu(before) + self.last_bias
        moved = ((steps * (z > 0)) @ first * (before > 0)) @ self.last.T
        length = f_v.norm().clamp_min(LEAST_SQUARE)
        towards = f_v / length
        tangent: Tensor = (moved - (moved @ towards)[:, None] * towards) / length
        return tangent

    def asking(self, target: Floats) -> tuple[Tensor, float]:
        """Return (a, b) such that f_v·target = x·a + b."""
        wanted = self.exact(target)
        return self.last.T @ wanted, float(self.last_bias @ wanted)


@dataclass(frozen=True, eq=False)
class FrameScan:
    """Scores compact maps by one term that looks with a sound.

    Attributes
    ----------
    offset, ask : v·h̄ = offset + u·ask.
    decode, mean : of the basis.
    toward, bias : f_v·target = x·toward + bias.
    """

    head: Head
    offset: float
    ask: Tensor
    decode: Tensor
    mean: Tensor
    toward: Tensor
    bias: float

    @classmethod
    def of(cls, head: Head, basis: Projection, term: FrameTerm) -> FrameScan:
        """Prepare a term; it looks with a sound."""
        assert term.h is not None, "frames alone are scored by their vectors"
        offset, ask = basis.ask(term.h / max(float(np.linalg.norm(term.h)), 1e-12))
        toward, bias = head.asking(term.target)
        fast = head.fast
        return cls(head, offset, fast(ask), fast(basis.decode), fast(basis.mean), toward, bias)

    def __call__(self, block: CompactBlock) -> Floats:
        """Return approximate cosines (n,) of a block."""
        codes = torch.as_tensor(block.codes, device=self.head.device)
        norms = torch.as_tensor(block.norms, device=self.head.device)
        return self.scores(codes, norms).cpu().numpy()

    def scores(self, codes: Tensor, norms: Tensor) -> Tensor:
        """Codes int8 (n, C, r) and norms (n, C) on the device → cosines (n,) float32."""
        n, n_blocks, rank = codes.shape
        u = codes.to(self.head.dtype)
        along = (u.view(-1, rank) @ self.ask[:, None]).view(n, n_blocks).float()
        attention = self.head.attention((self.offset + along) / norms.float().clamp_min(1e-6))
        mixed = torch.bmm(attention.to(self.head.dtype)[:, None], u)[:, 0]
        x, inverse = self.head.layer(mixed @ self.decode + self.mean)
        return ((x @ self.toward + self.bias) * inverse).clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class SoundScan:
    """Scores codes of sounds by one term that looks at a frame.

    Attributes
    ----------
    offset, ask : v̄_i·h̄ = offset_i + code·ask_i; (C,) and (r, C).
    cells : (C, 512).
    toward, bias : f_v·t = x·toward + bias + code·(x @ by_code + bias_by_code), the latter two where
        t is the sound's own f_s and not one given target.
    """

    head: Head
    offset: Tensor
    ask: Tensor
    cells: Tensor
    toward: Tensor
    bias: float
    by_code: Tensor | None
    bias_by_code: Tensor | None

    @classmethod
    def of(
        cls, head: Head, h: Projection, f_s: Projection, term: SoundTerm, grid: tuple[int, int]
    ) -> SoundScan:
        """Prepare a term; it looks at a frame of this grid."""
        v = blocks_of(head, term, grid)
        seen = normalize(v, dim=1)
        toward, bias = head.asking(f_s.mean if term.target is None else term.target)
        by_code = bias_by_code = None
        if term.target is None:
            decode = head.exact(f_s.decode)
            by_code, bias_by_code = head.fast((decode @ head.last).T), decode @ head.last_bias
        return cls(
            head,
            seen @ head.exact(h.mean),
            head.fast(head.exact(h.decode) @ seen.T),
            head.fast(v),
            toward,
            bias,
            by_code,
            bias_by_code,
        )

    def __call__(self, f_s: Codes, h: Codes) -> Floats:
        """Return approximate cosines (n,) of codes int8 (n, r) of f_s and h̄."""
        heard, contexts = (torch.as_tensor(part, device=self.head.device) for part in (f_s, h))
        return self.scores(heard, contexts).cpu().numpy()

    def scores(self, f_s: Tensor, h: Tensor) -> Tensor:
        """Codes int8 (n, r) of f_s and h̄ on the device → cosines (n,) float32."""
        along = (h.to(self.head.dtype) @ self.ask).float()
        attention = self.head.attention(along + self.offset)
        x, inverse = self.head.layer(attention.to(self.head.dtype) @ self.cells)
        along_target = x @ self.toward + self.bias
        if self.by_code is not None and self.bias_by_code is not None:
            each = (x.to(self.head.dtype) @ self.by_code).float() + self.bias_by_code
            along_target = along_target + (each * f_s.float()).sum(dim=1)
        return (along_target * inverse).clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class ChordScan:
    """Scores codes of sounds by one term that looks at a frame, with no layer to compute for each.

    f_v of the attended mean Σ αᵢ vᵢ is taken for the mean Σ αᵢ f_v(vᵢ) of what the cells alone
    give. Then f_v·t = Σ αᵢ f_v(vᵢ)·t and ‖f_v‖² = αᵀ K α with K = F Fᵀ, F the f_v(vᵢ): whatever is
    512 or 1000 wide is computed once, for the C cells.

    Attributes
    ----------
    offset, ask : v̄_i·h̄ = offset_i + code·ask_i; (C,) and (r, C).
    ends, by_code : f_v(vᵢ)·t = ends_i + code·by_code_i; (C,) and (C, r), the latter where t is the
        sound's own f_s and not one given target.
    spread : K, (C, C).
    """

    head: Head
    offset: Tensor
    ask: Tensor
    ends: Tensor
    by_code: Tensor | None
    spread: Tensor

    @classmethod
    def of(
        cls, head: Head, h: Projection, f_s: Projection, term: SoundTerm, grid: tuple[int, int]
    ) -> ChordScan:
        """Prepare a term; it looks at a frame of this grid."""
        v = blocks_of(head, term, grid)
        seen, f_v = normalize(v, dim=1), head.f_v(v)
        by_code = head.fast(f_v @ head.exact(f_s.decode).T) if term.target is None else None
        return cls(
            head,
            seen @ head.exact(h.mean),
            head.fast(head.exact(h.decode) @ seen.T),
            f_v @ head.exact(f_s.mean if term.target is None else term.target),
            by_code,
            head.fast(f_v @ f_v.T),
        )

    def __call__(self, f_s: Codes, h: Codes) -> Floats:
        """Return approximate cosines (n,) of codes int8 (n, r) of f_s and h̄."""
        heard, contexts = (torch.as_tensor(part, device=self.head.device) for part in (f_s, h))
        return self.scores(heard, contexts).cpu().numpy()

    def scores(self, f_s: Tensor, h: Tensor) -> Tensor:
        """Codes int8 (n, r) of f_s and h̄ on the device → cosines (n,) float32."""
        along = (h.to(self.head.dtype) @ self.ask).float()
        attention = self.head.attention(along + self.offset)
        fast = attention.to(self.head.dtype)
        square = ((fast @ self.spread).float() * attention).sum(dim=1)
        along_target = attention @ self.ends
        if self.by_code is not None:
            along_target += ((fast @ self.by_code).float() * f_s.float()).sum(dim=1)
        return (along_target * square.clamp_min(LEAST_SQUARE).rsqrt()).clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class KeptScan:
    """Scores codes of sounds by how alike they act in a frame to the sound it came with.

    Sounds that act alike differ in the fourth digit of the cosine, less than bfloat16 resolves. To
    first order f_v/‖f_v‖ moves by J (z - z₀), so cos = 1 - ‖J (z - z₀)‖²/2; and as z - z₀ is a
    mean Σ αᵢ (vᵢ - z₀), the square is αᵀ K α with K = (v - z₀) JᵀJ (v - z₀)ᵀ: C × C numbers, once.

    Attributes
    ----------
    offset, ask : v̄_i·h̄ = offset_i + code·ask_i; (C,) and (r, C).
    spread : K, (C, C).
    """

    head: Head
    offset: Tensor
    ask: Tensor
    spread: Tensor

    @classmethod
    def of(cls, head: Head, h: Projection, term: SoundTerm, grid: tuple[int, int]) -> KeptScan:
        """Prepare a term; it has a frame of this grid, and the sound that its target came of."""
        assert term.h is not None, "made by `keep_image`"
        v = blocks_of(head, term, grid)
        seen, context = normalize(v, dim=1), normalize(head.exact(term.h), dim=0)
        z = head.attention((seen @ context)[None])[0] @ v
        moved = head.moves(z, v - z)
        offset, ask = seen @ head.exact(h.mean), head.exact(h.decode) @ seen.T
        return cls(head, offset, ask, moved @ moved.T)

    def __call__(self, _: Codes, h: Codes) -> Floats:
        """Return approximate cosines (n,) of codes int8 (n, r) of h̄."""
        return self.scores(torch.as_tensor(h, device=self.head.device)).cpu().numpy()

    def scores(self, h: Tensor) -> Tensor:
        """Codes int8 (n, r) on the device → cosines (n,) float32."""
        attention = self.head.attention(h.float() @ self.ask + self.offset)
        square = ((attention @ self.spread) * attention).sum(dim=1)
        return (1 - square / 2).clamp_min(-1)


def blocks_of(head: Head, term: SoundTerm, grid: tuple[int, int]) -> Tensor:
    """Return the blocks of cells (C, 512) of a term's frame; a map of no grid stays as it is."""
    assert term.visual_map is not None, "sounds alone are scored by their vectors"
    is_grid = term.visual_map.shape[0] == grid[0] * grid[1]
    return head.exact(pooled(term.visual_map[None], grid)[0] if is_grid else term.visual_map)


def on_cores(work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
    """Return `work` of each part, in order, each part on one core."""
    return list(_cores().map(work, parts))


def _cores() -> ThreadPoolExecutor:
    with _STARTING:
        return _pool()


@cache
def _pool() -> ThreadPoolExecutor:
    """Return as many threads as PyTorch uses here, each with one thread of PyTorch's to itself."""
    n = torch.get_num_threads()
    ready = Barrier(n + 1)

    def begin() -> None:
        torch.get_num_threads()  # settles the thread's own number, which its first work would else
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(max_workers=n, thread_name_prefix="scan")
    for _ in range(n):
        pool.submit(begin)
    ready.wait()
    torch.set_num_threads(n)  # new threads start with the last that was set
    return pool
