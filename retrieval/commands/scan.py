"""`retrieval scan`: what a corpus holds, without a model and without writing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from retrieval.commands.options import (
    Corpus,
    ExcludeOption,
    FollowOption,
    IncludeOption,
    JsonOption,
    ManifestOption,
)
from retrieval.commands.progress import say

if TYPE_CHECKING:
    from indexer.options import BuildOptions
    from indexer.scan import ScanReport


def command(
    corpus: Corpus,
    manifest: ManifestOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    follow_symlinks: FollowOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a build would index, from headers alone."""
    from indexer.options import BuildOptions
    from indexer.scan import scan
    from retrieval import rendering

    options = BuildOptions(
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        follow_symlinks=follow_symlinks,
    )
    report = scan(corpus, manifest=manifest, options=options)
    if as_json:
        typer.echo(rendering.as_json(_scan_json(report)))
        return
    for line in rendering.facts(_facts(report)):
        typer.echo(line)
    for failure in report.failures:
        typer.echo(f"  {rendering.printable(failure.message)}")
    say(f"next: {rendering.command_line('build-index', *_arguments(corpus, manifest, options))}")


def _arguments(corpus: Path, manifest: Path | None, options: BuildOptions) -> list[Path | str]:
    """Return what `build-index` needs to index what was scanned."""
    given: list[Path | str] = [corpus]
    if manifest is not None:
        given += ["--manifest", manifest]
    for name, patterns in (("--include", options.include), ("--exclude", options.exclude)):
        for pattern in patterns:
            given += [name, pattern]
    return [*given, "--follow-symlinks"] if options.follow_symlinks else given


def _facts(report: ScanReport) -> list[tuple[str, str]]:
    return [
        ("corpus", str(report.corpus)),
        *((f"{kind} files", str(n)) for kind, n in sorted(report.n_files.items())),
        *((f"{kind} items", str(n)) for kind, n in sorted(report.n_items.items())),
        *((f"ignored: {reason}", str(n)) for reason, n in sorted(report.ignored.items())),
        ("cannot be used", str(len(report.failures))),
    ]


def _scan_json(report: ScanReport) -> dict[str, Any]:
    return {
        "schema": "retrieval.scan/1",
        "corpus": str(report.corpus),
        "files": report.n_files,
        "items": report.n_items,
        "ignored": report.ignored,
        "failures": [
            {"path": one.path, "code": one.code, "message": one.message} for one in report.failures
        ],
    }
