"""Query arithmetic: what is written, what it means, and the mean against single queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import PROJECT, assert_one_line, run
from conftest import SmallCorpus, sound_of, write_picture, write_sound, write_video

from encoder import media
from encoder.errors import MediaError
from retrieval import Results, Retriever
from retrieval.arithmetic import extras_of
from retrieval.errors import QueryError
from retrieval.exit_codes import ExitCode
from retrieval.question import Extra, Question

ROUNDED = 4e-6
"""Each single score is rounded to 6 places before it is averaged here."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds and two pictures to do arithmetic with."""
    folder = tmp_path_factory.mktemp("terms")
    for n, name in enumerate(("rain", "thunder")):
        write_sound(folder / f"{name}.wav", seed=300 + n)
    for n, name in enumerate(("beach", "forest")):
        write_picture(folder / f"{name}.png", seed=310 + n)
    return folder


# ── what is written ──────────────────────────────────────────────────────────────────────────────


def written(add: list[Any], subtract: list[Any] = ()) -> list[tuple[float, Any]]:
    return [(extra.weight, extra.media) for extra in extras_of(add, subtract)]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("a.wav", (1.0, "a.wav")),
        ("0.5:a.wav", (0.5, "a.wav")),
        ("-2:a.wav", (-2.0, "a.wav")),
        (".25:C:\\a.wav", (0.25, "C:\\a.wav")),
        ("C:\\a.wav", (1.0, "C:\\a.wav")),
        ("take one: rain.wav", (1.0, "take one: rain.wav")),
        (Path("0.5:a.wav"), (1.0, Path("0.5:a.wav"))),
        ((0.5, "3:a.wav"), (0.5, "3:a.wav")),
        ((np.float32(0.5), Path("a.wav")), (0.5, Path("a.wav"))),
    ],
)
def test_a_term_is_a_weight_and_a_medium(term: Any, expected: tuple[float, Any]) -> None:
    assert written([term]) == [expected]
    assert written([], [term]) == [(-expected[0], expected[1])]


