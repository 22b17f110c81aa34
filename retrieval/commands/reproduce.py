"""`retrieval reproduce`: the tables and figures of S18 and S19, a row each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from retrieval.commands.options import DeviceOption, JsonOption
from retrieval.commands.progress import PLAIN_EVERY_S, say
from retrieval.exit_codes import ExitCode

if TYPE_CHECKING:
    from train.reproduce.outcome import Cell, Outcome, Table
    from train.reproduce.rows import Row
    from train.reproduce.run import Task

SCHEMA = "retrieval.reproduce/1"
DEFAULT_OUT = Path("reproduced")


def command(
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW]…",
            help="Such as S19-table-1. Default: all that the data, or a made world, can give.",
        ),
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
        typer.Option(
            help="small: minutes on two cores; full: as in the papers. "
            "Default: small on the world, full on data."
        ),
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

    An ordering holds or has FAILED where the 95 % interval of a paired difference says so; where
    the interval spans zero it is within noise. No paper's number is ever printed.

    Exit codes: 0 every row is reproduced; 1 an ordering has FAILED, or one on which a row stands is
    within noise; 4 a row is not reproduced, as where its data is absent; 2 no such row.
    """
    from train.reproduce.run import Task, chosen_rows
    from train.reproduce.size import size_of

    named = tuple(rows or ())
    if show:
        _list(chosen_rows(named), as_json)
        return
    chosen = size_of(size or ("small" if world or data is None else "full"))
    task = Task(rows=named, data=data, world=world, size=chosen, seed=seed, out=out, device=device)
    outcomes = _outcomes(task, printed=not as_json)
    if as_json:
        from retrieval.rendering import as_json as rendered

        typer.echo(rendered(_facts(task, outcomes)))
    else:
        for line in _summary(outcomes, task.left_out):
            typer.echo(line)
    raise typer.Exit(_code(outcomes))


def _outcomes(task: Task, *, printed: bool) -> list[Outcome]:
    """Compute the rows; each is printed as soon as it is there."""
    from train.reproduce.run import reproduce

    outcomes = []
    for outcome in reproduce(task, say=say, on_file=_files_shown()):
        outcomes.append(outcome)
        for line in _lines(outcome) if printed else ():
            typer.echo(line)
    return outcomes


def _code(outcomes: Sequence[Outcome]) -> ExitCode:
    states = {outcome.state for outcome in outcomes}
    if states & {"FAILED", "within noise"}:
        return ExitCode.FAILED
    return ExitCode.CORPUS if "not reproduced" in states else ExitCode.OK


def _lines(outcome: Outcome) -> list[str]:
    """Everything that a row found."""
    findings = outcome.findings
    reason = f": {outcome.reason}" if outcome.reason else f" in {outcome.seconds:.0f} s"
    lines = []
    for table in findings.tables:
        lines += _table(table)
    lines += [f"{check.verdict:12}  {check.claim}: {check.found}" for check in findings.checks]
    lines += [f"picture {path}" for path in findings.pictures]
    return [
        f"{outcome.row}  {outcome.state}{reason}",
        *(f"  {line}" for line in (*lines, *findings.notes)),
        "",
    ]


def _table(table: Table) -> list[str]:
    from retrieval.rendering import columns

    lines = columns(table.columns, [tuple(map(_cell, row)) for row in table.rows])
    return [*lines, table.note] if table.note else lines


def _cell(cell: Cell) -> str:
    """Numbers with three decimals, figures with their interval; the dash is for what is not."""
    if isinstance(cell, str | int):
        return str(cell)
    mean = cell if isinstance(cell, float) else cell.mean
    if math.isnan(mean):
        return "–"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _summary(outcomes: Sequence[Outcome], left_out: Sequence[Row]) -> list[str]:
    """One line per row."""
    from retrieval.rendering import columns

    rows = [(one.row, one.state, _counted(one), f"{one.seconds:.0f} s") for one in outcomes]
    lines = columns(("row", "state", "orderings", "time"), rows)
    for row in left_out:
        lines.append(f"left out: {row.id}, needs {row.missing or row.what_to_put}")
    return lines


def _counted(outcome: Outcome) -> str:
    verdicts = [check.verdict for check in outcome.findings.checks]
    counts = [(verdict, verdicts.count(verdict)) for verdict in ("FAILED", "within noise")]
    held = [f"{verdicts.count('holds')} of {len(verdicts)} hold"] if verdicts else []
    return ", ".join([*held, *(f"{n} {verdict}" for verdict, n in counts if n)])


def _facts(task: Task, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the object that --json prints."""
    return {
        "schema": SCHEMA,
        "source": "world" if task.world else None if task.data is None else str(task.data),
        "size": task.size.name,
        "seed": task.seed,
        "rows": [outcome.to_json() for outcome in outcomes],
        "left_out": [row.id for row in task.left_out],
    }


def _files_shown() -> Callable[[int, int], None]:
    """Return a callback that says how many files or scenes are done, every few seconds."""
    shown_at = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at >= PLAIN_EVERY_S:
            shown_at = time.monotonic()
            say(f"  {done}/{total}")

    return show


def _list(rows: Sequence[Row], as_json: bool) -> None:
    from retrieval.rendering import as_json as rendered
    from train.reproduce.entries import LAYOUT

    if as_json:
        typer.echo(rendered({"schema": SCHEMA, "rows": [row.to_json() for row in rows]}))
        return
    for row in rows:
        typer.echo(f"{row.id}: {row.shows}\n  claims   {row.claims}\n  computed {row.computed}")
        typer.echo(f"  needs    {row.missing or row.what_to_put}")
    typer.echo(f"\n{LAYOUT}", nl=False)
