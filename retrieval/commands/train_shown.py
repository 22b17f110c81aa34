"""What `retrieval train` says: files decoded, where the run is, and how it ended."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from retrieval.commands.progress import say
from retrieval.exit_codes import ExitCode

if TYPE_CHECKING:
    from train.loop import Progress, Trained

SHOW_EVERY_S = 5.0


def show_end(trained: Trained, out: Path, *, as_json: bool) -> None:
    """Print what was trained, or raise Exit with how to go on with a run that was interrupted."""
    from retrieval.rendering import command_line
    from train.card import table_rows

    if trained.interrupted:
        say(f"interrupted at step {trained.last_step}; go on with: {_resuming_line()}")
        raise typer.Exit(ExitCode.INTERRUPTED)
    figures = trained.figures
    if as_json:
        values = None if figures is None else figures.to_json()
        typer.echo(json.dumps({"checkpoint": str(out), "step": trained.step, "val": values}))
    else:
        typer.echo(f"checkpoint  {out} (step {trained.step})")
        for what, value in table_rows(figures) if figures else []:
            typer.echo(f"{what:45} {value}")
    say(f"next: {command_line('build-index', 'CORPUS', '--checkpoint', out)}")


def _resuming_line() -> str:
    """The command that was given, with --resume."""
    from retrieval.rendering import command_line
    from train.distributed import launcher

    given = [*(one for one in sys.argv[1:] if one != "--resume"), "--resume"]
    return shlex.join([*launched, *given]) if (launched := launcher()) else command_line(*given)


def files_shown() -> Callable[[int, int], None]:
    """Return a callback that prints how many files are decoded, every few seconds."""
    shown_at = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if done == total or now - shown_at >= SHOW_EVERY_S:
            shown_at = now
            say(f"decoded {done}/{total}")

    return show


def shown_now_and_then() -> Callable[[Progress], None]:
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
            f"{progress.pairs_per_s:.3g} pairs/s, {time_text(progress.eta_s)} left"
        )
        say(line)
        if progress.figures is not None:
            say(f"  val: worse direction {progress.figures.worst:.3f}")

    return show


def time_text(seconds: float) -> str:
    """A time to wait in the unit that people would say it in."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