def test_a_file_that_is_called_so_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2:a.wav").touch()
    assert written(["2:a.wav", "3:a.wav"]) == [(1.0, "2:a.wav"), (3.0, "a.wav")]


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (["nan:a.wav"], "finite"),
        (["inf:a.wav"], "finite"),
        (["1e400:a.wav"], "finite"),
        ([(float("nan"), "a.wav")], "finite"),
        (["1e308:a.wav", "1e308:b.wav"], "add up to infinity"),
        (["0.5:"], "no medium"),
        ([""], "no medium"),
        ([(1.0, None)], "no medium"),
        ([0.5], "no medium"),
        ([("a.wav", 0.5)], "give .weight, a path or an array"),
        ([(1.0, "a.wav", "b.wav")], "give .weight, a path or an array"),
        ("a.wav", "give a list"),
        (Path("a.wav"), "give a list"),
        (np.zeros(9, np.float32), "give a list"),
    ],
)
def test_terms_without_sense(add: Any, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        Question(audio="a.wav", extras=extras_of(add, []))


def test_own_sound_cannot_be_added_to() -> None:
    with pytest.raises(QueryError, match="leave the mode out"):
        Question(audio="a.wav", mode="own-sound", extras=(Extra(weight=1.0, media="b.wav"),))


# ── what it means ────────────────────────────────────────────────────────────────────────────────


def scores(results: Results) -> dict[str, float]:
    return {hit.path: hit.score for hit in results}


MAINS: dict[str, dict[str, Any]] = {
    "a sound to pictures": {"audio": "rain.wav", "to": "image"},
    "a sound to sounds": {"audio": "rain.wav", "to": "audio"},
    "a picture to sounds": {"image": "beach.png", "to": "audio"},
    "a picture to pictures": {"image": "beach.png", "to": "image"},
    "other sounds for a pair": {
        "image": "beach.png",
        "audio": "rain.wav",
        "associate": "image",
        "to": "audio",
    },
    "other pictures for a pair": {
        "image": "beach.png",
        "audio": "rain.wav",
        "associate": "audio",
        "to": "image",
    },
}


@pytest.mark.parametrize("name", MAINS)
def test_the_score_is_the_weighted_mean_of_single_questions(
    name: str, retriever: Retriever, files: Path
) -> None:
    main = {
        key: files / value if key in ("audio", "image") else value
        for key, value in MAINS[name].items()
    }
    to = main["to"]
    mixed = retriever.search(
        **main, add=[(0.5, files / "thunder.wav")], subtract=[(2, files / "forest.png")], k=100
    )
    alone = scores(retriever.search(**main, k=100))
    added = scores(retriever.search(audio=files / "thunder.wav", to=to, k=100))
    taken = scores(retriever.search(image=files / "forest.png", to=to, k=100))
    found = scores(mixed)
    assert found.keys() == alone.keys() == added.keys() == taken.keys()
    for path, score in found.items():
        mean = (alone[path] + 0.5 * added[path] - 2 * taken[path]) / 3.5
        assert score == pytest.approx(mean, abs=ROUNDED)
    assert [(-hit.score, hit.id) for hit in mixed] == sorted((-h.score, h.id) for h in mixed)
    assert [part.ranking for part in mixed.plan.extras] == [f"audio-{to}", f"image-{to}"]
    assert mixed.plan.ranking == retriever.search(**main).plan.ranking
    assert mixed.exact


def test_a_weight_of_nothing_changes_nothing(retriever: Retriever, files: Path) -> None:
    alone = retriever.search(audio=files / "rain.wav", k=100)
    mixed = retriever.search(audio=files / "rain.wav", add=[(0, files / "beach.png")], k=100)
    assert scores(mixed) == pytest.approx(scores(alone), abs=ROUNDED)


def test_the_query_taken_from_itself_leaves_nothing(retriever: Retriever, files: Path) -> None:
    nothing = retriever.search(audio=files / "rain.wav", subtract=[files / "rain.wav"], k=100)
    assert {hit.score for hit in nothing} == {0.0}
    assert [hit.id for hit in nothing] == sorted(hit.id for hit in nothing)


def test_paging_filters_and_floors_hold(retriever: Retriever, files: Path) -> None:
    asked = {"audio": files / "rain.wav", "add": [files / "beach.png"]}
    everything = retriever.search(**asked, k=100)
    page = retriever.search(**asked, k=3, offset=2)
    assert [hit.path for hit in page] == [hit.path for hit in everything][2:5]
    assert page[0].rank == 3
    bells = retriever.search(**asked, k=100, where="label = 'bell'")
    assert {hit.label for hit in bells} == {"bell"}
    floor = everything[4].score
    assert all(hit.score >= floor for hit in retriever.search(**asked, min_score=floor))


def test_no_share_of_random_pairs_is_claimed(retriever: Retriever, files: Path) -> None:
    mixed = retriever.search(audio=files / "rain.wav", add=["0.5:" + str(files / "beach.png")])
    assert all(hit.percentile is None and hit.is_confident for hit in mixed)
    assert mixed.notes == (
        "scores are means of 2 cosines by weight: +1 audio-image +0.5 image-image; "
        "they have no percentile",
    )


# ── what a medium counts as ──────────────────────────────────────────────────────────────────────


def test_a_video_with_a_sound_is_its_whole_sound(
    retriever: Retriever, files: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "v.mp4", seed=7, seconds=3)
    sound = media.read_sound(tmp_path / "v.mp4")
    by_file = retriever.search(audio=files / "rain.wav", add=[tmp_path / "v.mp4"])
    by_array = retriever.search(audio=files / "rain.wav", add=[sound])
    assert scores(by_file) == scores(by_array)
    assert len(by_file.notes) == 1


@pytest.mark.parametrize("sound", ["missing", "silent"])
def test_a_video_that_says_nothing_is_its_middle_frame(
    retriever: Retriever, files: Path, tmp_path: Path, sound: str
) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, seed=7, with_sound=sound == "silent", loudness=0.0)
    by_file = retriever.search(audio=files / "rain.wav", subtract=[path])
    by_array = retriever.search(audio=files / "rain.wav", subtract=[media.read_frame(path, 1.0)])
    assert scores(by_file) == scores(by_array)
    assert "counted by its middle frame" in by_file.notes[0]


def test_files_and_arrays_that_cannot_be_used(
    retriever: Retriever, files: Path, tmp_path: Path
) -> None:
    def ask(term: Any) -> None:
        retriever.search(audio=files / "rain.wav", add=[term])

    write_sound(tmp_path / "silent.wav", seed=1)
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    for path, code in ((tmp_path / "none.wav", "missing"), (tmp_path / "page.jpg", "unsupported")):
        with pytest.raises(MediaError) as failure:
            ask(path)
        assert failure.value.code == code
    with pytest.raises(QueryError, match="give uint8"):
        ask(np.zeros((8, 8), np.uint8))
    with pytest.raises(QueryError, match="give float32"):
        ask(np.zeros(8, np.int16))


