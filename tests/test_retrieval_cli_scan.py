"""`retrieval scan --inspect`: tables, lists, JSON, the report, exit codes."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from command_line import assert_one_line, run, run_process
from conftest import SmallCorpus
from inspection_fixtures import large_picture, write_level
from media_files import encoded

from indexer.inspection.findings import KINDS
from retrieval.exit_codes import ExitCode


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    """A pair that is well, a silent sound, a picture twice, one that is no picture."""
    folder = tmp_path / "müll"
    folder.mkdir()
    large_picture(1).save(folder / "good.png")
    write_level(folder / "good.wav", -20)
    write_level(folder / "quiet.wav", -70)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(encoded(large_picture(2), "PNG"))
    (folder / "page.jpg").write_text("<html>not found</html>")
    return folder


def counts(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line.strip()}


def test_a_table_of_all_kinds(junk: Path) -> None:
    done = run("scan", junk, "--inspect")
    assert done.exit_code == ExitCode.OK
    rows = counts(done.stdout)
    assert set(KINDS) <= set(rows)
    assert {kind: rows[kind] for kind in KINDS if rows[kind] != ["0", "0"]} == {
        "broken": ["1", "1"],
        "silent": ["1", "1"],
        "duplicate": ["1", "1"],
    }
    assert "quiet.wav" not in done.stdout
    assert "no index yet" in done.stdout
    assert "inspect" in done.stderr  # progress in plain lines, where no terminal is


def test_lists_name_each_file(junk: Path) -> None:
    listed = run("scan", junk, "--list", "silent", "--list", "duplicate").stdout
    assert "RMS -70.0 dBFS" in listed
    assert "the same bytes as a.png" in listed
    assert "page.jpg" not in listed
    assert "page.jpg" in run("scan", junk, "--list", "all").stdout


def test_json_and_lines_say_the_same(junk: Path) -> None:
    whole = json.loads(run("scan", junk, "--inspect", "--json").stdout)
    found = whole["inspection"]
    lines = [json.loads(line) for line in run("scan", junk, "--jsonl").stdout.splitlines()]
    assert found["findings"] == lines
    assert (whole["schema"], found["n_files"], found["near"]) == ("retrieval.scan/1", 6, None)
    assert {k: n for k, n in found["counts"].items() if n} == {
        "broken": 1,
        "silent": 1,
        "duplicate": 1,
    }
    assert [line["code"] for line in lines] == ["unsupported", None, None]
    assert [line["same_as"] for line in lines] == [None, None, "a.png"]


def test_headers_alone_stay_the_default(junk: Path) -> None:
    found = json.loads(run("scan", junk, "--json").stdout)
    assert found["inspection"] is None
    assert "--inspect" in run("scan", junk).stderr


def test_a_report_is_a_manifest_and_a_filter(junk: Path, tiny_checkpoint: Path) -> None:
    done = run("scan", junk, "--report", junk / "findings.csv")
    assert done.exit_code == ExitCode.OK
    with (junk / "findings.csv").open(encoding="utf-8", newline="") as lines:
        rows = {row["image"] or row["audio"]: row["findings"] for row in csv.DictReader(lines)}
    assert rows == {
        "a.png": "none",
        "b.png": "duplicate",
        "good.png": "none",
        "page.jpg": "broken",
        "quiet.wav": "silent",
    }
    assert f"--manifest {junk / 'findings.csv'}" in done.stderr.replace("'", "")
    encoder = ("--checkpoint", tiny_checkpoint)
    built = run("build-index", junk, "--manifest", junk / "findings.csv", *encoder)
    assert built.exit_code == ExitCode.OK, built.output
    where = ("--where", "findings = 'none'", "--json")
    asked = run("query", junk, "--audio", junk / "good.wav", *encoder, *where)
    hits = json.loads(asked.stdout)["hits"]
    assert {hit["path"] for hit in hits} == {"a.png", "good.png"}


def test_a_report_replaces_nothing(junk: Path) -> None:
    (junk / "mine.csv").write_text("image\na.png\n")
    done = run("scan", junk, "--report", junk / "mine.csv")
    assert_one_line(done, ExitCode.STORAGE, "mine.csv", "--report")
    assert (junk / "mine.csv").read_text() == "image\na.png\n"
    assert_one_line(run("scan", junk, "--report", junk / "x.txt"), ExitCode.USAGE, ".jsonl")


def test_near_duplicates_are_asked_of_the_index_beside_the_corpus(
    small_corpus: SmallCorpus,
) -> None:
    manifest = small_corpus.folder / "manifest.csv"
    found = json.loads(run("scan", manifest, "--inspect", "--json").stdout)["inspection"]
    # 14 pictures, 14 sounds; the one frame and the one sound of a video.
    assert found["near"] == {"n_compared": 30, "n_left_out": 0, "n_without_map": 0}
    assert "30 vectors compared" in run("scan", manifest, "--inspect").stdout


def test_an_index_that_is_not_there(junk: Path, tmp_path: Path) -> None:
    done = run("scan", junk, "--inspect", "--index", tmp_path / "none", "--json")
    assert done.exit_code == ExitCode.INDEX


def test_an_index_of_another_corpus(junk: Path, small_corpus: SmallCorpus) -> None:
    done = run("scan", junk, "--inspect", "--index", small_corpus.index)
    assert_one_line(done, ExitCode.USAGE, "it is of", "leave it out")


def test_an_index_beside_the_corpus_that_does_not_open_stops_nothing(junk: Path) -> None:
    (junk / ".retrieval").mkdir()
    (junk / ".retrieval" / "catalogue.sqlite").write_bytes(b"no database at all")
    done = run("scan", junk, "--inspect")
    assert done.exit_code == ExitCode.OK
    assert "near duplicates are not looked for" in done.stderr


def test_the_help_names_every_kind() -> None:
    text = " ".join(run("scan", "--help").stdout.split())
    for kind in KINDS:
        assert kind in text


def test_a_kind_that_there_is_not(junk: Path) -> None:
    assert_one_line(run("scan", junk, "--list", "boring"), ExitCode.USAGE, "boring", "silent")


def test_names_of_any_bytes(tmp_path: Path) -> None:
    large_picture().save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / os.fsdecode(b"caf\xe9\n.png"))
    ended = run_process("scan", tmp_path, "--list", "all", "--report", "t.csv", cwd=tmp_path)
    assert ended.returncode == 0
    assert "1 items are not in it" in ended.stderr
