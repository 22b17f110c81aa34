"""`retrieval reproduce`: every row is listed, absent data is said, never a paper's number."""

from __future__ import annotations

import json

import pytest
from command_line import assert_one_line, run

from encoder.intervals import Figure
from retrieval.commands import reproduce as command
from retrieval.exit_codes import ExitCode
from train.reproduce import run as run_module
from train.reproduce.outcome import Check, Findings, Outcome, Table, Verdict

TABLES = [f"S19-table-{n}" for n in range(1, 8)]
FIGURES = [f"S19-figure-{n}" for n in (3, 5, 6, 7, 8, 9, 10, 11, 12, 13)]


def test_every_table_and_figure_is_a_row():
    listed = json.loads(run("reproduce", "--list", "--json").stdout)
    assert listed["schema"] == "retrieval.reproduce/1"
    names = [row["row"] for row in listed["rows"]]
    assert len(set(names)) == len(names)
    assert set(TABLES + FIGURES) <= set(names)
    assert any(name.startswith("S18-") for name in names)


def test_the_list_says_of_each_row_what_it_needs():
    for row in json.loads(run("reproduce", "--list", "--json").stdout)["rows"]:
        assert row["shows"]
        assert row["claims"]
        assert row["computed"]
        assert row["needs"]


def test_the_list_of_named_rows():
    text = run("reproduce", "S19-table-6", "--list").stdout
    assert "S19-table-6: success of the nearest neighbours" in text
    assert "S19-table-1:" not in text


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
    assert {row["row"] for row in found} | {"S19-figure-15"} >= set(TABLES + FIGURES)
    assert json.loads(result.stdout)["left_out"] == ["S19-figure-15"]


def test_an_unknown_row_is_a_usage_error(tmp_path):
    result = run("reproduce", "S19-table-99", "--out", tmp_path / "out")
    assert_one_line(result, ExitCode.USAGE, "S19-table-99", "S19-table-1")


def test_data_and_world_exclude_each_other(tmp_path):
    result = run("reproduce", "--world", "--data", tmp_path, "--out", tmp_path / "out")
    assert_one_line(result, ExitCode.USAGE, "one of the two")


# ── What is printed, and the exit code ───────────────────────────────────────────────────────────


def outcome_of(*verdicts: tuple[Verdict, bool]) -> Outcome:
    checks = tuple(
        Check(claim=f"claim {n}", verdict=verdict, found="0.5 against 0.4", is_close=close)
        for n, (verdict, close) in enumerate(verdicts)
    )
    table = Table(
        columns=("training", "cIoU", "share"),
        rows=(("Sup. 4", Figure(0.51234, 0.4, 0.6, 9), 0.25), ("Unsup. 8", "–", float("nan"))),
    )
    findings = Findings(tables=(table,), checks=checks, notes=("A note.",))
    return Outcome(row="S19-table-1", state=findings.state, findings=findings, seconds=3.0)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch):
    """Let the engine answer with given outcomes: what is tested is the skin."""

    def answer(*outcomes: Outcome) -> None:
        monkeypatch.setattr(run_module, "reproduce", lambda task, **_: iter(outcomes))

    return answer


@pytest.mark.parametrize(
    ("verdicts", "state", "code"),
    [
        ([("holds", False)], "reproduced", ExitCode.OK),
        ([("holds", False), ("within noise", True)], "reproduced", ExitCode.OK),
        ([("holds", False), ("within noise", False)], "within noise", ExitCode.FAILED),
        ([("holds", False), ("FAILED", False)], "FAILED", ExitCode.FAILED),
    ],
)
def test_the_verdicts_make_the_exit_code(answering, tmp_path, verdicts, state, code):
    answering(outcome_of(*verdicts))
    result = run("reproduce", "--world", "--out", tmp_path)
    assert result.exit_code == code
    assert f"S19-table-1  {state} in 3 s" in result.stdout
    for number, (verdict, _) in enumerate(verdicts):
        assert f"  {verdict:12}  claim {number}: 0.5 against 0.4" in result.stdout


def test_a_failure_outweighs_absent_data(answering, tmp_path):
    absent = Outcome(row="S19-figure-14", state="not reproduced", reason="data absent")
    answering(absent, outcome_of(("FAILED", False)))
    assert run("reproduce", "--world", "--out", tmp_path).exit_code == ExitCode.FAILED
    answering(absent, outcome_of(("holds", False)))
    assert run("reproduce", "--world", "--out", tmp_path).exit_code == ExitCode.CORPUS


def test_numbers_have_three_decimals_and_rows_a_summary(answering, tmp_path):
    answering(outcome_of(("holds", False), ("within noise", True)))
    lines = run("reproduce", "--world", "--out", tmp_path).stdout.splitlines()
    assert "  Sup. 4    0.512 [0.400, 0.600] n=9  0.250" in lines
    assert "  Unsup. 8  –                         –" in lines
    assert "S19-table-1  reproduced  1 of 2 hold, 1 within noise  3 s" in lines
    assert any(line.startswith("left out: S19-table-7, needs user-study.csv") for line in lines)
    assert any(line.startswith("left out: S19-figure-15, needs the camera path") for line in lines)


def test_json_is_the_answer_alone(answering, tmp_path):
    answering(outcome_of(("holds", False)))
    found = json.loads(run("reproduce", "--world", "--json", "--out", tmp_path).stdout)
    assert (found["source"], found["size"], found["seed"]) == ("world", "small", 0)
    assert found["left_out"] == ["S19-table-7", "S19-figure-15"]
    (row,) = found["rows"]
    assert (row["state"], row["checks"][0]["verdict"]) == ("reproduced", "holds")
    assert row["tables"][0]["rows"][1] == ["Unsup. 8", "–", None]


def test_the_help_tells_the_exit_codes():
    text = " ".join(run("reproduce", "--help").stdout.split())
    assert "0 every row is reproduced" in text
    assert "1 an ordering has FAILED" in text
    assert "4 a row is not reproduced" in text


def test_progress_is_told_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(clock))
    shown = command._files_shown()
    shown(1, 9)
    shown(5, 9)
    shown(6, 9)
    assert capsys.readouterr().err == "  5/9\n"
