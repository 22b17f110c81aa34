"""Options that several commands share. Environment variables stand in for absent ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Device = Literal["auto", "cpu", "cuda"]

Corpus = Annotated[
    Path, typer.Argument(help="A folder of media, or a manifest (.csv, .jsonl, .parquet).")
]
IndexArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="INDEX",
        help="An index, or a corpus that holds one. Default: --index, then the nearest "
        ".retrieval here or above.",
    ),
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index", envvar="RETRIEVAL_INDEX", help="Index folder. Default: CORPUS/.retrieval."
    ),
]
CatalogueOption = Annotated[
    str | None,
    typer.Option(
        "--catalogue",
        metavar="URL",
        help="PostgreSQL database for the catalogue of a new index, such as "
        "postgresql+psycopg://HOST/DATABASE, without a password. Default: a file in the index.",
    ),
]
ManifestOption = Annotated[
    Path | None, typer.Option(help="Table that says what belongs together in CORPUS.")
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Take in only what fits, as .gitignore writes it: '*.wav', 'talks/'. Repeatable.",
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Leave out what fits, as .gitignore writes it. Repeatable."),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow-symlinks", help="Also take in what links and manifests name outside the corpus."
    ),
]
MinRecallOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Recall of the ten best that a faster search must have; else all is scored.",
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        envvar="RETRIEVAL_CHECKPOINT",
        help="Encoder folder that `retrieval train` wrote. Default: the shipped one.",
    ),
]
DeviceOption = Annotated[
    Device, typer.Option(envvar="RETRIEVAL_DEVICE", help="Where the encoder runs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
