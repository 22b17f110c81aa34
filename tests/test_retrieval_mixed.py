"""Galleries of pairs, lone pictures and lone sounds: one list, one formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import run
from conftest import SmallCorpus, sound_of, write_manifest, write_picture, write_sound, write_video
from numpy.typing import NDArray

from encoder import media
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.reader import IndexReader
from retrieval import Results, Retriever

HALF_PRECISION = 2e-3


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder):
    """One picture as a pair, alone and in a mute video; one sound as a pair and alone.

    Copies under other names, so that items differ in what they come with and in nothing else.
    """
    folder = tmp_path_factory.mktemp("mixed")
    write_picture(folder / "pair.png", seed=1)
    (folder / "alone.png").write_bytes((folder / "pair.png").read_bytes())
    write_sound(folder / "pair.wav", seed=2)
    (folder / "alone.wav").write_bytes((folder / "pair.wav").read_bytes())
    for n in range(3):
        write_picture(folder / f"other{n}.png", seed=10 + n)
        write_sound(folder / f"other{n}.wav", seed=20 + n)
    write_video(folder / "heard.mp4", seed=3)
    write_video(folder / "mute.mp4", seed=4, with_sound=False)
    blank = {"image": "", "audio": "", "video": "", "label": "", "split": ""}
    rows = [
        {"image": "pair.png", "audio": "pair.wav", "label": "both"},
        {"image": "alone.png", "label": "picture"},
        {"audio": "alone.wav", "label": "sound"},
        *({"image": f"other{n}.png", "audio": f"other{n}.wav"} for n in range(2)),
        {"image": "other2.png"},
        {"audio": "other2.wav"},
        {"video": "heard.mp4"},
        {"video": "mute.mp4"},
    ]
    write_manifest(folder / "m.csv", [blank | row for row in rows])
    index = build_index(folder, embedder=tiny_embedder, manifest=folder / "m.csv").index_dir
    with IndexReader.open(index) as reader:
        yield Retriever(reader, tiny_embedder)


PICTURES = {
    *("pair.png", "alone.png", "other0.png", "other1.png", "other2.png"),
    *("heard.mp4", "mute.mp4"),
}
SOUNDS = {"pair.wav", "alone.wav", "other0.wav", "other1.wav", "other2.wav", "heard.mp4"}


def scores(results: Results) -> dict[str, float]:
    assert len({hit.path for hit in results}) == len(results)
    order = [(-hit.score, hit.id) for hit in results]
    assert order == sorted(order)
    return {hit.path: hit.score for hit in results}


def frame_of(folder: Path, name: str) -> NDArray[np.uint8]:
    return media.read_frame(folder / name, 1.0 if name.endswith(".mp4") else 0.0)


def test_pictures_of_every_kind_stand_in_one_list(twin: Retriever, tiny_embedder: Embedder) -> None:
    sound = sound_of(50)
    heard = tiny_embedder.embed_sounds([tiny_embedder.prepare_sound(sound)])
    found = scores(twin.search(audio=sound, k=100))
    assert found.keys() == PICTURES
    for name, score in found.items():
        prepared = tiny_embedder.prepare_frame(frame_of(twin.reader.corpus, name))
        maps = tiny_embedder.embed_frames([prepared]).maps
        expected = float(heard.f_s[0] @ tiny_embedder.condition(maps, heard.h).f_v[0])
        assert score == pytest.approx(expected, abs=HALF_PRECISION)
    assert found["pair.png"] == found["alone.png"]


def test_sounds_of_every_kind_stand_in_one_list(twin: Retriever, tiny_embedder: Embedder) -> None:
    asked = frame_of(twin.reader.corpus, "other1.png")
    maps = tiny_embedder.embed_frames([tiny_embedder.prepare_frame(asked)]).maps
    found = scores(twin.search(image=asked, k=100))
    assert found.keys() == SOUNDS
    for name, score in found.items():
        read = media.read_sound(twin.reader.corpus / name)
        heard = tiny_embedder.embed_sounds([tiny_embedder.prepare_sound(read)])
        expected = float(heard.f_s[0] @ tiny_embedder.condition(maps, heard.h).f_v[0])
        assert score == pytest.approx(expected, abs=HALF_PRECISION)
    assert found["pair.wav"] == found["alone.wav"]


@pytest.mark.parametrize("associate", ["image", "audio"])
def test_associations_reach_items_of_one_side(associate: str, twin: Retriever) -> None:
    asked = frame_of(twin.reader.corpus, "other1.png")
    found = scores(twin.search(image=asked, audio=sound_of(50), associate=associate, k=100))
    same = ("pair.wav", "alone.wav") if associate == "image" else ("pair.png", "alone.png")
    assert found.keys() == (SOUNDS if associate == "image" else PICTURES)
    assert found[same[0]] == found[same[1]]


def test_every_hit_shows_its_look(twin: Retriever) -> None:
    for hit in (*twin.search(audio=sound_of(50), k=100), *twin.search(image=_grey(), k=100)):
        assert hit.heatmap().attention.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("given", ["sound", "both"])
def test_own_sounds_are_of_pairs_and_the_rest_is_counted(given: str, twin: Retriever) -> None:
    asked = {"audio": sound_of(50)} | ({"image": _grey()} if given == "both" else {})
    results = twin.search(**asked, to="image", mode="own-sound", k=100)
    assert scores(results).keys() == {"pair.png", "other0.png", "other1.png", "heard.mp4"}
    assert results.notes == (
        "own-sound: 3 pictures without a sound left out; mode leak-free ranks all",
    )


def test_only_what_the_filter_lets_through_is_counted(twin: Retriever) -> None:
    asked = {"audio": sound_of(50), "mode": "own-sound"}
    assert "own-sound: 1 picture " in twin.search(**asked, where="label = 'picture'").notes[0]
    assert twin.search(**asked, where="label = 'both'").notes == ()
    assert twin.search(**asked, where="label = 'sound'").notes == ()


def test_sounds_miss_nothing_by_own_sounds(twin: Retriever) -> None:
    results = twin.search(image=_grey(), audio=sound_of(50), mode="own-sound", k=100)
    assert scores(results).keys() == SOUNDS
    assert results.notes == ()


def test_the_command_says_it(small_corpus: SmallCorpus, asked_sound: Path) -> None:
    result = run(*("query", "--audio", asked_sound, "--mode", "own-sound", *small_corpus.arguments))
    assert result.exit_code == 0, result.output
    assert "note: own-sound: 2 pictures without a sound left out" in result.stderr


def _grey() -> NDArray[np.uint8]:
    return np.full((48, 64, 3), 90, np.uint8)
