"""Rows of the papers on a made world of seconds: states, what is kept, what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reproduce_fixtures import TINY

from encoder.checkpoint import Checkpoint, load_checkpoint
from train.errors import DataAbsent, RecipeError, TrainError
from train.reproduce import lab as lab_module
from train.reproduce.lab import Lab, Plan
from train.reproduce.learning import table_3, table_4
from train.reproduce.outcome import Outcome
from train.reproduce.rows import all_rows
from train.reproduce.run import Task, chosen_rows, reproduce
from train.reproduce.schemes import Scheme, semi_supervised, supervised, unsupervised
from train.reproduce.size import full, small
from train.reproduce.world import world_material

ROWS = ("S19-table-1", "S19-table-6", "S19-figure-3", "S19-figure-9")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def outcomes(out: Path, told: list[str]) -> dict[str, Outcome]:
    task = Task(rows=ROWS, world=True, size=TINY, out=out, device="cpu")
    return {one.row: one for one in reproduce(task, say=told.append)}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of rows of every training that really runs."""
    runs: list[int] = []
    real = lab_module.train

    def counting(network, bank, recipe, **options):
        runs.append(len(bank))
        return real(network, bank, recipe, **options)

    monkeypatch.setattr(lab_module, "train", counting)
    return runs


@pytest.fixture(scope="module")
def streams() -> Checkpoint:
    return load_checkpoint(None)


LabOf = Callable[..., Lab]


@pytest.fixture(scope="module")
def lab_of(out: Path, streams: Checkpoint) -> LabOf:
    """Give labs on one small world, each with a folder, a seed and changes of the size."""
    size = replace(TINY, n_unlabelled=(2, 4), n_test=11, n_runs=1)
    whole = world_material(streams.network, size, seed=0)
    clips, panoramas = whole.clips()[:2], whole.panoramas()[:2]
    material = replace(whole, clips=lambda: clips, panoramas=lambda: panoramas)

    def make(name: str, *, seed: int = 0, **changes: Any) -> Lab:
        changed = replace(size, **changes)
        return Lab(material, changed, streams=streams, out=out / name, seed=seed)

    return make


def test_rows_are_computed_in_the_order_of_the_catalogue(outcomes: dict[str, Outcome]) -> None:
    assert tuple(outcomes) == ROWS
    for row in ROWS:
        assert outcomes[row].seconds > 0
        checks = outcomes[row].findings.checks
        assert checks
        # Of trainings this small the orderings are chance; the state must be what they came to.
        decisive = {check.verdict for check in checks if not check.is_close}
        if any(check.verdict == "FAILED" for check in checks):
            assert outcomes[row].state == "FAILED"
        else:
            expected = "within noise" if "within noise" in decisive else "reproduced"
            assert outcomes[row].state == expected


def test_tables_hold_what_was_measured(outcomes: dict[str, Outcome]) -> None:
    (table,) = outcomes["S19-table-1"].findings.tables
    assert [row[0] for row in table.rows] == [
        "Unsup. 4",
        "Unsup. 8 (eq. 6)",
        "Unsup. 8",
        "Sup. 4",
        "Sup. 4 + Unsup. 8",
        "random map, 2 times",
        "centre box, half of the sides",
        "whole picture",
    ]
    figures = [cell for row in table.rows for cell in row[1:] if not isinstance(cell, str)]
    assert len(figures) == 2 * 2 + 3 * 4 + 3 * 2
    assert all(figure.n == 16 and 0 <= figure.mean <= 1 for figure in figures)  # type: ignore[union-attr]
    (neighbours,) = outcomes["S19-table-6"].findings.tables
    assert [row[0] for row in neighbours.rows] == ["Top-10", "Top-15", "Top-20", "Random-10"]


def test_pictures_are_written(outcomes: dict[str, Outcome], out: Path) -> None:
    for row in ("S19-figure-3", "S19-figure-9"):
        assert outcomes[row].findings.pictures == (out / f"{row}.png",)
        assert (out / f"{row}.png").read_bytes().startswith(b"\x89PNG")


def test_progress_counts_all_trainings(outcomes: dict[str, Outcome], told: list[str]) -> None:
    lines = [line for line in told if line.startswith("training ")]
    assert len(lines) == len(set(lines)) == 16  # the 8 of Table 1, twice
    assert lines[0] == "training 1/16: Unsup. 4, cos, run 1/2"
    assert lines[-1].startswith("training 16/16: ")
    assert " left" in lines[1]


def test_a_second_run_trains_nothing_and_finds_the_same(
    outcomes: dict[str, Outcome], out: Path, trained: list[int]
) -> None:
    task = Task(rows=ROWS, world=True, size=TINY, out=out, device="cpu")
    again = {one.row: one for one in reproduce(task)}
    assert not trained
    for row in ROWS:
        assert again[row].findings == outcomes[row].findings


