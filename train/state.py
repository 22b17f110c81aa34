"""A run that has not ended, on disk: everything that the next step depends on, in one file.

One safetensors file with JSON in its header: one rename replaces it whole. Randomness needs no
place in it, since every step draws from generators made of the seed and its number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from train.errors import ResumeError

UNFINISHED = "unfinished.safetensors"
FORMAT = 1
OPTIMISER = "optimiser."


@dataclass(frozen=True, kw_only=True)
class State:
    """What is written: tensors by name, and facts that are JSON."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_state(folder: Path, state: State) -> None:
    """Replace the state in a folder: all of it or nothing. Raises OSError."""
    tensors = {name: one.detach().cpu().contiguous() for name, one in state.tensors.items()}
    content = to_bytes(tensors, {"run": json.dumps(state.facts | {"format": FORMAT})})
    fresh = folder / f".{UNFINISHED}.{os.getpid()}"
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / UNFINISHED)
    finally:
        fresh.unlink(missing_ok=True)


def read_state(folder: Path) -> State | None:
    """Read the state in a folder; None where there is none.

    Raises
    ------
    ResumeError : damaged, or of another release.
    """
    path = folder / UNFINISHED
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["run"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ResumeError(
            f"{path}: damaged ({reason}); remove it and start again, with --from "
            "where the folder holds a checkpoint"
        ) from None
    if facts["format"] != FORMAT:
        raise ResumeError(f"{path}: format {facts['format']} of another release; resume it there")
    return State(tensors=tensors, facts=facts)


def remove_state(folder: Path) -> None:
    """The run has ended and its checkpoint is saved: nothing is left to go on with."""
    (folder / UNFINISHED).unlink(missing_ok=True)


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state under names that begin with a prefix and a point."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy what `module_tensors` gave into a module in place. Raises ResumeError."""
    start = f"{prefix}."
    own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise ResumeError(f"{UNFINISHED}: of another network: {reason}; start again") from None


def optimiser_tensors(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the moments of every parameter by name; parameters without a gradient have none."""
    return {
        f"{OPTIMISER}{moment}.{name}": value
        for name, weights in parameters.items()
        for moment, value in optimiser.state.get(weights, {}).items()
    }


def load_optimiser(
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
) -> None:
    """Give the moments back to an optimiser over the same parameters."""
    for key, value in tensors.items():
        if not key.startswith(OPTIMISER):
            continue
        moment, name = key.removeprefix(OPTIMISER).split(".", 1)
        weights = parameters[name]
        # The fused kernels walk weights and moments alike: the moments take the weights' strides.
        like = weights if value.shape == weights.shape else value
        device = weights.device if optimiser.defaults.get("fused") else value.device
        kept = torch.empty_like(like, device=device, requires_grad=False).copy_(value)
        optimiser.state[weights][moment] = kept
