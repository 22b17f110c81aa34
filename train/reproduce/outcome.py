"""What a row found: tables, orderings that hold or do not, files. Plain and ready to print."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from encoder.intervals import Figure

Verdict = Literal["holds", "within noise", "FAILED"]
State = Literal["reproduced", "within noise", "FAILED", "not reproduced"]
"""`FAILED`: it was computed, and an ordering that the paper claims is contradicted.
`within noise`: none is, and one of them can be told neither way."""
Cell = str | int | float | Figure


@dataclass(frozen=True, kw_only=True)
class Check:
    """An ordering that the paper claims, and what was found.

    Attributes
    ----------
    claim : what the paper says, as an ordering.
    verdict : what the numbers say of it; `within noise` where they cannot tell.
    found : the numbers that decide it.
    is_close : the papers' own gap is no wider than noise, so that `within noise` is all that can
        be asked: it does not make the row's state.
    """

    claim: str
    verdict: Verdict
    found: str
    is_close: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Measured numbers, never a paper's."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What computing a row gave.

    Attributes
    ----------
    pictures : PNG files that were written.
    notes : what was left out, and where this differs from the paper.
    """

    tables: tuple[Table, ...] = ()
    checks: tuple[Check, ...] = ()
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """What the checks make of the row."""
        if any(check.verdict == "FAILED" for check in self.checks):
            return "FAILED"
        if any(check.verdict == "within noise" and not check.is_close for check in self.checks):
            return "within noise"
        return "reproduced"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A row after it was asked for.

    Attributes
    ----------
    reason : why it was not reproduced, with what to put where; empty otherwise.
    """

    row: str
    state: State
    reason: str = ""
    findings: Findings = field(default_factory=Findings)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "state": self.state, "reason": self.reason} | {
            "seconds": round(self.seconds, 2),
            **_plain(asdict(self.findings)),
        }


def _plain(value: Any) -> Any:
    """JSON of nested dictionaries; NaN, which JSON has not, becomes null."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
