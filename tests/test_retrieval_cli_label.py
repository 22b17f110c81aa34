"""`retrieval label` through its real entry point."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import PROJECT, assert_one_line, run, run_process
from conftest import SmallCorpus
from label_fixtures import save_pair
from typer.main import get_command

import indexer.labels.labelling
from indexer.locking import only_writer
from indexer.reader import IndexReader
from retrieval.cli import app
from retrieval.exit_codes import ExitCode


@pytest.fixture
def corpus(small_corpus: SmallCorpus, tmp_path: Path) -> Path:
    """The small corpus with its index, one's own copy."""
    return shutil.copytree(small_corpus.folder, tmp_path / "corpus")


@pytest.fixture(scope="module")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("labellers") / "tiny")


def as_json(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def write_labels(path: Path, *lines: str) -> Path:
    path.write_text("path,modality,label,score\n" + "".join(line + "\n" for line in lines))
    return path


def test_a_column_then_the_list_then_nothing_new(corpus: Path) -> None:
    first = run("label", corpus, "--provider", "column")
    assert first.exit_code == 0, first.output
    facts = dict(line.split(maxsplit=1) for line in first.stdout.splitlines())
    assert facts["labels"].startswith("column:label (version ")
    assert facts["vocabulary"] == "column:label, 3 names"
    assert facts["frames"] == "17 of 17"
    assert facts["sounds"] == "17 of 17"
    assert "label" in first.stderr  # progress in plain lines, where no terminal is
    program = shlex.split(first.stderr.split("next: ")[1].splitlines()[0])
    assert program[-2:] == ["--labels", "column:label"]

    again = as_json("label", corpus, "--provider", "column")
    assert again["schema"] == "retrieval.label/1"
    assert (again["n_new"], again["n_skipped"]) == (0, 34)
    listed = as_json("label", corpus, "--list")
    assert listed["schema"] == "retrieval.labels/1"
    (one,) = listed["labels"]
    assert (one["provider"], one["origin"], one["n_frames"]) == ("column:label", "column", 17)
    table = run("label", corpus, "--list").stdout.splitlines()
    assert table[0].split()[:3] == ["name", "version", "from"]
    assert table[1].split()[0] == "column:label"


def test_another_column_under_another_name(corpus: Path) -> None:
    found = as_json(
        "label", "--index", corpus, "--provider", "column", "--column", "split", "--name", "halves"
    )
    assert found["labels"]["provider"] == "halves"
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.pseudo_labels("halves").names == ("train", "val")


def test_a_file_says_what_it_left_out(corpus: Path, tmp_path: Path) -> None:
    file = write_labels(tmp_path / "mine.csv", "p00.png,image,owl,0.5", "no.png,image,owl,0.5")
    result = run("label", corpus, "--provider", file)
    assert result.exit_code == 0, result.output
    assert "left out: rows of no item of the index: 1, such as 'no.png' in row 3" in result.stderr
    found = as_json("label", corpus, "--provider", file)
    assert found["excluded"] == [
        {"reason": "rows of no item of the index", "n": 1, "example": "'no.png' in row 3"}
    ]
    assert found["labels"]["n_frames"] == 2  # two items share the picture
    assert found["n_unknown"] == 32


def test_delete_takes_what_it_names(corpus: Path) -> None:
    run("label", corpus, "--provider", "column")
    version = as_json("label", corpus, "--list")["labels"][0]["version"]
    missing = run("label", corpus, "--delete", "column:label", "--only-version", "no")
    assert_one_line(missing, ExitCode.INDEX, "column:label of version no", version)
    gone = as_json("label", corpus, "--delete", "column:label")
    assert gone["deleted"] == [{"provider": "column:label", "version": version}]
    assert as_json("label", corpus, "--list")["labels"] == []
    empty = run("label", corpus, "--list")
    assert empty.stdout == ""
    assert "no labels; make some: " in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--provider", "nobody"], ExitCode.USAGE, "nobody"),
        (["--column", "split"], ExitCode.USAGE, "add --provider column"),
        (["--provider", "column", "--column", "none"], ExitCode.USAGE, "label, split"),
        (["--image-weights", "w.pth"], ExitCode.USAGE, "add --provider paper"),
        (["--list", "--delete", "x"], ExitCode.USAGE, "exclude each other"),
        (["--only-version", "1"], ExitCode.USAGE, "--delete"),
        (["--delete", "x"], ExitCode.INDEX, "there are none yet"),
        (["--provider", "none.csv"], ExitCode.CORPUS, "No such file"),
        (["--provider", "paper"], ExitCode.ENCODER, "SoundNet"),
    ],
)
def test_errors_are_one_line(corpus: Path, arguments: list[str], code: ExitCode, word: str) -> None:
    assert_one_line(run("label", corpus, *arguments), code, word)


