"""`retrieval doctor`: what a bug report should say about this machine."""

from __future__ import annotations

from dataclasses import asdict

import typer

from retrieval.commands.options import CheckpointOption, JsonOption
from retrieval.commands.progress import say


def command(checkpoint: CheckpointOption = None, as_json: JsonOption = False) -> None:
    """Check that this machine can do the work."""
    from retrieval import rendering
    from retrieval.doctor import diagnose

    checks = diagnose(checkpoint=checkpoint)
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        report = {"schema": "retrieval.doctor/1", "ok": not failed, "checks": rows}
        typer.echo(rendering.as_json(report))
    else:
        for line in rendering.columns(
            ("", "what", "found"), [(one.status, one.name, one.found) for one in checks]
        ):
            typer.echo(line)
        for check in checks:
            if check.remedy:
                say(f"{check.name}: {check.remedy}")
    if failed:
        raise typer.Exit(1)
