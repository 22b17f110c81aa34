"""The examples of docstrings: what they print is what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SKETCHES = {
    "encoder.sandbox.sandbox",
    "indexer.catalogue",
    "indexer.reader",
    "indexer.vectors.filters",
    "retrieval",
    "retrieval.report",
    "retrieval.retriever",
}
"""Their examples need a collection on disk: they show the way and are not run."""


def with_examples() -> list[str]:
    """Name the modules of the packages that hold examples, sketches left out."""
    names = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("encoder", "indexer", "retrieval", "train")
        for path in (PROJECT / package).rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    }
    assert names >= SKETCHES
    return sorted(names - SKETCHES)


@pytest.mark.parametrize("name", with_examples())
def test_examples_print_what_they_say(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
