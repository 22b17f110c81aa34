"""`retrieval train`: pairs in, a checkpoint folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from retrieval.commands.options import DeviceOption, JsonOption
from retrieval.commands.train_shown import files_shown, show_end, shown_now_and_then
from retrieval.exit_codes import Codes, ExitCode
from train.errors import (
    DataAbsent,
    PairsError,
    RecipeError,
    ResumeError,
    ToolMissing,
    TrainError,
    TrainingDiverged,
)

CROP_PX, CROP_PX_OF_PAPER = 128, 320
"""Sides of a training frame: of the compact preset, and of S19 §3."""
KNOWN_ERRORS = (TrainError,)
CODES: Codes = (
    (DataAbsent, ExitCode.CORPUS),
    (PairsError, ExitCode.CORPUS),
    (RecipeError, ExitCode.USAGE),
    (ResumeError, ExitCode.USAGE),
    (ToolMissing, ExitCode.USAGE),
    (TrainingDiverged, ExitCode.FAILED),
    (TrainError, ExitCode.STORAGE),  # no room, a world whose folder is taken or cannot be written
)
"""Exit codes of training and of made worlds. `train.errors` holds these classes and no more: help
does not wait for it."""


def command(
    pairs: Annotated[
        Path, typer.Option(help="Manifest with image, audio or video, label and split.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that the checkpoint is written to.")],
    preset: Annotated[
        Literal["compact", "paper"] | None,
        typer.Option(help="The network: small, or S19's own. Default: compact, or --from's."),
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="imagenet, or a weight file for the visual stream.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", "--start-from", help="Checkpoint folder whose weights to start at."),
    ] = None,
    attention: Annotated[
        Literal["cos", "relu"] | None,
        typer.Option(help="Attention (S19 eq. 2, 3). Default: cos, or --from's."),
    ] = None,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="Train the projection and the FC layers alone, unvaried."),
    ] = False,
    frozen_trunk: Annotated[
        bool, typer.Option("--frozen-trunk", help="Leave the visual trunk as --init gave it.")
    ] = False,
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
    boxes: Annotated[
        bool, typer.Option("--boxes", help="Ask the attention for the manifest's boxes (L_S).")
    ] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="U:S",
            help="Weights of the unsupervised and the supervised loss (S19 Table 5). Default: "
            "1:0, with --boxes 1:1.",
        ),
    ] = None,
    attention_loss: Annotated[
        Literal["cross-entropy", "mse"], typer.Option(help="L_S (S19 eq. 8; S18).")
    ] = "cross-entropy",
    attention_target: Annotated[
        Literal["binary", "normalised"],
        typer.Option(help="What L_S asks for: the paper's map of 0 and 1, or one of sum 1."),
    ] = "binary",
    annotator: Annotated[
        Literal["consensus", "random"],
        typer.Option(help="Whose boxes: what annotators agree on, or one of them each time."),
    ] = "consensus",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2400,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Pairs of a batch, over all processes together.")
    ] = 64,
    accumulate: Annotated[
        int,
        typer.Option(
            min=1,
            help="Batches per step. The negatives of a pair are those of its own batch still.",
        ),
    ] = 1,
    world_share: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of made scenes in a batch.")
    ] = 0.25,
    glued_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of steps with frames side by side.")
    ] = 0.25,
    mixed_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the others with sounds mixed.")
    ] = 0.0,
    learning_rate: Annotated[float, typer.Option(help="Highest rate of AdamW.")] = 1e-3,
    schedule: Annotated[
        Literal["cosine", "constant"],
        typer.Option(help="The rate after the warm-up: annealed to nothing, or S19's."),
    ] = "cosine",
    weight_decay: Annotated[
        float, typer.Option(help="Of AdamW; S19 has none (0), as in plain Adam.")
    ] = 0.05,
    crop_px: Annotated[
        int | None,
        typer.Option(min=32, help="Side of a training frame. Default: 128, with paper 320."),
    ] = None,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Vary pictures and sounds.")
    ] = True,
    precision: Annotated[
        Literal["bfloat16", "float32"],
        typer.Option(help="bfloat16 where the processor computes it, or float32 everywhere."),
    ] = "bfloat16",
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between looks at val.")] = 200,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many looks at val without a gain.")
    ] = None,
    no_val: Annotated[
        bool, typer.Option("--no-val", help="Keep the last weights; the manifest needs no val.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder to keep decoded files in: for more than fits into memory."),
    ] = None,
    save_every: Annotated[
        float,
        typer.Option(min=0.0, help="Minutes from one saving of the unfinished run to the next."),
    ] = 5.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the unfinished run in --out, exactly.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files beside metrics.jsonl.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice.")] = 0,
    name: Annotated[
        str | None,
        typer.Option(help="Name that indexes show for this encoder. Default: the preset's."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    sources: Annotated[str, typer.Option(help="Where the media come from, for the card.")] = "",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train an encoder on pairs of pictures and sounds.

    The split `train` is trained on and `val` chooses the checkpoint. A run that was killed or
    interrupted goes on with --resume, and ends with the weights that it would have had.

    Several processes share out every batch: torchrun --nproc-per-node 2 -m retrieval.cli train …;
    on several nodes with torchrun's --nnodes, --node-rank and --master-addr, and with --pairs and
    --out on a disk that all of them see. Two processes train as one does on the same batches.

    Exit codes: 0 done; 1 the loss is not finite; 2 options that cannot be, or another unfinished
    run; 4 rows, boxes or files that cannot be used; 6 no such checkpoint or weights; 8 no room, or
    --out cannot be written; 130 interrupted and saved.
    """
    from train.distributed import is_first_process
    from train.recipe import Recipe
    from train.run import TrainingTask, run_training

    for_unsupervised, for_supervised = _two_weights(weights, boxes=boxes)
    recipe = Recipe(
        loss=loss,
        positives=positives or ("label" if loss == "infonce" else "recording"),
        unsupervised=for_unsupervised,
        supervised=for_supervised,
        attention_loss=attention_loss,
        attention_target=attention_target,
        annotator=annotator,
        frozen=frozen,
        frozen_trunk=frozen_trunk,
        augment=augment and not frozen,
        mixed_precision=precision == "bfloat16",
        steps=steps,
        batch_size=batch_size,
        accumulate=accumulate,
        patience=patience,
        validate_every=validate_every,
        world_share=world_share,
        glued_share=glued_share,
        mixed_share=mixed_share,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        crop_px=crop_px or (CROP_PX_OF_PAPER if preset == "paper" else CROP_PX),
        seed=seed,
    )
    task = TrainingTask(
        manifest=pairs,
        out=out,
        recipe=recipe,
        preset=preset,
        attention=attention,
        init=init,
        start_from=start_from,
        boxes=boxes,
        choose_on_val=not no_val,
        cache=cache,
        save_every_s=60 * save_every,
        resume=resume,
        tensorboard=tensorboard,
        device=device,
        name=name or preset or "compact",
        licence=licence,
        data=sources,
    )
    trained = run_training(task, on_file=files_shown(), on_progress=shown_now_and_then())
    if is_first_process():
        show_end(trained, out, as_json=as_json)
    elif trained.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _two_weights(text: str | None, *, boxes: bool) -> tuple[float, float]:
    """Read `U:S`; boxes alone ask for both losses alike. Raises RecipeError."""
    from train.recipe import two_weights

    if text is None:
        return 1.0, float(boxes)
    unsupervised, supervised = two_weights(text)
    if bool(supervised) != boxes:
        raise RecipeError(
            f"--weights {text}: the second weight is that of the boxes; give it with --boxes, "
            "and --boxes with it"
        )
    return unsupervised, supervised
