"""The page, run by Streamlit itself over a real index."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SmallCorpus, write_picture, write_sound
from streamlit.testing.v1 import AppTest

from encoder.media.formats import _KIND_OF_SUFFIX
from ui.results import plain

APP = Path(__file__).parents[1] / "ui" / "app.py"
SOUND, PICTURE = 0, 1


@pytest.fixture
def page(small_corpus: SmallCorpus, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("RETRIEVAL_INDEX", str(small_corpus.index))
    monkeypatch.setenv("RETRIEVAL_CHECKPOINT", str(small_corpus.checkpoint))
    monkeypatch.setattr("sys.argv", ["app.py"])
    return AppTest.from_file(str(APP), default_timeout=120).run()


@pytest.fixture
def sound(tmp_path: Path) -> tuple[str, bytes, str]:
    write_sound(tmp_path / "küche.wav", seed=5)
    return "küche.wav", (tmp_path / "küche.wav").read_bytes(), "audio/wav"


@pytest.fixture
def picture(tmp_path: Path) -> tuple[str, bytes, str]:
    write_picture(tmp_path / "q.png", seed=6)
    return "q.png", (tmp_path / "q.png").read_bytes(), "image/png"


def shown(page: AppTest) -> list[str]:
    """Return the titles of the hits, in order."""
    assert not page.exception
    return [one.value for one in page.markdown if one.value.startswith("**")]


def test_it_waits_for_a_query(page: AppTest) -> None:
    assert not page.exception
    assert "Give a sound" in page.info[0].value


def test_a_sound_finds_pictures(page: AppTest, sound: tuple[str, bytes, str]) -> None:
    page.file_uploader[SOUND].set_value(sound)
    page.run()
    assert not page.error
    assert len(shown(page)) == 12
    assert shown(page)[0].startswith("**1\\. ")
    assert len(page.image) == 12
    assert any("audio-image in" in one.value for one in page.caption)


def test_the_strength_of_maps_searches_no_second_time(
    page: AppTest, sound: tuple[str, bytes, str]
) -> None:
    page.file_uploader[SOUND].set_value(sound)
    page.run()
    first = page.session_state["results"]
    page.slider(key="strength").set_value(0.2)
    page.run()
    assert page.session_state["results"] is first
    page.number_input(key="k").set_value(3)
    page.run()
    assert len(shown(page)) == 3


def test_both_halves_associate(
    page: AppTest, sound: tuple[str, bytes, str], picture: tuple[str, bytes, str]
) -> None:
    page.file_uploader[SOUND].set_value(sound)
    page.file_uploader[PICTURE].set_value(picture)
    page.run()
    page.radio(key="associate").set_value("keep the picture, find another sound")
    page.run()
    assert page.session_state["results"].plan.ranking == "associate-image"
    assert len(page.get("audio")) == 1 + len(shown(page))  # the query and every hit


def test_a_filter_narrows(page: AppTest, sound: tuple[str, bytes, str]) -> None:
    page.file_uploader[SOUND].set_value(sound)
    page.text_input(key="where").set_value("label = 'bell'")
    page.run()
    assert all("bell" in title for title in shown(page))


def test_errors_are_one_sentence(
    page: AppTest, sound: tuple[str, bytes, str], small_corpus: SmallCorpus
) -> None:
    page.file_uploader[SOUND].set_value(("broken.wav", b"<html>", "audio/wav"))
    page.run()
    assert not page.exception
    assert page.error[0].value.startswith(plain("broken.wav: ").strip())

    page.file_uploader[SOUND].set_value(sound)
    page.text_input(key="where").set_value("label =")
    page.run()
    assert "where" in page.error[0].value

    page.text_input(key="index").set_value(str(small_corpus.folder / "none"))
    page.run()
    assert plain("build-index") in page.error[0].value


def test_a_picture_finds_pictures_and_a_video_shows_its_moment(
    page: AppTest, picture: tuple[str, bytes, str]
) -> None:
    page.file_uploader[PICTURE].set_value(picture)
    page.radio(key="to").set_value("pictures")
    page.number_input(key="k").set_value(100)
    page.run()
    assert "clip.mp4" in [one.value for one in page.text]
    assert len(page.image) == len(shown(page)) == 15


def test_a_hit_whose_file_is_gone_leaves_the_others(
    page: AppTest, sound: tuple[str, bytes, str], small_corpus: SmallCorpus
) -> None:
    hidden = small_corpus.folder / "lone0.png"
    hidden.rename(hidden.with_suffix(".away"))
    try:
        page.file_uploader[SOUND].set_value(sound)
        page.number_input(key="k").set_value(100)
        page.run()
        assert len(shown(page)) == 15
        assert any(plain("lone0.png: missing") in one.value for one in page.warning)
    finally:
        hidden.with_suffix(".away").rename(hidden)


def test_a_player_plays_the_item_alone(
    page: AppTest, picture: tuple[str, bytes, str], small_corpus: SmallCorpus
) -> None:
    page.file_uploader[PICTURE].set_value(picture)
    page.text_input(key="where").set_value("path = 'clip.mp4'")
    page.run()
    player = page.get("audio")[0].proto
    assert (player.start_time, player.end_time) == (0, 3)  # AAC ends a little behind 2 s


def test_labels_are_text() -> None:
    assert plain("<b>*x*</b>\n# $y$") == r"\<b\>\*x\*\<\/b\>\\n\# \$y\$"
    assert plain("küche 音") == "küche 音"


def test_uploads_may_be_all_that_is_read() -> None:
    text = APP.read_text(encoding="utf-8")
    offered = {suffix for suffix in _KIND_OF_SUFFIX if f'"{suffix[1:]}"' in text}
    assert offered == set(_KIND_OF_SUFFIX)
