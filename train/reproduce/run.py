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
from train.reproduce.size import Size
from train.reproduce.study import table_7
from train.reproduce.world import world_material

VOTES = "user-study.csv"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to reproduce, on what.

    Parameters
    ----------
    rows : ids; empty is all.
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


def beyond_the_world(row: Row) -> bool:
    """Say whether a row needs what no made world can give: people, or a part still missing."""
    return row.compute is None


def reproduce(
    task: Task, *, say: Say = lambda _: None, on_file: OnFile | None = None
) -> Iterator[Outcome]:
    """Compute rows one after the other.

    A row ends as `reproduced`, as `FAILED` where an ordering that the paper claims does not hold,
    or as `not reproduced`.

    Raises
    ------
    TrainError, EncoderError : data that is there cannot be used.
    """
    rows = chosen_rows(task.rows)
    lab: Lab | None = None
    for row in rows:
        started = time.monotonic()
        say(f"{row.id}: {row.shows}")
        try:
            if row.compute is not None:
                lab = lab or _lab(task, say, on_file)
                findings = row.compute(lab)
            else:
                findings = _without_lab(row, task)
        except DataAbsent as absent:
            yield Outcome(row=row.id, state="not reproduced", reason=_absent(row, absent))
            continue
        held = all(check.holds for check in findings.checks)
        yield Outcome(
            row=row.id,
            state="reproduced" if held else "FAILED",
            findings=findings,
            seconds=time.monotonic() - started,
        )


def _without_lab(row: Row, task: Task) -> Findings:
    """Rows that no training stands behind."""
    if row.missing:
        raise DataAbsent(row.missing)
    return table_7(None if task.data is None else task.data / VOTES)


def _absent(row: Row, absent: DataAbsent) -> str:
    if row.missing:
        return f"needs {row.missing}, which this release does not have"
    return f"data absent ({absent}); give --data DIR with {row.what_to_put}"


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
    )


def _listener(streams: Checkpoint | None) -> TwoStreamEncoder:
    """Return a network whose window and sound front the pairs are decoded for."""
    return TwoStreamEncoder(paper()) if streams is None else streams.network
