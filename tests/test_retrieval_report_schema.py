"""report.json, and its documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields as of
from pathlib import Path
from typing import Any

import pytest
from retrieval_report_fixtures import EVIL, full_report

from encoder.intervals import FEW, Figure
from indexer.evaluation import LocalizationFigures, RetrievalFigures
from retrieval.evaluation import Evaluation
from retrieval.report import SCHEMA, render_json

DOCS = (Path(__file__).parents[1] / "docs" / "evaluation-schema.md").read_text(encoding="utf-8")
DOCUMENTED = set(re.findall(r"^\| `([^`]+)` \|", DOCS, re.M))
HALF = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 40, "n_undefined": 0}


def written(word: str = "bell") -> dict[str, Any]:
    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    found = json.loads(render_json(full_report(word)), parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of all leaves, a list as `[]`; a figure counts as one value."""
    if isinstance(value, dict) and "n_undefined" not in value:
        for name, inner in value.items():
            yield from fields(inner, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")
    else:
        yield path


def test_every_field_is_documented_and_every_documented_field_is_there() -> None:
    documented = {path for path in DOCUMENTED if not path.startswith("figures.")}
    there = {path for path in fields(written()) if not path.startswith("figures.")} | {"figures"}
    there |= {f"key_figures[].figure.{name}" for name in HALF}
    assert there == documented


def test_the_figures_are_documented_by_their_names() -> None:
    parts = {"retrieval": RetrievalFigures, "localization": LocalizationFigures}
    there = {f"figures.{part}.{one.name}" for part, kind in parts.items() for one in of(kind)}
    there |= {f"figures.{one.name}" for one in of(Evaluation) if one.name in parts}
    assert there == {path for path in DOCUMENTED if path.startswith("figures.")}
    assert f"over {FEW} values or fewer" in DOCS


def test_the_example_has_the_fields_of_a_report() -> None:
    example = re.search(r"```json\n(.*?)```", DOCS, re.DOTALL)
    assert example
    shown = json.loads(example.group(1))
    assert shown["schema"] == SCHEMA
    assert set(fields(shown)) - {"figures"} == {
        path for path in fields(written()) if not path.startswith("figures.")
    }


def test_values_keep_their_kinds() -> None:
    found = written()
    assert found["schema"] == SCHEMA == "retrieval.evaluation/1"
    assert found["key_figures"][0]["figure"] == HALF
    assert found["key_figures"][1]["figure"] == HALF | {
        "mean": None,
        "low": None,
        "high": None,
        "n": 0,
    }
    section = found["sections"][0]
    assert section["tables"][0]["rows"] == [["bell", 12, HALF], ["others", True, 0.25]]
    assert section["charts"][0]["series"][0]["x"] == [10, 15, 20]
    assert section["charts"][0]["series"][0]["y"][:2] == [HALF, None]
    assert section["charts"][1]["series"][1]["values"] == [-0.25, None]
    assert [one["right"] for one in section["galleries"][0]["rows"][0]["found"]] == [True, False]
    assert found["warnings"] == [
        {"section": None, "text": "bell"},
        {"section": "bell: retrieval", "text": "bell: leaks"},
    ]


def test_figures_for_programs_are_written_as_they_are_and_nan_as_null() -> None:
    assert written()["figures"] == {"leak_free": {"bell": [HALF, None, None, "yes", 3]}}


def test_a_hostile_name_is_kept_and_half_surrogates_are_spelled_out() -> None:
    text = render_json(full_report(EVIL))
    assert text.isascii()
    assert json.loads(text)["facts"][0]["value"] == EVIL.replace("\udce9", "\\udce9")


def test_infinity_is_null() -> None:
    from retrieval.report.schema import figure_json

    assert figure_json(Figure(0.5, float("-inf"), float("inf"), 1))["low"] is None
