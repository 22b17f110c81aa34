"""The grid of hits."""

from __future__ import annotations

import math
import mimetypes
import re
from pathlib import Path

import streamlit as st

from retrieval import Hit, Results
from retrieval.errors import KNOWN_ERRORS, one_line
from retrieval.rendering import printable

COLUMNS = 4


def show_results(results: Results, strength: float) -> None:
    """Draw an answer: what to know about it, then its hits, best first."""
    for note in results.notes:
        st.info(plain(note))
    if not results.hits:
        st.warning("No hits; loosen the filter.")
        return
    if not results[0].is_confident:
        st.warning("No confident match: random pairs often score as high.")
    took = results.took_ms
    total_ms = took.embed + took.search + took.condition
    st.caption(f"{len(results)} hits by {results.plan.ranking} in {total_ms:.0f} ms")
    for start in range(0, len(results), COLUMNS):
        row = st.columns(COLUMNS)
        for column, hit in zip(row, results.hits[start : start + COLUMNS], strict=False):
            with column:
                show_hit(hit, results, strength)


def show_hit(hit: Hit, results: Results, strength: float) -> None:
    """Draw one hit: its picture or map, what it is, its sound. A file that is gone is said so."""
    try:
        show_picture(hit, results, strength)
    except KNOWN_ERRORS as error:
        st.warning(plain(one_line(error)))
    st.markdown(f"**{hit.rank}\\. {plain(hit.label or 'no label')}**")
    above = "" if hit.percentile is None else f", above {hit.percentile:.1f} % of random pairs"
    st.caption(f"score {hit.score:.3f}{above}")
    st.text(printable(hit.path))
    if hit.audio_file is not None and hit.audio_file.is_file():
        show_sound(hit.audio_file, hit.t0, hit.t1)


def show_picture(hit: Hit, results: Results, strength: float) -> None:
    if results.plan.has_heatmap:
        st.image(hit.heatmap().overlay(strength=strength), width="stretch")
    elif results.plan.to == "image":
        st.image(hit.picture(), width="stretch")


def show_sound(path: Path, t0: float | None, t1: float | None) -> None:
    """Draw a player of the item's span; Streamlit's knows whole seconds, so both ends are in."""
    st.audio(
        str(path),
        format=mimetypes.guess_type(path.name)[0] or "audio/wav",
        start_time=math.floor(t0 or 0.0),
        end_time=None if t1 is None else math.ceil(t1),
    )


def plain(text: str) -> str:
    """Return text that Markdown shows as it stands: names and labels must not draw or link."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(printable(text).split()))
