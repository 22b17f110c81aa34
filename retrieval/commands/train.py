"""`retrieval train`: pairs in, a checkpoint folder out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import DeviceOption

if TYPE_CHECKING:
    from train.loop import Progress

SHOW_EVERY_S = 5.0


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
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2400,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs per step.")] = 64,
    world_share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of made scenes in a batch.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    name: Annotated[str, typer.Option(help="Name that indexes show for this encoder.")] = "compact",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    device: DeviceOption = "auto",
) -> None:
    """Train an encoder on pairs of pictures and sounds."""
    from train.recipe import Recipe
    from train.run import TrainingTask, run_training

    task = TrainingTask(
        manifest=pairs,
        out=out,
        recipe=Recipe(steps=steps, batch_size=batch_size, world_share=world_share, seed=seed),
        preset=preset,
        init=init,
        start_from=start_from,
        device=device,
        name=name,
        licence=licence,
    )
    trained = run_training(task, on_progress=_shown_now_and_then())
    typer.echo(f"checkpoint  {out} (step {trained.step})")
    typer.echo(f"next: retrieval build-index CORPUS --checkpoint {out}", err=True)


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
        typer.echo(line, err=True)
        if progress.figures is not None:
            typer.echo(f"  val: worse direction {progress.figures.worst:.3f}", err=True)

    return show
