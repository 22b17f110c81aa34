"""`retrieval query`: its forms of output, the files that it leaves, what it remarks."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import PROJECT, run, run_process
from conftest import SmallCorpus, write_picture, write_video
from PIL import Image

from encoder.embedder import Embedder
from indexer.build import build_index
from retrieval.exit_codes import ExitCode
from retrieval.schema import SCHEMA


def test_query_inside_a_corpus_finds_its_index(
    small_corpus: SmallCorpus, asked_sound: Path
) -> None:
    inside = small_corpus.folder / "deeper"
    inside.mkdir(exist_ok=True)
    ended = run_process(
        "query",
        "--audio",
        asked_sound,
        cwd=inside,
        RETRIEVAL_CHECKPOINT=str(small_corpus.checkpoint),
        LC_ALL="C.UTF-8",
    )
    assert ended.returncode == 0, ended.stderr
    head, *lines = ended.stdout.splitlines()
    assert head.split()[:2] == ["rank", "score"]
    assert len(lines) == 10
    assert "\x1b" not in ended.stdout


def test_json_has_exactly_the_documented_fields(
    small_corpus: SmallCorpus, asked_sound: Path
) -> None:
    result = run(
        "query", small_corpus.folder, "--audio", asked_sound, "--json", *small_corpus.arguments
    )
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
        "audio": str(asked_sound),
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
        "exact": False,
        "extras": [],
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


def test_documentation_names_every_field(small_corpus: SmallCorpus, asked_sound: Path) -> None:
    text = (PROJECT / "docs" / "query-schema.md").read_text(encoding="utf-8")
    result = run(
        "query", small_corpus.folder, "--audio", asked_sound, "--json", *small_corpus.arguments
    )
    found = json.loads(result.stdout)
    groups = {"index": found["index"], "query": found["query"], "took_ms": found["took_ms"]}
    groups["hits[]"] = found["hits"][0]
    names = [name for name in found if name not in (*groups, "hits")]
    names += [f"{group}.{name}" for group, fields in groups.items() for name in fields]
    cells = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")}
    assert [name for name in names if f"`{name}`" not in cells] == []
    assert all(f"| {int(code)} |" in text for code in ExitCode)


def test_jsonl_is_one_hit_a_line(small_corpus: SmallCorpus, asked_picture: Path) -> None:
    result = run("query", "--image", asked_picture, "-k", 3, "--jsonl", *small_corpus.arguments)
    hits = [json.loads(line) for line in result.stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert all(hit["path"] == hit["audio"] for hit in hits)


def test_paths_open_from_anywhere(small_corpus: SmallCorpus, asked_sound: Path) -> None:
    asked = ("query", "--audio", asked_sound, "--top-k", 3, "--paths", *small_corpus.arguments)
    lines = run(*asked).stdout.splitlines()
    assert len(lines) == 3
    assert all(Path(line).is_absolute() and Path(line).is_file() for line in lines)
    assert run(*asked, "-0").stdout.split("\0") == [*lines, ""]


def test_heat_maps_are_written_per_hit(
    small_corpus: SmallCorpus, asked_sound: Path, tmp_path: Path
) -> None:
    result = run(
        "query",
        "--audio",
        asked_sound,
        "-k",
        3,
        "--heatmap",
        tmp_path / "why",
        *small_corpus.arguments,
    )
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "why").iterdir())
    assert [path.name[:3] for path in written] == ["01-", "02-", "03-"]
    for path in written:
        with Image.open(path) as overlay:
            assert overlay.size == (64, 48)
    assert "3 heat maps" in result.stderr
    assert "other PNG files" not in result.stderr
    again = run(
        "query",
        "--audio",
        asked_sound,
        "-k",
        2,
        "--heatmap",
        tmp_path / "why",
        *small_corpus.arguments,
    )
    assert "1 other PNG files stand there" in again.stderr


def test_copies_are_ranked_and_replace_nothing(
    small_corpus: SmallCorpus, asked_sound: Path, tmp_path: Path
) -> None:
    asked = ("query", "--audio", asked_sound, "-k", 2, "--copy-to", tmp_path / "found")
    assert run(*asked, *small_corpus.arguments).exit_code == 0
    copied = sorted((tmp_path / "found").iterdir())
    assert [path.name[:3] for path in copied] == ["01-", "02-"]
    original = (small_corpus.folder / copied[0].name[3:]).read_bytes()
    assert copied[0].read_bytes() == original
    again = run(*asked, *small_corpus.arguments)
    assert again.exit_code == ExitCode.STORAGE
    assert "is there already" in again.stderr
    assert len(again.stdout.splitlines()) == 3  # the answer itself came first


def test_a_vanished_file_is_a_warning(
    tiny_embedder: Embedder, tiny_checkpoint: Path, asked_sound: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for n in range(3):
        write_picture(corpus / f"{n}.png", seed=n)
    build_index(corpus, embedder=tiny_embedder)
    (corpus / "1.png").unlink()
    result = run(
        *("query", corpus, "--audio", asked_sound, "--checkpoint", tiny_checkpoint),
        *("--heatmap", tmp_path / "why", "--copy-to", tmp_path / "found"),
    )
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr.count("retrieval: warning: ") == 2
    assert "2 heat maps" in result.stderr
    assert "2 files" in result.stderr
    assert len(list((tmp_path / "found").iterdir())) == 2


def test_a_mute_video_is_searched_by_its_frame(small_corpus: SmallCorpus, tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", seed=3, with_sound=False)
    result = run("query", "--video", tmp_path / "mute.mp4", *small_corpus.arguments)
    assert result.exit_code == 0, result.output
    assert "searched by its frame alone" in result.stderr


def test_a_weak_answer_is_called_weak(small_corpus: SmallCorpus, asked_sound: Path) -> None:
    asked = ("query", "--audio", asked_sound, *small_corpus.arguments)
    everything = json.loads(run(*asked, "-k", 100, "--json").stdout)["hits"]
    weakest = everything[-1]
    assert weakest["percentile"] < 90
    result = run(*asked, "--where", f"path = '{weakest['path']}'")
    assert "no confident match" in result.stderr
    assert "no confident match" not in result.stdout
    assert "no hits" in run(*asked, "--min-score", 1.0).stderr


def test_pictures_and_sounds_of_one_pair(
    small_corpus: SmallCorpus, asked_sound: Path, asked_picture: Path
) -> None:
    asked = (
        "query",
        "--image",
        asked_picture,
        "--audio",
        asked_sound,
        "--json",
        *small_corpus.arguments,
    )
    kept = json.loads(run(*asked, "--associate", "image").stdout)
    assert kept["query"]["ranking"] == "associate-image"
    both = run(*asked)
    assert json.loads(both.stdout)["query"]["ranking"] == "image-audio"
    assert "its sound is left out" in both.stderr
