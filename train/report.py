"""`python -m train.report MANIFEST [--split val] [--checkpoint DIR]`: figures, leak-free first."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from encoder.checkpoint import load_checkpoint
from encoder.errors import EncoderError
from indexer.errors import IndexerError
from train.card import table_rows
from train.errors import TrainError
from train.run import figures_of_split, world_figure


def main(arguments: list[str] | None = None) -> int:
    """Print a table, or JSON; 2 where the input cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m train.report", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--checkpoint", type=Path, help="folder; the shipped default if left out")
    parser.add_argument("--world", action="store_true", help="also kind precision@5 on the world")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        network = load_checkpoint(options.checkpoint).network
        figures = figures_of_split(network, options.manifest, options.split)
    except (EncoderError, IndexerError, TrainError) as error:
        print(f"train.report: error: {error}", file=sys.stderr)
        return 2
    rows, values = table_rows(figures), figures.to_json()
    if options.world:
        world = world_figure(network)
        rows.append(("world, kind precision@5, unseen seed", str(world)))
        values["world_precision_at_5"] = asdict(world)
    if options.json:
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(f"{name:45} {value}" for name, value in rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
