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


def test_heavy_jobs_wait_for_each_other() -> None:
    under_way = most = 0
    lock = threading.Lock()

    def work(n: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.002)
        with lock:
            under_way -= 1
        return n

    heavy = in_order(range(10), work, workers=4, n_ahead=10, weigh=lambda _: 7, weight_ahead=10)
    assert list(heavy) == list(range(10))
    assert most <= 2


def test_what_a_job_raises_is_raised_in_its_turn_and_nothing_hangs() -> None:
    def work(n: int) -> int:
        if n == 7:
            raise ZeroDivisionError("a bug, not a broken file")
        return n

    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(range(100), work, workers=3, n_ahead=6))
    n_threads = sum(thread.name.startswith("decode") for thread in threading.enumerate())
    assert n_threads == 0


def test_closing_early_ends_the_threads() -> None:
    stream = in_order(range(1000), lambda n: n, workers=3, n_ahead=6)
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    stream.close()
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


def test_a_source_of_jobs_that_raises_does_not_hang() -> None:
    def jobs() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(jobs(), lambda n: n, workers=2, n_ahead=8))
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


def test_no_jobs_no_results() -> None:
    assert list(in_order([], lambda n: n, workers=2, n_ahead=4)) == []