# ── heat maps ────────────────────────────────────────────────────────────────────────────────────


def test_heat_maps_show_the_main_query(retriever: Retriever, files: Path) -> None:
    mixed = retriever.search(audio=files / "rain.wav", subtract=[files / "thunder.wav"], k=100)
    alone = {hit.id: hit for hit in retriever.search(audio=files / "rain.wav", k=100)}
    assert mixed.plan.has_heatmap
    for hit in mixed:
        expected = alone[hit.id].heatmap().attention
        np.testing.assert_allclose(hit.heatmap().attention, expected, atol=1e-6)


def test_without_a_look_of_its_own_they_show_the_first_term_that_has_one(
    retriever: Retriever, files: Path
) -> None:
    terms = [files / "forest.png", files / "thunder.wav", files / "rain.wav"]
    mixed = retriever.search(image=files / "beach.png", to="image", add=terms, k=100)
    alone = retriever.search(audio=files / "thunder.wav", k=100)
    maps = {hit.path: hit.heatmap().attention for hit in alone}
    assert mixed.plan.has_heatmap
    for hit in mixed:
        np.testing.assert_allclose(hit.heatmap().attention, maps[hit.path], atol=1e-6)


def test_one_kind_alone_has_none(retriever: Retriever, files: Path) -> None:
    mixed = retriever.search(image=files / "beach.png", to="image", add=[files / "forest.png"], k=1)
    assert not mixed.plan.has_heatmap
    with pytest.raises(QueryError, match="picture found by a picture"):
        mixed[0].heatmap()


# ── the command line ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def asked(small_corpus: SmallCorpus, files: Path) -> Iterator[tuple[object, ...]]:
    return "query", "--audio", files / "rain.wav", *small_corpus.arguments


def test_options_reach_the_answer_and_json_shows_them(
    asked: tuple[object, ...], retriever: Retriever, files: Path
) -> None:
    thunder, beach = files / "thunder.wav", files / "beach.png"
    result = run(
        *asked, "--add", f"0.5:{thunder}", "-a", beach, "-s", f"2:{beach}", "--json", "-k", 100
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["query"]["ranking"] == "audio-image"
    assert found["query"]["extras"] == [
        {"weight": 0.5, "media": str(thunder), "ranking": "audio-image"},
        {"weight": 1.0, "media": str(beach), "ranking": "image-image"},
        {"weight": -2.0, "media": str(beach), "ranking": "image-image"},
    ]
    documented = (PROJECT / "docs" / "query-schema.md").read_text(encoding="utf-8")
    for field in found["query"]["extras"][0]:
        assert f"| `query.extras[].{field}` |" in documented
    assert {hit["percentile"] for hit in found["hits"]} == {None}
    expected = retriever.search(
        audio=files / "rain.wav", add=[(0.5, thunder), beach], subtract=[(2, beach)], k=100
    )
    assert [hit["path"] for hit in found["hits"]] == [hit.path for hit in expected]
    assert "means of 4 cosines" in result.stderr
    table = run(*asked, "--subtract", thunder)
    assert table.exit_code == 0, table.output
    assert "%" not in table.stdout
    assert "no confident match" not in table.stderr


def test_an_array_is_shown_without_its_numbers() -> None:
    question = Question(audio="a.wav", extras=extras_of([sound_of(1)], []))
    assert question.to_json()["extras"] == [{"weight": 1.0, "media": "<array>"}]


def test_bad_terms_are_one_line(asked: tuple[object, ...], files: Path) -> None:
    usage, thunder = ExitCode.USAGE, files / "thunder.wav"
    assert_one_line(run(*asked, "--add", f"nan:{thunder}"), usage, "thunder.wav", "finite")
    assert_one_line(run(*asked, "--add", "0.5:"), usage, "no medium")
    assert_one_line(run(*asked, "--add", "no:file.wav"), ExitCode.QUERY_MEDIA, "no:file.wav")
    own = run(*asked, "--add", thunder, "--mode", "own-sound")
    assert_one_line(own, usage, "leave the mode out")
