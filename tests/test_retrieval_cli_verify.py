"""`retrieval verify`: what it prints, what it mends, and its exit codes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from command_line import assert_one_line, run
from indexer_fixtures import build, write_pairs

from encoder.embedder import Embedder
from indexer.locking import only_writer
from indexer.reader import IndexReader
from retrieval.exit_codes import ExitCode

N = 66
"""More than are scored in full without being measured."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("verify") / "corpus", N)
    build(folder, tiny_embedder, segment_items=40)
    return folder


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "corpus"))


def basis_of(corpus: Path) -> Path:
    return corpus / ".retrieval" / "bases" / "000001.safetensors"


def test_an_intact_index(corpus: Path) -> None:
    for asked in (("verify", corpus), ("verify", corpus, "--repair")):
        result = run(*asked)
        assert result.exit_code == 0, result.output
        facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
        assert facts["damaged"] == "0"
        assert "files" in facts["read"]
        assert result.stderr == ""


def test_damage_is_named_with_its_remedy_then_mended(corpus: Path, tiny_checkpoint: Path) -> None:
    basis_of(corpus).unlink()
    opened = run("info", corpus)
    assert_one_line(opened, ExitCode.INDEX, "bases/000001.safetensors", "verify --repair")
    found = run("verify", corpus)
    assert found.exit_code == ExitCode.INDEX
    row = next(line for line in found.stdout.splitlines() if line.startswith("bases/"))
    assert row.split(maxsplit=1)[1].split("  ")[0] == "gone"
    assert row.endswith("verify --repair makes it anew")
    words = shlex.split(found.stderr.split("next: ")[1].splitlines()[0])
    assert "encode again" not in found.stderr
    mended = run(*words[words.index("verify") :], "--checkpoint", tiny_checkpoint)
    assert mended.exit_code == 0, mended.output
    assert "made anew" in mended.stdout
    assert run("verify", corpus).exit_code == 0
    assert run("info", corpus).exit_code == 0


def test_recall_is_measured_again_or_pictures_are_scored_in_full(
    corpus: Path, tiny_checkpoint: Path
) -> None:
    def mended(*arguments: object) -> dict[str, object]:
        full = next(corpus.glob(".retrieval/segments/000001/maps.arrow"), None)
        assert full is not None
        if arguments:
            basis_of(corpus).unlink()
        else:
            full.unlink()
        result = run("verify", corpus, "--repair", "--json", *arguments)
        expected = ExitCode.OK if arguments else ExitCode.INDEX  # full maps were given up
        assert result.exit_code == expected, result.output
        return dict(json.loads(result.stdout)["repair"])

    # A basis is numbered anew, so that compact maps are other files than those measured with.
    assert mended("--checkpoint", tiny_checkpoint) == {"recall": "measured"}
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.effort("frames") is not None
    assert mended() == {"recall": "unknown"}
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.effort("frames") is None
        assert reader.effort("sounds") is not None
    again = run("build-index", corpus, "--checkpoint", tiny_checkpoint, "--refit-maps", "--json")
    assert "frames" in json.loads(again.stdout)["conditional"]


def test_json_says_what_must_be_encoded_again(corpus: Path) -> None:
    index = corpus / ".retrieval"
    (index / "segments" / "000002" / "sound.arrow").write_bytes(b"cut")
    (index / "faiss" / "g000001" / "sound.faiss").unlink()
    for asked, repaired in (((), None), (("--repair",), {"recall": "kept"})):
        result = run("verify", corpus, "--json", *asked)
        assert result.exit_code == ExitCode.INDEX
        found = json.loads(result.stdout)
        assert found["schema"] == "retrieval.verify/1"
        assert found["intact"] is False
        assert found["repair"] == repaired
        assert shlex.split(found["encode_again"])[:3] == ["retrieval", "build-index", str(corpus)]
        vectors, derived = found["damaged"]
        assert vectors["path"] == "segments/000002/sound.arrow"
        assert (vectors["fate"], vectors["n_sounds"]) == ("encoded again", N - 40)
        assert derived["fate"] == "encoded again"
    plain = run("verify", corpus)
    assert f"{N - 40} sounds must be encoded again" in plain.stdout
    assert "made anew when all is" in plain.stdout
    assert "--reembed" in plain.stderr
    assert "next: " not in plain.stderr  # a repair would do nothing


def test_what_stands_in_the_way(corpus: Path, tmp_path: Path) -> None:
    basis_of(corpus).unlink()
    with only_writer(corpus / ".retrieval"):
        assert_one_line(run("verify", corpus, "--repair"), ExitCode.LOCKED, "is writing")
        assert run("verify", corpus).exit_code == ExitCode.INDEX  # reading needs no lock
    nowhere = ("verify", corpus, "--repair", "--checkpoint", tmp_path / "none")
    assert_one_line(run(*nowhere), ExitCode.ENCODER, "no checkpoint here")
    assert_one_line(run("verify", tmp_path / "none"), ExitCode.INDEX, "no such folder")
    (tmp_path / "empty").mkdir()
    assert_one_line(run("verify", tmp_path / "empty"), ExitCode.INDEX, "retrieval build-index")
