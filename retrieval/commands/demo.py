"""`retrieval demo`: the whole way on a small corpus that the project makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.commands.options import CheckpointOption, DeviceOption, JsonOption
from retrieval.commands.progress import say

if TYPE_CHECKING:
    from retrieval.demo import DemoReport, Story


def command(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the corpus and the answers go.")
    ] = Path("demo-corpus"),
    n_scenes: Annotated[int, typer.Option(min=10, help="Scenes in the corpus.")] = 120,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show all of it on a small corpus made here."""
    from retrieval import rendering
    from retrieval.commands.demo_world import (
        corpus_world,
        make_corpus,
        make_scenes,
        world_folder,
    )
    from retrieval.demo import run_demo

    world = corpus_world(n_scenes)
    corpus = world_folder(folder, "corpus", world)
    say(f"making a world of {n_scenes} scenes in {corpus}")
    report = run_demo(
        make_corpus(corpus, world),
        make_scenes(folder),
        answers=folder / "answers",
        checkpoint=checkpoint,
        device=device,
        on_step=say,
    )
    if as_json:
        typer.echo(rendering.as_json(demo_json(report)))
        return
    for story in report.stories:
        for line in _told(story):
            typer.echo(line)
    for line in _closing(report, checkpoint):
        typer.echo(line)


def _told(story: Story) -> list[str]:
    from retrieval.rendering import columns

    rows = [
        (str(hit.rank), f"{hit.score:.3f}", hit.label or "", "yes" if right else "no", hit.path)
        for hit, right in zip(story.hits, story.right, strict=True)
    ]
    heads = ("rank", "score", "label", "right", "path")
    return [f"\n{story.title}", *(f"  {line}" for line in columns(heads, rows))]


def _closing(report: DemoReport, checkpoint: Path | None) -> list[str]:
    from retrieval.rendering import command_line

    encoder = () if checkpoint is None else ("--checkpoint", checkpoint.resolve())
    asked = ("--audio", report.example_sound.resolve())
    lines = [
        f"  {one.name}  {one.value:.2f}  (chance {one.chance:.2f}, {one.n} queries)"
        for one in report.precision
    ]
    return [
        "\nShare of the right kind among the first 5 hits, asked with scenes not in the corpus:",
        *lines,
        f"\nHeat maps: {report.answers}/*/*.png",
        f"All of it on one page: {report.sheet}",
        f"Try it: {command_line('query', report.corpus.resolve(), *encoder, *asked)}",
    ]


def demo_json(report: DemoReport) -> dict[str, Any]:
    """Return the object that `demo --json` prints."""
    from retrieval.schema import hit_json

    return {
        "schema": "retrieval.demo/1",
        "corpus": str(report.corpus),
        "answers": str(report.answers),
        "sheet": str(report.sheet),
        "n_items": report.n_items,
        "precision_at_5": {
            one.name: {"value": one.value, "chance": one.chance, "n": one.n}
            for one in report.precision
        },
        "stories": [
            {"title": story.title, "hits": [hit_json(hit) for hit in story.hits]}
            for story in report.stories
        ],
    }
