"""FAISS against the plain numpy twin: ties, duplicates, filters, and what FAISS does silently."""

from __future__ import annotations

import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexer_fixtures import unit_rows

from encoder.errors import InputError
from indexer.blocks import Floats, Ids
from indexer.errors import IndexCorrupt
from indexer.storage import is_intact
from indexer.vectors import Chosen, VectorIndex, devices, exact_nearest, gpu_works, write_flat
from indexer.vectors.devices import GpuCopy


def gallery(seed: int, n: int, n_distinct: int, width: int = 24) -> tuple[Ids, Floats]:
    rng = np.random.default_rng(seed)
    rows = unit_rows(rng, n_distinct, width)[rng.integers(0, n_distinct, n)]
    return rng.permutation(10 * n)[:n].astype(np.int64), rows


def index_of(ids: Ids, rows: Floats, width: int = 24) -> VectorIndex:
    """Written and read again, in two blocks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ünïcode 音.faiss"
        blocks = [(ids[:7], rows[:7]), (ids[7:], rows[7:])]
        record = write_flat(path, lambda: blocks, width)
        assert (record.bytes, record.rows) == (path.stat().st_size, len(ids))
        with path.open("rb") as file:
            return VectorIndex.read(file, path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_nearest_is_its_slow_twin(seed: int, n: int, n_distinct: int, k: int) -> None:
    ids, rows = gallery(seed, n, n_distinct)
    index = index_of(ids, rows)
    query = unit_rows(np.random.default_rng(seed + 1), 1, 24)[0]
    for allowed in (None, ids[::2]):
        chosen = np.isin(ids, ids if allowed is None else allowed)
        slow = exact_nearest([(ids[chosen], rows[chosen])], query, k)
        fast = index.nearest(query, k, allowed=allowed)
        assert fast.ids.tolist() == slow.ids.tolist()
        assert fast.scores.tolist() == slow.scores.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_what_is_left_out_is_never_found(seed: int, n: int, n_distinct: int, k: int) -> None:
    ids, rows = gallery(seed, n, n_distinct)
    rng = np.random.default_rng(seed + 2)
    excluded = np.sort(rng.choice(ids, rng.integers(0, n + 1), replace=False))
    query, index = rows[0], index_of(ids, rows)
    for allowed in (None, Chosen(ids[::2])):
        chosen = ~np.isin(ids, excluded) & np.isin(ids, ids if allowed is None else allowed.ids)
        slow = exact_nearest([(ids[chosen], rows[chosen])], query, k)
        fast = index.nearest(query, k, allowed=allowed, excluded=excluded)
        assert fast.ids.tolist() == slow.ids.tolist()
        assert fast.scores.tolist() == slow.scores.tolist()


def test_a_filter_serves_several_indexes() -> None:
    """Each has ids that the other lacks; what was worked out for one is not used for the other."""
    ids, rows = gallery(6, 40, 40)
    parts = [index_of(ids[:20], rows[:20]), index_of(ids[20:], rows[20:])]
    chosen = Chosen(ids[10:25])
    for _ in range(2):
        found = [set(part.nearest(rows[0], 40, allowed=chosen).ids.tolist()) for part in parts]
        assert found == [set(ids[10:20].tolist()), set(ids[20:25].tolist())]


def test_a_long_tie_at_the_edge_is_cut_by_id() -> None:
    rows = np.repeat(unit_rows(np.random.default_rng(0), 1, 24), 50, axis=0)
    ids = np.arange(50, dtype=np.int64)[::-1].copy()
    found = index_of(ids, rows).nearest(rows[0], 5)
    assert found.ids.tolist() == [0, 1, 2, 3, 4]


def test_k_beyond_the_gallery_gives_the_gallery() -> None:
    ids, rows = gallery(0, 5, 5)
    found = index_of(ids, rows).nearest(rows[2], 100)
    assert sorted(found.ids) == sorted(ids)
    assert found.ids[0] == ids[2]
    assert found.scores[0] == 1.0


@pytest.mark.parametrize("k", [0, -1, 3])
def test_nothing_to_choose_from_is_no_answer(k: int) -> None:
    empty = index_of(np.empty(0, np.int64), np.empty((0, 24), np.float32))
    assert not len(empty.nearest(np.zeros(24, np.float32), k).ids)
    ids, rows = gallery(0, 5, 5)
    full = index_of(ids, rows)
    assert not len(full.nearest(rows[0], k, allowed=np.empty(0, np.int64)).ids)


@pytest.mark.parametrize("query", [np.full(24, np.nan), np.full(24, np.inf), np.zeros(23)])
def test_a_query_that_faiss_would_answer_with_minus_one_is_refused(query: Floats) -> None:
    ids, rows = gallery(0, 5, 5)
    with pytest.raises(InputError):
        index_of(ids, rows).nearest(query.astype(np.float32), 3)


@pytest.mark.parametrize("n", [0, 1, 40])
def test_the_file_is_what_faiss_itself_writes(tmp_path: Path, n: int) -> None:
    rng = np.random.default_rng(n)
    ids, rows = rng.permutation(1000)[:n].astype(np.int64), unit_rows(rng, n, 24)
    record = write_flat(tmp_path / "ours", lambda: [(ids, rows)], 24)
    index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(24))
    if n:
        index.add_with_ids(rows, ids)
    theirs = faiss.serialize_index(index).tobytes()
    assert (tmp_path / "ours").read_bytes() == theirs
    assert is_intact(tmp_path / "ours", record)


def test_a_damaged_file_says_how_it_is_mended() -> None:
    with pytest.raises(IndexCorrupt, match="build-index"):
        VectorIndex.read(io.BytesIO(b"no faiss in here at all"), Path("x.faiss"))


def test_the_gpu_gives_the_same_answer() -> None:
    if not gpu_works():
        pytest.skip("FAISS finds no GPU here")
    ids, rows = gallery(4, 500, 200)
    index = index_of(ids, rows)
    cpu, gpu = (index.nearest(rows[0], 20, device=device) for device in ("cpu", "cuda"))
    assert gpu.ids.tolist() == cpu.ids.tolist()
    assert gpu.scores.tolist() == cpu.scores.tolist()


class StandIn:
    """What FAISS has on a GPU, as it behaves: few are found, by one thread at a time."""

    def __init__(self, index: Any, refuses: str = "") -> None:
        self.index, self.refuses = index, refuses
        self.n_inside = self.n_searches = 0

    def search(self, queries: Floats, n: int) -> tuple[Floats, Ids]:
        assert n <= 2048
        self.n_inside += 1
        assert self.n_inside == 1, "two threads at once"
        time.sleep(0.002)
        self.n_inside -= 1
        self.n_searches += 1
        if self.refuses:
            raise RuntimeError(self.refuses)
        scores, places = self.index.search(queries, n)
        return scores, places


def flat_index(rows: Floats) -> Any:
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index


def test_a_copy_on_the_gpu_is_made_once_and_searched_by_one_thread_at_a_time() -> None:
    rows, made = unit_rows(np.random.default_rng(7), 40, 24), []

    def copied(index: Any) -> StandIn:
        made.append(StandIn(index))
        return made[-1]

    copy = GpuCopy(flat_index(rows), copied)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: copy.search(rows[place : place + 1], 3), range(40)))
    assert [one[1][0, 0] for one in found if one is not None] == list(range(40))
    assert [one.n_searches for one in made] == [40]


def test_more_than_the_gpu_finds_are_asked_of_the_cpu() -> None:
    rows = unit_rows(np.random.default_rng(8), 3000, 24)
    made = StandIn(flat_index(rows))
    copy = GpuCopy(made.index, lambda _: made)
    assert copy.search(rows[:1], 2049) is None
    assert not made.n_searches
    assert copy.search(rows[:1], 2048) is not None


@pytest.mark.parametrize("at", ["copying", "searching"])
def test_a_gpu_that_fails_is_given_up_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    ids, rows = gallery(9, 50, 50)
    made: list[StandIn] = []

    def copied(index: Any, *_: Any) -> StandIn:
        made.append(StandIn(index, "out of\nmemory"))
        if at == "copying":
            raise RuntimeError("out of\nmemory")
        return made[-1]

    monkeypatch.setattr("indexer.vectors.flat.gpu_works", lambda: True)
    monkeypatch.setattr("indexer.vectors.flat.GpuCopy", lambda index: GpuCopy(index, copied))
    index = index_of(ids, rows)
    with pytest.warns(UserWarning, match="searched on the CPU: out of memory") as told:
        found = [index.nearest(rows[3], 5, device="cuda") for _ in range(3)]
    cpu = index.nearest(rows[3], 5)
    assert [one.ids.tolist() for one in found] == [cpu.ids.tolist()] * 3
    assert (len(told), len(made)) == (1, 1)


def test_asking_for_a_gpu_that_is_not_there_searches_on_the_cpu() -> None:
    ids, rows = gallery(5, 20, 20)
    index = index_of(ids, rows)
    assert index.nearest(rows[3], 1, device="auto").ids.tolist() == [ids[3]]


@pytest.mark.parametrize(
    "probe",
    ["import time; time.sleep(60)", "import os; os.abort()", "raise RuntimeError('driver')"],
)
def test_a_broken_driver_costs_a_moment_and_no_answer(
    monkeypatch: pytest.MonkeyPatch, probe: str
) -> None:
    """The probe hangs, aborts or fails in a process of its own: the processor answers."""
    monkeypatch.setattr(devices, "PROBE", probe)
    monkeypatch.setattr(devices, "PROBE_S", 0.5)
    monkeypatch.setattr(devices.faiss, "StandardGpuResources", object, raising=False)
    devices.gpu_works.cache_clear()
    try:
        assert not devices.gpu_works()
    finally:
        devices.gpu_works.cache_clear()
