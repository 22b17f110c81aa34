"""Compressed kinds: recall as it was written down, filters, deletions, and files of any fate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoder.errors import InputError
from indexer.blocks import Floats, Ids
from indexer.errors import IndexCorrupt
from indexer.neighbours import Neighbours
from indexer.storage import is_intact
from indexer.vectors import Chosen, Kind, VectorIndex, VectorPlan, exact_nearest, write_vectors
from indexer.vectors.inverted import AT_ONCE
from indexer.vectors.lists import ListWriter, trained
from indexer.vectors.proposals import Proposer
from indexer.vectors.sample import Survey

KINDS: tuple[Kind, ...] = ("ivf-sq8", "ivf-sq4", "ivf-pq")
WIDTH = 32


@dataclass
class Collection:
    """Clustered unit vectors with scattered ids, and the file that was written of them."""

    ids: Ids
    rows: Floats
    path: Path
    index: VectorIndex
    facts: dict[str, Any]

    def rows_of(self, ids: Ids) -> Floats:
        if not np.isin(ids, self.ids).all():
            raise KeyError("an item without a sound")
        order = np.argsort(self.ids)
        return self.rows[order[np.searchsorted(self.ids, ids, sorter=order)]]

    def exact(self, query: Floats, k: int, keep: Ids | None = None) -> Neighbours:
        kept = np.isin(self.ids, self.ids if keep is None else keep)
        return exact_nearest([(self.ids[kept], self.rows[kept])], query, k)


def clustered(seed: int, n: int) -> tuple[Ids, Floats]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(4, n // 40), WIDTH))
    rows = centres[rng.integers(0, len(centres), n)] + 0.6 * rng.normal(size=(n, WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rng.permutation(10 * n)[:n].astype(np.int64), rows.astype(np.float32)


def blocks_of(ids: Ids, rows: Floats) -> Any:
    return lambda: ((ids[i : i + 333], rows[i : i + 333]) for i in range(0, len(ids), 333))


def written(folder: Path, seed: int, n: int, **plan: Any) -> Collection:
    ids, rows = clustered(seed, n)
    path = folder / "ünïcode 音.faiss"
    done = write_vectors(path, blocks_of(ids, rows), WIDTH, plan=VectorPlan(**plan))
    assert is_intact(path, done.record)
    assert done.record.rows == n
    assert [entry.name for entry in folder.iterdir()] == [path.name], "nothing is left beside it"
    facts = json.loads(json.dumps(done.facts))
    collection = Collection(ids, rows, path, None, facts)  # type: ignore[arg-type]
    collection.index = VectorIndex.open(path, done.record, facts, collection.rows_of)
    return collection


@pytest.fixture(scope="module", params=KINDS)
def collection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Collection:
    return written(tmp_path_factory.mktemp("collection"), 1, 3000, kind=request.param)


def queries(collection: Collection, n: int = 40) -> Floats:
    """Vectors like those of the collection."""
    rows = collection.rows[:n] + 0.05 * np.random.default_rng(2).normal(size=(n, WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2**31),
    st.integers(64, 1500),
    st.sampled_from(KINDS),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_recall_is_what_the_facts_say(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, kind: Kind, min_recall: float
) -> None:
    folder = tmp_path_factory.mktemp("recall")
    made = written(folder, seed, n, kind=kind, min_recall=min_recall)
    assert made.facts["recall"] >= min_recall
    assert made.facts["kind"] in (kind, "flat")
    sampled = made.rows[np.random.default_rng(seed).permutation(n)[:200]]
    shares = []
    for row in sampled:  # a vector finds itself: left out, as the measurement does
        truth, found = made.exact(row, 11).ids[1:], made.index.nearest(row, 11).ids[1:]
        shares.append(np.isin(truth, found).mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) >= min_recall - 3 * error - 0.01


def test_scores_are_those_of_exact_vectors(collection: Collection) -> None:
    for query in queries(collection):
        found = collection.index.nearest(query, 10)
        exact = collection.exact(query, len(collection.ids))
        by_id = dict(zip(exact.ids.tolist(), exact.scores.tolist(), strict=True))
        assert found.scores.tolist() == [by_id[item] for item in found.ids.tolist()]
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_a_deleted_item_never_comes_back(collection: Collection) -> None:
    query = queries(collection)[0]
    near = collection.exact(query, 60).ids
    for excluded in (near[:1], near[:50], collection.ids[collection.ids != near[0]]):
        found = collection.index.nearest(query, 10, excluded=np.sort(excluded))
        assert len(found.ids) == min(10, len(collection.ids) - len(excluded))
        assert not np.isin(found.ids, excluded).any()
    left = np.setdiff1d(collection.ids, near[:50])
    found = collection.index.nearest(query, 10, excluded=np.sort(near[:50]))
    assert np.isin(collection.exact(query, 10, left).ids, found.ids).mean() >= 0.8


def test_few_allowed_are_found_exactly_wherever_they_are(collection: Collection) -> None:
    query = queries(collection)[0]
    far = collection.exact(query, len(collection.ids)).ids[-3:]
    foreign = np.setdiff1d(np.arange(10 * len(collection.ids)), collection.ids)[:5]
    allowed = np.sort(np.concatenate([far, foreign]))
    found = collection.index.nearest(query, 10, allowed=allowed)
    slow = collection.exact(query, 10, far)
    assert found.ids.tolist() == slow.ids.tolist()
    assert found.scores.tolist() == slow.scores.tolist()
    one_less = collection.index.nearest(query, 10, allowed=allowed, excluded=far[:1])
    assert sorted(one_less.ids) == sorted(far[1:])
    assert not len(collection.index.nearest(query, 10, allowed=foreign).ids)


@pytest.mark.parametrize("farthest", [False, True])
def test_many_allowed_are_found_as_surely_as_all(collection: Collection, farthest: bool) -> None:
    """Also where none of them are near the query, and no near list holds any."""
    shares = []
    for query in queries(collection):
        ranked = collection.exact(query, len(collection.ids)).ids
        allowed = Chosen(np.sort(ranked[-2200:] if farthest else ranked[30:2500]))
        for k in (10, 2100):
            found = collection.index.nearest(query, k, allowed=allowed)
            assert len(found.ids) == k
            assert np.isin(found.ids, allowed.ids).all()
        found = collection.index.nearest(query, 10, allowed=allowed)
        shares.append(np.isin(collection.exact(query, 10, allowed.ids).ids, found.ids).mean())
    assert np.mean(shares) >= 0.93


@pytest.mark.parametrize("query", [np.full(WIDTH, np.nan), np.zeros(WIDTH - 1)])
def test_a_query_that_makes_no_sense_is_refused(collection: Collection, query: Floats) -> None:
    with pytest.raises(InputError):
        collection.index.nearest(query.astype(np.float32), 3)


def test_k_beyond_the_collection_gives_all(collection: Collection) -> None:
    query = queries(collection)[0]
    found = collection.index.nearest(query, 10**6)
    slow = collection.exact(query, 10**6)
    assert found.ids.tolist() == slow.ids.tolist()


def test_recall_holds_for_more_than_was_measured(collection: Collection) -> None:
    shares = []
    for query in queries(collection):
        found = collection.index.nearest(query, 250).ids
        shares.append(np.isin(collection.exact(query, 250).ids, found).mean())
    assert np.mean(shares) >= 0.93


@pytest.mark.parametrize("k", [10, 2500, 3000])
def test_memory_is_bounded_however_many_are_asked_for(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    """Neither more proposals than there are vectors, nor all exact vectors at once."""
    proposed, scored = [], []

    def noted(lists: Proposer, queries: Floats, n: int, nprobe: int) -> Any:
        proposed.append(n)
        return propose(lists, queries, n, nprobe)

    def rows_of(ids: Ids) -> Floats:
        scored.append(len(ids))
        return collection.rows_of(ids)

    propose = Proposer.propose
    monkeypatch.setattr(Proposer, "propose", noted)
    with collection.path.open("rb") as file:
        index = VectorIndex.read(file, collection.path, collection.facts, rows_of)
    query = queries(collection)[0]
    found = index.nearest(query, k, excluded=np.sort(collection.ids[:5]))
    assert len(found.ids) == min(k, 2995)
    assert max(proposed) <= 3000
    assert max(scored) <= AT_ONCE
    allowed = Chosen(np.sort(collection.ids[:2500]))
    assert len(index.nearest(query, k, allowed=allowed).ids) == min(k, 2500)
    assert max(scored) <= AT_ONCE


def test_a_flipped_id_says_how_it_is_mended(collection: Collection, tmp_path: Path) -> None:
    content = collection.path.read_bytes()
    damaged = tmp_path / "damaged.faiss"
    damaged.write_bytes(content[:-8] + (10**9).to_bytes(8, "little"))  # ids of a list end the file
    with damaged.open("rb") as file:
        index = VectorIndex.read(file, damaged, collection.facts, collection.rows_of)
    with pytest.raises(IndexCorrupt, match=r"damaged\.faiss: damaged: .*build-index"):
        index.nearest(queries(collection)[0], 3000)


@pytest.mark.parametrize("kind", ["flat", *KINDS])
def test_a_file_stays_readable_when_it_is_unlinked(tmp_path: Path, kind: Kind) -> None:
    made = written(tmp_path, 15, 500, kind=kind)
    query = queries(made)[0]
    before = made.index.nearest(query, 10)
    made.path.unlink()
    assert made.index.nearest(query, 10).ids.tolist() == before.ids.tolist()


@pytest.mark.parametrize("kind", ["flat", *KINDS])
@pytest.mark.parametrize("left", [0, 3, 40, 500, 0.3, 0.9, -1])
def test_a_truncated_file_says_how_it_is_mended(tmp_path: Path, kind: Kind, left: float) -> None:
    made = written(tmp_path, 9, 500, kind=kind)
    whole = made.path.read_bytes()
    n_left = int(left * len(whole)) if 0 < left < 1 else int(left) % len(whole)
    made.path.write_bytes(whole[:n_left])
    with (
        made.path.open("rb") as file,
        pytest.raises(IndexCorrupt, match=r"damaged: .*build-index"),
    ):
        VectorIndex.read(file, made.path, made.facts, made.rows_of)


def test_another_length_or_other_facts_are_refused(tmp_path: Path) -> None:
    made = written(tmp_path, 10, 500, kind="ivf-sq8")
    ids, rows = clustered(10, 500)
    again = write_vectors(
        made.path, blocks_of(ids, rows), WIDTH, plan=VectorPlan(kind="ivf-sq8")
    ).record
    with pytest.raises(IndexCorrupt, match="not what it had"):
        VectorIndex.open(made.path, again, made.facts | {"n": 499}, made.rows_of)
    with pytest.raises(ValueError, match="exact vectors"):
        VectorIndex.open(made.path, again, made.facts)
    made.path.write_bytes(made.path.read_bytes()[:-8])
    with pytest.raises(IndexCorrupt, match="were written"):
        VectorIndex.open(made.path, again, made.facts, made.rows_of)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_what_faiss_itself_writes(tmp_path: Path, kind: Kind) -> None:
    ids, rows = clustered(11, 900)
    survey = Survey.of(blocks_of(ids, rows), WIDTH)
    ours, theirs = trained(kind, survey), trained(kind, survey)
    writer = ListWriter(tmp_path / "ours", ours)
    for part in blocks_of(ids, rows)():
        writer.add(*part)
    record = writer.finish()
    theirs.add_with_ids(rows, ids)
    assert (tmp_path / "ours").read_bytes() == faiss.serialize_index(theirs).tobytes()
    assert is_intact(tmp_path / "ours", record)


def test_what_cannot_be_reached_is_flat_and_says_so(tmp_path: Path) -> None:
    """Vectors without any structure: a code of 4 bytes cannot order them."""
    rng = np.random.default_rng(12)
    rows = rng.normal(size=(4000, WIDTH)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = np.arange(4000, dtype=np.int64)
    plan = VectorPlan(kind="ivf-pq", min_recall=0.999, max_memory_bytes=10_000)
    done = write_vectors(tmp_path / "x", blocks_of(ids, rows), WIDTH, plan=plan)
    assert (done.facts["kind"], done.facts["recall"]) == ("flat", 1.0)
    assert "ivf-pq reached recall 0." in done.facts["notes"][0]
    assert f"takes {done.record.bytes} bytes of 10000" in done.facts["notes"]
    index = VectorIndex.open(tmp_path / "x", done.record, done.facts)
    assert index.kind == "flat"
    assert index.nearest(rows[5], 1).ids.tolist() == [5]


def test_other_queries_count_where_they_find_less(tmp_path: Path) -> None:
    """Queries from elsewhere, as sounds among pictures, ask for more lists."""
    ids, rows = clustered(13, 3000)
    asked = np.random.default_rng(14).normal(size=(200, WIDTH)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    plan = VectorPlan(kind="ivf-sq8")
    alone = write_vectors(tmp_path / "a", blocks_of(ids, rows), WIDTH, plan=plan)
    both = write_vectors(tmp_path / "b", blocks_of(ids, rows), WIDTH, plan=plan, asked=asked)
    assert both.facts["n_queries"] > alone.facts["n_queries"]
    assert both.facts["settings"][0]["nprobe"] > alone.facts["settings"][0]["nprobe"]
    place = np.argsort(ids)
    index = VectorIndex.open(
        tmp_path / "b",
        both.record,
        both.facts,
        lambda wanted: rows[place[np.searchsorted(ids, wanted, sorter=place)]],
    )
    exact = [exact_nearest([(ids, rows)], query, 10).ids for query in asked]
    found = [index.nearest(query, 10).ids for query in asked]
    shares = [np.isin(one, two).mean() for one, two in zip(exact, found, strict=True)]
    assert np.mean(shares) >= 0.95