def test_kept_networks_serve_their_own_settings_alone(lab_of: LabOf, trained: list[int]) -> None:
    scheme = supervised(TINY)
    lab_of("lab").network(scheme)
    lab_of("lab").network(scheme)
    assert len(trained) == 1
    lab_of("lab", seed=1).network(scheme)
    assert len(trained) == 2
    lab_of("lab", recipe=replace(TINY.recipe, steps=3)).network(scheme)
    assert len(trained) == 3
    lab_of("lab").network(scheme, run=1)
    lab_of("lab").network(replace(scheme, supervised=0.5))
    assert len(trained) == 5


def test_runs_differ_and_a_run_is_repeatable(lab_of: LabOf) -> None:
    scheme = supervised(TINY)
    first, second = lab_of("a", n_runs=2).networks(scheme)
    again = lab_of("b").network(scheme)
    weights = [network.fc_z1.weight for network in (first, second, again)]
    assert not weights[0].equal(weights[1])
    assert weights[0].equal(weights[2])


def test_what_was_kept_is_what_is_measured(lab_of: LabOf, trained: list[int]) -> None:
    scheme = semi_supervised(lab_of("kept").size)
    states = [lab_of("kept").network(scheme).state_dict() for _ in range(2)]
    assert len(trained) == 1
    assert all(states[0][name].equal(states[1][name]) for name in states[0])


def test_a_damaged_file_is_named(lab_of: LabOf, out: Path) -> None:
    scheme = supervised(TINY)
    lab_of("damaged").network(scheme)
    (kept,) = (out / "damaged" / "cache").glob("network-*")
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(TrainError, match=f"{kept.name}.*delete"):
        lab_of("damaged").network(scheme)


def test_a_scheme_sees_its_rows_and_never_its_test_set(lab_of: LabOf) -> None:
    lab = lab_of("rows")
    material = lab.material
    for test in range(3):
        rows = lab.rows(Scheme(n_unlabelled=4, n_labelled=3, test=test))
        assert rows[:4].tolist() == material.unlabelled[:4].tolist()
        assert len(rows) == 7
        assert not np.isin(rows, material.tests[test]).any()
        assert not np.isin(rows, material.ambient).any()
    assert np.isin(lab.rows(Scheme(n_labelled=3)), material.annotated).all()


def test_a_lab_without_pairs_says_what_is_absent(
    lab_of: LabOf, streams: Checkpoint, out: Path
) -> None:
    nothing = np.empty(0, np.int64)
    bare = replace(lab_of("rows").material, unlabelled=nothing, tests=(), annotated=nothing)
    empty = Lab(bare, TINY, streams=streams, out=out / "rows")
    with pytest.raises(DataAbsent, match="unlabelled pairs"):
        empty.network(unsupervised(TINY, large=True))
    with pytest.raises(DataAbsent, match="test set 1"):
        empty.test()
    with pytest.raises(DataAbsent, match="disjoint test sets"):
        table_4(empty)


def test_every_test_set_has_its_columns(lab_of: LabOf) -> None:
    (table,) = table_4(lab_of("plans")).tables
    assert table.columns == (
        "training", "Set1 cIoU", "Set1 AUC", "Set2 cIoU", "Set2 AUC", "Set3 cIoU", "Set3 AUC",
    )  # fmt: skip
    assert [row[0] for row in table.rows] == ["Sup. 2 + Unsup. 4", "Sup. 4 + Unsup. 4"]
    assert all(figure.n == 11 for row in table.rows for figure in row[1:])  # type: ignore[union-attr]


def test_one_annotator_alone_gives_no_table_3(lab_of: LabOf) -> None:
    lab = lab_of("rows")
    one = {
        row: replace(truth, annotators=truth.annotators[:1], boxes=truth.boxes[:1])
        for row, truth in lab.material.truths.items()
    }
    lab.material = replace(lab.material, truths=one)
    with pytest.raises(DataAbsent, match="several annotators"):
        table_3(lab)


# ── Which rows ───────────────────────────────────────────────────────────────────────────────────


def test_a_world_is_asked_for_what_a_world_can_give(tmp_path: Path) -> None:
    task = Task(world=True, size=TINY, out=tmp_path)
    assert [row.id for row in task.left_out] == ["S19-table-7", "S19-figure-15"]
    assert {row.id for row in task.asked} | {"S19-table-7", "S19-figure-15"} == {
        row.id for row in all_rows()
    }
    named = Task(rows=("S19-table-7",), world=True, size=TINY, out=tmp_path)
    assert not named.left_out
    (outcome,) = reproduce(named)
    assert outcome.state == "not reproduced"
    assert "user-study.csv" in outcome.reason


