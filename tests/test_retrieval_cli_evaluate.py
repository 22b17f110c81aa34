"""`retrieval evaluate`: figures on stdout, a report in a folder, one line for every refusal."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from command_line import assert_one_line, run
from conftest import SmallCorpus

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.evaluation import RetrievalOptions, evaluate_retrieval
from indexer.manifest import ManifestRow, read_manifest
from indexer.reader import IndexReader
from retrieval.commands.evaluate import _shell_word
from retrieval.exit_codes import ExitCode
from train.world import WorldConfig, write_world


@pytest.fixture(scope="module")
def world_index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    """A small made world with boxes, indexed."""
    return indexed_world(tmp_path_factory.mktemp("world"), tiny_embedder)


def indexed_world(folder: Path, embedder: Embedder) -> Path:
    kinds = ("bell", "bird", "drum")
    config = WorldConfig(
        n_scenes=24, n_videos=1, n_panoramas=0, seed=5, frame_px=64, sound_s=1.0, kinds=kinds
    )
    write_world(folder, config)
    return build_index(folder, manifest=folder / "manifest.csv", embedder=embedder).index_dir


def evaluated(corpus: SmallCorpus, *arguments: object) -> dict:
    result = run("evaluate", *corpus.arguments, "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_says_what_the_engine_measured(small_corpus, tiny_embedder):
    said = evaluated(small_corpus, "--no-localization", "--no-concat")
    with IndexReader.open(small_corpus.index) as reader:
        measured = evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions())
    assert said["schema"] == "retrieval.evaluation/1"
    assert said["figures"]["retrieval"] == json.loads(json.dumps(measured.to_json()))
    assert said["figures"]["localization"] is None


def test_leak_free_stands_first(small_corpus):
    result = run("evaluate", *small_corpus.arguments)
    assert result.exit_code == 0, result.output
    table = result.stdout[result.stdout.index("Class mAP") :]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:6]
    assert [row.split("|")[1].strip().split(" ")[0] for row in rows] == [
        "leak-free",
        "coarse",
        "own-sound",
        "swapped",
    ]


def test_the_same_command_says_the_same(small_corpus):
    arguments = ("evaluate", *small_corpus.arguments, "--seed", 3)
    assert run(*arguments).stdout == run(*arguments).stdout


def test_a_filter_restricts_queries_and_gallery(small_corpus):
    everything = evaluated(small_corpus, "--no-localization")["figures"]["retrieval"]
    half = evaluated(small_corpus, "--no-localization", "--where", "split = 'val'")
    assert 0 < half["figures"]["retrieval"]["n_items"] < everything["n_items"]


def test_a_report_shows_queries_with_their_pictures(world_index, tiny_checkpoint, tmp_path):
    folder = tmp_path / "out"
    arguments = ("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint)
    result = run(*arguments, "--report", folder)
    assert result.exit_code == 0, result.output
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Worst queries" in page
    assert "Found worst" in page
    assert page.count("data:image/jpeg") > 20
    assert "file missing" not in page
    again = run(*arguments, "--report", folder)
    assert_one_line(again, ExitCode.STORAGE, "is there already")


def test_localization_prints_what_looks_at_nothing(world_index, tiny_checkpoint):
    result = run("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint)
    assert result.exit_code == 0, result.output
    for row in ("random map", "centre box", "whole picture", "side accuracy"):
        assert row in result.stdout


def test_without_boxes_it_is_said_why_there_is_no_map_row(small_corpus):
    result = run("evaluate", *small_corpus.arguments)
    assert result.exit_code == 0, result.output
    assert "## Localization" in result.stdout
    assert "no item has a frame, a sound and an object box" in result.stdout
    assert "side accuracy" in result.stdout


def test_without_localization_by_boxes_side_accuracy_is_the_same(world_index, tiny_checkpoint):
    def figures_of(*switches):
        arguments = ("--index", world_index, "--checkpoint", tiny_checkpoint, "--json")
        result = run("evaluate", *arguments, *switches)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["figures"]["localization"]

    whole, by_sides, by_boxes = (
        figures_of(*switches) for switches in ((), ("--no-localization",), ("--no-concat",))
    )
    assert whole["rows"]
    assert whole["glued"]["side_accuracy"]["n"] > 0
    for name in ("side_accuracy", "conditional_accuracy", "n_frames"):
        assert by_sides["glued"][name] == whole["glued"][name]
    assert by_sides["rows"] == by_sides["samples"] == by_sides["baselines"] == []
    assert by_sides["concat"] is by_sides["interactive"] is by_sides["ambient"] is None
    assert by_sides["glued"]["maps"] is None
    assert "not to be held against boxes" in by_sides["not_applicable"]["rows"]
    assert by_boxes["rows"] == whole["rows"]
    assert by_boxes["glued"] is by_boxes["concat"] is None


def test_what_is_not_asked_for_costs_one_sentence(world_index, tiny_checkpoint):
    arguments = ("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint)
    by_sides, by_boxes = (run(*arguments, no) for no in ("--no-localization", "--no-concat"))
    assert by_sides.stdout.count("not to be held against boxes") == 1
    assert "against what people drew" not in by_sides.stdout
    assert "Ground truth:" not in by_sides.stdout
    assert by_boxes.stdout.count("no glued frames were asked for") == 1
    assert "against what people drew" in by_boxes.stdout


def test_glued_pictures_that_all_have_boxes_are_shown_once(world_index, tiny_checkpoint):
    result = run("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint)
    assert result.stdout.count("| all labelled pairs, all with boxes |") == 1
    assert result.stdout.count("### Concat-and-localize") == 1


def test_annotations_are_read_before_time_is_spent(small_corpus, tmp_path):
    result = run("evaluate", *small_corpus.arguments, "--annotations", tmp_path / "none.json")
    assert_one_line(result, ExitCode.CORPUS, "none.json")
    assert "leak-free" not in result.stderr


def test_glued_pictures_can_be_written_as_a_corpus(world_index, tiny_checkpoint, tmp_path):
    folder = tmp_path / "glued"
    arguments = ("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint)
    result = run(*arguments, "--write-concat", folder)
    assert result.exit_code == 0, result.output
    rows = list(read_manifest(folder / "manifest.csv"))
    assert len(rows) >= 20
    assert all(isinstance(row, ManifestRow) and row.boxes for row in rows)


def test_one_threshold_can_be_asked_for(world_index, tiny_checkpoint):
    arguments = ("evaluate", "--index", world_index, "--checkpoint", tiny_checkpoint, "--json")
    said = json.loads(run(*arguments, "--threshold", "fixed:0.3").stdout)
    rows = said["figures"]["localization"]["rows"]
    assert {row["threshold"] for row in rows} == {"fixed:0.3"}


def test_pictures_that_are_gone_cost_no_report(tiny_embedder, tiny_checkpoint, tmp_path):
    index = indexed_world(tmp_path / "world", tiny_embedder)
    with IndexReader.open(index) as reader:
        for name in {row.image for row in reader.rows(reader.ids) if row.image}:
            reader.locate(name).unlink()
    arguments = ("evaluate", "--index", index, "--checkpoint", tiny_checkpoint)
    result = run(*arguments, "--report", tmp_path / "out", "--no-localization", "--no-concat")
    assert result.exit_code == 0, result.output
    assert "file missing" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_pseudo_labels_of_the_index_are_taken(small_corpus, tiny_embedder, tmp_path):
    index = tmp_path / "index"
    manifest = small_corpus.folder / "manifest.csv"
    build_index(small_corpus.folder, embedder=tiny_embedder, manifest=manifest, index_dir=index)
    labelled = run("label", "--index", index, "--provider", "column", "--column", "label")
    assert labelled.exit_code == 0, labelled.output
    result = run(
        "evaluate", "--index", index, "--checkpoint", small_corpus.checkpoint, "--no-localization"
    )
    assert result.exit_code == 0, result.output
    assert "Pseudo-label success@k (S19 Table 6)" in result.stdout
    assert "Chance of success, twice" in result.stdout


def test_a_filter_stays_readable_in_the_command_of_a_report():
    assert _shell_word("split = 'val'") == "\"split = 'val'\""
    for text in ("plain", "two words", "a'b$(rm)", "a'b\"c"):
        assert shlex.split(_shell_word(text)) == [text]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--k", "ten"), ExitCode.USAGE, "whole numbers"),
        (("--k", "0"), ExitCode.USAGE, "from 1"),
        (("--threshold", "half"), ExitCode.USAGE, "half"),
        (("--where", "label ="), ExitCode.USAGE, "where"),
        (("--where", "label = 'nobody'"), ExitCode.CORPUS, ""),
        (("--labels", "nobody"), ExitCode.INDEX, "retrieval label"),
    ],
)
def test_what_cannot_be_measured_is_one_line(small_corpus, arguments, code, word):
    assert_one_line(run("evaluate", *small_corpus.arguments, *arguments), code, word)


def test_another_encoder_is_refused(small_corpus):
    result = run("evaluate", "--index", small_corpus.index)
    assert_one_line(result, ExitCode.ENCODER, "built by encoder tiny")
