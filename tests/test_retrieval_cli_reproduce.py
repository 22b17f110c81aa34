"""`retrieval reproduce`: every row is listed, absent data is said, never a paper's number."""

from __future__ import annotations

import json

import pytest
from command_line import assert_one_line, run

from retrieval.exit_codes import ExitCode

TABLES = [f"S19-table-{n}" for n in range(1, 8)]
FIGURES = [f"S19-figure-{n}" for n in (3, 5, 6, 7, 8, 9, 10, 11, 12, 13)]


def test_every_table_and_figure_is_a_row():
    listed = json.loads(run("reproduce", "--list", "--json").stdout)
    assert listed["schema"] == "retrieval.reproduce/1"
    names = [row["row"] for row in listed["rows"]]
    assert len(set(names)) == len(names)
    assert set(TABLES + FIGURES) <= set(names)
    assert any(name.startswith("S18-") for name in names)


def test_the_list_says_what_to_put_where():
    text = run("reproduce", "--list").stdout
    assert "Flickr_train_144k.txt" in text
    assert "annotations/ID.xml" in text


@pytest.mark.parametrize("row", ["S19-table-1", "S19-table-7", "S19-figure-10", "S18-table-2"])
def test_without_data_nothing_is_reproduced(row, tmp_path):
    result = run("reproduce", row, "--out", tmp_path / "out")
    assert result.exit_code == ExitCode.CORPUS
    assert "not reproduced: data absent" in result.stdout
    assert "--data DIR" in result.stdout


def test_without_data_all_rows_say_so_as_json(tmp_path):
    result = run("reproduce", "--json", "--out", tmp_path / "out")
    assert result.exit_code == ExitCode.CORPUS
    found = json.loads(result.stdout)["rows"]
    assert {row["state"] for row in found} == {"not reproduced"}
    assert all(row["tables"] == [] and row["checks"] == [] for row in found)


def test_an_unknown_row_is_a_usage_error(tmp_path):
    result = run("reproduce", "S19-table-99", "--out", tmp_path / "out")
    assert_one_line(result, ExitCode.USAGE, "S19-table-99", "S19-table-1")


def test_data_and_world_exclude_each_other(tmp_path):
    result = run("reproduce", "--world", "--data", tmp_path, "--out", tmp_path / "out")
    assert_one_line(result, ExitCode.USAGE, "one of the two")
