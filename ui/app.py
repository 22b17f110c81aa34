"""The search page: `streamlit run ui/app.py`, or `… -- --index DIR`.

Asks `Retriever.answer` and shows what it returns. An engine is opened once per index and
generation.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import streamlit as st

from encoder.errors import MediaError
from retrieval import Results, Retriever
from retrieval.errors import KNOWN_ERRORS, one_line
from retrieval.locate import find_index
from retrieval.question import Question
from retrieval.retriever import generation_of
from ui.results import plain, show_results

PICTURES = ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]
SOUNDS = [
    *("wav", "wave", "flac", "ogg", "oga", "opus", "mp3", "m4a", "m4b", "aac", "aif", "aiff"),
    *("aifc", "au", "caf", "rf64", "w64", "wma", "mka", "weba"),
]
VIDEOS = [
    *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "mts", "m2ts", "flv", "wmv"),
    *("ogv", "3gp"),
]
"""What the file dialogs offer: all suffixes that `encoder.media.kind_of` knows."""
DIRECTIONS = {"what fits best": None, "pictures": "image", "sounds": "audio"}
ASSOCIATE = {
    "no": None,
    "keep the picture, find another sound": "image",
    "keep the sound, find another picture": "audio",
}
MODES = {"leak-free": "leak-free", "own sound (S19)": "own-sound"}


def page() -> None:
    """Draw the page once, top to bottom, as Streamlit wants it."""
    st.set_page_config(page_title="Audio-visual search", layout="wide")
    st.title("Audio-visual search")
    index = st.sidebar.text_input("Index or corpus", value=default_index(), key="index")
    sound = st.file_uploader("A sound", type=SOUNDS + VIDEOS)
    picture = st.file_uploader("A picture", type=PICTURES)
    options = search_options()
    strength = st.sidebar.slider("Heat map strength", 0.0, 1.0, 0.6, key="strength")
    if sound is not None:
        st.audio(sound)
    if sound is None and picture is None:
        st.info("Give a sound, a picture, or both.")
        return
    try:
        show_results(answered(index, sound, picture, options), strength)
    except MediaError as error:  # its path is a temporary copy, which says nothing to a person
        st.error(plain(f"{Path(error.path).name}: {error.code}: {error.reason}"))
    except KNOWN_ERRORS as error:
        st.error(plain(one_line(error)))


def default_index() -> str:
    """Return what the command line, then the environment, then the current folder names."""
    parser = argparse.ArgumentParser(prog="streamlit run ui/app.py --")
    parser.add_argument("--index", default=os.environ.get("RETRIEVAL_INDEX", "."))
    return str(parser.parse_known_args(sys.argv[1:])[0].index)


def search_options() -> dict[str, Any]:
    """Draw the controls; return what they say in the words of `Question`."""
    bar = st.sidebar
    return {
        "to": DIRECTIONS[bar.radio("Find", list(DIRECTIONS), key="to")],
        "associate": ASSOCIATE[bar.radio("Associate", list(ASSOCIATE), key="associate")],
        "mode": MODES[bar.radio("Ranking", list(MODES), key="mode")],
        "k": int(bar.number_input("Hits", 1, 200, 12, key="k")),
        "where": bar.text_input("Filter", placeholder="label = 'dog'", key="where") or None,
    }


@st.cache_resource(max_entries=2, show_spinner="Opening the index")
def engine(index: str, generation: int) -> Retriever:
    """Open an index once; a new generation is a new engine."""
    return Retriever.open(index, checkpoint=os.environ.get("RETRIEVAL_CHECKPOINT"))


def answered(index: str, sound: Any, picture: Any, options: dict[str, Any]) -> Results:
    """Search, or return the last answer where only the drawing changed."""
    folder = find_index(Path(index))
    generation = generation_of(folder)
    asked = (str(folder), generation, digest(sound), digest(picture), tuple(options.values()))
    if st.session_state.get("asked") != asked:
        with tempfile.TemporaryDirectory() as uploads:
            question = Question(
                audio=saved(sound, uploads, "audio"),
                image=saved(picture, uploads, "image"),
                **options,
            )
            st.session_state["results"] = engine(str(folder), generation).answer(question)
        st.session_state["asked"] = asked
    results: Results = st.session_state["results"]
    return results


def digest(upload: Any) -> str:
    return "" if upload is None else hashlib.sha256(upload.getbuffer()).hexdigest()


def saved(upload: Any, folder: str, kind: str) -> Path | None:
    """Write an upload where a decoder can open it, under the last part of its name."""
    if upload is None:
        return None
    path = Path(folder, kind, Path(upload.name).name)
    path.parent.mkdir()
    path.write_bytes(upload.getbuffer())
    return path


page()
