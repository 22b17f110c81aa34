"""Which kind of index is chosen, and what is looked at beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from indexer_fixtures import unit_rows

from indexer.vectors import FLAT_UNTIL, Kind, VectorPlan, write_vectors
from indexer.vectors.plan import bytes_of, n_lists, n_subvectors
from indexer.vectors.sample import Survey

MEBI = 1 << 20


@pytest.mark.parametrize(
    ("n", "plan", "kind"),
    [
        (FLAT_UNTIL, VectorPlan(), "flat"),
        (FLAT_UNTIL + 1, VectorPlan(), "ivf-sq8"),
        (FLAT_UNTIL, VectorPlan(max_memory_bytes=200 * MEBI), "ivf-sq8"),
        (1_000_000, VectorPlan(max_memory_bytes=800 * MEBI), "ivf-sq4"),
        (1_000_000, VectorPlan(max_memory_bytes=200 * MEBI), "ivf-pq"),
        (1_000_000, VectorPlan(max_memory_bytes=1), "ivf-pq"),
        (1_000_000, VectorPlan(min_recall=1), "flat"),
        (1_000_000, VectorPlan(kind="flat"), "flat"),
        (500, VectorPlan(kind="ivf-pq"), "ivf-pq"),
        (10, VectorPlan(kind="ivf-pq"), "flat"),
    ],
)
def test_the_kind_follows_from_size_memory_and_recall(n: int, plan: VectorPlan, kind: Kind) -> None:
    assert plan.kind_for(n, 1000) == kind


@pytest.mark.parametrize("kind", ["flat", "ivf-sq8", "ivf-sq4", "ivf-pq"])
def test_the_length_is_known_beforehand(tmp_path: Path, kind: Kind) -> None:
    rows = unit_rows(np.random.default_rng(0), 3000, 256)
    ids = np.arange(3000, dtype=np.int64)
    plan = VectorPlan(kind=kind, min_recall=0.1)
    done = write_vectors(tmp_path / "x", lambda: [(ids, rows)], 256, plan=plan)
    assert done.facts["kind"] == kind
    assert done.facts["bytes"] == done.record.bytes
    assert bytes_of(kind, 3000, 256) == pytest.approx(done.record.bytes, rel=0.15)


def test_lists_grow_with_the_root_and_stop() -> None:
    assert [n_lists(n) for n in (1, 64, 10_000, 1_000_000, 100_000_000)] == [1, 4, 400, 4000, 4096]


@pytest.mark.parametrize(("width", "n"), [(1000, 125), (512, 64), (24, 3), (7, 1), (13, 1)])
def test_subvectors_divide_the_width(width: int, n: int) -> None:
    assert n_subvectors(width) == n


def test_nothing_is_written_flat(tmp_path: Path) -> None:
    done = write_vectors(tmp_path / "x", list, 24, plan=VectorPlan(kind="ivf-sq8"))
    assert (done.facts["kind"], done.facts["n"]) == ("flat", 0)
    assert "ivf-sq8 was asked for" in done.facts["notes"][0]


def test_a_sample_is_drawn_evenly_and_holds_no_more_than_its_size() -> None:
    ids = np.arange(20_000, dtype=np.int64)
    rows = np.repeat(ids[:, None], 2, axis=1).astype(np.float32) / 20_000

    def blocks() -> list[tuple[np.ndarray, np.ndarray]]:
        return [(ids[i : i + 700], rows[i : i + 700]) for i in range(0, len(ids), 700)]

    survey = Survey.of(blocks, 2, size=1000)
    assert survey.ids.tolist() == ids.tolist()
    assert len(np.unique(survey.sample_ids)) == 1000
    np.testing.assert_allclose(survey.rows(1000)[:, 0], survey.rows_ids(1000) / 20_000, atol=1e-3)
    per_tenth = np.histogram(survey.sample_ids, bins=10, range=(0, 20_000))[0]
    assert per_tenth.min() > 60
    assert np.corrcoef(survey.rows_ids(1000), np.arange(1000))[0, 1] < 0.1, "in random order"
    assert Survey.of(blocks, 2).sample.shape == (20_000, 2)
