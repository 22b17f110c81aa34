"""`retrieval train` at the command line: what it writes, and what it refuses beforehand."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import PROJECT, assert_one_line, run
from training_fixtures import Row, quick, rewritten, write_split_world
from typer.main import get_command

from encoder.checkpoint import load_checkpoint
from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from retrieval.cli import app
from retrieval.commands.train_shown import time_text
from retrieval.exit_codes import ExitCode
from train.loop import Trained
from train.run import TrainingTask, initial_network
from train.state import UNFINISHED

DOCUMENT = PROJECT / "docs" / "training.md"


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
    assert " s left" in ended.stderr


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (5000, "83 min"), (9e4, "25.0 h")],
)
def test_waiting_times_are_said_in_their_unit(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_every_setting_of_the_loss_reaches_the_recipe(
    world: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = [
        "--boxes", "--weights", "0.75:0.25", "--positives", "recording", "--attention-loss", "mse",
        "--attention-target", "normalised", "--annotator", "random", "--frozen", "--patience", 1,
        "--precision", "bfloat16", "--no-val", "--steps", 2, "--cache", tmp_path / "cache",
        "--schedule", "constant", "--weight-decay", 0,
    ]  # fmt: skip
    ended = run(*quick(world, out, tiny_checkpoint), *options)
    assert ended.exit_code == 0, ended.output
    recipe = load_checkpoint(out).facts["recipe"]
    expected = {
        "positives": "recording", "unsupervised": 0.75, "supervised": 0.25,
        "attention_loss": "mse", "attention_target": "normalised", "annotator": "random",
        "frozen": True, "augment": False, "patience": 1,
        "mixed_precision": True, "steps": 2, "schedule": "constant", "weight_decay": 0.0,
    }  # fmt: skip
    assert {name: recipe[name] for name in expected} == expected
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["terms"]["supervised"] > 0
    assert load_checkpoint(out).facts["val"] is None
    card = (out / "MODEL_CARD.md").read_text()
    assert "Positives by recording" in card
    assert "(`--no-val`)" in card
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
            ["split val", "two labels", "--no-val"],
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
        (["--attention", "relu"], ["cos attention, not relu", "--attention"]),
        (["--weights", "nan:1", "--boxes"], ["weights nan:1", "numbers from 0"]),
        (["--weights", "inf:1", "--boxes"], ["weights inf:1", "numbers from 0"]),
        (["--learning-rate", "0"], ["learning_rate 0", "above 0"]),
        (["--learning-rate", "nan"], ["learning_rate nan", "above 0"]),
        (["--weight-decay", "-1"], ["weight_decay -1", "from 0"]),
        (["--resume"], ["no unfinished run", "--resume"]),
    ],
)
def test_options_that_contradict_each_other(
    world: Path, tiny_checkpoint: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    ended = run(*quick(world, tmp_path / "out", tiny_checkpoint), *options)
    assert_one_line(ended, ExitCode.USAGE, *words)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[TrainingTask]:
    """What the command asks for, instead of doing it."""
    asked: list[TrainingTask] = []

    def noted(task: TrainingTask, **_: object) -> Trained:
        asked.append(task)
        return Trained(network=TwoStreamEncoder(tiny(), seed=0), figures=None, step=1)

    monkeypatch.setattr("train.run.run_training", noted)
    return asked


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ("efficientnet", "cos", 128, "compact")),
        (["--attention", "relu"], ("efficientnet", "relu", 128, "compact")),
        (["--preset", "paper"], ("vgg16", "cos", 320, "paper")),
        (["--preset", "paper", "--attention", "relu"], ("vgg16", "relu", 320, "paper")),
        (["--preset", "paper", "--crop-px", 64, "--name", "x"], ("vgg16", "cos", 64, "x")),
    ],
)
def test_a_preset_brings_network_frames_and_name(
    tasks: list[TrainingTask],
    tmp_path: Path,
    options: list[str],
    expected: tuple[str, str, int, str],
) -> None:
    ended = run("train", "--pairs", tmp_path / "none.csv", "--out", tmp_path / "out", *options)
    assert ended.exit_code == 0, ended.output
    (task,) = tasks
    config = initial_network(task).config
    assert (config.visual, config.attention, task.recipe.crop_px, task.name) == expected


def documented(heading: str, tasks: list[TrainingTask]) -> TrainingTask:
    """Give the command under a heading of the document; returns what it would train."""
    text = DOCUMENT.read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    found = re.search(r"^    (retrieval train .*?)\n\n", text, re.S | re.M)
    assert found
    ended = run(*shlex.split(found.group(1).replace("\\\n", " "))[1:])
    assert ended.exit_code == 0, ended.output
    (task,) = tasks
    return task


def test_the_documented_command_is_the_shipped_encoders(tasks: list[TrainingTask]) -> None:
    task = documented("The shipped encoder", tasks)
    recipe = load_checkpoint(None).facts["recipe"]
    assert json.loads(json.dumps(asdict(task.recipe))) == recipe
    assert (task.init, task.boxes) == ("imagenet", True)


def test_the_documented_command_is_the_papers_system(tasks: list[TrainingTask]) -> None:
    """Batch, rate and epochs of S19 §5.1 and of the published code (definitions §8)."""
    task = documented("The paper's system", tasks)
    recipe = task.recipe
    assert (task.preset, task.init, task.choose_on_val) == ("paper", "imagenet", False)
    assert (recipe.loss, recipe.positives) == ("distance-ratio", "recording")
    assert (recipe.batch_size, recipe.learning_rate, recipe.schedule) == (30, 1e-4, "constant")
    assert (recipe.crop_px, recipe.augment, recipe.world_share) == (320, False, 0.0)
    assert (recipe.weight_decay, recipe.steps) == (0.0, 144_000 * 10 // 30)


def test_the_document_speaks_of_options_that_exist() -> None:
    """Others than its own are those of torchrun and of the benchmark."""
    of_others = {"--batch", "--crop", "--nnodes", "--node-rank", "--master-addr"}
    own = {
        option
        for parameter in get_command(app).commands["train"].params  # type: ignore[attr-defined]
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", DOCUMENT.read_text(encoding="utf-8")))
    assert spoken - own - of_others <= {"--nproc-per-node", "--help"}
    assert len(spoken & own) > 20


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


@pytest.mark.parametrize(("written", "n_before"), [("metrics.jsonl", 4), ("model.safetensors", 0)])
def test_a_disk_that_fills_up_meanwhile_says_how_to_go_on(
    world: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    n_before: int,
) -> None:
    """`metrics.jsonl` is emptied once and then gets a line per step; the weights come last."""
    opened, asked = Path.open, []

    def full(path: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        if written in path.name and path.is_relative_to(tmp_path) and mode[0] in "wa":
            asked.append(path)
            if len(asked) > n_before:
                raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode, *given, **named)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.open", full)
        ended = run(*quick(world, out, tiny_checkpoint), "--save-every", 0)
    assert_one_line(ended, ExitCode.STORAGE, str(out), "No space left", "make room", "--resume")
    resumed = run(*quick(world, out, tiny_checkpoint), "--resume")
    assert resumed.exit_code == 0, resumed.output
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


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
