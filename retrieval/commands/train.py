"""`retrieval train`: pairs in, a checkpoint folder out."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import DeviceOption, JsonOption
from retrieval.commands.progress import say
from retrieval.exit_codes import Codes, ExitCode
from train.errors import DataAbsent, PairsError, RecipeError, TrainError, TrainingDiverged

if TYPE_CHECKING:
    from train.loop import Progress

SHOW_EVERY_S = 5.0
KNOWN_ERRORS = (TrainError,)
CODES: Codes = (
    (DataAbsent, ExitCode.CORPUS),
    (PairsError, ExitCode.CORPUS),
    (RecipeError, ExitCode.USAGE),
    (TrainingDiverged, ExitCode.FAILED),
    (TrainError, ExitCode.STORAGE),  # a world whose folder is taken or cannot be written
)
"""Exit codes of training and of made worlds. `train.errors` holds these classes and no more: help
does not wait for it."""


def command(
    pairs: Annotated[
        Path, typer.Option(help="Manifest with image, audio or video, label and split.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that the checkpoint is written to.")],
    preset: Annotated[
        Literal["compact", "paper"], typer.Option(help="The network: small, or S19's own.")
    ] = "compact",
    init: Annotated[
        str | None, typer.Option(help="imagenet, or a weight file for the visual stream.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to go on from.")
    ] = None,
    attention: Annotated[
        Literal["cos", "relu"], typer.Option(help="Attention of the paper preset (S19 eq. 2, 3).")
    ] = "cos",
    loss: Annotated[
        Literal["infonce", "distance-ratio"],
        typer.Option(help="Leak-free InfoNCE over frames × sounds, or S19's own (eq. 6)."),
    ] = "infonce",
    positives: Annotated[
        Literal["label", "recording"] | None,
        typer.Option(
            help="What belongs together: all of a label, or only a row's own pair. Default: label, "
            "with distance-ratio recording."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2400,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs per step.")] = 64,
    world_share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of made scenes in a batch.")
    ] = 0.25,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="Highest rate of AdamW.")] = 1e-3,
    crop_px: Annotated[int, typer.Option(min=32, help="Side of a training frame.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    name: Annotated[str, typer.Option(help="Name that indexes show for this encoder.")] = "compact",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    sources: Annotated[str, typer.Option(help="Where the media come from, for the card.")] = "",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train an encoder on pairs of pictures and sounds."""
    from retrieval.rendering import command_line
    from train.card import table_rows
    from train.recipe import Recipe
    from train.run import TrainingTask, run_training

    task = TrainingTask(
        manifest=pairs,
        out=out,
        recipe=Recipe(
            loss=loss,
            positives=positives or ("label" if loss == "infonce" else "recording"),
            steps=steps,
            batch_size=batch_size,
            world_share=world_share,
            learning_rate=learning_rate,
            crop_px=crop_px,
            seed=seed,
        ),
        attention=attention,
        preset=preset,
        init=init,
        start_from=start_from,
        device=device,
        name=name,
        licence=licence,
        data=sources,
    )
    trained = run_training(task, on_file=_files_shown(), on_progress=_shown_now_and_then())
    figures = trained.figures
    if as_json:
        values = None if figures is None else figures.to_json()
        typer.echo(json.dumps({"checkpoint": str(out), "step": trained.step, "val": values}))
    else:
        typer.echo(f"checkpoint  {out} (step {trained.step})")
        for what, value in table_rows(figures) if figures else []:
            typer.echo(f"{what:45} {value}")
    if trained.interrupted:
        say(f"interrupted; go on with --start-from {shlex.quote(str(out))}")
        raise typer.Exit(130)
    say(f"next: {command_line('build-index', 'CORPUS', '--checkpoint', out)}")


def _files_shown() -> Callable[[int, int], None]:
    """Return a callback that prints how many files are decoded, every few seconds."""
    shown_at = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if done == total or now - shown_at >= SHOW_EVERY_S:
            shown_at = now
            say(f"decoded {done}/{total}")

    return show


def _shown_now_and_then() -> Callable[[Progress], None]:
    """Return a callback that prints a line every few seconds and at each validation."""
    shown_at = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if progress.figures is None and now - shown_at < SHOW_EVERY_S:
            return
        shown_at = now
        line = (
            f"step {progress.step}/{progress.steps}, loss {progress.loss:.3f}, "
            f"{progress.pairs_per_s:.0f} pairs/s, {progress.eta_s / 60:.0f} min left"
        )
        say(line)
        if progress.figures is not None:
            say(f"  val: worse direction {progress.figures.worst:.3f}")

    return show
