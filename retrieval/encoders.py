"""Which encoder belongs to an index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from encoder.checkpoint import read_description
from encoder.embedder import Embedder
from encoder.errors import CheckpointError
from indexer.errors import EncoderMismatch

if TYPE_CHECKING:
    from indexer.reader import IndexReader


def licence_of(reader: IndexReader, checkpoint: Path | None) -> str | None:
    """Return the licence of the weights behind an index; None where they are not at hand."""
    try:
        found = read_description(checkpoint)
    except CheckpointError:
        return None
    if found.fingerprint != reader.encoder_fingerprint:
        return None
    return str(found.facts.get("licence", "none stated"))


def encoder_with(fingerprint: str, checkpoint: Path | None, *, device: str) -> Embedder | None:
    """Load the encoder with a fingerprint; None where it is not the one that was given.

    Parameters
    ----------
    checkpoint : its folder; None means the shipped one, which may be missing.

    Raises
    ------
    CheckpointError : the folder that was given is missing or damaged.
    """
    try:
        found = read_description(checkpoint)
    except CheckpointError:
        if checkpoint is not None:
            raise
        return None
    if found.fingerprint != fingerprint:
        return None
    return Embedder.load(checkpoint, device=device)


def encoder_of(reader: IndexReader, checkpoint: Path | None, *, device: str) -> Embedder:
    """Load the encoder that an index was built with; None means the shipped one.

    Raises
    ------
    EncoderMismatch : it is another one than built this index.
    CheckpointError : its folder is missing or damaged.
    """
    embedder = Embedder.load(checkpoint, device=device)
    if embedder.fingerprint != reader.encoder_fingerprint:
        raise EncoderMismatch(
            reader.path,
            built_by=f"{reader.encoder_name} ({reader.encoder_fingerprint[:12]})",
            given=f"{embedder.name} ({embedder.fingerprint[:12]})",
            corpus=reader.corpus,
        )
    return embedder
