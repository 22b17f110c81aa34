"""The order of answers: score descending, then id ascending, however the gallery is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from indexer_fixtures import unit_rows

from indexer.neighbours import best, best_of, cosines

scored = st.lists(st.integers(0, 4), min_size=0, max_size=30)


@settings(deadline=None)
@given(scored, st.integers(0, 35), st.randoms())
def test_best_is_a_full_sort(values: list[int], k: int, random: object) -> None:
    ids = np.arange(len(values), dtype=np.int64) * 3
    random.shuffle(ids)  # type: ignore[attr-defined]
    scores = np.array(values, np.float32) / 4
    found = best(ids, scores, k)
    expected = sorted(zip(-scores, ids, strict=True))[:k]
    assert [(float(-s), int(i)) for s, i in zip(found.scores, found.ids, strict=True)] == expected


@settings(deadline=None)
@given(scored, st.integers(1, 8), st.integers(1, 7))
def test_blocks_give_what_the_whole_gives(values: list[int], k: int, size: int) -> None:
    ids, scores = np.arange(len(values), dtype=np.int64), np.array(values, np.float32) / 4
    parts = ((ids[i : i + size], scores[i : i + size]) for i in range(0, len(values), size))
    streamed, whole = best_of(parts, k), best(ids, scores, k)
    assert streamed.ids.tolist() == whole.ids.tolist()
    assert streamed.scores.tolist() == whole.scores.tolist()


def test_equal_rows_tie_exactly_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    rows = unit_rows(rng, 101)
    rows[[3, 40, 77, 100]] = rows[9]
    scores = cosines(rows, unit_rows(rng, 1)[0])
    assert len({float(scores[n]) for n in (3, 9, 40, 77, 100)}) == 1


def test_scores_are_cosines_in_range() -> None:
    row = np.full((1, 4), 0.50000006, np.float32)
    assert cosines(row, row[0])[0] == 1.0
    assert cosines(row, -row[0])[0] == -1.0
    assert cosines(np.array([[0.6, 0.8]]), np.array([1.0, 0.0]))[0] == np.float32(0.6)
