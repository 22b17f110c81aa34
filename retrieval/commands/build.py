"""`retrieval build-index`: a corpus in, an index out; the same command again is the resume."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from retrieval.commands.options import (
    CatalogueOption,
    CheckpointOption,
    Corpus,
    DeviceOption,
    ExcludeOption,
    FollowOption,
    IncludeOption,
    IndexOption,
    JsonOption,
    ManifestOption,
    MinRecallOption,
)
from retrieval.commands.progress import say, shown_progress

if TYPE_CHECKING:
    from indexer.build import BuildReport


def command(
    corpus: Corpus,
    index: IndexOption = None,
    manifest: ManifestOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    follow_symlinks: FollowOption = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Index part I of N alone, from 1, into an index of its own (default "
            "CORPUS/.retrieval-shards/I-of-N); `retrieval merge` makes one of them.",
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    window_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds of a long sound or video per item.")
    ] = 10.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode. Default: one per core.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Items per pass of the encoder.")] = 16,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Seconds after which decoding one picture or sound is given up; for long sounds "
            "more, in proportion.",
        ),
    ] = 60.0,
    reembed: Annotated[
        bool, typer.Option("--reembed", help="Embed everything anew, for another encoder.")
    ] = False,
    maps: Annotated[
        Literal["full", "compact", "none"] | None,
        typer.Option(
            help="What to keep of each frame for conditional search: all of its map, a compact "
            "form, or its coarse vector alone. What is given up comes back with --reembed only. "
            "Default: as before, at first full."
        ),
    ] = None,
    refit_maps: Annotated[
        bool,
        typer.Option("--refit-maps", help="Fit the basis of compact maps anew, to full maps."),
    ] = False,
    min_recall: MinRecallOption = 0.98,
    max_memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="GB",
            help="What the vectors that a search goes through may take; smaller ones are "
            "compressed, and the recall is measured.",
        ),
    ] = None,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Index a corpus, or go on with it.

    What is indexed already is left alone: the same command takes in new files, and goes on after a
    stop.
    """
    from encoder.allocator import keep_freed_memory
    from encoder.embedder import Embedder
    from encoder.media import MediaLimits
    from indexer.build import build_index
    from indexer.options import BuildOptions, n_cores
    from indexer.sharding import Shard

    keep_freed_memory()
    options = BuildOptions(
        window_s=window_s,
        workers=workers or n_cores(),
        batch_size=batch_size,
        limits=MediaLimits(timeout_s=timeout),
        reembed=reembed,
        maps=maps,
        refit=refit_maps,
        min_recall=min_recall,
        max_memory=None if max_memory is None else int(max_memory * 1e9),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        follow_symlinks=follow_symlinks,
        shard=Shard.parse(shard) if shard is not None else None,
        catalogue=catalogue,
    )
    embedder = Embedder.load(checkpoint, device=device)
    try:
        with shown_progress() as show:
            report = build_index(
                corpus,
                embedder=embedder,
                index_dir=index,
                manifest=manifest,
                options=options,
                on_progress=show,
            )
    except KeyboardInterrupt:
        say("retrieval: interrupted; what was finished is kept: run the same command to go on")
        raise
    _print(report, checkpoint, as_json)


def _print(report: BuildReport, checkpoint: Path | None, as_json: bool) -> None:
    from retrieval import rendering

    if as_json:
        typer.echo(rendering.as_json(build_json(report)))
        return
    for line in rendering.facts(_facts(report)):
        typer.echo(line)
    if report.n_failed:
        listing = rendering.command_line("info", report.index_dir, "--failures")
        say(f"each failed file: {listing}")
    encoder = () if checkpoint is None else ("--checkpoint", checkpoint)
    asking = rendering.command_line("query", report.index_dir, *encoder, "--audio", "SOUND")
    say(f"next: {asking}")


def _facts(report: BuildReport) -> list[tuple[str, str]]:
    from retrieval.commands.maps_shown import effort_facts, map_facts
    from retrieval.rendering import byte_size

    return [
        ("items", str(report.n_items)),
        ("new", str(report.n_new)),
        ("unchanged", str(report.n_skipped)),
        ("failed", str(report.n_failed)),
        *((f"  {code}", str(n)) for code, n in sorted(report.failures_by_code.items())),
        *map_facts(asdict(report.maps)),
        *effort_facts(report.conditional, report.min_recall),
        ("seconds", f"{report.seconds:.1f}"),
        ("items/s", f"{report.items_per_s:.1f}"),
        ("peak memory", byte_size(report.peak_rss_bytes)),
        ("index", f"{report.index_dir} (generation {report.generation})"),
    ]


def build_json(report: BuildReport) -> dict[str, Any]:
    """Return the object that `build-index --json` prints."""
    computed = {
        "index_dir": str(report.index_dir),
        "seconds": report.seconds,
        "items_per_s": report.items_per_s,
    }
    return {"schema": "retrieval.build/1"} | asdict(report) | computed
