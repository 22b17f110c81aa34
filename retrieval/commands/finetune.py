"""`retrieval finetune`: the boxes of an index mend its encoder; a new checkpoint comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from retrieval.commands.options import (
    CheckpointOption,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
)
from retrieval.commands.progress import say, shown_phases, shown_progress
from retrieval.errors import QueryError
from retrieval.exit_codes import Codes, ExitCode
from train.finetune.errors import (
    AnnotationsMissing,
    FilesMissing,
    FinetuneError,
    FinetuneInterrupted,
    OutputTaken,
)

if TYPE_CHECKING:
    from train.finetune.figures import Changes
    from train.finetune.run import Finetuned

SCHEMA = "retrieval.finetune/1"
CODES: Codes = (
    (FinetuneInterrupted, ExitCode.INTERRUPTED),
    (AnnotationsMissing, ExitCode.CORPUS),
    (FilesMissing, ExitCode.CORPUS),
    (OutputTaken, ExitCode.STORAGE),
    (FinetuneError, ExitCode.FAILED),
)
"""Exit codes of fine-tuning; `train.finetune.errors` holds these classes and no more."""


def command(
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    index: IndexArgument = None,
    index_option: IndexOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 150,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs per step.")] = 16,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything",
            help="Train both streams, too: slower, and more is forgotten. Default: what is behind "
            "them.",
        ),
    ] = False,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0.0, help="Highest rate. Default: 0.001, with --everything 0.00025."),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="U:S", help="Of the losses on all pairs and on the boxes.")
    ] = "1:1",
    positives: Annotated[
        Literal["label", "recording"] | None,
        typer.Option(
            help="What belongs together: all of a label, or only an item's own pair. "
            "Default: label where every item has one."
        ),
    ] = None,
    hold_back: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of items that is only measured on.")
    ] = 0.3,
    most_pairs: Annotated[
        int, typer.Option(min=0, help="Items without boxes that are trained on at most.")
    ] = 1000,
    where: Annotated[
        str | None, typer.Option(help="Only these items, such as \"split = 'train'\".")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every random choice.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="Of the new encoder. Default: the old one's, -finetuned.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Of the new weights. Default: that of the old ones.")
    ] = None,
    sources: Annotated[str, typer.Option(help="Where the media come from, for the card.")] = "",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Embed the index anew, too. Needs --manifest.")
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(help="The table that the index was built from, boxes included."),
    ] = None,
    as_json: JsonOption = False,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Fine-tune an index's encoder on the boxes and pairs of its items.

    A part of the items is held back, those of one file together; what is printed was measured on
    it before and after. The index stays as it is until it is embedded anew.

    Exit codes: 0 done; 2 options that cannot be; 4 no boxes, too few of them, or files of the index
    that are gone; 5 no index; 6 not the encoder that built it; 8 --out is taken or unwritable.
    """
    from retrieval.locate import find_index
    from train.finetune.recipe import Tuning
    from train.finetune.run import FinetuneTask, finetune
    from train.recipe import two_weights

    if rebuild and manifest is None:
        raise QueryError("--rebuild: boxes came from a manifest; give it with --manifest")
    if manifest is not None and not manifest.is_file():
        raise QueryError(f"--manifest {manifest}: no such file")
    unsupervised, supervised = two_weights(weights)
    task = FinetuneTask(
        index=find_index(index or index_option),
        out=out,
        checkpoint=checkpoint,
        tuning=Tuning(
            steps=steps,
            batch_size=batch_size,
            everything=everything,
            learning_rate=learning_rate,
            unsupervised=unsupervised,
            supervised=supervised,
            hold_back=hold_back,
            most_pairs=most_pairs,
            positives=positives,
            where=where,
            seed=seed,
        ),
        name=name,
        licence=licence,
        data=sources,
        device=device,
    )
    with shown_phases() as on_progress:
        found = finetune(task, on_progress=on_progress)
    next_command = _rebuilding(found, task.index, manifest)
    report = _rebuilt(found, task.index, manifest, device) if rebuild else None
    _print(found, next_command, report, as_json)


def _rebuilding(found: Finetuned, index: Path, manifest: Path | None) -> str:
    """Return the command that embeds the index anew."""
    from retrieval.rendering import command_line

    return command_line(
        *("build-index", found.corpus, "--manifest", manifest or "MANIFEST", "--index", index),
        *("--checkpoint", found.checkpoint, "--reembed"),
    )


def _rebuilt(found: Finetuned, index: Path, manifest: Path | None, device: str) -> dict[str, Any]:
    from encoder.embedder import Embedder
    from indexer.build import build_index
    from indexer.options import BuildOptions
    from retrieval.commands.build import build_json

    with shown_progress() as show:
        report = build_index(
            found.corpus,
            embedder=Embedder.load(found.checkpoint, device=device),
            index_dir=index,
            manifest=manifest,
            options=BuildOptions(reembed=True),
            on_progress=show,
        )
    return build_json(report)


def _print(
    found: Finetuned, next_command: str, report: dict[str, Any] | None, as_json: bool
) -> None:
    from retrieval import rendering

    if as_json:
        typer.echo(rendering.as_json(_json(found, next_command, report)))
        return
    origin = found.origin
    facts = [
        ("checkpoint", str(found.checkpoint)),
        ("started from", origin.started_from.name),
        ("trained on", f"{origin.n_pairs} items, {origin.n_annotated} with boxes"),
        (
            "held back",
            f"{origin.n_held_pairs} items, {origin.n_held_annotated} with boxes "
            f"(by source file, seed {origin.seed})",
        ),
        ("seconds", f"{found.seconds:.1f}"),
    ]
    for line in [*rendering.facts(facts), "", *_table(found.changes)]:
        typer.echo(line)
    if found.heatmaps:
        typer.echo(f"\nheat maps   {found.heatmaps[0].parent} (boxes, before, after)")
    if report is None:
        say(f"next: {next_command}")
    else:
        typer.echo(f"index       {report['index_dir']} (generation {report['generation']})")


def _table(changes: Changes) -> list[str]:
    from retrieval.rendering import columns
    from train.finetune.card import difference_text

    rows = [
        (row.name, str(row.before), str(row.after), difference_text(row.difference))
        for row in changes.rows
    ]
    rows += [(f"{name}, success", str(success), "", "") for name, success, _ in changes.blind]
    rows += [(f"{name}, AUC", str(auc), "", "") for name, _, auc in changes.blind]
    return columns(("on the held-back part", "before", "after", "difference"), rows)


def _json(found: Finetuned, next_command: str, report: dict[str, Any] | None) -> dict[str, Any]:
    origin = found.origin
    return {
        "schema": SCHEMA,
        "checkpoint": str(found.checkpoint),
        "name": found.name,
        "fingerprint": found.fingerprint,
        "started_from": {
            "name": origin.started_from.name,
            "fingerprint": origin.started_from.fingerprint,
        },
        "trained_on": {"n_pairs": origin.n_pairs, "n_annotated": origin.n_annotated},
        "held_back": {
            "n_pairs": origin.n_held_pairs,
            "n_annotated": origin.n_held_annotated,
            "share": origin.hold_back,
            "seed": origin.seed,
        },
        "changes": found.changes.to_json(),
        "heatmaps": [str(path) for path in found.heatmaps],
        "seconds": found.seconds,
        "next": next_command,
        "rebuilt": report,
    }
