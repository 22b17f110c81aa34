"""The grid of hits."""

from __future__ import annotations

import streamlit as st

from encoder.errors import MediaError
from retrieval import Hit, Results

COLUMNS = 4


def show_results(results: Results, strength: float) -> None:
    """Draw an answer: what to know about it, then its hits, best first."""
    if results.plan.note:
        st.info(results.plan.note)
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
    """Draw one hit: its picture or map, what it is, its sound."""
    try:
        if results.plan.has_heatmap:
            st.image(hit.heatmap().overlay(strength=strength), width="stretch")
        elif results.plan.to == "image":
            st.image(str(hit.file), width="stretch")
    except MediaError as error:
        st.warning(str(error))
    st.markdown(f"**{hit.rank}. {hit.label or 'no label'}**")
    above = "" if hit.percentile is None else f", above {hit.percentile:.1f} % of random pairs"
    st.caption(f"score {hit.score:.3f}{above}")
    st.text(hit.path)
    if hit.audio_file is not None and hit.audio_file.is_file():
        st.audio(str(hit.audio_file), start_time=int(hit.t0 or 0))
