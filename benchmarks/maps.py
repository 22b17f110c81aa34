"""What recall each form of maps that an index may keep buys, against full maps.

    python benchmarks/maps.py INDEX [--checkpoint DIR] [--queries 100] [--best 10] [--seed 0]

For pairs of a frame and a sound drawn from an index with full maps, the best pictures by full maps
are looked up among the best by compact maps alone (`build-index --maps compact`, in a basis fitted
as a build fits it) and by coarse vectors (`--maps none`), everything scored in full. Results are
one JSON object on stdout: for each kind of query recall, with a 95 % bootstrap interval over them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from encoder.config import D
from encoder.embedder import Embedder
from encoder.intervals import SHARES, mean_figure
from indexer.blocks import Floats, FrameBlock
from indexer.compact.maps import compress, fit_basis, restored
from indexer.compact.writing import SAMPLE_FRAMES
from indexer.conditional import score_frames
from indexer.reader import IndexReader
from indexer.terms import FrameTerm, frames_for_sound, keep_audio

FORMS = ("full", "compact", "none")
TIE = 1e-5


def drawn(reader: IndexReader, embedder: Embedder, n: int, seed: int) -> dict[str, list[FrameTerm]]:
    """Draw queries of both kinds."""
    rng = np.random.default_rng(seed)
    sounds, frames = (
        rng.permutation(np.concatenate([block.ids for block in blocks]))[:n].tolist()
        for blocks in (reader.sound_blocks(), reader.frame_blocks())
    )
    heard = [reader.sound(item) for item in sounds]
    return {
        "audio-image": [frames_for_sound(sound) for sound in heard],
        "associate-audio": [
            keep_audio(embedder, reader.frame_map(item), sound.h[0])
            for item, sound in zip(frames, heard, strict=False)
        ],
    }


def forms_of(reader: IndexReader, seed: int) -> Iterator[dict[str, FrameBlock]]:
    """Yield blocks of frames in every form."""
    rng = np.random.default_rng(seed)
    ids = np.concatenate([block.ids for block in reader.frame_blocks()])
    sample = rng.permutation(ids)[:SAMPLE_FRAMES].tolist()
    basis = fit_basis(np.stack([reader.frame_map(item) for item in sample]), reader.grid)
    for block in reader.frame_blocks():
        small = compress(basis, block.ids, block.maps, reader.grid)
        nothing = np.empty((len(block.ids), 0, D), np.float16)
        yield {
            "full": block,
            "compact": replace(block, maps=restored(basis, small)),
            "none": replace(block, maps=nothing),
        }


def recall(exact: Floats, scores: Floats, best: int) -> float:
    """Return the share of the exact best that the best by other scores are as good as."""
    least = np.sort(exact)[-best] - TIE
    return min(int((exact[np.argsort(-scores, kind="stable")[:best]] >= least).sum()), best) / best


def measured(
    embedder: Embedder,
    terms: Sequence[FrameTerm],
    blocks: Sequence[dict[str, FrameBlock]],
    best: int,
    seed: int,
) -> dict[str, Any]:
    """Measure one kind of query."""
    found: dict[str, list[float]] = {form: [] for form in FORMS[1:]}
    for term in terms:
        scores = {
            form: np.concatenate([score_frames(embedder, [term], block[form]) for block in blocks])
            for form in FORMS
        }
        for form, values in found.items():
            values.append(recall(scores["full"], scores[form], best))
    return {
        form: asdict(mean_figure(np.array(values), seed=seed, within=SHARES))
        for form, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path, help="index folder with full maps")
    parser.add_argument("--checkpoint", type=Path, help="of the index; the shipped one if left out")
    parser.add_argument("--queries", type=int, default=100, help="of each kind")
    parser.add_argument("--best", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    embedder = Embedder.load(options.checkpoint, device="cpu")
    with IndexReader.open(options.index) as reader:
        if embedder.fingerprint != reader.encoder_fingerprint:
            parser.error(f"{options.index}: built by {reader.encoder_name}; give its --checkpoint")
        if not reader.keeps_maps:
            parser.error(f"{options.index}: keeps no full maps to compare with")
        terms = drawn(reader, embedder, options.queries, options.seed)
        blocks = list(forms_of(reader, options.seed))
        shown: dict[str, Any] = {
            "encoder": reader.encoder_name,
            "pictures": sum(len(block["full"].ids) for block in blocks),
            "best": options.best,
        }
        for kind, asked in terms.items():
            shown[kind] = measured(embedder, asked, blocks, options.best, options.seed)
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
