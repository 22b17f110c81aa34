"""Rows in, outcomes out: what `retrieval reproduce` calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from encoder.checkpoint import Checkpoint, load_checkpoint
from encoder.config import paper
from encoder.embedder import choose_device
from encoder.two_stream import TwoStreamEncoder
from train.bank import OnFile
from train.errors import DataAbsent, RecipeError
from train.reproduce.folder import folder_material, labellers_of, visual_weights
from train.reproduce.lab import Lab, Say
from train.reproduce.outcome import Findings, Outcome
from train.reproduce.rows import Row, all_rows
from train.reproduce.schemes import Scheme
from train.reproduce.size import Size
from train.reproduce.world import world_material

VOTES = "user-study.csv"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to reproduce, on what.

    Parameters
    ----------
    rows : ids; empty is all that this release and the source of data can give.
    data : folder of data (`entries.LAYOUT`), or None.
    world : compute on the procedural world instead.
    out : pictures are written into it, trained networks into its folder `cache`.
    """

    rows: tuple[str, ...] = ()
    data: Path | None = None
    world: bool = False
    size: Size
    seed: int = 0
    out: Path
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.world and self.data is not None:
            raise RecipeError("world and data: give one of the two")
        chosen_rows(self.rows)

    @property
    def asked(self) -> tuple[Row, ...]:
        """Rows to compute, in the order of the catalogue."""
        return tuple(row for row in chosen_rows(self.rows) if row not in self.left_out)

    @property
    def left_out(self) -> tuple[Row, ...]:
        """Rows that nobody named and that cannot be: no votes in a world, a part still missing."""
        if self.rows:
            return ()
        return tuple(
            row for row in all_rows() if row.missing or (self.world and not row.is_within_a_world)
        )

    def planned(self, size: Size) -> set[Scheme]:
        """Networks that all rows together ask for."""
        return {scheme for row in self.asked for scheme in row.trains(size)}


def chosen_rows(ids: Sequence[str]) -> tuple[Row, ...]:
    """Return rows by id, in the order of the catalogue; all where none is named.

    Raises
    ------
    RecipeError : there is no such row.
    """
    rows = all_rows()
    unknown = sorted(set(ids) - {row.id for row in rows})
    if unknown:
        known = ", ".join(row.id for row in rows)
        raise RecipeError(f"{', '.join(unknown)}: no such row; there are {known}")
    return tuple(row for row in rows if not ids or row.id in ids)


def reproduce(
    task: Task, *, say: Say = lambda _: None, on_file: OnFile | None = None
) -> Iterator[Outcome]:
    """Compute rows one after the other.

    A row without its data ends as `not reproduced`; else its checks say how it ends
    (`Findings.state`).

    Raises
    ------
    TrainError, EncoderError : data that is there cannot be used.
    """
    source = _Source(task, say, on_file)
    for number, row in enumerate(task.asked, start=1):
        started = time.monotonic()
        say(f"{number}/{len(task.asked)} {row.id}: {row.shows}")
        try:
            findings = _findings(row, source)
        except DataAbsent as absent:
            yield Outcome(row=row.id, state="not reproduced", reason=_absent(row, absent))
            continue
        yield Outcome(
            row=row.id,
            state=findings.state,
            findings=findings,
            seconds=time.monotonic() - started,
        )


def _findings(row: Row, source: _Source) -> Findings:
    if row.compute is not None:
        return row.compute(source.lab)
    if row.tally is not None:
        return row.tally(source.votes)
    raise DataAbsent(row.missing)


def _absent(row: Row, absent: DataAbsent) -> str:
    if row.missing:
        return f"needs {row.missing}, which this release does not have"
    return f"data absent ({absent}); give --data DIR with {row.what_to_put}"


class _Source:
    """What a task names: its lab is made when the first row asks, once, or found absent once."""

    def __init__(self, task: Task, say: Say, on_file: OnFile | None) -> None:
        self._task, self._say, self._on_file = task, say, on_file
        self._lab: Lab | DataAbsent | None = None

    @property
    def votes(self) -> Path | None:
        """The file of a user study, whether or not it is there; None without a folder."""
        return None if self._task.data is None else self._task.data / VOTES

    @property
    def lab(self) -> Lab:
        """Raises DataAbsent where there is nothing to train on."""
        if self._lab is None:
            try:
                self._lab = _lab(self._task, self._say, self._on_file)
            except DataAbsent as absent:
                self._lab = absent
        if isinstance(self._lab, DataAbsent):
            raise self._lab
        return self._lab


def _lab(task: Task, say: Say, on_file: OnFile | None) -> Lab:
    """Make the material and a lab on it. Raises DataAbsent without either source."""
    if not task.world and task.data is None:
        raise DataAbsent("neither --data nor --world is given")
    device = choose_device(task.device)
    streams = load_checkpoint(None) if task.size.recipe.frozen else None
    network = _listener(streams)
    if task.world:
        say("making the world")
        material = world_material(network, task.size, seed=task.seed, on_file=on_file)
    else:
        assert task.data is not None
        say(f"looking through {task.data}")
        material = folder_material(task.data, network, task.size, seed=task.seed, on_file=on_file)
    return Lab(
        material,
        task.size,
        streams=streams,
        out=task.out,
        seed=task.seed,
        visual_weights=visual_weights(task.data),
        labellers=partial(labellers_of, task.data, str(device)),
        device=device,
        say=say,
        planned=task.planned,
    )


def _listener(streams: Checkpoint | None) -> TwoStreamEncoder:
    """Return a network whose window and sound front the pairs are decoded for."""
    return TwoStreamEncoder(paper()) if streams is None else streams.network
