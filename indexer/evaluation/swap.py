"""With whose sound a frame is looked at in the swap test (definitions §3, "The leak")."""

from __future__ import annotations

from indexer.evaluation.database import Database
from indexer.rules import Swap as Swap
from indexer.rules import swapped


def swap_partners(database: Database, seed: int) -> Swap | None:
    """Draw a sound for every pair; None where all pairs have one and the same sound."""
    pairs = database.pairs
    return swapped(database.labels[pairs], database.sounds[pairs], seed)
