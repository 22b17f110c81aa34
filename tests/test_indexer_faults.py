"""Full disks, read-only folders, damage, two writers, a corpus that changes: said in one line."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, assert_one_line, run
from conftest import write_picture
from crash_operations import OPERATIONS, Operation, fresh, small
from crash_states import assert_intact, assert_same, look
from indexer_fixtures import build, write_pairs

import indexer.assemble
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.catalogue import Catalogue, meta
from indexer.errors import IndexerError, StorageError
from indexer.repair import repair
from indexer.update import update_index
from indexer.verify import verify
from retrieval.exit_codes import ExitCode, exit_code

DISK_BYTES = 16 << 20
FREE_BYTES = (0, 100_000, 250_000, 600_000)
PAGE = 4096


def mounted(*arguments: object) -> None:
    """Mount, or skip the test where that is not allowed."""
    command = ["mount", *map(str, arguments)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")


@contextmanager
def mount(folder: Path, *arguments: object) -> Iterator[None]:
    mounted(*arguments, folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# ── a full disk ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mount(disk, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"):
        yield disk


def fill_up(disk: Path, n_free: int) -> Path:
    """Take all space of a disk but this much, rounded to pages."""
    ballast = disk / "ballast"
    usage = shutil.disk_usage(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, usage.free - n_free // PAGE * PAGE)
    return ballast


@pytest.mark.parametrize("name", ["build", "update", "compact", "shrink", "merge"])
def test_a_full_disk(name: str, small_disk: Path, tmp_path: Path, tiny_embedder: Embedder) -> None:
    operation = OPERATIONS[name]
    start, calm = tmp_path / "start", tmp_path / "calm"
    operation.prepare(start, tiny_embedder)
    operation.run(fresh(start, calm), tiny_embedder)
    before = look(start / operation.index) if operation.begins_whole else None
    after = look(calm / operation.index, tiny_embedder)
    n_told = 0
    for n_free in FREE_BYTES:
        folder = fresh(start, small_disk / "folder")
        ballast = fill_up(small_disk, n_free)
        n_told += is_told(operation, folder, tiny_embedder)
        ballast.unlink()
        if before is not None:
            assert_intact(folder / operation.index)
            assert look(folder / operation.index).rows.keys() <= before.rows.keys() | after.rows
        operation.run(folder, tiny_embedder)
        assert_same(look(folder / operation.index, tiny_embedder), after)
    assert n_told >= 2


def is_told(operation: Operation, folder: Path, embedder: Embedder) -> bool:
    """Run on little space; say whether it was too little."""
    try:
        operation.run(folder, embedder)
    except StorageError as caught:
        error = caught
    else:
        return False
    assert exit_code(error) == ExitCode.STORAGE
    assert "disk is full" in str(error)
    assert "\n" not in str(error)
    return True


# ── a folder that may not be written ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    corpus = write_pairs(tmp_path_factory.mktemp("faults") / "corpus", 6)
    build(corpus, tiny_embedder)
    return corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return fresh(built, tmp_path / "corpus")


@pytest.fixture
def index(corpus: Path) -> Path:
    return corpus / ".retrieval"


@contextmanager
def read_only_mount(folder: Path) -> Iterator[None]:
    """Mount a folder read-only on itself: root may not write there either."""
    with mount(folder, "--bind", folder):
        mounted("-o", "remount,ro,bind", folder)
        yield


@pytest.fixture
def read_only(index: Path) -> Iterator[Path]:
    with read_only_mount(index):
        yield index


def test_a_read_only_index_is_searched_and_says_so_to_writers(
    read_only: Path, corpus: Path, tiny_checkpoint: Path, tiny_embedder: Embedder
) -> None:
    assert_intact(read_only)
    assert len(look(read_only, tiny_embedder).rows) == 6
    encoder = ["--checkpoint", tiny_checkpoint]
    asked = run("query", "--audio", corpus / "p001.wav", "--index", read_only, *encoder)
    assert asked.exit_code == ExitCode.OK
    assert run("verify", read_only).exit_code == ExitCode.OK
    write_pairs(corpus, 1, first=50)
    for command in (
        ("build-index", corpus, *encoder),
        ("update", read_only, *encoder),
        ("remove", "p001.png", "--index", read_only),
        ("compact", read_only),
        ("verify", "--repair", read_only),
    ):
        assert_one_line(run(*command), ExitCode.STORAGE, str(read_only), "read-only")


KILLED = """
import os, signal, sys
from pathlib import Path
from indexer.catalogue import Catalogue
from indexer.ledger import delete_items
with Catalogue.create(Path(sys.argv[1]), corpus="") as catalogue:
    with catalogue.writing() as connection:
        delete_items(connection, [2])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_a_killed_writer_removed_stays_out_on_a_read_only_disk(
    index: Path, is_shared: bool
) -> None:
    """Its commit is in the write-ahead log alone, which nobody may take over into the file."""
    killed = subprocess.run([sys.executable, "-c", KILLED, index], env=ENVIRONMENT, check=False)
    assert killed.returncode == -signal.SIGKILL
    if not is_shared:  # left behind by whoever copied the folder
        (index / "catalogue.sqlite-shm").unlink()
    with read_only_mount(index):
        if is_shared:
            assert len(look(index).rows) == 5
        else:
            assert_one_line(run("info", index), ExitCode.STORAGE, str(index), "may be written")
    assert len(look(index).rows) == 5


