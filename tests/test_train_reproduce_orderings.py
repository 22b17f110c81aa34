"""Orderings: they hold, fail or are lost in noise by the interval of a paired difference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from encoder.intervals import Figure, student_interval
from encoder.localization.metrics import area_under_success
from train.reproduce.localized import Localized, better
from train.reproduce.orderings import above, difference, fact, nowhere_below, verdict_of
from train.reproduce.outcome import Check, Findings, Outcome, Table


def values(mean: float, *, n: int = 200, runs: int = 2, seed: int = 0) -> np.ndarray:
    """(runs, n) of a mean, items as different as cIoU are."""
    drawn = np.random.default_rng(seed).normal(0, 0.2, (runs, n))
    return drawn - drawn.mean() + mean


def test_a_wide_difference_holds_and_its_opposite_fails() -> None:
    low, high = values(0.3, seed=1), values(0.5, seed=2)
    assert above("more", high, low, what="AUC").verdict == "holds"
    assert above("more", low, high, what="AUC").verdict == "FAILED"


def test_a_narrow_difference_is_neither() -> None:
    first, second = values(0.50, seed=1), values(0.51, seed=2)
    assert above("more", first, second, what="AUC").verdict == "within noise"
    assert above("more", second, first, what="AUC").verdict == "within noise"


def test_no_difference_at_all_is_within_noise() -> None:
    same = values(0.4)
    assert above("more", same, same, what="AUC").verdict == "within noise"


def test_pairing_finds_what_the_spread_of_items_hides() -> None:
    first = values(0.5, runs=1)
    shifted = first - 0.01
    assert above("more", first, shifted, what="AUC").verdict == "holds"
    unpaired = np.random.default_rng(3).permutation(shifted[0])[None]
    assert above("more", first, unpaired, what="AUC").verdict == "within noise"


def test_trainings_that_disagree_widen_the_interval() -> None:
    items = values(0.0, runs=1, n=100)[0] / 100
    agreeing = np.stack([items + 0.1, items + 0.1])
    disagreeing = np.stack([items + 0.4, items - 0.2])
    nothing = np.zeros((2, 100))
    assert above("more", agreeing, nothing, what="AUC").verdict == "holds"
    assert above("more", disagreeing, nothing, what="AUC").verdict == "within noise"


def test_the_difference_and_its_interval_by_brute_force() -> None:
    gains = values(0.05, n=300, runs=1)
    found = difference(gains, np.zeros_like(gains))
    assert found.mean == pytest.approx(0.05)
    half = 1.96 * gains.std() / math.sqrt(300)
    assert found.low == pytest.approx(0.05 - half, abs=0.004)
    assert found.high == pytest.approx(0.05 + half, abs=0.004)
    assert found == difference(gains, np.zeros_like(gains))


def test_other_numbers_of_runs_are_averaged() -> None:
    first = np.array([[0.5, 0.7], [0.6, 0.8]])
    second = np.array([[0.1, 0.2], [0.3, 0.4], [0.2, 0.3]])
    assert difference(first, second).mean == pytest.approx(0.65 - 0.25)


def test_few_items_must_agree_more_than_all_being_positive() -> None:
    """Resampled, three gains of one sign would hold whatever they are: one in eight by chance."""
    spread, alike = np.array([[0.02, 0.2, 0.6]]), np.array([[0.25, 0.3, 0.28]])
    nothing = np.zeros((1, 3))
    assert above("more", spread, nothing, what="AUC").verdict == "within noise"
    assert above("more", alike, nothing, what="AUC").verdict == "holds"
    found = difference(alike, nothing)
    assert (found.low, found.high) == pytest.approx(student_interval(alike[0]))


def test_few_items_hide_no_trainings_that_disagree() -> None:
    disagreeing = np.array([[0.4] * 5, [-0.2] * 5])
    assert difference(disagreeing, np.zeros((2, 5))).low == pytest.approx(-0.2)


@pytest.mark.parametrize("n", [0, 1])
def test_one_item_alone_decides_nothing(n: int) -> None:
    assert verdict_of(difference(np.ones((2, n)), np.zeros((2, n)))) == "within noise"


def test_nowhere_below_needs_one_clear_loss_to_fail() -> None:
    gain, noise, loss = (Figure(m, m - 0.02, m + 0.02, 9) for m in (0.1, 0.0, -0.1))
    assert nowhere_below("steps", [gain, noise]).verdict == "holds"
    failed = nowhere_below("steps", [gain, loss, noise])
    assert failed.verdict == "FAILED"
    assert "-0.100" in failed.found


def test_better_compares_the_area_under_the_success_curve() -> None:
    good = Localized(name="good", values=np.clip(values(0.6), 0, 1))
    bad = Localized(name="bad", values=np.clip(values(0.3, seed=1), 0, 1))
    held = better("good beats bad", good, bad)
    assert held.verdict == "holds"
    assert better("bad beats good", bad, good).verdict == "FAILED"
    areas = [area_under_success(run).mean() for run in good.values]
    assert f"AUC {np.mean(areas):.3f} against" in held.found


def test_success_is_the_share_from_one_half_on() -> None:
    one = Localized(name="one run", values=np.array([[0.5, 0.49, 1.0, 0.0]]))
    assert one.success.mean == 0.5
    two = Localized(name="two", values=np.array([[0.5, 0.4], [0.6, 0.7]]))
    assert two.success.mean == 0.75
    assert two.curve[0] == 1
    assert two.curve[10] == 0.75


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([], "reproduced"),
        ([("holds", False)], "reproduced"),
        ([("holds", False), ("within noise", True)], "reproduced"),
        ([("holds", False), ("within noise", False)], "within noise"),
        ([("within noise", False), ("FAILED", False)], "FAILED"),
        ([("FAILED", True)], "FAILED"),
    ],
)
def test_checks_make_the_state_of_a_row(verdicts, state: str) -> None:
    checks = tuple(
        Check(claim="c", verdict=verdict, found="", is_close=close) for verdict, close in verdicts
    )
    assert Findings(checks=checks).state == state


def test_facts_have_no_middle() -> None:
    assert fact("so", True, "1").verdict == "holds"
    assert fact("so", False, "1").verdict == "FAILED"


def test_an_outcome_is_json_even_with_what_json_has_not() -> None:
    table = Table(columns=("a", "b"), rows=((math.nan, Figure(0.5, math.nan, 1.0, 3)),))
    outcome = Outcome(row="r", state="reproduced", findings=Findings(tables=(table,)))
    found = outcome.to_json()
    assert found["tables"][0]["rows"] == [
        [None, {"mean": 0.5, "low": None, "high": 1.0, "n": 3, "n_undefined": 0}]
    ]
