"""How far an evaluation is, told a few times per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from indexer.progress import TELL_EVERY_S


@dataclass(frozen=True, kw_only=True)
class EvaluationProgress:
    """How far one phase is: `done` of `total` steps of it."""

    phase: str
    done: int
    total: int


OnEvaluation = Callable[[EvaluationProgress], None]


class Teller:
    """Tells a listener how far a phase is, unless that was done a moment ago."""

    def __init__(self, listener: OnEvaluation | None) -> None:
        self._listener = listener
        self._told = 0.0
        self._phase = ""

    def tell(self, phase: str, done: int, total: int) -> None:
        """Tell; the first and the last step of a phase are never left out."""
        if self._listener is None:
            return
        now = time.monotonic()
        if phase != self._phase or done >= total or now - self._told >= TELL_EVERY_S:
            self._phase, self._told = phase, now
            self._listener(EvaluationProgress(phase=phase, done=done, total=total))
