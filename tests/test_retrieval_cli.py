"""The command line: what it prints where, with which code, and how soon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SmallCorpus, write_picture, write_sound
from PIL import Image
from typer.testing import CliRunner, Result

from indexer.errors import IndexMissing
from retrieval.cli import app
from retrieval.exit_codes import CODES, ExitCode
from retrieval.schema import SCHEMA

COMMANDS = ("scan", "build-index", "query", "info", "doctor", "demo", "train")
CLEAN = {"RETRIEVAL_INDEX": None, "RETRIEVAL_CHECKPOINT": None, "RETRIEVAL_DEBUG": None}
PROJECT = Path(__file__).parents[1]


def run(*arguments: object) -> Result:
    return CliRunner(env=CLEAN).invoke(app, [str(one) for one in arguments])


def run_process(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the real entry point, as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "retrieval.cli", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "clip.wav"
    write_sound(path, seed=77)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("asked") / "photo.png"
    write_picture(path, seed=78)
    return path


# ── help and start-up ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_and_option_has_help(command: str, flag: str) -> None:
    result = run(command, flag)
    assert result.exit_code == 0
    import typer

    options = typer.main.get_command(app).commands[command]
    assert options.help
    assert all(one.help for one in options.params)
    listed = run("--help").stdout
    summary = options.help.splitlines()[0].rstrip(".")
    assert summary in " ".join(listed.split()), "the summary does not fit into the list"


def test_help_and_commands_are_one_list() -> None:
    listed = run("-h").stdout
    assert all(f"\n  {command} " in listed for command in COMMANDS)
    assert "Exit codes" in listed


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from retrieval.cli import app\n"
        "try: app(['query', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'faiss', 'streamlit', 'numpy', 'PIL', 'av', 'sqlalchemy', 'pyarrow'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_help_is_fast(tmp_path: Path) -> None:
    took_s = []
    for _ in range(5):
        started = time.perf_counter()
        assert run_process("--help", cwd=tmp_path).returncode == 0
        took_s.append(time.perf_counter() - started)
        if took_s[-1] < 0.3:
            break
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import json, subprocess, inspect, re"], check=True)
    slowdown = max(1.0, (time.perf_counter() - bare) / 0.04)  # 0.04 s on an idle machine
    assert min(took_s) < 0.3 * slowdown


def test_version(tmp_path: Path) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("retrieval 0.")


# ── query ────────────────────────────────────────────────────────────────────────────────────────


def test_query_inside_a_corpus_finds_its_index(small_corpus: SmallCorpus, sound: Path) -> None:
    inside = small_corpus.folder / "deeper"
    inside.mkdir(exist_ok=True)
    ended = run_process(
        "query",
        "--audio",
        sound,
        cwd=inside,
        RETRIEVAL_CHECKPOINT=str(small_corpus.checkpoint),
        LC_ALL="C.UTF-8",
    )
    assert ended.returncode == 0, ended.stderr
    head, *lines = ended.stdout.splitlines()
    assert head.split()[:2] == ["rank", "score"]
    assert len(lines) == 10
    assert "\x1b" not in ended.stdout


def test_json_has_exactly_the_documented_fields(small_corpus: SmallCorpus, sound: Path) -> None:
    result = run("query", small_corpus.folder, "--audio", sound, "--json", *small_corpus.arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert result.stdout.isascii()
    assert list(found) == ["schema", "index", "query", "took_ms", "exact", "hits"]
    assert found["schema"] == SCHEMA == "retrieval.query/1"
    assert found["index"] == {
        "path": str(small_corpus.index.resolve()),
        "generation": 1,
        "encoder": "tiny",
    }
    assert found["query"] == {
        "audio": str(sound),
        "image": None,
        "video": None,
        "at_s": None,
        "to": "image",
        "mode": "leak-free",
        "associate": None,
        "k": 10,
        "offset": 0,
        "where": None,
        "min_score": None,
        "ranking": "audio-image",
    }
    assert set(found["took_ms"]) == {"embed", "search", "condition"}
    assert min(found["took_ms"].values()) >= 0
    assert found["exact"] is True
    for rank, hit in enumerate(found["hits"], start=1):
        assert list(hit) == [
            "rank",
            "id",
            "path",
            "image",
            "audio",
            "t0",
            "t1",
            "score",
            "percentile",
            "label",
            "metadata",
        ]
        assert hit["rank"] == rank
        assert hit["path"] == hit["image"]
        assert (small_corpus.folder / hit["path"]).is_file()
        assert -1 <= hit["score"] <= 1
        assert 0 <= hit["percentile"] <= 100
        assert hit["metadata"]["split"] in ("train", "val")


def test_documentation_names_every_field(small_corpus: SmallCorpus, sound: Path) -> None:
    text = (PROJECT / "docs" / "query-schema.md").read_text(encoding="utf-8")
    result = run("query", small_corpus.folder, "--audio", sound, "--json", *small_corpus.arguments)
    found = json.loads(result.stdout)
    names = {*found, *found["index"], *found["query"], *found["took_ms"], *found["hits"][0]}
    assert all(name in text for name in names)
    assert all(f"| {int(code)} |" in text for code in ExitCode)


def test_jsonl_is_one_hit_a_line(small_corpus: SmallCorpus, picture: Path) -> None:
    result = run("query", "--image", picture, "-k", 3, "--jsonl", *small_corpus.arguments)
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert all(hit["path"] == hit["audio"] for hit in hits)


def test_paths_open_from_anywhere(small_corpus: SmallCorpus, sound: Path) -> None:
    asked = ("query", "--audio", sound, "--top-k", 3, "--paths", *small_corpus.arguments)
    lines = run(*asked).stdout.splitlines()
    assert len(lines) == 3
    assert all(Path(line).is_absolute() and Path(line).is_file() for line in lines)
    assert run(*asked, "-0").stdout.split("\0") == [*lines, ""]


def test_heat_maps_are_written_per_hit(
    small_corpus: SmallCorpus, sound: Path, tmp_path: Path
) -> None:
    result = run(
        "query", "--audio", sound, "-k", 3, "--heatmap", tmp_path / "why", *small_corpus.arguments
    )
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "why").iterdir())
    assert [path.name[:3] for path in written] == ["01-", "02-", "03-"]
    for path in written:
        with Image.open(path) as overlay:
            assert overlay.size == (64, 48)
    assert "3 heat maps" in result.stderr


def test_copies_are_ranked_and_replace_nothing(
    small_corpus: SmallCorpus, sound: Path, tmp_path: Path
) -> None:
    asked = ("query", "--audio", sound, "-k", 2, "--copy-to", tmp_path / "found")
    assert run(*asked, *small_corpus.arguments).exit_code == 0
    copied = sorted((tmp_path / "found").iterdir())
    assert [path.name[:3] for path in copied] == ["01-", "02-"]
    original = (small_corpus.folder / copied[0].name[3:]).read_bytes()
    assert copied[0].read_bytes() == original
    again = run(*asked, *small_corpus.arguments)
    assert again.exit_code == ExitCode.STORAGE
    assert "is there already" in again.stderr


def test_a_weak_answer_is_called_weak(small_corpus: SmallCorpus, sound: Path) -> None:
    asked = ("query", "--audio", sound, *small_corpus.arguments)
    everything = json.loads(run(*asked, "-k", 100, "--json").stdout)["hits"]
    weakest = everything[-1]
    assert weakest["percentile"] < 90
    result = run(*asked, "--where", f"path = '{weakest['path']}'")
    assert "no confident match" in result.stderr
    assert "no confident match" not in result.stdout
    assert "no hits" in run(*asked, "--min-score", 1.0).stderr


def test_pictures_and_sounds_of_one_pair(
    small_corpus: SmallCorpus, sound: Path, picture: Path
) -> None:
    asked = ("query", "--image", picture, "--audio", sound, "--json", *small_corpus.arguments)
    kept = json.loads(run(*asked, "--associate", "image").stdout)
    assert kept["query"]["ranking"] == "associate-image"
    both = run(*asked)
    assert json.loads(both.stdout)["query"]["ranking"] == "image-audio"
    assert "its sound is left out" in both.stderr


def test_a_closed_pipe_is_silent(small_corpus: SmallCorpus) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli", "scan", str(small_corpus.folder), "--json"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        complaints = process.stderr.read().decode()
    assert process.wait(timeout=60) == 0
    assert "rror" not in complaints


# ── build-index, info, scan ──────────────────────────────────────────────────────────────────────


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
    assert "next: retrieval query" in built.stderr
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


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, tiny_checkpoint: Path) -> None:
    for n in range(400):
        write_sound(tmp_path / f"{n}.wav", seed=n, seconds=2)
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
    assert "next: retrieval build-index" in plain.stderr


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def assert_one_line(result: Result, code: ExitCode, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("retrieval: error: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_bad_queries(small_corpus: SmallCorpus, sound: Path, picture: Path, tmp_path: Path) -> None:
    def query(*arguments: object) -> Result:
        return run("query", *arguments, *small_corpus.arguments)

    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    usage, media = ExitCode.USAGE, ExitCode.QUERY_MEDIA
    assert_one_line(query(), usage, "nothing to search with")
    assert_one_line(query("--image", picture, "--mode", "own-sound"), usage, "give that sound too")
    assert_one_line(query("--audio", sound, "--where", "label ="), usage, "where")
    assert_one_line(query("--audio", sound, "-k", 0), usage, "k starts at 1")
    assert_one_line(query("--audio", sound, "--json", "--paths"), usage, "give one")
    assert_one_line(query("--audio", "none.wav"), media, "none.wav", "missing")
    assert_one_line(query("--image", tmp_path / "page.jpg"), media, "page.jpg")
    one_kind = query("--audio", sound, "--to", "audio", "--heatmap", tmp_path / "why")
    assert_one_line(one_kind, usage, "has no heat map")


def test_bad_usage_is_code_2(sound: Path) -> None:
    assert run("query", "--nonsense").exit_code == ExitCode.USAGE
    assert run("query", "--audio", sound, "--to", "video").exit_code == ExitCode.USAGE
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
    small_corpus: SmallCorpus, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = run("query", "--audio", sound)
    assert_one_line(here, ExitCode.INDEX, str(tmp_path), "retrieval build-index")
    assert_one_line(run("info", tmp_path / "none"), ExitCode.INDEX, "no such folder")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "catalogue.sqlite").write_bytes(b"SQLite format 3\0" + b"\xa5" * 5000)
    assert_one_line(run("info", broken), ExitCode.INDEX, "broken")


def test_another_encoder(small_corpus: SmallCorpus, sound: Path, tmp_path: Path) -> None:
    from encoder.checkpoint import save_checkpoint
    from encoder.config import tiny
    from encoder.two_stream import TwoStreamEncoder

    other = tmp_path / "other"
    save_checkpoint(other, TwoStreamEncoder(tiny(), seed=3), name="other", facts={}, card="")
    code = ExitCode.ENCODER
    asked = run("query", small_corpus.folder, "--audio", sound, "--checkpoint", other)
    assert_one_line(asked, code, "tiny", "other", "--reembed")
    built = run("build-index", small_corpus.folder, "--checkpoint", other)
    assert_one_line(built, code, "--reembed")
    missing = run("query", small_corpus.folder, "--audio", sound, "--checkpoint", tmp_path / "none")
    assert_one_line(missing, code, "none", "no checkpoint here")


def test_output_that_cannot_be_written(
    small_corpus: SmallCorpus, sound: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    asked = ("query", "--audio", sound, *small_corpus.arguments)
    assert_one_line(run(*asked, "--heatmap", tmp_path / "file"), ExitCode.STORAGE, "file")


def test_debug_lets_the_traceback_through(tmp_path: Path) -> None:
    for arguments, environment in ((["--debug"], {}), ([], {"RETRIEVAL_DEBUG": "1"})):
        runner = CliRunner(env=CLEAN | environment)
        result = runner.invoke(app, [*arguments, "info", str(tmp_path / "none")])
        assert isinstance(result.exception, IndexMissing)


def test_every_error_of_the_trees_has_a_code() -> None:
    """A new error class must be placed in the table, or it ends as `unexpected`."""
    from encoder.errors import EncoderError
    from indexer.errors import IndexerError
    from retrieval.errors import RetrievalError

    leaves = [
        kind
        for tree in (EncoderError, IndexerError, RetrievalError)
        for kind in tree.__subclasses__()
    ]
    placed = tuple(kind for kind, _ in CODES)
    assert [kind.__name__ for kind in leaves if not issubclass(kind, placed)] == []