# ── damage ───────────────────────────────────────────────────────────────────────────────────────

DERIVED = [
    "segments/000001/compact-*.arrow",
    "bases/*.safetensors",
    "faiss/*/sound.faiss",
    "faiss/*/coarse.faiss",
    "faiss/*/own_sound.faiss",
    "faiss/*/frame_codes.arrow",
    "faiss/*/sound_codes.arrow",
    "faiss/*/codes.safetensors",
]
LOST = ["segments/000001/sound.arrow", "segments/000001/visual.arrow"]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [flipped, halved])
@pytest.mark.parametrize("pattern", DERIVED)
def test_what_is_derived_is_named_and_made_anew(
    index: Path, tiny_embedder: Embedder, pattern: str, harm: Callable[[Path], None]
) -> None:
    before = look(index, tiny_embedder)
    path = next(index.glob(pattern))
    name = path.relative_to(index).as_posix()
    harm(path)
    found = run("verify", index)
    assert found.exit_code == ExitCode.INDEX
    assert name in found.stdout
    assert "--repair" in found.stderr
    if harm is halved:
        with pytest.raises(IndexerError, match=r"retrieval (build-index|verify)"):
            look(index, tiny_embedder)
    repair(index, lambda _: tiny_embedder)
    assert_intact(index)
    after = look(index, tiny_embedder)
    assert_same(replace(after, files=before.files), before)  # a new basis has another number


@pytest.mark.parametrize("pattern", LOST)
def test_what_is_not_derived_is_named_with_the_command_that_encodes_again(
    index: Path, corpus: Path, tiny_embedder: Embedder, pattern: str
) -> None:
    before = look(index, tiny_embedder)
    path = next(index.glob(pattern))
    flipped(path)
    assert [damage.fate for damage in verify(index).damaged] == ["encoded again"]
    found = run("verify", index)
    assert found.exit_code == ExitCode.INDEX
    assert path.relative_to(index).as_posix() in found.stdout
    assert f"retrieval build-index {corpus} --index {index} --reembed" in found.stderr
    build(corpus, tiny_embedder, reembed=True)
    assert look(index, tiny_embedder).rows == before.rows


