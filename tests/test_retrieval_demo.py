"""The demo end to end: what it makes, with a network that has learnt nothing; how well, shipped."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from encoder.checkpoint import save_checkpoint
from encoder.config import tiny
from encoder.two_stream import TwoStreamEncoder
from retrieval.cli import app
from retrieval.demo import kinds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "here"


def run_demo(folder: Path, checkpoint: Path, *options: str):
    arguments = ["demo", "--dir", folder, "--checkpoint", checkpoint, "--n-scenes", 10, *options]
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_it_tells_a_story_and_names_its_files(folder: Path, tiny_checkpoint: Path) -> None:
    result = run_demo(folder, tiny_checkpoint)
    assert result.exit_code == 0, result.output
    assert "is heard. Which pictures go with it?" in result.stdout
    assert "sound to picture" in result.stdout
    assert str(folder / "answers") in result.stdout
    assert len(list((folder / "answers").glob("*/*.png"))) == 15
    with Image.open(folder / "answers" / "contact-sheet.png") as sheet:
        assert sheet.width > 6 * 160


def test_what_it_says_to_try_works_in_a_fresh_shell(
    folder: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    result = run_demo(folder, tiny_checkpoint)
    line = result.stdout.split("Try it: ")[1].splitlines()[0]
    assert str(tiny_checkpoint) in shlex.split(line)
    ended = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 11


def test_a_world_of_other_settings_stands_beside_the_first(
    folder: Path, tiny_checkpoint: Path
) -> None:
    for n_scenes, n_items in ((11, 15), (10, 14)):
        result = run_demo(folder, tiny_checkpoint, "--n-scenes", str(n_scenes), "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["n_items"] == n_items


def test_it_runs_again_with_another_encoder(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_checkpoint(other, TwoStreamEncoder(tiny(), seed=5), name="other", facts={}, card="")
    result = run_demo(folder, other, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["schema"] == "retrieval.demo/1"
    assert found["n_items"] == 14
    assert [len(story["hits"]) for story in found["stories"]] == [5, 5, 5]
    for one in found["precision_at_5"].values():
        assert 0 <= one["value"] <= 1
        assert 0.02 < one["chance"] < 0.3
        assert one["n"] == 20
    assert len(list((folder / "answers").glob("*/*.png"))) == 15


def test_the_shipped_encoder_finds_the_right_kinds(tmp_path: Path) -> None:
    arguments = ["demo", "--dir", str(tmp_path), "--n-scenes", "60", "--json"]
    result = CliRunner(env={"RETRIEVAL_CHECKPOINT": None}).invoke(app, arguments)
    assert result.exit_code == 0, result.output
    precision = json.loads(result.stdout)["precision_at_5"]
    assert {name: one["value"] >= 0.8 for name, one in precision.items()} == {
        "sound to picture": True,
        "picture to sound": True,
    }, precision


def test_what_a_scene_is_right_for() -> None:
    assert kinds("image", "bell", "bell drum") == {"bell", "drum"}
    assert kinds("image", "bell", None) == set()  # it rings behind the camera
    assert kinds("audio", "bell", None) == {"bell"}
    assert kinds("audio", "bell", "bell drum") == {"bell", "drum"}