def test_data_is_asked_for_votes_too(tmp_path: Path) -> None:
    task = Task(data=tmp_path, size=TINY, out=tmp_path)
    assert [row.id for row in task.left_out] == ["S19-figure-15"]


def test_an_empty_folder_is_looked_through_once(tmp_path: Path) -> None:
    told: list[str] = []
    task = Task(data=tmp_path, size=TINY, out=tmp_path / "out", device="cpu")
    found = list(reproduce(task, say=told.append))
    assert {one.state for one in found} == {"not reproduced"}
    assert all("data absent" in one.reason for one in found)
    assert sum(line.startswith("looking through") for line in told) == 1


def test_unknown_rows_and_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="S19-table-99: no such row; there are S19-table-1"):
        chosen_rows(["S19-table-99"])
    with pytest.raises(RecipeError, match="no such row"):
        Task(rows=("table 1",), size=TINY, out=tmp_path)
    with pytest.raises(RecipeError, match="one of the two"):
        Task(data=tmp_path, world=True, size=TINY, out=tmp_path)


def test_plans_name_every_training(lab_of: LabOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a row says it trains is what it asks the lab for."""
    lab = lab_of("plans")
    asked: list[Scheme] = []
    real = Lab.network

    def noted(self: Lab, scheme: Scheme, run: int = 0):
        asked.append(scheme)
        return real(self, scheme, run)

    monkeypatch.setattr(Lab, "network", noted)
    for row in all_rows():
        if row.compute is not None:
            asked.clear()
            lab.measured.clear()
            row.compute(lab)
            assert set(asked) == set(row.trains(lab.size)), row.id


def test_the_rest_of_the_trainings_is_told() -> None:
    plan = Plan(3)
    assert (plan.where, plan.left) == ("training 1/3:", "")
    plan.kept()
    with plan.timed():
        pass
    assert plan.where == "training 3/3:"
    assert plan.left == ", about 0 s left"


# ── Sizes ────────────────────────────────────────────────────────────────────────────────────────


def test_the_full_size_is_that_of_the_paper() -> None:
    size = full()
    assert size.n_unlabelled == (10_000, 144_000)
    assert size.n_labelled == (100, 250, 500, 750, 1000, 1500, 2000, 2500)
    assert size.n_labelled_of_sets == (500, 1000, 1500, 2000, 2500)
    assert (size.n_few, size.n_test, size.n_random) == (500, 250, 100)
    recipe = size.recipe
    assert (recipe.loss, recipe.batch_size, recipe.learning_rate) == ("distance-ratio", 30, 1e-4)
    assert (recipe.crop_px, recipe.crop_s, recipe.schedule) == (320, 20.0, "constant")
    assert not recipe.frozen


@pytest.mark.parametrize("size", [small(), full()])
def test_enough_data_leaves_a_size_as_it_is(size) -> None:
    assert size.fitted(n_unlabelled=200_000, n_labelled=2500) == size


def test_less_data_keeps_the_proportions() -> None:
    size = full().fitted(n_unlabelled=1440, n_labelled=250)
    assert size.n_unlabelled == (100, 1440)
    assert size.n_labelled == (10, 25, 50, 75, 100, 150, 200, 250)
    assert size.n_few == 50


def test_hardly_any_data_asks_for_no_number_twice() -> None:
    size = full().fitted(n_unlabelled=3, n_labelled=5)
    assert size.n_labelled == (2, 3, 4, 5)
    assert size.n_unlabelled == (2, 3)


def test_schemes_are_named_as_in_the_tables() -> None:
    size = full()
    assert unsupervised(size, large=True).name == "Unsup. 144000"
    assert semi_supervised(size).name == "Sup. 2500 + Unsup. 10000"
    assert replace(unsupervised(size, large=True), eq_6=True).name == "Unsup. 144000 (eq. 6)"


def test_recipes_follow_the_scheme() -> None:
    size = small()
    plain = unsupervised(size, large=True).recipe(size, seed=3)
    assert (plain.supervised, plain.annotated_share, plain.seed) == (0.0, None, 3)
    assert supervised(size).recipe(size, seed=0).annotated_share is None
    mixed = replace(semi_supervised(size), unsupervised=0.25, supervised=0.75)
    recipe = mixed.recipe(size, seed=0)
    assert (recipe.unsupervised, recipe.supervised) == (0.25, 0.75)
    assert recipe.annotated_share == size.recipe.annotated_share
    eq_6 = replace(unsupervised(size, large=True), eq_6=True).recipe(size, seed=0)
    assert (plain.loss, eq_6.loss) == ("infonce", "distance-ratio")
