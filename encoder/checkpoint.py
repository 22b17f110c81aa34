"""Checkpoints: a folder with `model.safetensors`, `config.json` and `MODEL_CARD.md`. No pickle.

Matrices and convolutions are kept in float16, vectors (biases, batch statistics) in float32, so
that a save after a load changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from encoder.config import TwoStreamConfig
from encoder.errors import CheckpointError
from encoder.two_stream import TwoStreamEncoder

DEFAULT_CHECKPOINT = Path(__file__).parent / "weights" / "compact"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "MODEL_CARD.md"
PREPROCESSING_VERSION = 1
"""Raise it with any change to `embedder.prepare_*`: the same file then embeds differently."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A network read from disk, with what identifies it.

    Attributes
    ----------
    fingerprint : sha256 over weights, configuration and preprocessing version, in hex.
    facts : what `config.json` says beside the network: licence, training, figures.
    """

    network: TwoStreamEncoder
    name: str
    fingerprint: str
    facts: dict[str, Any]


def save_checkpoint(
    folder: Path, network: TwoStreamEncoder, *, name: str, facts: dict[str, Any], card: str
) -> None:
    """Write a checkpoint folder; `facts` must be JSON, `card` is Markdown.

    Each file is written beside its place and renamed into it: a full disk or a kill never leaves
    half a file under a good name. Raises OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    description = {"name": name, "network": network.config.to_json(), "facts": facts}
    _replace(folder / WEIGHTS, to_bytes(tensors))
    _replace(folder / CONFIG, (json.dumps(description, indent=2) + "\n").encode())
    _replace(folder / CARD, card.encode())


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a checkpoint says of itself; the fields of `Checkpoint` without the network."""

    name: str
    fingerprint: str
    facts: dict[str, Any]


def read_description(folder: Path | None = None) -> Description:
    """Read what a checkpoint is without building its network; None is the shipped one.

    Raises
    ------
    CheckpointError : missing, or its description is damaged.
    """
    folder = DEFAULT_CHECKPOINT if folder is None else folder
    description = _description(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{folder / WEIGHTS}: no such file; copy the whole folder") from None
    return Description(
        name=description["name"],
        fingerprint=fingerprint(weights, TwoStreamConfig.from_json(description["network"])),
        facts=description["facts"],
    )


def load_checkpoint(folder: Path | None = None) -> Checkpoint:
    """Read a checkpoint folder in float32; None is the one that ships with the project.

    Raises
    ------
    CheckpointError : missing, damaged, or its tensors do not fit its configuration.
    """
    folder = DEFAULT_CHECKPOINT if folder is None else folder
    description = _description(folder)
    config = TwoStreamConfig.from_json(description["network"])
    network = TwoStreamEncoder(config)
    weights = folder / WEIGHTS
    try:
        tensors = load_file(weights)
        network.load_state_dict(tensors)  # copies into float32
    except FileNotFoundError:
        raise CheckpointError(f"{weights}: no such file; copy the whole folder") from None
    except (SafetensorError, RuntimeError) as error:
        first_line = str(error).splitlines()[0]
        raise CheckpointError(f"{weights}: damaged or of another network: {first_line}") from None
    return Checkpoint(
        network=network.eval(),
        name=description["name"],
        fingerprint=fingerprint(weights.read_bytes(), config),
        facts=description["facts"],
    )


def fingerprint(weights: bytes, config: TwoStreamConfig) -> str:
    """Return the sha256 that ties an index to an encoder (architecture, invariant 3)."""
    digest = hashlib.sha256(weights)
    digest.update(json.dumps(config.to_json(), sort_keys=True).encode())
    digest.update(f"preprocessing {PREPROCESSING_VERSION}".encode())
    return digest.hexdigest()


def network_fingerprint(network: TwoStreamEncoder) -> str:
    """Return the fingerprint of a network that has no file."""
    tensors = (value.detach().cpu().contiguous() for value in network.state_dict().values())
    weights = b"".join(tensor.numpy().tobytes() for tensor in tensors)
    return fingerprint(weights, network.config)


def _description(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"{folder}: no checkpoint here ({CONFIG} is missing); "
            "give the folder that `retrieval train` wrote"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise CheckpointError(f"{path}: not JSON: the file is damaged; copy it again") from None
    if not isinstance(description, dict) or {"name", "network", "facts"} - set(description):
        raise CheckpointError(f"{path}: name, network or facts is missing; copy it again")
    return description
