"""Files that failed: listed with their ways out, and tried again when that is asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_one_line, run
from indexer_fixtures import build, vectors_of, write_pairs

from encoder.embedder import Embedder
from encoder.errors import MEDIA_CODES
from indexer.plan import OWN_CODES
from indexer.reader import IndexReader
from indexer.ways_out import UNKNOWN, WAYS_OUT, way_out
from retrieval.exit_codes import ExitCode


def spoil(path: Path) -> bytes:
    """Make a file unreadable for a while: its size and its time do not tell."""
    content, found = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    return content


def mend(path: Path, content: bytes) -> None:
    found = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_every_code_has_a_way_out() -> None:
    assert {*MEDIA_CODES, *OWN_CODES} <= set(WAYS_OUT)
    assert way_out("of a newer release") == UNKNOWN


def test_what_failed_is_tried_again_only_where_that_is_asked_for(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 4)
    (corpus / "lone.png").write_bytes((corpus / "p003.png").read_bytes())
    contents = {path: spoil(path) for path in (corpus / "p001.wav", corpus / "lone.png")}
    first = build(corpus, tiny_embedder)
    assert (first.n_items, first.n_failed) == (4, 2)
    for path, content in contents.items():
        mend(path, content)
    assert build(corpus, tiny_embedder).n_failed == 2
    retried = build(corpus, tiny_embedder, retry_failed=True)
    assert (retried.n_items, retried.n_new, retried.n_failed) == (5, 2, 0)
    assert retried.n_frames_embedded == 1  # the picture beside the sound is copied
    calm = write_pairs(tmp_path / "calm", 4)
    (calm / "lone.png").write_bytes((calm / "p003.png").read_bytes())
    expected = vectors_of(build(calm, tiny_embedder).index_dir)
    found = vectors_of(retried.index_dir)
    assert found.keys() == expected.keys()
    assert all(np.allclose(found[name], expected[name], atol=1e-4) for name in found)
    with IndexReader.open(retried.index_dir) as reader:
        rows = {row.image: row for row in reader.rows(reader.ids)}
        assert rows["p001.png"].audio == "p001.wav"
        assert len(rows) == reader.n_items


def test_what_fails_again_is_listed_once(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    spoil(corpus / "p001.wav")
    (corpus / "page.jpg").write_text("<html>")
    (corpus / "empty.wav").touch()
    for _ in range(2):
        report = build(corpus, tiny_embedder, retry_failed=True)
        assert (report.n_items, report.n_failed) == (2, 3)
        with IndexReader.open(report.index_dir) as reader:
            found = [(failure.path, failure.code) for failure in reader.failures()]
        assert [path for path, _ in found] == ["empty.wav", "p001.wav", "page.jpg"]


def test_what_the_scan_sees_failing_is_not_tried_again(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    (corpus / "m.csv").write_text("image,audio\np000.png,gone.wav\np001.png,p001.wav\n")
    first = build(corpus / "m.csv", tiny_embedder)
    again = build(corpus / "m.csv", tiny_embedder, retry_failed=True)
    assert (again.n_new, again.generation) == (0, first.generation)


def test_the_command(tmp_path: Path, tiny_checkpoint: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 2)
    (corpus / "page.jpg").write_text("<html>not found</html>")
    for name in ("a.wav", "b.wav"):
        (corpus / name).touch()
    built = run("build-index", corpus, "--checkpoint", tiny_checkpoint)
    assert "failures" in built.stderr
    listed = run("failures", corpus)
    assert listed.exit_code == 0
    lines = listed.stdout.splitlines()
    assert lines[0] == f"empty: 2 files; {way_out('empty')}"
    assert [line.split(":")[0] for line in lines[1:3]] == ["  a.wav", "  b.wav"]
    assert lines[3].startswith("unsupported: 1 file; ")
    assert "--retry-failed" in listed.stderr
    found = json.loads(run("failures", corpus, "--json", "--code", "empty").stdout)
    assert found["schema"] == "retrieval.failures/1"
    assert [(one["path"], one["way_out"]) for one in found["failures"]] == [
        ("a.wav", way_out("empty")),
        ("b.wav", way_out("empty")),
    ]
    assert_one_line(run("failures", corpus, "--code", "sad"), ExitCode.USAGE, "no such code")
    none = run("failures", corpus, "--code", "silent")
    assert (none.stdout, none.stderr) == ("", "no failures\n")
    retried = run("build-index", corpus, "--retry-failed", "--checkpoint", tiny_checkpoint)
    assert retried.exit_code == 0, retried.output


@pytest.mark.parametrize("code", sorted(WAYS_OUT))
def test_ways_out_are_one_short_line(code: str) -> None:
    assert 10 < len(way_out(code)) < 100
    assert "\n" not in way_out(code)
