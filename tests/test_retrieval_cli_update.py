"""`retrieval update`, `remove` and `compact` as a person uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_one_line, run
from conftest import write_picture
from indexer_fixtures import write_pairs

from indexer.reader import IndexReader
from retrieval.exit_codes import ExitCode

N = 6


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    corpus = write_pairs(tmp_path_factory.mktemp("corpus"), N)
    assert run("build-index", corpus, "--checkpoint", tiny_checkpoint).exit_code == 0
    return corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "corpus"))


def as_json(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def n_items(corpus: Path) -> int:
    with IndexReader.open(corpus / ".retrieval") as reader:
        return reader.n_items


def change(corpus: Path) -> None:
    """One of each kind: new, changed, renamed, missing."""
    write_picture(corpus / "new.png", 50)
    write_picture(corpus / "p000.png", 51)
    for suffix in (".png", ".wav"):
        (corpus / f"p001{suffix}").rename(corpus / f"name{suffix}")
        (corpus / f"p002{suffix}").unlink()


def test_a_dry_run_says_all_and_does_nothing(corpus: Path) -> None:
    change(corpus)
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*") if path.is_file()}
    found = as_json("update", corpus, "--dry-run")
    assert found["schema"] == "retrieval.update/1"
    assert found["dry_run"] is True
    assert (found["new"], found["changed"]) == (["new.png"], ["p000.png"])
    assert found["renamed"] == ["p001.png → name.png"]
    assert found["missing"] == ["p002.png", "p002.wav"]
    assert found["n_unchanged"] == N - 3
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shown = run("update", corpus, "--dry-run")
    assert "renamed  p001.png → name.png" in shown.stdout
    assert "--prune takes them out" in shown.stderr


def test_an_update_does_what_the_dry_run_said(corpus: Path, tiny_checkpoint: Path) -> None:
    change(corpus)
    done = as_json("update", corpus, "--prune", "--checkpoint", tiny_checkpoint)
    assert (done["n_embedded"], done["n_pruned"], done["dry_run"]) == (2, 1, False)
    assert n_items(corpus) == N
    again = as_json("update", corpus)  # no encoder is asked for where nothing is to be done
    assert again["generation"] is None
    assert [again[kind] for kind in ("new", "changed", "renamed", "touched", "missing")] == [[]] * 5


def test_an_update_scans_as_the_build_did(tmp_path: Path, tiny_checkpoint: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 3)
    (corpus / "table.csv").write_text("image,audio,label\np000.png,p000.wav,dog\n")
    arguments = ("build-index", corpus / "table.csv", "--checkpoint", tiny_checkpoint)
    assert run(*arguments).exit_code == 0
    assert as_json("update", corpus, "--dry-run")["n_unchanged"] == 1
    assert as_json("update", corpus, "--dry-run")["new"] == []


def test_removed_items_are_gone_until_restored(corpus: Path, tiny_checkpoint: Path) -> None:
    index = ("--index", corpus / ".retrieval")
    would = as_json("remove", "p00[01].png", *index, "--dry-run")
    assert (would["paths"], n_items(corpus)) == (["p000.png", "p001.png"], N)
    assert as_json("remove", "p00[01].png", *index)["ids"] == would["ids"]
    assert n_items(corpus) == N - 2
    assert as_json("update", corpus)["n_removed"] == 2
    done = as_json("compact", corpus)
    assert (done["schema"], done["n_dropped"]) == ("retrieval.compact/1", 2)
    assert n_items(corpus) == N - 2
    restored = as_json("update", corpus, "--restore", "--checkpoint", tiny_checkpoint)
    assert restored["n_embedded"] == 2
    assert n_items(corpus) == N


def test_nothing_chosen_and_nothing_found(corpus: Path) -> None:
    index = ("--index", corpus / ".retrieval")
    assert_one_line(run("remove", *index), ExitCode.USAGE, "--where")
    assert_one_line(run("remove", "--where", "label ~ 2", *index), ExitCode.USAGE, "label")
    unknown = run("remove", "nobody.png", *index)
    assert (unknown.exit_code, unknown.stdout) == (0, "")
    assert "nothing in the index" in unknown.stderr
    assert "nothing to do" in run("compact", corpus).stderr


@pytest.mark.parametrize("command", ["update", "remove", "compact"])
def test_without_an_index_the_way_to_one_is_told(tmp_path: Path, command: str) -> None:
    where = (tmp_path,) if command != "remove" else ("x", "--index", tmp_path)
    assert_one_line(run(command, *where), ExitCode.INDEX, "retrieval build-index")


def test_a_corpus_that_is_away_loses_nothing(corpus: Path) -> None:
    for path in corpus.glob("p*"):
        path.unlink()
    assert_one_line(run("update", corpus, "--prune"), ExitCode.CORPUS, "nothing usable")
    assert n_items(corpus) == N
