"""Segments: what is written is read, without a copy, at any cut into batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from indexer_fixtures import N_CELLS, frame_block, sound_block, unit_rows

import indexer.segments as segments
from indexer.errors import IndexCorrupt
from indexer.segments import Segment, SegmentRows, SegmentWriter
from indexer.storage import FileRecord


def rows_of(rng: np.random.Generator, first: int, n_frames: int, n_sounds: int) -> SegmentRows:
    heard = rng.random(n_frames) < 0.5
    return SegmentRows(
        sounds=sound_block(rng, list(range(first, first + n_sounds))),
        frames=frame_block(rng, list(range(first, first + n_frames))),
        own_sound=unit_rows(rng, n_frames),
        heard=heard,
    )


def write(folder: Path, batches: list[SegmentRows]) -> dict[str, FileRecord]:
    folder.mkdir()
    writer = SegmentWriter(folder, N_CELLS)
    for batch in batches:
        writer.append(batch)
    return writer.finish()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), st.integers(0, 9**9))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[tuple[int, int]],
    seed: int,
) -> None:
    monkeypatch.setattr(segments, "MAP_ROWS", 4)  # small, so that rows cross record batches
    monkeypatch.setattr(segments, "VECTOR_ROWS", 8)
    rng = np.random.default_rng(seed)
    batches = [rows_of(rng, 10 * n, *size) for n, size in enumerate(sizes)]
    folder = tmp_path_factory.mktemp("segment") / "000001"
    segment = Segment(folder, write(folder, batches))
    frames, sounds = list(segment.frame_blocks()), list(segment.sound_blocks())
    for name in ("ids", "maps", "coarse"):
        wanted = [getattr(batch.frames, name) for batch in batches]
        assert_same([getattr(block, name) for block in frames], wanted)
    for name in ("ids", "f_s", "h"):
        wanted = [getattr(batch.sounds, name) for batch in batches]
        assert_same([getattr(block, name) for block in sounds], wanted)
    own = list(segment.own_sound_blocks())
    assert_same([ids for ids, _ in own], [b.frames.ids[b.heard] for b in batches])
    assert_same([f_v for _, f_v in own], [b.own_sound[b.heard] for b in batches])
    for row, item in enumerate(segment.frame_ids):
        assert segment.frame_row(row).ids.tolist() == [item]
    for row, item in enumerate(segment.sound_ids):
        assert segment.sound_row(row).ids.tolist() == [item]
    assert segment.damaged() == []


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    rows = [part for part in wanted if len(part)]
    assert sum(len(part) for part in found) == sum(len(part) for part in rows)
    if rows:
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(rows))


def test_maps_are_views_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "s"
    segment = Segment(folder, write(folder, [rows_of(rng, 0, 5, 5)]))
    (block,) = segment.frame_blocks()
    for array in (block.maps, block.coarse, block.ids):
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_blocks_outlive_the_segment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rows_of(rng, 0, 5, 5)
    segment = Segment(tmp_path / "s", write(tmp_path / "s", [rows]))
    (block,) = segment.frame_blocks()
    segment.close()
    np.testing.assert_array_equal(block.maps, rows.frames.maps)


def test_a_flipped_byte_is_found_by_reading_everything(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    files = write(folder, [rows_of(np.random.default_rng(0), 0, 5, 5)])
    path = folder / "maps.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert Segment(folder, files).damaged() == ["maps.arrow"]


@pytest.mark.parametrize("how", ["gone", "short", "zeros"])
def test_a_file_that_cannot_be_one_is_refused_on_opening(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "s"
    files = write(folder, [rows_of(np.random.default_rng(0), 0, 5, 5)])
    path = folder / "visual.arrow"
    size = path.stat().st_size
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(size if how == "zeros" else size - 8))
    with pytest.raises(IndexCorrupt, match=r"visual\.arrow.*build-index"):
        Segment(folder, files)
