"""The README speaks of what is there: every file, every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import COMMANDS
from typer.main import get_command

from retrieval.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGES = ("encoder", "indexer", "retrieval", "train", "ui", "benchmarks")
MODULES = [
    (package, path.relative_to(ROOT / package).as_posix())
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__init__.py"
]


def section(package: str) -> str:
    found = re.search(rf"<code>{package}/</code>.*?</details>", README, re.DOTALL)
    assert found, f"the README has no part for {package}/"
    return found.group()


@pytest.mark.parametrize(("package", "path"), MODULES)
def test_the_readme_has_a_line_for_every_file(package: str, path: str) -> None:
    assert f"| {path} |" in section(package)


def test_the_readme_names_no_file_that_is_gone() -> None:
    listed = {
        (p, path) for p in PACKAGES for path in re.findall(r"^\| (\S+\.py) \|", section(p), re.M)
    }
    assert listed == set(MODULES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_every_option_has_a_text(command: str) -> None:
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    assert found.help
    for parameter in found.params:
        assert getattr(parameter, "help", None), f"{command} {parameter.name} says nothing"


def test_commands_that_the_readme_shows_exist() -> None:
    shown = set(re.findall(r"^retrieval ([a-z-]+)", README, re.M))
    assert shown
    assert shown <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_make_targets_that_the_readme_shows_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert f"\n{target}:" in makefile
