"""`python -m train.labellers_report MANIFEST --labeller DIR`: how often a labeller is right."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from encoder.errors import EncoderError
from encoder.labellers.shipped import ShippedLabeller
from indexer.errors import IndexerError
from train.errors import TrainError
from train.labellers import figures_of
from train.listed import rows_of
from train.pairs import read_pairs


def main(arguments: list[str] | None = None) -> int:
    """Print the figures of a split and of the world; 2 where the input cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m train.labellers_report", description="How often a labeller is right."
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--labeller", type=Path, required=True, help="folder of the labeller")
    parser.add_argument("--split", default="val")
    parser.add_argument("--world", action="store_true", help="also scenes of an unseen world")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        labeller = ShippedLabeller.load(options.labeller, device="cpu")
        rows = rows_of(options.manifest, read_pairs(options.manifest), options.split)
        measured = figures_of(labeller, {options.split: rows}, with_world=options.world)
    except (EncoderError, IndexerError, TrainError) as error:
        print(f"train.labellers_report: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: figures.to_json() for name, figures in measured.items()}, indent=2))
        return 0
    for name, figures in measured.items():
        print(f"{name}: {labeller.name}, chance top-5 {figures.chance_top5:.3f}")
        for share in ("top1", "top5", "top10"):
            print(f"  {share:6} {getattr(figures, share)}")
        print(f"  left out: {figures.n_outside} files ({', '.join(figures.labels_outside)})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
