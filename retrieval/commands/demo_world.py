"""The made worlds of `retrieval demo`: a corpus, and scenes to ask with that are not in it.

A folder's name carries the settings of its world, so that another run with others stands beside it.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from retrieval.demo import Scene
from train.world import WorldConfig, write_world
from train.world.folder import FORMAT

CORPUS_SEED, QUERY_SEED = 20_261, 20_262
"""Worlds that training does not see."""
N_QUERIES = 20


def corpus_world(n_scenes: int) -> WorldConfig:
    """Return the settings of a corpus: stills with sounds, and a few clips."""
    return WorldConfig(n_scenes=n_scenes, n_videos=4, n_panoramas=0, seed=CORPUS_SEED)


def query_world() -> WorldConfig:
    """Return the settings of scenes to ask with: one visible source each."""
    return WorldConfig(
        n_scenes=N_QUERIES,
        n_videos=0,
        n_panoramas=0,
        seed=QUERY_SEED,
        two_source_share=0.0,
        offscreen_share=0.0,
        ambient_share=0.0,
    )


def world_folder(parent: Path, name: str, world: WorldConfig) -> Path:
    """Return `NAME-DIGEST` below a folder: one place per world."""
    digest = hashlib.sha256(f"{FORMAT} {world}".encode()).hexdigest()
    return parent / f"{name}-{digest[:8]}"


def make_corpus(corpus: Path, world: WorldConfig) -> Path:
    """Write the corpus, unless it stands there; return its manifest. Raises WorldError."""
    return write_world(corpus, world).manifest


def make_scenes(folder: Path) -> list[Scene]:
    """Write the scenes to ask with, unless they stand there. Raises WorldError."""
    world = query_world()
    root = world_folder(folder, "queries", world)
    manifest = write_world(root, world).manifest
    with manifest.open(encoding="utf-8", newline="") as rows:
        return [
            Scene(image=root / row["image"], audio=root / row["audio"], label=row["label"])
            for row in csv.DictReader(rows)
        ]