def test_no_index_and_a_bad_row(corpus: Path, tmp_path: Path) -> None:
    assert_one_line(run("label", tmp_path / "none"), ExitCode.INDEX, "build-index")
    file = write_labels(tmp_path / "bad.csv", "p00.png,image,owl,nan")
    bad = run("label", corpus, "--provider", file)
    assert_one_line(bad, ExitCode.CORPUS, "row 2", "p00.png", "score is 'nan'")
    with only_writer(corpus / ".retrieval"):
        locked = run("label", corpus, "--provider", "column")
    assert_one_line(locked, ExitCode.LOCKED, "is writing")


def test_a_corpus_of_which_nothing_is_left(corpus: Path, tiny_pair: Path) -> None:
    for path in (*corpus.glob("*.png"), *corpus.glob("*.wav"), *corpus.glob("*.mp4")):
        path.unlink()
    result = run("label", corpus, "--provider", tiny_pair, "--device", "cpu")
    assert_one_line(result, ExitCode.CORPUS, "labelled nothing", "missing")


def test_labellers_name_the_files_that_failed(corpus: Path, tiny_pair: Path) -> None:
    (corpus / "p01.png").unlink()
    asked = ("label", corpus, "--provider", tiny_pair, "--device", "cpu")
    result = run(*asked, "--workers", "1", "--batch-size", "8")
    assert result.exit_code == 0, result.output
    assert "p01.png: missing: it is gone since the index was built" in result.stderr
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["labels"].startswith("tiny (version ")
    assert facts["frames"] == "16 of 17"
    assert facts["missing"] == "1 file"
    again = as_json(*asked, "--name", "tiny")
    assert (again["n_new"], again["n_failed"]) == (0, 1)
    assert [one["path"] for one in again["failures"]] == ["p01.png"]


def test_ctrl_c_says_how_to_go_on(
    corpus: Path, tiny_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["label", corpus, "--provider", tiny_pair, "--device", "cpu"]
    keep, calls = indexer.labels.labelling.keep_answers, [0]

    def interrupted(*arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        keep(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(indexer.labels.labelling, "keep_answers", interrupted)
        ended = run(*asked, "--batch-size", "4")
    assert ended.exit_code == ExitCode.INTERRUPTED
    assert "run the same command to go on" in ended.stderr
    assert "Traceback" not in ended.stderr
    resumed = as_json(*asked)
    assert resumed["n_skipped"] >= 8
    assert resumed["n_new"] + resumed["n_skipped"] == 34


def test_help_has_a_text_for_every_option() -> None:
    found = get_command(app).commands["label"]  # type: ignore[attr-defined]
    assert found.help
    for parameter in found.params:
        assert getattr(parameter, "help", None), f"{parameter.name} says nothing"


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from retrieval.cli import app\n"
        "try: app(['label', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'faiss', 'numpy', 'sqlalchemy', 'pyarrow'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert run_process("label", "--help", cwd=tmp_path).returncode == 0
