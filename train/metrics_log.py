"""What a run measured, step by step, for programs: `metrics.jsonl`, and event files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.errors import ToolMissing
from train.figures import Figures
from train.keeping import writing_to
from train.loop import Progress

METRICS = "metrics.jsonl"
EVENTS = "tensorboard"


class MetricsLog:
    """One line of JSON per step: loss, terms, learning rate, pairs/s; figures where validated.

    Parameters
    ----------
    done : steps that a resumed run has behind it; lines after them are dropped, since these steps
        are done again.
    """

    def __init__(self, folder: Path, *, done: int = 0) -> None:
        self._path = folder / METRICS
        kept = _lines_until(self._path, done) if done else []
        self._path.write_text("".join(kept), encoding="utf-8")

    def __call__(self, progress: Progress) -> None:
        line = json.dumps(_finite(as_json(progress)), allow_nan=False)
        with writing_to(self._path.parent), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class EventLog:
    """TensorBoard event files in the folder `tensorboard`.

    Raises
    ------
    ToolMissing : TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, done: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ToolMissing(
                "--tensorboard: TensorBoard is not installed; install the extra "
                "`tensorboard` of this project, or read metrics.jsonl"
            ) from None
        self._writer = SummaryWriter(folder / EVENTS, purge_step=done + 1 if done else None)

    def __call__(self, progress: Progress) -> None:
        for name, value in scalars(progress):
            self._writer.add_scalar(name, value, progress.step)
        if progress.figures is not None or progress.step == progress.steps:
            self._writer.flush()


def as_json(progress: Progress) -> dict[str, Any]:
    """Return what a line holds."""
    line: dict[str, Any] = {
        "step": progress.step,
        "loss": progress.loss,
        "terms": progress.terms,
        "learning_rate": progress.learning_rate,
        "pairs_per_s": round(progress.pairs_per_s, 2),
    }
    return line if progress.figures is None else line | {"val": progress.figures.to_json()}


def scalars(progress: Progress) -> Iterator[tuple[str, float]]:
    """Yield the curves' points by name."""
    yield "train/loss", progress.loss
    yield "train/learning_rate", progress.learning_rate
    yield "train/pairs_per_s", progress.pairs_per_s
    for name, value in progress.terms.items():
        yield f"train/{name}", value
    if progress.figures is not None:
        yield "val/worse_direction", progress.figures.worst
        yield from _means(progress.figures)


def _means(figures: Figures) -> Iterator[tuple[str, float]]:
    for name, value in figures.to_json().items():
        mean = value.get("mean") if isinstance(value, dict) else value
        if isinstance(mean, int | float):
            yield f"val/{name}", mean


def _lines_until(path: Path, step: int) -> list[str]:
    if not path.is_file():
        return []
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(True) if line[-1] == "\n"]
    return [line for line in whole if json.loads(line)["step"] <= step]


def _finite(value: Any) -> Any:
    """JSON knows no NaN: null stands for what could not be measured."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
