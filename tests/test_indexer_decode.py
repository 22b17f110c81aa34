"""Decoding ahead: in order, bounded, and never hanging, whatever is raised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from indexer.decode import in_order


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_results_come_in_order_and_not_too_far_ahead(workers: int) -> None:
    begun: list[int] = []

    def work(n: int) -> int:
        time.sleep(0.002 * (n % 3))
        begun.append(n)
        return n

    seen = []
    for n in in_order(range(40), work, workers=workers, n_ahead=5):
        seen.append(n)
        assert len(begun) <= n + 5
    assert seen == list(range(40))


def test_every_thread_begins_as_told() -> None:
    begun: set[int] = set()

    def work(n: int) -> bool:
        time.sleep(0.002)
        return threading.get_ident() in begun

    told = in_order(
        range(20), work, workers=3, n_ahead=6, begin=lambda: begun.add(threading.get_ident())
    )
    assert all(told)
    assert len(begun) == 3


def test_what_a_job_raises_is_raised_in_its_turn_and_nothing_hangs() -> None:
    def work(n: int) -> int:
        if n == 7:
            raise ZeroDivisionError("a bug, not a broken file")
        return n

    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(range(100), work, workers=3, n_ahead=6))
    n_threads = sum(thread.name.startswith("build") for thread in threading.enumerate())
    assert n_threads == 0


def test_closing_early_ends_the_threads() -> None:
    stream = in_order(range(1000), lambda n: n, workers=3, n_ahead=6)
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    stream.close()
    assert not any(thread.name.startswith("build") for thread in threading.enumerate())


def test_a_source_of_jobs_that_raises_does_not_hang() -> None:
    def jobs() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(jobs(), lambda n: n, workers=2, n_ahead=8))
    assert not any(thread.name.startswith("build") for thread in threading.enumerate())


def test_no_jobs_no_results() -> None:
    assert list(in_order([], lambda n: n, workers=2, n_ahead=4)) == []
