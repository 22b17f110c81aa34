"""What an index keeps of its maps, at the command line: chosen, reported, searched and measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import PROJECT, assert_one_line, run
from conftest import write_manifest
from indexer_fixtures import build, write_pairs
from typer.testing import Result

from encoder.embedder import Embedder
from indexer.catalogue import Catalogue
from indexer.ledger import replace_efforts
from indexer.lookup import latest_generation
from indexer.options import MIN_RECALL, BuildOptions
from retrieval import Retriever
from retrieval.exit_codes import ExitCode

N = 66
"""More than are scored in full without being measured."""
KINDS = {
    "frames": {"audio-image", "associate-audio"},
    "sounds": {"image-audio", "associate-image"},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("maps") / "corpus", N)
    build(folder, tiny_embedder, segment_items=100)
    return folder


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "corpus"))


@pytest.fixture
def go_on(corpus: Path, tiny_checkpoint: Path) -> GoOn:
    return GoOn(corpus, tiny_checkpoint)


class GoOn:
    """`build-index` on the same corpus once more."""

    def __init__(self, corpus: Path, checkpoint: Path) -> None:
        self.arguments = ("build-index", corpus, "--checkpoint", checkpoint)

    def __call__(self, *options: object) -> Result:
        result = run(*self.arguments, *options)
        assert result.exit_code == 0, result.output
        return result


def line(result: Result, name: str) -> str:
    return next(one for one in result.stdout.splitlines() if one.strip().startswith(name))


def change_effort(corpus: Path, **values: object) -> None:
    """Have pictures searched with other effort than was measured."""
    index = corpus / ".retrieval"
    with Catalogue.create(index, corpus="") as catalogue, catalogue.writing() as connection:
        generation = latest_generation(connection)
        assert generation is not None
        efforts = generation.efforts
        efforts["frames"] |= values
        replace_efforts(connection, generation.id, efforts)


# ── built, reported ──────────────────────────────────────────────────────────────────────────────


def test_a_build_says_what_is_kept_and_what_is_found(go_on: GoOn, corpus: Path) -> None:
    result = go_on()
    assert "full and compact; 16." in line(result, "maps")
    assert "KiB per frame" in line(result, "maps")
    assert "fitted to 66 frames" in line(result, "basis 1")
    for kinds in KINDS.values():
        for kind in kinds:
            assert "recall@10 " in line(result, kind)
    info = run("info", corpus)
    assert line(info, "maps").split() == line(result, "maps").split()
    assert "scored in full for ten answers" in line(info, "pictures")
    found = json.loads(go_on("--json").stdout)
    told = json.loads(run("info", corpus, "--json").stdout)
    assert found["maps"] == told["maps"]
    assert found["conditional"] == told["conditional"]
    assert found["min_recall"] == MIN_RECALL
    assert told["maps"]["frames"] == {"full": N, "compact": 0, "none": 0}
    assert {side: set(one["recall"]) for side, one in told["conditional"].items()} == KINDS


def test_maps_that_are_given_up_stay_away(go_on: GoOn, corpus: Path) -> None:
    compact = go_on("--maps", "compact")
    assert line(compact, "maps").split()[1] == "compact;"
    assert line(compact, "new").split() == ["new", "0"]
    assert not list(corpus.glob(".retrieval/segments/*/maps.arrow"))
    assert "generation 2" in line(compact, "index")
    assert "generation 2" in line(go_on(), "index")  # nothing is left to do
    write_pairs(corpus, 1, first=N)
    assert json.loads(go_on("--json").stdout)["maps"]["frames"]["compact"] == N + 1
    write_pairs(corpus, 1, first=N + 1)
    mixed = go_on("--maps", "full")
    assert f"1 frames full and compact, {N + 1} frames compact" in line(mixed, "maps")


def test_giving_up_all_maps(go_on: GoOn, corpus: Path) -> None:
    go_on("--maps", "compact")
    assert line(go_on("--maps", "none"), "maps").split(maxsplit=1)[1] == "none, only coarse vectors"
    assert not list(corpus.glob(".retrieval/segments/*/compact-*"))
    assert not list(corpus.glob(".retrieval/bases/*"))


def test_embedding_anew_keeps_the_form(go_on: GoOn) -> None:
    go_on("--maps", "none")
    anew = json.loads(go_on("--reembed", "--json").stdout)
    assert (anew["n_new"], anew["maps"]["form"]) == (N, "none")
    assert anew["maps"]["bytes_per_frame"] == 0


def test_too_little_recall_is_answered_by_scoring_all(
    go_on: GoOn, corpus: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.compact.recall.Scored.recall", lambda *_: 0.5)
    result = go_on("--refit-maps", "--min-recall", 0.9)
    for side in ("pictures", "sounds"):
        assert "each is scored in full: nothing faster has a recall of 0.9" in line(result, side)
    assert "recall that was asked for" in line(run("info", corpus), "pictures")
    with Retriever.open(corpus, checkpoint=tiny_checkpoint, device="cpu") as retriever:
        assert retriever.search(audio=corpus / "p001.wav").exact


def test_a_higher_recall_is_asked_of_an_index_that_is_there(go_on: GoOn, corpus: Path) -> None:
    change_effort(corpus, recall={"audio-image": 0.985, "associate-audio": 1.0})
    assert "generation 1" in line(go_on(), "index")
    result = go_on("--min-recall", 0.99)
    assert "generation 2" in line(result, "index")
    assert "0.985" not in line(result, "audio-image")


def test_few_items_are_scored_in_full(tmp_path: Path, tiny_checkpoint: Path) -> None:
    write_pairs(tmp_path / "few", 3)
    result = run("build-index", tmp_path / "few", "--checkpoint", tiny_checkpoint)
    assert "each item is scored in full" in line(result, "conditional")


def test_a_basis_that_no_longer_fits_is_named(
    go_on: GoOn, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.compact.writing.DRIFT", -1.0)
    told = "the basis no longer fits 1 segment: "
    assert line(go_on(), "drift").endswith(f"{told}run build-index --refit-maps")
    assert line(run("info", corpus), "drift").endswith("--refit-maps")
    assert line(go_on("--maps", "compact"), "drift").endswith("run build-index --reembed")


def test_refitting_makes_a_new_basis(go_on: GoOn) -> None:
    assert line(go_on("--refit-maps"), "basis 2")


def test_the_options_are_what_a_build_takes(corpus: Path) -> None:
    assert BuildOptions().min_recall == MIN_RECALL
    assert "[default: 0.98;" in " ".join(run("build-index", "--help").stdout.split())
    for wrong in (("--maps", "some"), ("--min-recall", 1.5)):
        assert run("build-index", corpus, *wrong).exit_code == ExitCode.USAGE


# ── searched ─────────────────────────────────────────────────────────────────────────────────────


def asked(corpus: Path, checkpoint: Path, *options: object) -> tuple[dict[str, object], str]:
    asking = ("query", corpus, "--checkpoint", checkpoint, "--json", *options)
    result = run(*asking)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def test_exact_scores_every_item(corpus: Path, tiny_checkpoint: Path) -> None:
    change_effort(corpus, rescored=10)
    sound = ("--audio", corpus / "p001.wav")
    fast, _ = asked(corpus, tiny_checkpoint, *sound)
    full, notes = asked(corpus, tiny_checkpoint, *sound, "--exact")
    assert (fast["exact"], full["exact"]) == (False, True)
    assert (fast["query"]["exact"], full["query"]["exact"]) == (False, True)  # type: ignore[index]
    assert "maps" not in notes
    with Retriever.open(corpus, checkpoint=tiny_checkpoint, device="cpu") as retriever:
        found = retriever.search(audio=corpus / "p001.wav", exact=True)
        assert found.exact
        assert [hit.id for hit in found] == [hit["id"] for hit in full["hits"]]  # type: ignore[attr-defined]


def test_pictures_without_maps_are_ranked_by_coarse_vectors(
    go_on: GoOn, corpus: Path, tiny_checkpoint: Path
) -> None:
    go_on("--maps", "none")
    told = "note: pictures were ranked by their coarse vectors"
    sound, picture = ("--audio", corpus / "p001.wav"), ("--image", corpus / "p001.png")
    found, notes = asked(corpus, tiny_checkpoint, *sound, "--exact")
    assert told in notes
    assert found["exact"] is False
    assert told in asked(corpus, tiny_checkpoint, *sound, *picture, "--associate", "audio")[1]
    for plain in (picture, (*picture, "--to", "image"), (*sound, "--to", "audio")):
        assert told not in asked(corpus, tiny_checkpoint, *plain)[1]


def test_compact_maps_alone_are_never_exact(
    go_on: GoOn, corpus: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    go_on("--maps", "compact")
    sound = ("--audio", corpus / "p001.wav")
    found, notes = asked(corpus, tiny_checkpoint, *sound, "--exact", "--heatmap", tmp_path / "why")
    assert found["exact"] is False
    assert "note: pictures were scored by their compact maps" in notes
    assert "10 heat maps" in notes  # of frames that are embedded anew
    assert "compact maps" not in asked(corpus, tiny_checkpoint, *sound)[1]


# ── measured ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    folder = write_pairs(tmp_path / "labelled", 8)
    pairs = [(f"p{n:03d}.png", f"p{n:03d}.wav", "ab"[n % 2]) for n in range(8)]
    rows = [
        {"image": image, "audio": audio, "video": "", "label": label, "split": "test"}
        for image, audio, label in pairs
    ]
    write_manifest(folder / "manifest.csv", rows)
    return folder


def test_evaluation_without_full_maps(labelled: Path, tiny_checkpoint: Path) -> None:
    def built(form: str) -> None:
        asked = ("build-index", labelled, "--manifest", labelled / "manifest.csv")
        result = run(*asked, "--checkpoint", tiny_checkpoint, "--reembed", "--maps", form)
        assert result.exit_code == 0, result.output

    measured = ("evaluate", labelled, "--checkpoint", tiny_checkpoint)
    built("compact")
    report = labelled / "report"
    result = run(*measured, "--report", report)
    assert result.exit_code == 0, result.output
    assert "8 of 8 frames of the index were looked at through their compact maps" in result.stdout
    assert "does not keep the full visual map" in result.stdout
    assert "Side accuracy" in result.stdout  # glued pictures are embedded anew
    assert (report / "report.html").is_file()
    built("none")
    assert_one_line(run(*measured), ExitCode.INDEX, "no full visual maps", "--maps full")
    built("full")
    result = run(*measured)
    assert result.exit_code == 0, result.output
    assert "compact maps" not in result.stdout


# ── documented ───────────────────────────────────────────────────────────────────────────────────


def test_the_documentation_names_every_field(corpus: Path) -> None:
    text = (PROJECT / "docs" / "searching.md").read_text(encoding="utf-8")
    told = json.loads(run("info", corpus, "--json").stdout)
    verified = json.loads(run("verify", corpus, "--json").stdout)
    names = [f"maps.{name}" for name in told["maps"]]
    names += [f"conditional.<side>.{name}" for name in told["conditional"]["frames"]]
    assert [name for name in (*names, *verified) if f"`{name}`" not in text] == []
