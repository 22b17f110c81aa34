"""`retrieval train` at the command line: what it writes, and what it refuses beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import assert_one_line, run
from training_fixtures import Row, quick, rewritten, write_split_world

from encoder.checkpoint import load_checkpoint
from retrieval.exit_codes import ExitCode
from train.state import UNFINISHED


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_split_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is refused before the first file is opened."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a file was decoded")

    monkeypatch.setattr("train.listed.bank_of_pairs", opened)
    monkeypatch.setattr("train.run.bank_of_pairs", opened)


def test_a_run_writes_a_checkpoint_and_its_metrics(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = run(*quick(world, out, tiny_checkpoint), "--accumulate", 2, "--json")
    assert ended.exit_code == 0, ended.output
    answer = json.loads(ended.stdout)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "val" in line] == [3, 6]
    assert all(line["loss"] == pytest.approx(sum(line["terms"].values())) for line in lines)
    assert lines[0]["learning_rate"] == pytest.approx(1e-3)
    chosen = next(line for line in lines if line["step"] == answer["step"])
    measured = chosen["val"]["leak_free_audio_to_image"]["mean"]
    assert answer["val"]["leak_free_audio_to_image"]["mean"] == measured
    assert load_checkpoint(out).facts["recipe"]["accumulate"] == 2
    assert not (out / UNFINISHED).exists()
    assert "pairs/s" in ended.stderr
    assert "min left" in ended.stderr


def test_every_setting_of_the_loss_reaches_the_recipe(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = [
        "--boxes", "--weights", "0.75:0.25", "--positives", "recording", "--attention-loss", "mse",
        "--attention-target", "normalised", "--annotator", "random", "--frozen", "--patience", 1,
        "--precision", "bfloat16", "--no-val", "--steps", 2,
        "--cache", tmp_path / "cache",
    ]  # fmt: skip
    ended = run(*quick(world, out, tiny_checkpoint), *options)
    assert ended.exit_code == 0, ended.output
    recipe = load_checkpoint(out).facts["recipe"]
    expected = {
        "positives": "recording", "unsupervised": 0.75, "supervised": 0.25,
        "attention_loss": "mse", "attention_target": "normalised", "annotator": "random",
        "frozen": True, "augment": False, "patience": 1,
        "mixed_precision": True, "steps": 2,
    }  # fmt: skip
    assert {name: recipe[name] for name in expected} == expected
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["terms"]["supervised"] > 0
    assert load_checkpoint(out).facts["val"] is None
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.usefixtures("nothing_is_decoded")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, row: row | {"label": "bell"}, ["1 labels", "--positives recording"]),
        (lambda n, row: row if n < 7 else None, ["takes 8 of them", "--batch-size 5"]),
        (lambda n, row: row | {"split": "train"}, ["no row has split 'val'", "--no-val"]),
        (lambda n, row: row | {"split": "val"}, ["no row has split 'train'"]),
        (
            lambda n, row: row | {"label": "bell" if row["split"] == "val" else row["label"]},
            ["split val", "two labels"],
        ),
        (lambda n, row: row | {"audio": f"gone-{row['audio']}"}, ["files are not there", "gone-"]),
        (lambda n, row: row | {"image": "", "audio": ""}, ["no image, audio or video"]),
    ],
    ids=["one class", "less than a batch", "no val", "no train", "val of one", "gone", "no media"],
)
def test_rows_that_cannot_be_trained_on(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, change, words: list[str]
) -> None:
    manifest = rewritten(world, world.with_name("changed.csv"), change)
    ended = run(*quick(manifest, tmp_path / "out", tiny_checkpoint))
    assert_one_line(ended, ExitCode.CORPUS, *words)


@pytest.mark.usefixtures("nothing_is_decoded")
def test_pairs_that_are_too_few_without_labels(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    def unlabelled(number: int, row: Row) -> Row:
        return row | {"audio": "" if number > 1 else row["audio"], "label": ""}

    manifest = rewritten(world, world.with_name("lone.csv"), unlabelled)
    asked = [*quick(manifest, tmp_path / "out", tiny_checkpoint), "--positives", "recording"]
    assert_one_line(run(*asked, "--no-val"), ExitCode.CORPUS, "takes 8", "--batch-size 2")


def test_a_manifest_that_is_not_there(tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = quick(tmp_path / "none.csv", tmp_path / "out", tiny_checkpoint)
    assert_one_line(run(*asked), ExitCode.CORPUS, "none.csv")


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ("", ["has object boxes", "--boxes"]),
        ("[[0, 0, 500, 50]]", ["outside its frame", ".jpg"]),
    ],
)
def test_boxes_that_cannot_be_asked_for(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, boxes: str, words: list[str]
) -> None:
    manifest = rewritten(world, world.with_name("boxes.csv"), lambda n, row: row | {"boxes": boxes})
    ended = run(*quick(manifest, tmp_path / "out", tiny_checkpoint), "--boxes")
    assert_one_line(ended, ExitCode.CORPUS, *words)


@pytest.mark.usefixtures("nothing_is_decoded")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", "1"], ["--weights 1", "0.75:0.25"]),
        (["--weights", "1:1"], ["--weights 1:1", "--boxes"]),
        (["--weights", "1:0", "--boxes"], ["--weights 1:0", "--boxes"]),
        (["--crop-px", "100"], ["multiple of 32"]),
        (["--init", "imagenet"], ["leave out init"]),
        (["--preset", "paper"], ["another architecture", "--preset"]),
        (["--resume"], ["no unfinished run", "--resume"]),
    ],
)
def test_options_that_contradict_each_other(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    ended = run(*quick(world, tmp_path / "out", tiny_checkpoint), *options)
    assert_one_line(ended, ExitCode.USAGE, *words)


@pytest.mark.usefixtures("nothing_is_decoded")
def test_checkpoints_that_cannot_be_started_from(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_checkpoint, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for folder, word in ((damaged, "damaged"), (tmp_path / "none", "no checkpoint here")):
        ended = run(*quick(world, tmp_path / "out", folder))
        assert_one_line(ended, ExitCode.ENCODER, folder.name, word)


@pytest.mark.usefixtures("nothing_is_decoded")
def test_folders_that_cannot_take_a_run(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    inside_a_file = run(*quick(world, tmp_path / "file" / "out", tiny_checkpoint))
    assert_one_line(inside_a_file, ExitCode.STORAGE, "file")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / UNFINISHED).touch()
    assert_one_line(run(*quick(world, taken, tiny_checkpoint)), ExitCode.USAGE, "add --resume")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 * 2**20))
    full = run(*quick(world, tmp_path / "out", tiny_checkpoint))
    assert_one_line(full, ExitCode.STORAGE, "10 MiB free", "make room")


def test_a_loss_that_is_not_finite_names_step_terms_and_files(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ended = run(
        *quick(world, tmp_path / "out", tiny_checkpoint), "--learning-rate", "1e30", "--no-val"
    )
    assert_one_line(
        ended, ExitCode.FAILED, "step 2", "'matrix'", ".jpg with ", ".flac", " and 5 more"
    )


def test_tensorboard_is_an_extra(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    monkeypatch.delitem(__import__("sys").modules, "torch.utils.tensorboard", raising=False)
    ended = run(*quick(world, tmp_path / "out", tiny_checkpoint), "--tensorboard")
    assert_one_line(ended, ExitCode.USAGE, "--tensorboard", "extra `tensorboard`")


def test_tensorboard_gets_the_curves(world: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "out"
    ended = run(*quick(world, out, tiny_checkpoint), "--tensorboard")
    assert ended.exit_code == 0, ended.output
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [point.step for point in events.Scalars("val/worse_direction")] == [3, 6]
