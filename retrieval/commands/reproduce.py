"""`retrieval reproduce`: the tables and figures of S18 and S19, a row each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import Device, DeviceOption, JsonOption
from retrieval.commands.progress import say
from retrieval.exit_codes import ExitCode

if TYPE_CHECKING:
    from train.reproduce.outcome import Findings, Outcome

SCHEMA = "retrieval.reproduce/1"
DEFAULT_OUT = Path("reproduced")


def command(
    rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROW]…", help="Such as S19-table-1. Default: all."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The papers' data; --list says what to put there."),
    ] = None,
    world: Annotated[
        bool, typer.Option("--world", help="Compute on the made world, at a small size.")
    ] = False,
    size: Annotated[
        Literal["small", "full"] | None,
        typer.Option(help="Default: small on the world, full on data."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the world and every training.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Pictures, and trained networks to go on from.")
    ] = DEFAULT_OUT,
    show: Annotated[
        bool, typer.Option("--list", help="List the rows, what each claims and what it needs.")
    ] = False,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Reproduce tables and figures of the papers, and check the orderings that they claim.

    Without data a row ends as `not reproduced: data absent`, with exit code 4. A row whose
    ordering does not hold ends as FAILED, with exit code 1. No paper's number is ever printed.
    """
    if show:
        _list(as_json)
        return
    outcomes = _outcomes(tuple(rows or ()), data, world, size, seed, out, device, not as_json)
    if as_json:
        from retrieval.rendering import as_json as rendered

        found = [outcome.to_json() for outcome in outcomes]
        typer.echo(rendered({"schema": SCHEMA, "rows": found}))
    states = {outcome.state for outcome in outcomes}
    if "FAILED" in states:
        raise typer.Exit(ExitCode.FAILED)
    if "not reproduced" in states:
        raise typer.Exit(ExitCode.CORPUS)


def _outcomes(
    rows: tuple[str, ...],
    data: Path | None,
    world: bool,
    size: Literal["small", "full"] | None,
    seed: int,
    out: Path,
    device: Device,
    printed: bool,
) -> list[Outcome]:
    from train.reproduce.run import Task, reproduce
    from train.reproduce.size import size_of

    chosen = size_of(size or ("small" if world or data is None else "full"))
    task = Task(rows=rows, data=data, world=world, size=chosen, seed=seed, out=out, device=device)
    outcomes = []
    for outcome in reproduce(task, say=say):
        outcomes.append(outcome)
        if printed:
            _print(outcome)
    return outcomes


def _print(outcome: Outcome) -> None:
    reason = f": {outcome.reason}" if outcome.reason else f" in {outcome.seconds:.0f} s"
    typer.echo(f"{outcome.row}  {outcome.state}{reason}")
    for line in _lines(outcome.findings):
        typer.echo(f"  {line}")


def _lines(findings: Findings) -> list[str]:
    from retrieval.rendering import columns

    lines = []
    for table in findings.tables:
        lines += columns(table.columns, [tuple(map(_cell, row)) for row in table.rows])
        lines += [table.note] if table.note else []
    for check in findings.checks:
        lines.append(f"{'holds ' if check.holds else 'FAILS '} {check.claim}: {check.found}")
    lines += [f"picture {path}" for path in findings.pictures]
    return [*lines, *findings.notes]


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _list(as_json: bool) -> None:
    from retrieval.rendering import as_json as rendered
    from train.reproduce.entries import LAYOUT
    from train.reproduce.rows import all_rows

    rows = all_rows()
    if as_json:
        facts = [
            {"row": row.id, "shows": row.shows, "claims": row.claims, "needs": row.needs}
            for row in rows
        ]
        typer.echo(rendered({"schema": SCHEMA, "rows": facts}))
        return
    for row in rows:
        typer.echo(f"{row.id}: {row.shows}\n  claims   {row.claims}\n  computed {row.computed}")
        typer.echo(f"  needs    {row.what_to_put or row.missing}")
    typer.echo(f"\n{LAYOUT}", nl=False)
