"""Variants of the default recipe: each differs, all can be trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from training_fixtures import write_split_world

import train.compare
from encoder.config import compact, tiny
from train.compare import VARIANTS, default_recipe, main


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "default"])
def test_a_variant_changes_the_default(name: str) -> None:
    variant, recipe = VARIANTS[name], default_recipe(steps=10)
    changed = replace(recipe, **variant.recipe)  # type: ignore[arg-type]
    assert changed != recipe or replace(compact(), **variant.network) != compact()  # type: ignore[arg-type]


def test_variants_are_trained_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_split_world(tmp_path)
    small = replace(
        default_recipe(2), batch_size=4, crop_px=64, n_world=8, world_share=0.25, crop_s=1.0
    )
    monkeypatch.setattr(train.compare, "compact", tiny)
    monkeypatch.setattr(train.compare, "default_recipe", lambda steps: replace(small, steps=steps))
    monkeypatch.setattr(train.compare, "initialise_visual", lambda network, init: None)
    assert main([str(manifest), "default", "relu", "distance-ratio", "--steps", "2"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["variant"] for one in told] == ["default", "relu", "distance-ratio"]
    assert all("leak-free class mAP, audio→image" in one for one in told)
    assert len({one["leak-free class mAP, audio→image"] for one in told}) > 1


def test_an_unknown_variant_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "m.csv"), "no-sleep"]) == 2
    assert "no variant no-sleep" in capsys.readouterr().err
