"""The compact map of a frame: blocks of 2 × 2 cells, averaged, as int8 in a basis of the corpus.

A map has 512 numbers for each of its M cells: 200 KB a frame in float16. Rankings lose almost
nothing where neighbours are averaged and much more in a small basis (DECISIONS.md), so the bytes go
to the basis: 49 blocks × 128 coefficients for 14 × 14 cells, 6.4 KB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from encoder.config import D
from indexer.arrow_files import TableWriter, ids_of, rows_of, schema_of
from indexer.blocks import Floats, Halves, Ids
from indexer.compact.projection import Codes, Projection
from indexer.storage import FileRecord

BLOCK = 2
RANK = 128
BATCH_ROWS = 4096
"""Frames of a record batch: one for the usual segment, so that rows are picked from one array."""
SAMPLE_CELLS = 40_000
"""Blocks that a basis is fitted to: past that the axes no longer move."""


@dataclass(frozen=True, kw_only=True)
class CompactBlock:
    """Compact maps of some frames.

    Attributes
    ----------
    ids : (n,).
    codes : int8 (n, C, r), C blocks of cells.
    norms : float16 (n, C), lengths of the vectors that the codes stand for.
    """

    ids: Ids
    codes: Codes
    norms: Halves

    def take(self, rows: NDArray[np.int64]) -> CompactBlock:
        """Return some of the rows, (k,)."""
        return CompactBlock(
            ids=self.ids[rows],
            codes=np.take(self.codes, rows, axis=0),
            norms=np.take(self.norms, rows, axis=0),
        )

    @staticmethod
    def joined(parts: Sequence[CompactBlock]) -> CompactBlock:
        """Lay blocks of one basis end to end, at least one."""
        return CompactBlock(
            ids=np.concatenate([part.ids for part in parts]),
            codes=np.concatenate([part.codes for part in parts]),
            norms=np.concatenate([part.norms for part in parts]),
        )


def n_blocks(grid: tuple[int, int]) -> int:
    """Return how many blocks a grid of cells (H', W') has; those at an odd edge are smaller."""
    return -(-grid[0] // BLOCK) * -(-grid[1] // BLOCK)


def pooled(maps: NDArray[np.floating], grid: tuple[int, int]) -> Floats:
    """Average blocks of cells: maps (n, M, 512) of a grid → float32 (n, C, 512), row by row."""
    cells = torch.from_numpy(maps.astype(np.float32)).reshape(-1, *grid, D).permute(0, 3, 1, 2)
    blocks = avg_pool2d(cells, BLOCK, ceil_mode=True, count_include_pad=False)
    averages: Floats = blocks.flatten(2).transpose(1, 2).contiguous().numpy()
    return averages


def fit_basis(maps: NDArray[np.floating], grid: tuple[int, int], *, seed: int = 0) -> Projection:
    """Fit the basis of compact maps to those of a sample of frames, (n, M, 512)."""
    blocks = pooled(maps, grid).reshape(-1, D)
    if len(blocks) > SAMPLE_CELLS:
        rng = np.random.default_rng(seed)
        blocks = blocks[rng.choice(len(blocks), SAMPLE_CELLS, replace=False)]
    return Projection.fit(blocks, RANK)


def compress(
    basis: Projection, ids: Ids, maps: NDArray[np.floating], grid: tuple[int, int]
) -> CompactBlock:
    """Maps (n, M, 512) → their compact form."""
    codes = basis.codes(pooled(maps, grid))
    norms = np.linalg.norm(basis.rows(codes), axis=2)
    return CompactBlock(ids=ids, codes=codes, norms=norms.astype(np.float16))


def restored(basis: Projection, block: CompactBlock) -> Floats:
    """Return the maps float32 (n, C, 512) that compact ones stand for: what scoring them means."""
    return basis.rows(block.codes)


def file_name(basis: int) -> str:
    """Return the name of a segment's compact maps in a basis."""
    return f"compact-{basis:06d}.arrow"


def basis_in(names: Iterable[str]) -> int | None:
    """Return which basis a segment's files have compact maps in; None where they have none."""
    found = [name for name in names if name.startswith("compact-")]
    return int(found[0][len("compact-") : -len(".arrow")]) if found else None


def write_compact(
    path: Path, blocks: Iterable[CompactBlock], basis: Projection, n: int
) -> FileRecord:
    """Write compact maps of `n` blocks of cells a frame; what the catalogue should know of them."""
    schema = schema_of(code=(pa.int8(), n * basis.rank), norm=(pa.float16(), n))
    writer = TableWriter(path, schema, BATCH_ROWS)
    try:
        for block in blocks:
            codes = block.codes.reshape(len(block.ids), -1)
            writer.append(block.ids, code=codes, norm=block.norms)
        return writer.finish()
    finally:
        writer.abandon()


def compact_block(batch: pa.RecordBatch) -> CompactBlock:
    """View a record batch of such a file."""
    norms = rows_of(batch, "norm")
    codes = rows_of(batch, "code").reshape(*norms.shape, -1)
    return CompactBlock(ids=ids_of(batch), codes=codes, norms=norms)
