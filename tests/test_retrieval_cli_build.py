"""`retrieval build-index`, `info` and `scan`."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROJECT, run, run_process
from conftest import write_picture, write_sound
from PIL import Image

from retrieval.exit_codes import ExitCode


@pytest.fixture
def corpus_of_four(tmp_path: Path) -> Path:
    folder = tmp_path / "four"
    folder.mkdir()
    for n in range(2):
        write_picture(folder / f"a{n}.png", seed=n)
        write_sound(folder / f"a{n}.wav", seed=n)
    (folder / "page.jpg").write_text("<html>not found</html>")
    (folder / "empty.wav").touch()
    (folder / "notes.txt").write_text("no media")
    return folder


def test_build_then_info(corpus_of_four: Path, tiny_checkpoint: Path) -> None:
    built = run("build-index", corpus_of_four, "--checkpoint", tiny_checkpoint)
    assert built.exit_code == 0, built.output
    facts = dict(line.split(maxsplit=1) for line in built.stdout.splitlines())
    assert facts["items"] == "2"
    assert facts["failed"] == "2"
    assert facts["empty"] == "1"
    assert {"seconds", "items/s", "index"} <= set(facts)
    following = built.stderr.split("next: ")[1].splitlines()[0]
    program = shlex.split(following)
    assert program[program.index("--checkpoint") + 1] == str(tiny_checkpoint)
    assert program[-2:] == ["--audio", "SOUND"]
    assert "encode" in built.stderr  # progress in plain lines, where no terminal is

    index = corpus_of_four / ".retrieval"
    info = json.loads(run("info", index, "--checkpoint", tiny_checkpoint, "--json").stdout)
    assert info["n_items"] == 2
    assert info["encoder"]["name"] == "tiny"
    assert info["encoder"]["licence"] == "Apache-2.0"
    plain = run("info", corpus_of_four, "--checkpoint", tiny_checkpoint).stdout
    assert "Apache-2.0" in plain
    failures = json.loads(run("info", index, "--failures", "--json").stdout)["failures"]
    assert {one["path"] for one in failures} == {"page.jpg", "empty.wav"}
    assert "empty.wav" in run("info", index, "--failures").stdout


def test_build_json_and_index_elsewhere(
    corpus_of_four: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("--checkpoint", tiny_checkpoint, "--index", tmp_path / "index", "--json")
    first = json.loads(run("build-index", corpus_of_four, *arguments).stdout)
    again = json.loads(run("build-index", corpus_of_four, *arguments).stdout)
    assert (first["n_items"], first["n_new"]) == (2, 2)
    assert (again["n_items"], again["n_new"]) == (2, 0)
    assert first["index_dir"] == str(tmp_path / "index")
    assert first["failures_by_code"]["empty"] == 1
    assert not (corpus_of_four / ".retrieval").exists()


def test_what_takes_too_long_is_given_up(tmp_path: Path, tiny_checkpoint: Path) -> None:
    write_sound(tmp_path / "quick.wav", seed=1)
    Image.new("RGBA", (9_900, 9_900)).save(tmp_path / "slow.png", compress_level=1)
    arguments = ("--checkpoint", tiny_checkpoint, "--json")
    found = json.loads(run("build-index", tmp_path, *arguments, "--timeout", "0.5").stdout)
    assert found["failures_by_code"] == {"timeout": 1}
    assert found["n_items"] == 1


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, tiny_checkpoint: Path) -> None:
    for n in range(400):  # enough that the signal comes in time on a busy machine
        write_sound(tmp_path / f"{n}.wav", seed=n, seconds=6)
    arguments = ["build-index", str(tmp_path), "--checkpoint", str(tiny_checkpoint)]
    process = subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli", *arguments, "--batch-size", "2"],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if line.startswith("encode"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    resumed = json.loads(run(*arguments, "--json").stdout)
    assert resumed["n_items"] == 400


def test_scan_writes_nothing(corpus_of_four: Path) -> None:
    before = sorted(corpus_of_four.rglob("*"))
    found = json.loads(run("scan", corpus_of_four, "--json").stdout)
    assert found["items"]["pair"] == 2
    assert sorted(corpus_of_four.rglob("*")) == before
    plain = run("scan", corpus_of_four)
    assert "pair items" in plain.stdout
    assert f"build-index {corpus_of_four}" in plain.stderr


def test_scan_and_build_leave_out_the_same(corpus_of_four: Path, tiny_checkpoint: Path) -> None:
    (corpus_of_four / ".retrievalignore").write_text("page.jpg\nempty.wav\n")
    chosen = ("--include", "*.png", "--include", "*.wav", "--exclude", "a1.*", "--follow-symlinks")
    scanned = run("scan", corpus_of_four, *chosen)
    assert "in .retrievalignore" in scanned.stdout
    following = shlex.split(scanned.stderr.split("next: ")[1].splitlines()[0])
    arguments = following[following.index("build-index") :]
    assert arguments[2:] == list(chosen)
    built = run(*arguments, "--checkpoint", tiny_checkpoint, "--json")
    facts = json.loads(built.stdout)
    assert (facts["n_items"], facts["n_failed"]) == (1, 0)
    refused = run("scan", corpus_of_four, "--exclude", "!")
    assert refused.exit_code == ExitCode.USAGE


def test_odd_exif_is_not_told_as_a_warning(tmp_path: Path) -> None:
    picture, exif = Image.new("RGB", (32, 32)), Image.Exif()
    exif[274] = 1
    picture.save(tmp_path / "a.jpg", exif=exif.tobytes()[:-9])
    ended = run_process("scan", tmp_path, "--json", cwd=tmp_path)
    assert ended.returncode == 0
    assert "Warning" not in ended.stderr