def test_no_page_of_the_catalogue_may_be_damaged_unnoticed(
    index: Path, tiny_checkpoint: Path
) -> None:
    path = index / "catalogue.sqlite"
    assert not path.with_name(f"{path.name}-wal").exists()
    whole = path.read_bytes()
    for start in range(0, len(whole), PAGE):
        path.write_bytes(whole[:start] + b"\xa5" * PAGE + whole[start + PAGE :])
        assert_one_line(run("verify", index), ExitCode.INDEX, str(path), "damaged", "build-index")
    halved(path)
    assert_one_line(run("verify", index), ExitCode.INDEX, str(path), "damaged", "build-index")


def test_a_catalogue_of_a_newer_release_is_left_alone(
    index: Path, corpus: Path, tiny_checkpoint: Path
) -> None:
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        newer = meta.update().where(meta.c.key == "schema_version").values(value=999)
        connection.execute(newer)
    for command in (
        ("info", index),
        ("verify", index),
        ("verify", "--repair", index),
        ("query", "--audio", corpus / "p001.wav", "--index", index),
        ("build-index", corpus, "--checkpoint", tiny_checkpoint),
        ("update", index),
        ("compact", index),
        ("remove", "p001.png", "--index", index),
    ):
        assert_one_line(run(*command), ExitCode.INDEX, "newer release", "update this program")
    assert version_of(index) == 999


def version_of(index: Path) -> int:
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as connection:
        statement = "SELECT value FROM meta WHERE key = 'schema_version'"
        return int(connection.execute(statement).fetchone()[0])


# ── others at the same time ──────────────────────────────────────────────────────────────────────

WRITER = """
import sys, time
from pathlib import Path
from indexer.locking import only_writer
with only_writer(Path(sys.argv[1])):
    print("writing", flush=True)
    time.sleep(600)
"""


def test_the_second_writer_is_told_who_the_first_is_and_gets_in_once_it_is_killed(
    index: Path, corpus: Path, tiny_checkpoint: Path
) -> None:
    commands = (
        ("build-index", corpus, "--checkpoint", tiny_checkpoint),
        ("update", index, "--checkpoint", tiny_checkpoint),
        ("compact", index),
        ("remove", "p001.png", "--index", index),
        ("verify", "--repair", index),
    )
    write_pairs(corpus, 1, first=50)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, index], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "writing\n"
        for command in commands:
            locked = run(*command)
            assert_one_line(locked, ExitCode.LOCKED, f"process {first.pid} on ", "wait for it")
        assert len(look(index).rows) == 6  # readers go on
        first.send_signal(signal.SIGKILL)
    for command in commands:
        assert run(*command).exit_code == ExitCode.OK


def test_a_corpus_that_changes_under_a_build(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there when its turn comes is taken in; the next update sees all the rest."""
    corpus = write_pairs(tmp_path / "corpus", 8)
    commit = indexer.assemble.commit_segment

    def changing(*arguments: object) -> None:
        commit(*arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        (corpus / "p005.png").unlink()
        (corpus / "p006.wav").write_bytes(b"cut")
        write_picture(corpus / "p007.png", seed=700)
        write_picture(corpus / "p001.png", seed=701)
        write_pairs(corpus, 1, first=50)

    monkeypatch.setattr(indexer.assemble, "commit_segment", changing)
    report = build_index(corpus, embedder=tiny_embedder, options=small())
    assert (report.n_new, report.n_failed) == (
        8,
        3,
    )  # one is gone, one is cut, one is not what was scanned
    index = report.index_dir
    assert_intact(index)
    update_index(index, lambda: tiny_embedder, options=small(), prune=True)
    assert update_index(index, lambda: tiny_embedder, options=small()).build is None
    calm = fresh(corpus, tmp_path / "calm")
    shutil.rmtree(calm / ".retrieval")
    build_index(calm, embedder=tiny_embedder, options=small())
    assert vectors_by_path(index) == vectors_by_path(calm / ".retrieval")


def vectors_by_path(index: Path) -> dict[str, list[float]]:
    state = look(index)
    return {
        f"{row[0]} {row[1]}": [round(value, 4) for value in state.vectors[item]]
        for item, row in state.rows.items()
    }
