"""Five thousand damaged files of every kind: each is read or refused, none crashes or hangs.

`FUZZ_MUTANTS=100000 FUZZ_FIRST=5000 pytest tests/test_fuzz_media.py` goes further than this does.
A finding is named by its seed and number; `fuzz_seeds.mutant` makes the same bytes again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from fuzz_seeds import SEEDS, mutant, write_seeds

from encoder.errors import MediaError
from encoder.media import MediaLimits
from encoder.sandbox import Sandbox
from indexer.decode import in_order

N_MUTANTS = int(os.environ.get("FUZZ_MUTANTS", "5000"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
PER_SEED = -(-N_MUTANTS // len(SEEDS))
LIMITS = MediaLimits(max_pixels=4_000_000, max_seconds=600, timeout_s=10, max_memory_bytes=1 << 30)
"""Tight, so that a mutant that promises a lot costs a CI machine little."""
DEFECTS = {"crashed", "timeout", "out-of-memory"}


@dataclass
class Fuzzing:
    """Seeds, the sandbox, and what became of the mutants."""

    folder: Path
    seeds: list[bytes]
    sandbox: Sandbox
    outcomes: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def fuzzing(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Fuzzing]:
    folder = tmp_path_factory.mktemp("fuzz")
    seeds = [path.read_bytes() for path in write_seeds(folder)]
    begun = time.monotonic()
    with Sandbox() as sandbox:
        fuzzing = Fuzzing(folder, seeds, sandbox)
        yield fuzzing
    seconds, n = time.monotonic() - begun, sum(fuzzing.outcomes.values())
    counts = ", ".join(f"{n} {what}" for what, n in fuzzing.outcomes.most_common())
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{n} mutants of {len(SEEDS)} files in {seconds:.0f} s: {counts}")


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_are_read_or_refused(fuzzing: Fuzzing, name: str) -> None:
    which = list(SEEDS).index(name)

    def outcome(number: int) -> str:
        path = fuzzing.folder / f"{number}-{name}"
        path.write_bytes(mutant(fuzzing.seeds, which, number))
        try:
            return read(fuzzing.sandbox, path)
        finally:
            path.unlink()

    numbers = range(FIRST, FIRST + PER_SEED)
    found = dict(zip(numbers, in_order(numbers, outcome, workers=2, n_ahead=8), strict=True))
    fuzzing.outcomes.update(found.values())
    defects = {f"{name} {n}": code for n, code in found.items() if code in DEFECTS}
    assert not defects


def read(sandbox: Sandbox, path: Path) -> str:
    """Read all that a file says it holds, and a span from its middle."""
    try:
        found = sandbox.probe(path, limits=LIMITS)
        middle_s = (found.duration_s or 0.0) / 2
        if found.has_frames:
            frame = sandbox.read_frame(path, middle_s, limits=LIMITS, side_px=32)
            assert frame.shape == (3, 32, 32)
        if found.has_sound:
            sandbox.read_sound(path, limits=LIMITS)
            sound = sandbox.read_sound(path, t0_s=middle_s, t1_s=middle_s + 0.05, limits=LIMITS)
            assert np.isfinite(sound).all()
    except MediaError as error:
        return error.code
    return "read"
