"""Ranking metrics against scikit-learn, closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from indexer.metrics import (
    average_precisions,
    bootstrap_interval,
    chance_average_precision,
    precisions_at,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**31))
def test_average_precision_is_scikit_learns_where_no_score_ties(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    scores = rng.permutation(n).astype(np.float64)[None]
    ours = average_precisions(scores, labels[:1], labels)[0]
    assert ours == pytest.approx(average_precision_score(labels == labels[0], scores[0]))


def test_a_tie_counts_against_the_right_answer() -> None:
    scores = np.zeros((1, 4))
    found = average_precisions(scores, np.array([1]), np.array([1, 0, 0, 0]))
    assert found[0] == pytest.approx(1 / 4)
    assert precisions_at(scores, np.array([1]), np.array([1, 0, 0, 0]), 3)[0] == 0


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
