"""Estimates beside real builds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from indexer_fixtures import build, options, write_pairs
from inspection_fixtures import inspected

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.inspection.estimate import (
    FACTOR,
    FIXED_BYTES,
    SHIPPED_GRID,
    START_S,
    build_seconds,
    core_speed,
    index_bytes,
)
from indexer.options import MapForm, n_cores
from indexer.scan import scan


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["full", "compact", "none"])
def test_bytes_of_a_real_index(tmp_path: Path, tiny_embedder: Embedder, form: MapForm) -> None:
    corpus = write_pairs(tmp_path / "corpus", 60)
    for n in range(20):
        (corpus / f"p{n:03d}.wav").rename(corpus / f"lone{n:03d}.wav")
    built = build(corpus, tiny_embedder, maps=form, segment_items=4096)
    estimate = index_bytes(scan(corpus).items, tiny_embedder.grid)[form]
    # What does not depend on the number of items is set for a larger network and many items.
    assert estimate - FIXED_BYTES == pytest.approx(
        bytes_below(built.index_dir)
        - bytes_below(built.index_dir / "bases")
        - codes(built.index_dir),
        rel=0.25,
    )


def codes(index_dir: Path) -> int:
    """Size of the projections of the codes: up to 64 axes, fewer for few items."""
    (path,) = index_dir.rglob("codes.safetensors")
    return path.stat().st_size


def test_seconds_of_a_real_build_with_the_shipped_encoder(tmp_path: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 80)
    report = scan(corpus)
    found = inspected(corpus)
    embedder = Embedder.load(None, device="cpu")
    assert embedder.grid == SHIPPED_GRID
    estimate = build_seconds(report.items, decode_cpu_s=found.cpu_s, durations=found.durations)
    began = time.process_time()
    build_index(corpus, embedder=embedder, options=options(batch_size=16, workers=n_cores()))
    cpu_s = time.process_time() - began  # unlike the clock, hardly disturbed by a busy machine
    assert estimate.likely / FACTOR < cpu_s + START_S  # torch and the encoder, loaded above
    assert cpu_s / estimate.cores < estimate.likely * FACTOR
    assert (estimate.least, estimate.most) == (estimate.likely / 3, estimate.likely * 3)


def test_more_work_takes_longer(tmp_path: Path) -> None:
    few, many = (scan(write_pairs(tmp_path / str(n), n)).items for n in (2, 30))
    seconds = [build_seconds(items, decode_cpu_s=0.0, durations={}) for items in (few, many)]
    assert seconds[0].likely < seconds[1].likely
    long = build_seconds(few, decode_cpu_s=0.0, durations={"p000.wav": 36_000.0})
    assert long.likely > seconds[0].likely + 7_000 * 0.29 / long.core_speed / min(long.cores, 4)


def test_the_speed_of_a_core_is_one_of_this_century() -> None:
    assert 0.1 < core_speed() < 5_000
