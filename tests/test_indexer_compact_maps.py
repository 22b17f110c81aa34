"""Compact maps: blocks of cells, their codes and norms, and the file that holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.config import D
from indexer.arrow_files import Table
from indexer.compact.maps import (
    CompactBlock,
    basis_in,
    compact_block,
    compress,
    file_name,
    fit_basis,
    n_blocks,
    pooled,
    restored,
    write_compact,
)

GRIDS = [(1, 1), (1, 2), (1, 7), (7, 1), (2, 2), (3, 2), (4, 4), (15, 9)]


def maps_of(n: int, grid: tuple[int, int], seed: int = 0) -> NDArray[np.float16]:
    """Return maps (n, M, 512) of a few directions, as a network gives them, and no more."""
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(99).normal(size=(12, D))
    weights = rng.normal(size=(n, grid[0] * grid[1], 12)) * np.linspace(2, 0.2, 12)
    return (weights @ axes + 0.5).astype(np.float16)


def averaged(maps: NDArray[np.floating], grid: tuple[int, int]) -> NDArray[np.float64]:
    """Average blocks of 2 × 2 cells one by one: the slow twin of `pooled`."""
    cells = maps.astype(np.float64).reshape(-1, *grid, D)
    blocks = [
        cells[:, row : row + 2, column : column + 2].mean(axis=(1, 2))
        for row in range(0, grid[0], 2)
        for column in range(0, grid[1], 2)
    ]
    return np.stack(blocks, axis=1)


@pytest.mark.parametrize("grid", GRIDS)
def test_blocks_are_averages_of_the_cells_they_cover(grid: tuple[int, int]) -> None:
    maps = maps_of(3, grid)
    blocks = pooled(maps, grid)
    assert blocks.shape == (3, n_blocks(grid), D)
    assert blocks.dtype == np.float32
    np.testing.assert_allclose(blocks, averaged(maps, grid), atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_restored_is_near_and_has_the_norms(grid: tuple[int, int]) -> None:
    maps = maps_of(40, grid)
    basis = fit_basis(maps, grid)
    block = compress(basis, np.arange(40), maps, grid)
    assert (block.codes.dtype, block.norms.dtype) == (np.int8, np.float16)
    cells = restored(basis, block)
    assert cells.shape == (40, n_blocks(grid), D)
    np.testing.assert_allclose(block.norms, np.linalg.norm(cells, axis=2), rtol=6e-4)
    blocks = pooled(maps, grid)
    assert np.square(cells - blocks).sum() < 2e-3 * np.square(blocks - basis.mean).sum()


def test_a_sample_of_one_frame_is_enough() -> None:
    maps = maps_of(1, (1, 1))
    basis = fit_basis(maps, (1, 1))
    assert basis.rank == 1
    cells = restored(basis, compress(basis, np.arange(1), maps, (1, 1)))
    np.testing.assert_allclose(cells, maps, atol=1e-4)


def test_rows_are_taken_and_joined() -> None:
    maps = maps_of(6, (3, 2))
    basis = fit_basis(maps, (3, 2))
    whole = compress(basis, np.arange(10, 16), maps, (3, 2))
    parts = [whole.take(np.array([0, 3])), whole.take(np.array([5]))]
    joined = CompactBlock.joined(parts)
    assert joined.ids.tolist() == [10, 13, 15]
    assert (joined.codes == whole.codes[[0, 3, 5]]).all()
    assert (joined.norms == whole.norms[[0, 3, 5]]).all()


@pytest.mark.parametrize("grid", [(1, 1), (3, 2)])
def test_a_file_gives_back_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: tuple[int, int]
) -> None:
    monkeypatch.setattr("indexer.compact.maps.BATCH_ROWS", 4)
    maps = maps_of(6, grid)
    basis = fit_basis(maps, grid)
    whole = compress(basis, np.arange(10, 16), maps, grid)
    cuts = [whole.take(np.arange(0, 5)), whole.take(np.arange(5, 6))]
    path = tmp_path / file_name(7)
    record = write_compact(path, cuts, basis, n_blocks(grid))
    assert record.rows == 6
    table = Table(path, record)
    read = CompactBlock.joined([compact_block(table.batch(n)) for n in range(table.n_batches)])
    assert table.n_batches == 2
    assert (read.ids == whole.ids).all()
    assert (read.codes == whole.codes).all()
    assert (read.norms == whole.norms).all()


def test_a_file_may_hold_no_rows(tmp_path: Path) -> None:
    basis = fit_basis(maps_of(2, (2, 2)), (2, 2))
    path = tmp_path / file_name(1)
    record = write_compact(path, [], basis, 1)
    assert (record.rows, Table(path, record).n_batches) == (0, 0)


def test_names_say_the_basis() -> None:
    assert basis_in(["maps.arrow", file_name(12), "visual.arrow"]) == 12
    assert basis_in(["maps.arrow"]) is None
