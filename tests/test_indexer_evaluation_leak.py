"""The leak in one number: networks that leak and that do not, and what is warned of."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_fixtures import bench_of, database_of, distinct, matrix_ranking, measured
from numpy.typing import NDArray

from indexer.evaluation.database import Database
from indexer.evaluation.figures import Direction, LeakFigures, Protocol
from indexer.evaluation.leak import conditioning_figures, leak_figures, leak_warnings
from indexer.evaluation.measure import Bench, Outcome
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.sampling import conditional_queries
from indexer.evaluation.swap import swap_partners

N = 60


def by_class(database: Database, strength: float, seed: int) -> NDArray[np.float32]:
    """Scores that favour the query's label by so much over noise."""
    noise = np.random.default_rng(seed).normal(size=(N, N))
    same = database.labels[:, None] == database.labels[None]
    return (0.1 * (noise + strength * same)).clip(-1, 1).astype(np.float32)


def leaks_of(bench: Bench, strengths: dict[Protocol, float]) -> tuple[LeakFigures, ...]:
    found: dict[tuple[Protocol, Direction], Outcome] = {}
    for seed, (protocol, strength) in enumerate(strengths.items()):
        scores = by_class(bench.database, strength, seed)
        ranking = matrix_ranking(bench.database, scores, protocol=protocol)
        found[protocol, "audio_to_image"] = measured(bench, ranking)
    return leak_figures(found, N, 0)


def test_a_network_that_leaks_is_warned_of_twice() -> None:
    bench = bench_of(distinct((np.arange(N) % 5).tolist()))
    (leak,) = leaks_of(bench, {"own_sound": 4.0, "swapped": 0.0, "leak_free": 0.3})
    assert leak.measure == "average precision by class"
    assert leak.leak.mean > 0.5
    assert leak.leak.n == N
    assert leak.share > 0.8
    warnings = leak_warnings((leak,))
    assert len(warnings) == 2
    assert "trust the leak-free figures" in warnings[0]
    assert "under own-sound" in warnings[1]


def test_a_network_that_does_not_leak_is_not_warned_of() -> None:
    bench = bench_of(distinct((np.arange(N) % 5).tolist()))
    (leak,) = leaks_of(bench, {"own_sound": 2.0, "swapped": 1.9, "leak_free": 1.9})
    assert abs(leak.share) < 0.3
    assert leak_warnings((leak,)) == []


def test_the_leak_is_the_paired_difference_of_the_two_means() -> None:
    bench = bench_of(distinct((np.arange(N) % 5).tolist()))
    rankings = {
        protocol: measured(
            bench, matrix_ranking(bench.database, by_class(bench.database, s, 9), protocol=protocol)
        )
        for protocol, s in (("own_sound", 1.0), ("swapped", 0.2), ("leak_free", 0.5))
    }
    (leak,) = leak_figures({(p, "audio_to_image"): m for p, m in rankings.items()}, N, 0)  # type: ignore[misc]
    means = {protocol: float(np.nanmean(m.values)) for protocol, m in rankings.items()}
    assert leak.leak.mean == pytest.approx(means["own_sound"] - means["swapped"])
    assert leak.over_leak_free.mean == pytest.approx(means["own_sound"] - means["leak_free"])
    apart = [
        m.figures.by_class.mean_average_precision for m in rankings.values() if m.figures.by_class
    ]
    assert leak.leak.high - leak.leak.low < sum(f.high - f.low for f in apart[:2])


def test_a_sample_is_compared_query_by_query() -> None:
    """Leak-free may have asked a sample only: own-sound is compared on that sample."""
    bench = bench_of(distinct((np.arange(N) % 5).tolist()))
    scores = by_class(bench.database, 1.0, 0)
    found: dict[tuple[Protocol, Direction], Outcome] = {}
    for protocol in ("own_sound", "swapped"):
        found[protocol, "audio_to_image"] = measured(
            bench, matrix_ranking(bench.database, scores, protocol=protocol)
        )
    sample = [3, 17, 40]
    ranking = matrix_ranking(bench.database, scores, protocol="leak_free", queries=sample)
    found["leak_free", "audio_to_image"] = measured(bench, ranking)
    (leak,) = leak_figures(found, N, 0)
    assert (leak.leak.n, leak.over_leak_free.n) == (N, 3)
    assert leak.over_leak_free.mean == 0


def test_partners_have_another_label_and_another_sound() -> None:
    rng = np.random.default_rng(0)
    sounds = np.unique(rng.integers(0, 30, 50), return_inverse=True)[1]
    labels = rng.integers(-1, 4, 50)
    database = database_of(list(range(50)), sounds.tolist(), labels.tolist())
    swap = swap_partners(database, 0)
    assert swap is not None
    assert (swap.sounds != sounds).all()
    assert swap.n_other_label + swap.n_other_item == 50
    assert swap.n_other_item == (labels == -1).sum()
    for item in np.flatnonzero(labels != -1):
        bearers = labels[sounds == swap.sounds[item]]
        assert (bearers != labels[item]).any()
    again = swap_partners(database, 0)
    assert again is not None
    np.testing.assert_array_equal(swap.sounds, again.sounds)


def test_with_one_label_any_other_sound_is_a_partner_and_with_one_sound_there_is_none() -> None:
    one_label = swap_partners(distinct([0, 0, 0]), 0)
    assert one_label is not None
    assert (one_label.n_other_label, one_label.n_other_item) == (0, 3)
    assert (one_label.sounds != np.arange(3)).all()
    assert swap_partners(database_of([0, 1, 2], [0, 0, 0], [0, 1, 1]), 0) is None


def test_conditioning_strength_is_told_apart_by_label() -> None:
    database = database_of([0, 1, 2, 3], [0, 1, 2, 2], [0, 0, 1, -1])
    moved = np.array([[0, 0.1, 0.5], [0.2, 0, 0.4], [0.6, 0.8, 0], [0.3, 0.5, 0]], np.float32)
    figures = conditioning_figures(database, 1 - moved, np.arange(4), 0)
    assert figures.same_label.mean == pytest.approx((0.1 + 0.2) / 2)
    assert (figures.same_label.n, figures.same_label.n_undefined) == (2, 2)
    # Item 3 has no label: neither asks nor answers by label; its sound is item 2's.
    assert figures.other_label.mean == pytest.approx((0.5 + 0.4 + 0.7) / 3)
    assert figures.any_other.mean == pytest.approx((1.1 / 3 + 1.0 / 3 + 0.7 + 0.4) / 4)


def test_samples_count_distinct_pairs_and_prefer_who_can_be_judged() -> None:
    sounds = [n // 4 for n in range(40)]
    database = database_of(list(range(40)), sounds, [0] * 40)
    everybody = np.ones(40, bool)
    by_sound, by_frame = conditional_queries(database, everybody, RetrievalOptions(max_pairs=400))
    np.testing.assert_array_equal(by_sound, np.arange(40))  # 10 sounds × 40 frames
    np.testing.assert_array_equal(by_frame, np.arange(40))
    by_sound, by_frame = conditional_queries(database, everybody, RetrievalOptions(max_pairs=100))
    assert len(np.unique(np.array(sounds)[by_sound])) == 2
    assert len(by_frame) == 10
    some = np.arange(40) % 2 == 0
    by_sound, by_frame = conditional_queries(database, some, RetrievalOptions(max_pairs=100))
    assert some[by_sound].all()
    assert some[by_frame].all()
    one = conditional_queries(database, everybody, RetrievalOptions(max_pairs=1))
    assert [len(queries) for queries in one] == [1, 1]
