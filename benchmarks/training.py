"""How fast the training loop is beside the bare network, and what decoding costs with a cache.

    python benchmarks/training.py [--preset paper] [--batch N] [--crop PX] [--device cuda]
    python benchmarks/training.py --manifest MANIFEST [--limit N]
    python benchmarks/training.py --decode MANIFEST [--limit N]

The first form trains on scenes of the procedural world with `train.loop.train`. After every step a
twin of the network makes a forward and a backward pass over the same batch and nothing else: no
data, optimiser, clipping or averaging. The two times are compared step by step: on the clock, and
in processor seconds, which a busy machine disturbs less. The second
does so on a collection, read from a packed cache. On a GPU, the share of the bf16 matrix rate is
beside it: of the rate that a plain product of matrices reaches there and then.
The third makes a bank three times: in memory, into an empty cache, and from the full one, each time
in a process of its own, and reads every row once.
Results are one JSON object on stdout.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from encoder.config import compact, paper
from encoder.precision import has_bfloat16
from encoder.two_stream import TwoStreamEncoder
from train import loop
from train.ahead import drawn_ahead
from train.bank import Bank, bank_of_pairs, bank_of_world
from train.batches import Batches, Drawn
from train.objective import Objective
from train.pairs import of_split, read_pairs
from train.recipe import Recipe

N_SCENES = 192
WARM_STEPS = 3
"""Steps that are not timed: allocators and kernels are found in them."""
MATRIX = 8192
"""Side of the matrices whose product gives a GPU's bf16 rate."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Turns:
    """Takes turns: a step of the loop, then a bare pass over the same batch by a twin network.

    Both are timed step by step, so that other work on the machine disturbs both alike.

    Attributes
    ----------
    steps, passes : seconds and processor seconds of each.
    waits_s : how long the loop waited for each batch.
    batch : the last one.
    """

    batch: Drawn

    def __init__(self, twin: TwoStreamEncoder, objective: Objective, device: torch.device) -> None:
        self.twin, self.objective, self.device = twin, objective, device
        self.steps: list[tuple[float, float]] = []
        self.passes: list[tuple[float, float]] = []
        self.waits_s: list[float] = []
        self._began = clocks(device)

    @contextmanager
    def ahead(
        self, batches: Batches, *, first_step: int, n_ahead: int
    ) -> Iterator[Iterator[Drawn]]:
        """Stand in for `train.ahead.drawn_ahead`."""
        with drawn_ahead(batches, first_step=first_step, n_ahead=n_ahead) as drawn:
            yield self._noted(drawn)

    def _noted(self, drawn: Iterator[Drawn]) -> Iterator[Drawn]:
        while True:
            began = clocks(self.device)
            self.batch = next(drawn)
            self.waits_s.append(since(began, self.device)[0])
            yield self.batch

    def stepped(self, _: loop.Progress) -> None:
        """The loop has made a step."""
        self.steps.append(since(self._began, self.device))
        began = clocks(self.device)
        passed(self.twin, self.objective, self.batch, self.device)
        self.passes.append(since(began, self.device))
        self._began = clocks(self.device)


def clocks(device: torch.device) -> tuple[float, float]:
    """Seconds and processor seconds, once the device has done all that it was given."""
    synchronise(device)
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float], device: torch.device) -> tuple[float, float]:
    now = clocks(device)
    return now[0] - began[0], now[1] - began[1]


def passed(
    network: TwoStreamEncoder, objective: Objective, drawn: Drawn, device: torch.device
) -> None:
    """One forward and backward pass."""
    on = objective.recipe.mixed_precision and has_bfloat16(device)
    network.zero_grad(set_to_none=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=on):
        terms = objective(network, drawn.batch, drawn.glued)
    torch.stack(list(terms.values())).sum().backward()


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the loop with the bare network, step by step."""
    device = torch.device(options.device)
    network = TwoStreamEncoder(paper() if options.preset == "paper" else compact(), seed=0)
    recipe = recipe_of(options, network)
    with tempfile.TemporaryDirectory() as folder:
        bank = bank_for(options, network, Path(folder))
        twin = copy.deepcopy(network).train().to(device)
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        turns = Turns(twin, Objective(recipe, len(bank.names)).to(device), device)
        with patch.object(loop, "drawn_ahead", turns.ahead):
            loop.train(network, bank, recipe, device=device, on_progress=turns.stepped)
    steps, passes = np.array(turns.steps[WARM_STEPS:]), np.array(turns.passes[WARM_STEPS:])
    step_s, pass_s = np.median(steps[:, 0]), np.median(passes[:, 0])
    return {
        "preset": options.preset,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "batch": recipe.batch_size,
        "crop_px": recipe.crop_px,
        "bfloat16": recipe.mixed_precision and has_bfloat16(device),
        "timed_steps": len(steps),
        "loop_samples_per_s": round(recipe.batch_size / step_s, 2),
        "bare_samples_per_s": round(recipe.batch_size / pass_s, 2),
        "ratio": round(float(np.median(passes[:, 0] / steps[:, 0])), 3),
        "ratio_of_processor_seconds": round(passes[:, 1].sum() / steps[:, 1].sum(), 3),
        "share_of_time_waiting_for_data": round(
            float(np.median(np.array(turns.waits_s[WARM_STEPS:]) / steps[:, 0])), 3
        ),
        **matrix_shares(turns, float(step_s)),
    }


def recipe_of(options: argparse.Namespace, network: TwoStreamEncoder) -> Recipe:
    """The default recipe of the preset; sizes as asked."""
    is_paper = options.preset == "paper"
    return Recipe(
        steps=options.steps + WARM_STEPS,
        batch_size=options.batch,
        crop_px=options.crop or (320 if is_paper else Recipe.crop_px),
        crop_s=network.config.window_s if is_paper else Recipe.crop_s,
        loss=options.loss,
        glued_share=Recipe.glued_share if options.loss == "infonce" else 0.0,
        positives="label" if options.loss == "infonce" else "recording",
        world_share=0.0,
    )


def bank_for(options: argparse.Namespace, network: TwoStreamEncoder, folder: Path) -> Bank:
    """A collection's bank, packed, or scenes of the world in memory."""
    if options.manifest is None:
        return bank_of_world(network, n_scenes=N_SCENES, seed=0)
    pairs = of_split(read_pairs(options.manifest), "train")[: options.limit]
    return bank_of_pairs(pairs, network, cache=folder)


