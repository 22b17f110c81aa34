"""What a check gives: a line of the report, and what to do where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]
REINSTALL = "run `make setup`, which installs requirements.lock"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    status : `warn` where the work goes on with less, `fail` where it does not.
    remedy : what to do; there is one unless the status is `ok`, where it is empty.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if (self.status == "ok") == bool(self.remedy):
            raise ValueError(f"{self.name}: {self.status} with the remedy {self.remedy!r}")
