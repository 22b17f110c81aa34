"""`retrieval scan`: what a corpus holds, without a model and without writing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from retrieval.commands.options import Corpus, JsonOption, ManifestOption
from retrieval.commands.progress import say

if TYPE_CHECKING:
    from indexer.scan import ScanReport


def command(corpus: Corpus, manifest: ManifestOption = None, as_json: JsonOption = False) -> None:
    """Show what a build would index, from headers alone."""
    from indexer.scan import scan
    from retrieval import rendering

    report = scan(corpus, manifest=manifest)
    if as_json:
        typer.echo(rendering.as_json(_scan_json(report)))
        return
    for line in rendering.facts(_facts(report)):
        typer.echo(line)
    for failure in report.failures:
        typer.echo(f"  {rendering.printable(failure.message)}")
    given = (corpus,) if manifest is None else (corpus, "--manifest", manifest)
    say(f"next: {rendering.command_line('build-index', *given)}")


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