def matrix_shares(turns: Turns, step_s: float) -> dict[str, Any]:
    """What share of a GPU's bf16 matrix rate the loop reaches; empty on a processor."""
    device = turns.device
    if device.type != "cuda":
        return {}
    counter = FlopCounterMode(display=False)
    with counter:
        passed(turns.twin, turns.objective, turns.batch, device)
    reached, rate = counter.get_total_flops() / step_s, matrix_rate(device)
    return {
        "teraflops": round(reached / 1e12, 1),
        "bf16_matrix_teraflops": round(rate / 1e12, 1),
        "share_of_bf16_matrix_rate": round(reached / rate, 3),
        "peak_memory_gb": round(torch.cuda.max_memory_allocated(device) / 1e9, 2),
    }


def matrix_rate(device: torch.device, n: int = 20) -> float:
    """Operations per second of a product of two large bf16 matrices."""
    a, b = (torch.randn(MATRIX, MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))
    for count in (3, n):
        synchronise(device)
        started = time.perf_counter()
        for _ in range(count):
            a @ b
        synchronise(device)
        seconds = time.perf_counter() - started
    return 2 * MATRIX**3 * n / seconds


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} processors"


def decoding(options: argparse.Namespace) -> dict[str, Any]:
    """Time a bank in memory, into an empty cache and from a full one, each in a process."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for what, cache in (("in_memory", None), ("empty_cache", name), ("full_cache", name)):
            command = [sys.executable, __file__, "--decode", str(options.decode), "--made", what]
            command += [] if options.limit is None else ["--limit", str(options.limit)]
            command += [] if cache is None else ["--cache", cache]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found |= json.loads(done.stdout)
        sizes = [file.stat().st_size for file in Path(name).rglob("*.bin")]
    return found | {"cache_mb": sum(sizes) // 10**6, "load": round(os.getloadavg()[0], 1)}


def made(what: str, manifest: Path, limit: int | None, cache: str | None) -> dict[str, Any]:
    """Make a bank and read every row of it once; seconds of both, and the process's peak memory."""
    network = TwoStreamEncoder(compact(), seed=0)
    pairs = of_split(read_pairs(manifest), "train")[:limit]
    started = time.perf_counter()
    bank = bank_of_pairs(pairs, network, cache=None if cache is None else Path(cache))
    ready = time.perf_counter()
    for places, read in (
        (np.arange(bank.n_pictures), bank.pictures_at),
        (np.arange(bank.n_sounds), bank.sounds_at),
    ):
        for start in range(0, len(places), 64):
            read(places[start : start + 64])
    return {
        "rows": len(pairs),
        f"{what}_s": round(ready - started, 2),
        f"{what}_reading_s": round(time.perf_counter() - ready, 2),
        f"{what}_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("compact", "paper"), default="compact")
    parser.add_argument("--loss", choices=("infonce", "distance-ratio"), default="infonce")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crop", type=int, help="side of a training frame; the preset's if not")
    parser.add_argument("--steps", type=int, default=24, help="steps that are timed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--manifest", type=Path, help="train on its rows, not on the world")
    parser.add_argument("--decode", type=Path, metavar="MANIFEST", help="time decoding alone")
    parser.add_argument("--limit", type=int, help="rows of the manifest")
    parser.add_argument("--made", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.made:
        found = made(options.made, options.decode, options.limit, options.cache)
    else:
        found = speed(options) if options.decode is None else decoding(options)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
