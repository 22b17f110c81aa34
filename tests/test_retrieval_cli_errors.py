"""Errors at the command line: one line, a code, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CLEAN, assert_one_line, run
from conftest import SmallCorpus
from typer import Typer
from typer.testing import CliRunner, Result

from encoder.errors import EncoderError
from indexer.errors import CorpusMissing, IndexerError, IndexMissing
from retrieval.cli import Commands, all_codes, app
from retrieval.errors import RetrievalError
from retrieval.exit_codes import ExitCode
from train.errors import PairsError, TrainError, TrainingDiverged
from train.world import WorldError


def test_bad_queries(
    small_corpus: SmallCorpus, asked_sound: Path, asked_picture: Path, tmp_path: Path
) -> None:
    def query(*arguments: object) -> Result:
        return run("query", *arguments, *small_corpus.arguments)

    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    usage, media = ExitCode.USAGE, ExitCode.QUERY_MEDIA
    assert_one_line(query(), usage, "nothing to search with")
    assert_one_line(
        query("--image", asked_picture, "--mode", "own-sound"), usage, "give that sound too"
    )
    assert_one_line(query("--audio", asked_sound, "--where", "label ="), usage, "where")
    assert_one_line(query("--audio", asked_sound, "-k", 0), usage, "1 or more")
    assert_one_line(query("--audio", asked_sound, "--json", "--paths"), usage, "give one")
    assert_one_line(query("--audio", "none.wav"), media, "none.wav", "missing")
    assert_one_line(query("--image", tmp_path / "page.jpg"), media, "page.jpg")
    one_kind = query("--audio", asked_sound, "--to", "audio", "--heatmap", tmp_path / "why")
    assert_one_line(one_kind, usage, "has no heat map")


def test_bad_usage_is_code_2(asked_sound: Path) -> None:
    assert run("query", "--nonsense").exit_code == ExitCode.USAGE
    assert run("query", "--audio", asked_sound, "--to", "video").exit_code == ExitCode.USAGE
    assert run("quest").exit_code == ExitCode.USAGE


def test_bad_corpora(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no media")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00nonsense")
    for name, word in (("none", "no such"), ("empty", "empty"), ("texts", "not media")):
        built = run("build-index", tmp_path / name, "--checkpoint", tiny_checkpoint)
        assert_one_line(built, ExitCode.CORPUS, name, word)
    assert_one_line(run("scan", tmp_path / "none"), ExitCode.CORPUS, "none")
    assert_one_line(run("scan", tmp_path / "bad.csv"), ExitCode.CORPUS, "bad.csv")


def test_bad_indexes(
    small_corpus: SmallCorpus, asked_sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = run("query", "--audio", asked_sound)
    assert_one_line(here, ExitCode.INDEX, str(tmp_path), "retrieval build-index")
    assert_one_line(run("info", tmp_path / "none"), ExitCode.INDEX, "no such folder")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "catalogue.sqlite").write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)
    assert_one_line(run("info", broken), ExitCode.INDEX, "broken")


def test_another_encoder(small_corpus: SmallCorpus, asked_sound: Path, tmp_path: Path) -> None:
    from encoder.checkpoint import save_checkpoint
    from encoder.config import tiny
    from encoder.two_stream import TwoStreamEncoder

    other = tmp_path / "other"
    save_checkpoint(other, TwoStreamEncoder(tiny(), seed=3), name="other", facts={}, card="")
    code = ExitCode.ENCODER
    asked = run("query", small_corpus.folder, "--audio", asked_sound, "--checkpoint", other)
    assert_one_line(asked, code, "tiny", "other", "--reembed")
    built = run("build-index", small_corpus.folder, "--checkpoint", other)
    assert_one_line(built, code, "--reembed")
    missing = run(
        "query", small_corpus.folder, "--audio", asked_sound, "--checkpoint", tmp_path / "none"
    )
    assert_one_line(missing, code, "none", "no checkpoint here")


def test_output_that_cannot_be_written(
    small_corpus: SmallCorpus, asked_sound: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    asked = ("query", "--audio", asked_sound, *small_corpus.arguments)
    result = run(*asked, "--heatmap", tmp_path / "file")
    assert result.exit_code == ExitCode.STORAGE
    assert "retrieval: error: " in result.stderr
    assert str(tmp_path / "file") in result.stderr
    assert len(result.stdout.splitlines()) == 11  # the answer itself is not lost


def test_debug_lets_the_traceback_through(tmp_path: Path) -> None:
    off = CliRunner(env=CLEAN | {"RETRIEVAL_DEBUG": "0"})
    assert_one_line(off.invoke(app, ["info", str(tmp_path / "none")]), ExitCode.INDEX)
    for arguments, environment in ((["--debug"], {}), ([], {"RETRIEVAL_DEBUG": "1"})):
        runner = CliRunner(env=CLEAN | environment)
        result = runner.invoke(app, [*arguments, "info", str(tmp_path / "none")])
        assert isinstance(result.exception, IndexMissing)


def test_every_error_of_the_trees_has_a_code() -> None:
    """A new error class must be placed in the table, or it ends as `unexpected`."""
    leaves = [
        kind
        for tree in (EncoderError, IndexerError, RetrievalError, TrainError)
        for kind in tree.__subclasses__()
    ]
    assert WorldError in leaves  # defined away from its tree
    placed = tuple(kind for kind, _ in all_codes())
    assert [kind.__name__ for kind in leaves if not issubclass(kind, placed)] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PairsError("row 3: no such file"), ExitCode.CORPUS),
        (TrainingDiverged("step 9: loss nan; lower the learning rate"), ExitCode.FAILED),
        (WorldError("w: is there already; choose another folder"), ExitCode.STORAGE),
    ],
)
def test_training_errors_are_one_line(error: Exception, code: ExitCode) -> None:
    result = CliRunner(env=CLEAN).invoke(raising(error), ["fail"])
    assert_one_line(result, code, str(error))
    assert "unexpected" not in result.stderr


def test_file_names_cannot_steer_the_terminal() -> None:
    result = CliRunner(env=CLEAN).invoke(raising(CorpusMissing("a\x1b[31m.wav: gone")), ["fail"])
    assert "a\\x1b[31m.wav: gone" in result.stderr


def raising(error: Exception) -> Typer:
    """Return a program of the product's own command group whose one command fails."""
    program = Typer(cls=Commands)

    @program.command("fail")
    def fail() -> None:
        raise error

    @program.callback()
    def root(debug: bool = False) -> None:
        pass

    return program
