"""Where the milliseconds of a search go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import ParamSpec, TypeVar

from retrieval.hits import Stage, TookMs

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Adds up the milliseconds of each stage."""

    def __init__(self) -> None:
        self._ms: dict[Stage, float] = {"embed": 0.0, "search": 0.0, "condition": 0.0}

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        started = perf_counter()
        yield
        self._ms[name] += 1000 * (perf_counter() - started)

    def timed(self, name: Stage, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function with its time counted to a stage."""

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.stage(name):
                return function(*args, **kwargs)

        return run

    def took(self) -> TookMs:
        ms = self._ms
        return TookMs(embed=ms["embed"], search=ms["search"], condition=ms["condition"])
