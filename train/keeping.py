"""When and where an unfinished run is written, and which unfinished run may be gone on with."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from encoder.config import TwoStreamConfig
from train.errors import ResumeError, RoomError
from train.recipe import Recipe
from train.state import UNFINISHED, State, read_state, write_state

SAVE_EVERY_S = 300.0
N_COPIES = 5
"""Of the network in a state: itself, its average, the best one, two moments of the optimiser."""
SPARE_BYTES = 64 * 2**20
"""Room for the checkpoint's text, metrics and event files."""


class Keeping:
    """The unfinished run of a folder.

    Parameters
    ----------
    identity : JSON; what must be the same for a run to be gone on with (recipe, data, network).
    every_s : seconds from one writing to the next.
    resume : go on from what is there; else nothing may be there.

    Raises
    ------
    ResumeError : at once, where there is nothing to go on from, something is in the way, or the
        identity differs; later, where the tensors do not fit.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        *,
        every_s: float = SAVE_EVERY_S,
        resume: bool = False,
    ) -> None:
        self.folder, self.identity, self.every_s = folder, dict(identity), every_s
        self._state = resumable(folder, self.identity) if resume else None
        if not resume:
            refuse_in_the_way(folder)
        self._written_at = time.monotonic()

    @property
    def done(self) -> int:
        """Steps that the run has behind it."""
        return 0 if self._state is None else int(self._state.facts["step"])

    def found(self) -> State | None:
        """Give what the run goes on from, once; None for a new run."""
        state, self._state = self._state, None
        return state

    def is_due(self, now: bool) -> bool:
        """Whether it is time to write; `now` says that the run is about to stop."""
        return now or time.monotonic() - self._written_at >= self.every_s

    def write(self, state: State) -> None:
        """Write the state with the run's identity. Raises RoomError."""
        with writing_to(self.folder):
            whole = replace(state, facts=state.facts | {"identity": self.identity})
            write_state(self.folder, whole)
        self._written_at = time.monotonic()


def identity_of(recipe: Recipe, config: TwoStreamConfig, data: str) -> dict[str, Any]:
    """Return what makes a run the same run. JSON."""
    network = {f"network {name}": value for name, value in config.to_json().items()}
    identity: dict[str, Any] = json.loads(json.dumps(asdict(recipe) | network | {"data": data}))
    return identity


def resumable(folder: Path, identity: Mapping[str, Any]) -> State:
    """Read an unfinished run; raises ResumeError where there is none or another one."""
    state = read_state(folder)
    if state is None:
        raise ResumeError(
            f"{folder}: no unfinished run to resume ({UNFINISHED} is missing): it has ended or "
            "never begun; leave out --resume"
        )
    found = state.facts["identity"]
    for name in sorted(set(found) | set(identity)):
        there, here = found.get(name), identity.get(name)
        if there != here:
            raise ResumeError(
                f"{folder}: the run there has another {name} ({there}, here {here}); give the "
                "options and the data that it was started with, or another --out"
            )
    return state


def refuse_in_the_way(folder: Path) -> None:
    """Raise ResumeError where starting anew would replace an unfinished run."""
    if (path := folder / UNFINISHED).is_file():
        raise ResumeError(
            f"{path}: an unfinished run is there; add --resume to go on with it, or remove it"
        )


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Where a running run's folder cannot be written any more, say what is left to go on with.

    Raises
    ------
    RoomError : instead of OSError.
    """
    try:
        yield
    except OSError as error:
        left = "add --resume" if (folder / UNFINISHED).is_file() else "start again"
        reason = error.strerror or error
        raise RoomError(
            f"{folder}: the run cannot be written ({reason}); make room there, then {left}"
        ) from None


def check_room(folder: Path, network: nn.Module) -> None:
    """Make sure that a folder can be written and has room for all that a run will write.

    Raises
    ------
    OSError : it cannot be made or written.
    RoomError : too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    one = sum(tensor.nbytes for tensor in network.state_dict().values())
    # The next state is written beside the last; the checkpoint takes half a copy.
    needed, free = 2 * N_COPIES * one + one + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise RoomError(
            f"{folder}: {free / 2**20:.0f} MiB free, up to {needed / 2**20:.0f} MiB will be "
            "written; make room, or give another --out"
        )
