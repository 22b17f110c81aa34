"""What a command says beside its answer, on stderr: notes, and progress of a long command.

A bar on a terminal, plain lines in a log. No reader of stderr is no reason to stop.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from indexer.build import BuildProgress
    from indexer.evaluation import EvaluationProgress

PLAIN_EVERY_S = 5.0


def say(text: str) -> None:
    """Print a line on stderr; where nobody reads it any more, go on."""
    with suppress(OSError):
        typer.echo(text, err=True)


@contextmanager
def shown_progress() -> Iterator[Callable[[BuildProgress], None]]:
    """Give the callback that shows how far a build is."""
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("scan", total=None, state="")

        def show(progress: BuildProgress) -> None:
            bar.update(
                task,
                description=progress.phase,
                total=progress.total,
                completed=_handled(progress),
                state=_state(progress),
            )

        yield show


class PlainProgress:
    """One line per phase and every few seconds."""

    def __init__(self) -> None:
        self._phase, self._shown_at = "", 0.0

    def __call__(self, progress: BuildProgress) -> None:
        now = time.monotonic()
        if progress.phase == self._phase and now - self._shown_at < PLAIN_EVERY_S:
            return
        self._phase, self._shown_at = progress.phase, now
        of_total = f"/{progress.total}" if progress.total else ""
        say(f"{progress.phase} {_handled(progress)}{of_total} {_state(progress)}")


@contextmanager
def shown_phases() -> Iterator[Callable[[EvaluationProgress], None]]:
    """Give the callback that shows how far a measurement is, phase by phase."""
    if not sys.stderr.isatty():
        yield PlainPhases()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    text, remaining = TextColumn("{task.description}"), TextColumn("{task.fields[state]}")
    columns = (text, BarColumn(), MofNCompleteColumn(), remaining)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, clock = bar.add_task("", total=None, state=""), PhaseClock()

        def show(progress: EvaluationProgress) -> None:
            bar.update(
                task,
                description=progress.phase,
                total=progress.total,
                completed=progress.done,
                state=clock.state(progress),
            )

        yield show


class PhaseClock:
    """Rate and time left of the phase that runs."""

    def __init__(self) -> None:
        self._phase, self._began_at, self._began_with = "", 0.0, 0

    def state(self, progress: EvaluationProgress) -> str:
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._began_at, self._began_with = progress.phase, now, progress.done
        done, seconds = progress.done - self._began_with, now - self._began_at
        if done <= 0 or seconds <= 0:
            return ""
        left_s = (progress.total - progress.done) * seconds / done
        return f"{done / seconds:.1f}/s, {left_s:.0f} s left"


class PlainPhases:
    """One line per phase and every few seconds."""

    def __init__(self) -> None:
        self._phase, self._shown_at, self._clock = "", 0.0, PhaseClock()

    def __call__(self, progress: EvaluationProgress) -> None:
        now, state = time.monotonic(), self._clock.state(progress)
        if progress.phase == self._phase and now - self._shown_at < PLAIN_EVERY_S:
            return
        self._phase, self._shown_at = progress.phase, now
        say(f"{progress.phase} {progress.done}/{progress.total} {state}".rstrip())


def _handled(progress: BuildProgress) -> int:
    return progress.done + progress.failed + progress.skipped


def _state(progress: BuildProgress) -> str:
    rate = f", {progress.rate_per_s:.1f}/s" if progress.rate_per_s else ""
    eta = f", {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
    return f"{progress.done} done, {progress.failed} failed, {progress.skipped} skipped{rate}{eta}"
