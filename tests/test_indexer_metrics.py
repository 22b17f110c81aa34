"""Ranking metrics against scikit-learn, closed forms and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, top_k_accuracy_score

from encoder.intervals import bootstrap_interval
from indexer.metrics import (
    Ranked,
    average_precisions,
    chance_average_precision,
    expected_average_precision,
    precisions_at,
    target_ranks,
)


def plainly_ordered(
    scores: NDArray[np.floating], right: NDArray[np.bool_], excluded: NDArray[np.bool_]
) -> list[list[bool]]:
    """Every query's answers in order, sorted as the definition says it: the slow twin."""
    ordered = []
    for row in range(len(scores)):
        answers = [
            (-float(scores[row, column]), bool(right[row, column]))
            for column in range(scores.shape[1])
            if not excluded[row, column]
        ]
        ordered.append([is_right for _, is_right in sorted(answers)])  # False sorts before True
    return ordered


@st.composite
def rankings(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Few distinct scores, both signs and both zeros among them, so that ties are common."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.choice(np.array([-1, -0.25, -0.0, 0.0, 1e-6, 0.5], np.float32), shape)
    return scores, rng.random(shape) < 0.4, rng.random(shape) < 0.2


@settings(max_examples=150, deadline=None)
@given(rankings())
def test_rankings_are_those_of_the_plain_twin(
    case: tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    scores, right, excluded = case
    ranked = Ranked.of(scores, right, excluded)
    for row, expected in enumerate(plainly_ordered(scores, right, excluded)):
        n = len(expected)
        assert ranked.n_gallery[row] == n
        assert ranked.right[row, :n].tolist() == expected
        assert not ranked.right[row, n:].any()
        assert ranked.n_right[row] == sum(expected)
        hits = [sum(expected[: rank + 1]) / (rank + 1) for rank in range(n) if expected[rank]]
        assert ranked.average_precision[row] == pytest.approx(
            np.mean(hits) if hits else np.nan, nan_ok=True
        )
        for k in (1, 3, 20):
            best = expected[:k]
            nothing = not best
            precision, any_hit = (np.nan, np.nan) if nothing else (np.mean(best), float(any(best)))
            recall = sum(best) / sum(expected) if any(expected) else np.nan
            assert ranked.precision_at(k)[row] == pytest.approx(precision, nan_ok=True)
            assert ranked.any_hit_at(k)[row] == pytest.approx(any_hit, nan_ok=True)
            assert ranked.recall_at(k)[row] == pytest.approx(recall, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(rankings())
def test_both_ways_of_sorting_agree_and_the_order_of_answers_is_nothing(
    case: tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    scores, right, excluded = case
    by_key = Ranked.of(scores, right, excluded)
    by_lexsort = Ranked.of(scores.astype(np.float64), right, excluded)
    np.testing.assert_array_equal(by_key.right, by_lexsort.right)
    order = np.random.default_rng(0).permutation(scores.shape[1])
    shuffled = Ranked.of(scores[:, order], right[:, order], excluded[:, order])
    np.testing.assert_array_equal(by_key.right, shuffled.right)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**31))
def test_average_precision_is_scikit_learns_where_no_score_ties(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    scores = rng.permutation(n).astype(np.float64)[None]
    ours = average_precisions(scores, labels[:1], labels)[0]
    assert ours == pytest.approx(average_precision_score(labels == labels[0], scores[0]))


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(0, 2**31))
def test_recall_of_the_partner_is_scikit_learns_top_k_accuracy(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n * n).reshape(n, n).astype(np.float32)
    ranks = target_ranks(scores, np.arange(n))
    for k in (1, 2, n - 1):
        expected = top_k_accuracy_score(np.arange(n), scores, k=k)
        assert (ranks <= k).mean() == pytest.approx(expected)


def test_a_tie_counts_against_the_right_answer() -> None:
    scores = np.zeros((1, 4))
    found = average_precisions(scores, np.array([1]), np.array([1, 0, 0, 0]))
    assert found[0] == pytest.approx(1 / 4)
    assert precisions_at(scores, np.array([1]), np.array([1, 0, 0, 0]), 3)[0] == 0
    assert target_ranks(scores, np.array([2]))[0] == 4
    excluded = np.array([[True, False, False, True]])
    assert target_ranks(scores, np.array([2]), excluded)[0] == 2


def test_the_excluded_column_cannot_be_an_answer() -> None:
    scores, labels = np.array([[9.0, 1.0, 2.0]]), np.array([5, 5, 6])
    assert average_precisions(scores, labels[:1], labels)[0] == pytest.approx(5 / 6)
    without = average_precisions(scores, labels[:1], labels, exclude=np.array([0]))
    assert without[0] == pytest.approx(0.5)


def test_no_right_answer_is_nan_and_a_wrong_shape_is_refused() -> None:
    assert np.isnan(average_precisions(np.ones((1, 2)), np.array([3]), np.array([1, 2]))[0])
    with pytest.raises(ValueError, match="scores"):
        average_precisions(np.ones((1, 2)), np.array([3]), np.array([1]))
    with pytest.raises(ValueError, match="NaN"):
        average_precisions(np.array([[np.nan]]), np.array([3]), np.array([3]))
    with pytest.raises(ValueError, match="NaN"):
        target_ranks(np.array([[np.nan, 1.0]]), np.array([1]))
    with pytest.raises(ValueError, match="right answers"):
        Ranked.of(np.ones((1, 2)), np.ones((1, 3), bool))


@pytest.mark.parametrize(("n_right", "n"), [(1, 1), (1, 4), (2, 5), (3, 3), (3, 6)])
def test_expected_average_precision_is_the_mean_over_all_orders(n_right: int, n: int) -> None:
    orders = np.array(list(permutations(range(n))))
    scores = -orders.astype(np.float64)
    right = np.broadcast_to(np.arange(n) < n_right, scores.shape)
    mean = Ranked.of(scores, right).average_precision.mean()
    expected = expected_average_precision(np.array([n_right]), np.array([n]))
    assert expected[0] == pytest.approx(mean)


def test_chance_agrees_with_random_orders() -> None:
    labels = np.repeat([0, 1, 2], [12, 5, 3])
    rng = np.random.default_rng(0)
    trials = [
        average_precisions(rng.random((20, 20)), labels, labels, exclude=np.arange(20)).mean()
        for _ in range(400)
    ]
    error = np.std(trials) / np.sqrt(len(trials))
    assert abs(np.mean(trials) - chance_average_precision(labels)) < 4 * error


def test_the_interval_holds_the_mean_and_narrows_with_n() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.random(20), rng.random(2000)
    widths = [np.subtract(*bootstrap_interval(values)[::-1]) for values in (few, many)]
    low, high = bootstrap_interval(many)
    assert low < many.mean() < high
    assert widths[1] < widths[0] / 5
