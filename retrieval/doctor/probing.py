"""Small programs in a process of their own, with a time-out, and versions of packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TIMEOUT_S = 90.0
"""A first import of torch from a cold network disk takes most of a minute."""
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Probe:
    """How a program ended, and what it said.

    Attributes
    ----------
    text : its last line, or how it died.
    output : all of its standard output.
    """

    failed: bool
    text: str
    output: str = ""


def probe(program: str, *arguments: str) -> Probe:
    """Run a Python program that may hang or abort."""
    # -P: a folder of the same name where the user stands must not be taken for the project.
    return run([sys.executable, "-P", "-c", program, *arguments], TIMEOUT_S)


def run(command: Sequence[str], timeout_s: float) -> Probe:
    """Run a command; one that cannot be started has failed, too."""
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONPATH": str(PROJECT)}
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(True, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Probe(True, f"cannot be started: {error.strerror or error}")
    if ended.returncode < 0:
        return Probe(True, f"ended by signal {-ended.returncode}")
    said = ended.stdout.strip().splitlines() or [""]
    if ended.returncode:
        # nvidia-smi complains on its standard output.
        said = ended.stderr.strip().splitlines() or said
        return Probe(True, said[-1] or f"ended with code {ended.returncode}")
    return Probe(False, said[-1], ended.stdout)


def installed(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions(*packages: str) -> str:
    """Name packages with their versions, or as missing."""
    return ", ".join(f"{package} {installed(package) or 'missing'}" for package in packages)
