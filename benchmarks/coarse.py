"""How many of the exact best pictures for a sound are among its coarse candidates.

    python benchmarks/coarse.py INDEX [--checkpoint DIR] [--where TEXT] [--sounds 100]
        [--best 10] [--candidates 50 100 200 400] [--seed 0]

A vector index can hold the coarse embedding of a picture, which depends on the picture alone. What
it finds for a sound is what an exact search by conditioned embeddings could choose from. For sounds
drawn at random from those that `--where` lets through, the exact leak-free best of all pictures of
the index are looked up among the nearest by coarse embedding. Results are one JSON object on
stdout: recall with a 95 % bootstrap interval over sounds, for each number of candidates.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from encoder.embedder import Embedder
from encoder.intervals import SHARES, mean_figure
from indexer.conditional import rank_frames
from indexer.neighbours import Neighbours, best_of
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound


def recalls(
    reader: IndexReader,
    embedder: Embedder,
    items: np.ndarray,
    *,
    best: int,
    candidates: list[int],
) -> np.ndarray:
    """Return the share of each item's `best` pictures among its candidates, (K, N).

    Maps are read once: every sound looks at a block of them before the next one is read.
    """
    sounds = [reader.sound(item) for item in items.tolist()]
    of_blocks: list[list[Neighbours]] = [[] for _ in sounds]
    for block in reader.frame_blocks():
        for sound, found in zip(sounds, of_blocks, strict=True):
            found.append(rank_frames(embedder, [frames_for_sound(sound)], [block], best))
    shares = []
    for sound, found in zip(sounds, of_blocks, strict=True):
        exact = best_of(((part.ids, part.scores) for part in found), best).ids
        coarse = reader.nearest("coarse", sound.f_s[0], max(candidates)).ids
        shares.append([float(np.isin(exact, coarse[:k]).mean()) for k in candidates])
    return np.array(shares).T


def sounds_of(reader: IndexReader, where: str | None, n: int, seed: int) -> np.ndarray:
    """Draw items that have a sound."""
    blocks = reader.sound_blocks(reader.allowed(where))
    ids = np.concatenate([np.empty(0, np.int64), *(block.ids for block in blocks)])
    return np.random.default_rng(seed).permutation(ids)[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path, help="index folder")
    parser.add_argument("--checkpoint", type=Path, help="of the index; the shipped one if left out")
    parser.add_argument("--where", help="whose sounds ask, such as \"split = 'val'\"")
    parser.add_argument("--sounds", type=int, default=100)
    parser.add_argument("--best", type=int, default=10)
    parser.add_argument("--candidates", type=int, nargs="+", default=[50, 100, 200, 400])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    embedder = Embedder.load(options.checkpoint, device="cpu")
    with IndexReader.open(options.index) as reader:
        if embedder.fingerprint != reader.encoder_fingerprint:
            parser.error(f"{options.index}: built by {reader.encoder_name}; give its --checkpoint")
        items = sounds_of(reader, options.where, options.sounds, options.seed)
        if not len(items):
            parser.error(f"{options.index}: no sound to ask with; change --where")
        shares = recalls(reader, embedder, items, best=options.best, candidates=options.candidates)
        found = {
            f"recall_at_{k}": asdict(mean_figure(row, seed=options.seed, within=SHARES))
            for k, row in zip(options.candidates, shares, strict=True)
        }
        pictures = sum(len(block.ids) for block in reader.frame_blocks())
        shown = {"encoder": reader.encoder_name, "pictures": pictures, "best": options.best}
    print(json.dumps(shown | {"sounds": len(items)} | found, indent=2))


if __name__ == "__main__":
    main()
