"""How far a build is: counted in items, told a few times per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["scan", "inspect", "encode", "copy", "index", "label"]
TIMED = ("inspect", "encode", "copy", "label")
"""Phases that go through the items."""
TELL_EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class BuildProgress:
    """How far a build is; done + failed + skipped grow up to total.

    Attributes
    ----------
    done : items encoded.
    failed : items of which nothing could be used.
    skipped : items that earlier runs had done.
    total : items planned, 0 while the scan goes on.
    rate_per_s : items done or failed per second of encoding.
    eta_s : seconds left, None while unknown.
    """

    phase: Phase
    done: int = 0
    failed: int = 0
    skipped: int = 0
    total: int = 0
    rate_per_s: float = 0.0
    eta_s: float | None = None


OnProgress = Callable[[BuildProgress], None]


class Progress:
    """The counts of one build, and the seconds of each phase."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self.seconds: dict[str, float] = {}
        self.done = self.failed = self.skipped = self.total = 0
        self._phase: Phase = "scan"
        self._began = time.monotonic()
        self._told = 0.0

    def enter(self, phase: Phase) -> None:
        """End the phase that was, begin another."""
        self.end()
        self._phase = phase
        self.tell(at_once=True)

    def end(self) -> None:
        """Add the time of the phase that was."""
        now = time.monotonic()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._began
        self._began = now

    def tell(self, *, at_once: bool = False) -> None:
        """Report, unless that was done a moment ago."""
        now = time.monotonic()
        if self._on_progress and (at_once or now - self._told >= TELL_EVERY_S):
            self._told = now
            self._on_progress(self._snapshot(now))

    def _snapshot(self, now: float) -> BuildProgress:
        handled = self.done + self.failed
        rate = handled / (now - self._began) if self._phase in TIMED and handled else 0.0
        return BuildProgress(
            phase=self._phase,
            done=self.done,
            failed=self.failed,
            skipped=self.skipped,
            total=self.total,
            rate_per_s=rate,
            eta_s=(self.total - self.skipped - handled) / rate if rate else None,
        )
