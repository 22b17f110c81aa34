"""`retrieval query`: a sound, a picture or a moment of a video in, hits out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import (
    CheckpointOption,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
)
from retrieval.commands.progress import say
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from retrieval.hits import Hit, Results
    from retrieval.retriever import Retriever

Side = Literal["image", "audio"]
Form = Literal["table", "json", "jsonl", "paths"]


def command(
    index: IndexArgument = None,
    audio: Annotated[Path | None, typer.Option(help="A sound, or a video for its sound.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video: its frame and its sound.")] = None,
    at_s: Annotated[
        float | None, typer.Option(help="Moment of the video in seconds. Default: its middle.")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            "-a",
            metavar="[WEIGHT:]FILE",
            help="A further sound or picture to be like: 0.5:thunder.wav. Repeatable.",
        ),
    ] = None,
    subtract: Annotated[
        list[str] | None,
        typer.Option(
            "--subtract",
            "-s",
            metavar="[WEIGHT:]FILE",
            help="A sound or picture to be unlike. Repeatable.",
        ),
    ] = None,
    top_k: Annotated[int, typer.Option("-k", "--top-k", help="How many hits.")] = 10,
    offset: Annotated[int, typer.Option(help="Hits to leave out at the top, for paging.")] = 0,
    to: Annotated[
        Side | None,
        typer.Option(help="What to find. Default: image for a sound alone, audio otherwise."),
    ] = None,
    mode: Annotated[
        Literal["leak-free", "own-sound"],
        typer.Option(help="own-sound looks at every picture with its own sound."),
    ] = "leak-free",
    associate: Annotated[
        Side | None,
        typer.Option(help="Keep this half of the pair, exchange the other (needs both)."),
    ] = None,
    where: Annotated[str | None, typer.Option(help="Filter on label and metadata.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Lowest score of a hit, -1 to 1.")] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Score every item in full: slower, and nothing is missed."),
    ] = False,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write one overlay PNG per hit; of associative hits before and after.",
        ),
    ] = None,
    copy_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the files of the hits.")
    ] = None,
    as_json: JsonOption = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one hit per line as JSON.")] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print absolute paths only.")] = False,
    null: Annotated[bool, typer.Option("-0", "--null", help="With --paths: end with NUL.")] = False,
    index_option: IndexOption = None,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Find pictures for a sound, sounds for a picture.

    Run inside a corpus, `retrieval query --audio clip.wav` finds its index by itself.
    """
    from retrieval.arithmetic import extras_of
    from retrieval.locate import find_index
    from retrieval.question import Question

    form = _form(as_json, jsonl, paths or null)
    question = Question(
        audio=audio,
        image=image,
        video=video,
        at_s=at_s,
        to=to,
        mode=mode,
        associate=associate,
        k=top_k,
        offset=offset,
        where=where,
        min_score=min_score,
        extras=extras_of(add or (), subtract or ()),
        exact=exact,
    )
    index_dir = find_index(index or index_option)
    from retrieval.outputs import check_heatmaps
    from retrieval.retriever import Retriever

    with Retriever.open(index_dir, device=device, checkpoint=checkpoint) as retriever:
        results = retriever.answer(question)
        if heatmap is not None:
            check_heatmaps(results.plan)
        _print(results, retriever, form, null)
        _remark(results)
        _write_files(results, heatmap, copy_to)


def _form(as_json: bool, jsonl: bool, paths: bool) -> Form:
    asked: dict[Form, bool] = {"json": as_json, "jsonl": jsonl, "paths": paths}
    chosen = [form for form, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise QueryError(f"--{chosen[0]} and --{chosen[1]} exclude each other; give one")
    return chosen[0] if chosen else "table"


def _write_files(results: Results, heatmap: Path | None, copy_to: Path | None) -> None:
    from retrieval.outputs import copy_hits, write_heatmaps

    if heatmap is not None:
        maps = write_heatmaps(results, heatmap)
        _warn([f"no heat map: {failure}" for failure in maps.failures])
        if maps.n_others:
            _warn([f"{heatmap}: {maps.n_others} other PNG files stand there, of earlier queries"])
        say(f"{len(maps.paths)} heat maps in {heatmap}")
    if copy_to is not None:
        copies = copy_hits(results, copy_to)
        _warn([f"not copied: {failure}" for failure in copies.failures])
        say(f"{len(copies.paths)} files in {copy_to}")


def _warn(lines: list[str]) -> None:
    from retrieval.rendering import printable

    for line in lines:
        say(f"retrieval: warning: {printable(line)}")


def _print(results: Results, retriever: Retriever, form: Form, null: bool) -> None:
    from retrieval.rendering import as_json
    from retrieval.schema import hit_json, results_json

    if form == "json":
        typer.echo(as_json(results_json(results, retriever)))
    elif form == "jsonl":
        for hit in results:
            typer.echo(json.dumps(hit_json(hit), allow_nan=False))
    elif form == "paths":
        _print_paths(results, b"\0" if null else b"\n")
    else:
        for line in _table(results.hits):
            typer.echo(line)


def _print_paths(results: Results, end: bytes) -> None:
    """Write paths as the bytes that the file system knows, whatever the terminal's encoding."""
    sys.stdout.flush()
    for hit in results:
        sys.stdout.buffer.write(os.fsencode(hit.file.resolve()) + end)
    sys.stdout.buffer.flush()


def _table(hits: tuple[Hit, ...]) -> list[str]:
    from retrieval.rendering import columns, span

    return columns(
        ("rank", "score", "better than", "label", "path", "span"),
        [
            (
                str(hit.rank),
                f"{hit.score:.3f}",
                "" if hit.percentile is None else f"{hit.percentile:.1f} %",
                hit.label or "",
                hit.path,
                span(hit.t0, hit.t1),
            )
            for hit in hits
        ],
    )


def _remark(results: Results) -> None:
    """Say on stderr what a person should know about the answer."""
    from retrieval.rendering import printable

    for note in results.notes:
        say(f"note: {printable(note)}")
    if not results.hits:
        say("no hits; loosen --where, --min-score or --offset")
    elif results[0].rank == 1 and not results[0].is_confident:
        say(
            f"no confident match: the best hit scores higher than only "
            f"{results[0].percentile:.0f} % of random pairs"
        )
