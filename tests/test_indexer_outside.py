"""No manifest and no link makes a scan or a build open a file outside of the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import write_picture, write_sound
from indexer_fixtures import build

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.reader import IndexReader
from indexer.scan import scan

OUTSIDE = {
    "the folder above": "../secret.wav",
    "through a folder inside": "in/../../secret.wav",
    "an absolute path": "{outside}/secret.wav",
    "a link to a file": "link.wav",
    "a link to a folder": "linked/secret.wav",
    "a link to a link": "twice.wav",
    "above a link": "linked/../secret.wav",
}
NO_FILE = {
    "an address": "https://example.org/secret.wav",
    "a file's address": "file://{outside}/secret.wav",
    "a Windows path": "..\\secret.wav",
    "a home": "~/secret.wav",
    "a variable": "$HOME/secret.wav",
    "a command": "|cat secret.wav",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A picture inside, a sound outside, and links from here to there."""
    outside, corpus = tmp_path / "outside", tmp_path / "outside" / "corpus"
    (corpus / "in").mkdir(parents=True)
    write_picture(corpus / "good.png", seed=1)
    write_sound(outside / "secret.wav", seed=2)
    (corpus / "link.wav").symlink_to(outside / "secret.wav")
    (corpus / "twice.wav").symlink_to("link.wav")
    (corpus / "linked").symlink_to(outside, target_is_directory=True)
    return corpus


def manifest_of(corpus: Path, *sounds: str) -> Path:
    path = corpus / "m.jsonl"
    rows = [{"image": "good.png"}, *({"audio": sound} for sound in sounds)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *(pytest.param(name, "outside-corpus", id=what) for what, name in OUTSIDE.items()),
        *(pytest.param(name, "missing", id=what) for what, name in NO_FILE.items()),
    ],
)
def test_a_manifest_names_nothing_outside(corpus: Path, name: str, code: str) -> None:
    found = scan(manifest_of(corpus, name.format(outside=corpus.parent)))
    assert [failure.code for failure in found.failures] == [code]
    assert [part.source.path for item in found.items for part in item.parts] == ["good.png"]


def test_a_folder_is_not_left_through_its_links(corpus: Path) -> None:
    found = scan(corpus)
    assert [part.source.path for item in found.items for part in item.parts] == ["good.png"]
    assert found.ignored["link out of the corpus"] == 3


def test_a_build_takes_none_of_them(corpus: Path, tiny_embedder: Embedder) -> None:
    names = [name.format(outside=corpus.parent) for name in OUTSIDE.values()]
    report = build_index(manifest_of(corpus, *names), embedder=tiny_embedder)
    assert (report.n_items, report.failures_by_code) == (1, {"outside-corpus": len(OUTSIDE)})
    with IndexReader.open(report.index_dir) as reader:
        assert [(row.image, row.audio) for row in reader.rows(reader.ids)] == [("good.png", None)]


def test_a_link_that_is_turned_outwards_is_no_longer_taken(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    corpus, outside = tmp_path / "corpus", tmp_path / "secret.png"
    corpus.mkdir()
    write_picture(corpus / "a.png", seed=1)
    write_picture(corpus / "b.png", seed=2)
    write_picture(outside, seed=3)
    (corpus / "link.png").symlink_to("a.png")
    assert build(corpus, tiny_embedder).n_items == 3
    (corpus / "link.png").unlink()
    (corpus / "link.png").symlink_to(outside)
    left = {part.source.path for item in scan(corpus).items for part in item.parts}
    assert left == {"a.png", "b.png"}
