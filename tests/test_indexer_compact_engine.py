"""Conditional search by stages against every item scored in full: the same ids, the same scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from compact_fixtures import MECHANISMS, Gallery, embedder_of, keep_less, write_index
from hypothesis import given, settings
from hypothesis import strategies as st

import indexer.compact.engine as engine_module
from encoder.embedder import Embedder
from encoder.errors import InputError
from indexer.blocks import Floats, FrameBlock, Ids
from indexer.catalogue import Catalogue
from indexer.compact.effort import Effort
from indexer.compact.engine import Answer, Engine
from indexer.compact.maps import basis_in
from indexer.compact.resident import Resident
from indexer.compact.writing import compact_segments
from indexer.history import all_editions, segment_files
from indexer.ledger import delete_items, replace_efforts, replace_segment_files
from indexer.lookup import latest_generation
from indexer.options import MapForm
from indexer.reader import IndexReader
from indexer.terms import (
    FrameTerm,
    SoundTerm,
    frames_for_sound,
    frames_like,
    keep_audio,
    keep_image,
    sounds_for_frame,
    sounds_like,
)

Terms = Sequence[FrameTerm | SoundTerm]
NOBODY = np.empty(0, np.int64)
SAME = 2e-6
"""Scores of both ways are those of definitions §3, only that items stand in other batches."""


def effort(rescored: int = 30, fraction: float = 1.0) -> Effort:
    return Effort(
        fraction=fraction, rescored=rescored, recall={}, score_error={}, n_queries=0, n_items=0
    )


def search_by_stages(index: Path, chosen: Effort) -> Path:
    """Have both sides of an index searched with an effort."""
    with Catalogue.create(index, corpus="..") as catalogue:
        with catalogue.reading() as connection:
            generation = latest_generation(connection)
        assert generation is not None
        kinds = {side: chosen.to_json() for side in ("frames", "sounds")}
        with catalogue.writing() as connection:
            replace_efforts(connection, generation.id, kinds)
    return index


def delete(index: Path, ids: Iterable[int]) -> None:
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, ids)


def assert_same(
    reader: IndexReader,
    embedder: Embedder,
    terms: Terms,
    k: int = 10,
    allowed: Ids | None = None,
    *,
    close: float = SAME,
) -> Answer:
    """Both ways give one answer, but for the order of what differs by less than `close`."""
    fast = reader.answer(embedder, terms, k, allowed)
    every = reader.answer(embedder, terms, 10_000, allowed, exact=True).neighbours
    np.testing.assert_allclose(fast.neighbours.scores, every.scores[:k], atol=close)
    score_of = dict(zip(every.ids.tolist(), every.scores.tolist(), strict=True))
    found = fast.neighbours.ids.tolist()
    assert len(set(found)) == len(found) == min(k, len(score_of))
    np.testing.assert_allclose([score_of[i] for i in found], fast.neighbours.scores, atol=SAME)
    clear = np.flatnonzero(-np.diff(every.scores[: k + 1], append=-9) > 2 * close)
    for n in clear[clear < k]:  # wherever scores lie apart the ids up to there are the same
        assert set(found[: n + 1]) == set(every.ids[: n + 1].tolist())
    return fast


def all_kinds(reader: IndexReader, embedder: Embedder, pair: int) -> dict[str, Terms]:
    """Every kind of query that a pair of the index can ask, and mixtures with weights."""
    frame, sound = reader.frame_map(pair), reader.sound(pair)
    heard, kept_sound = frames_for_sound(sound), keep_audio(embedder, frame, sound.h[0])
    alone = frames_like(kept_sound.target)
    looked, kept_frame = sounds_for_frame(frame), keep_image(embedder, frame, sound.h[0])
    like = sounds_like(sound.f_s[0])
    return {
        "audio-image": [heard],
        "associate-audio": [kept_sound],
        "image-image": [alone],
        "silence": [replace(heard, h=np.zeros(512, np.float32))],
        "frames away": [replace(kept_sound, weight=-1.0), replace(alone, weight=0.2)],
        "frames mixed": [
            replace(kept_sound, weight=2.0),
            replace(heard, weight=-1.0),
            replace(alone, weight=0.3),
        ],
        "image-audio": [looked],
        "associate-image": [kept_frame],
        "audio-audio": [like],
        "sounds away": [replace(looked, weight=-1.0), replace(like, weight=-0.2)],
        "sounds mixed": [
            replace(looked, weight=0.7),
            replace(kept_frame, weight=3.0),
            replace(like, weight=-1.0),
        ],
    }


KINDS = [
    *("audio-image", "associate-audio", "image-image", "silence", "frames away", "frames mixed"),
    *("image-audio", "associate-image", "audio-audio", "sounds away", "sounds mixed"),
]


def engine_of(reader: IndexReader, embedder: Embedder) -> Engine:
    assert reader._codes is not None
    return Engine(reader._store, reader._codes, embedder, reader.grid)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return embedder_of("cos", True)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Path:
    """Pairs, lone frames and lone sounds in three segments."""
    gallery = Gallery.drawn(0, n_pairs=70, n_frames=20, n_sounds=15)
    folder = tmp_path_factory.mktemp("engine") / "index"
    return search_by_stages(write_index(folder, embedder, gallery, n_segments=3), effort())


@pytest.fixture(scope="module")
def reader(index: Path) -> Iterator[IndexReader]:
    with IndexReader.open(index) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_stages_find_what_scoring_everything_finds(
    reader: IndexReader, embedder: Embedder, kind: str
) -> None:
    for pair in (7, 69):
        found = assert_same(reader, embedder, all_kinds(reader, embedder, pair)[kind])
        assert not found.exact
        if kind in ("associate-audio", "associate-image", "image-image", "audio-audio"):
            assert found.neighbours.ids[0] == pair or found.neighbours.scores[0] > 0.999


@pytest.mark.parametrize(("attention", "learned_scale"), MECHANISMS[1:])
def test_other_mechanisms_too(tmp_path: Path, attention: str, learned_scale: bool) -> None:
    embedder = embedder_of(attention, learned_scale)
    gallery = Gallery.drawn(1, n_pairs=50, n_frames=10, n_sounds=10)
    folder = write_index(tmp_path / "index", embedder, gallery, n_segments=2)
    with IndexReader.open(search_by_stages(folder, effort())) as reader:
        for terms in all_kinds(reader, embedder, 5).values():
            # Sounds that act alike in a frame lie a millionth apart where no scale is learned.
            assert_same(reader, embedder, terms, close=SAME if learned_scale else 2e-5)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 9999),
    n_pairs=st.integers(1, 40),
    n_frames=st.integers(0, 30),
    n_sounds=st.integers(0, 30),
    n_segments=st.integers(1, 3),
    grid=st.sampled_from([(4, 4), (1, 1), (1, 8), (12, 1), (6, 2)]),
    k=st.sampled_from([1, 3, 10, 33, 500]),
    copies=st.integers(0, 12),
    form=st.sampled_from(["full", "compact"]),
    kinds=st.lists(st.sampled_from(KINDS), min_size=3, max_size=3, unique=True),
)
def test_any_corpus(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    n_pairs: int,
    n_frames: int,
    n_sounds: int,
    n_segments: int,
    grid: tuple[int, int],
    k: int,
    copies: int,
    form: MapForm,
    kinds: list[str],
) -> None:
    embedder = embedder_of("cos", True)
    gallery = Gallery.drawn(seed, n_pairs=n_pairs, n_frames=n_frames, n_sounds=n_sounds, grid=grid)
    gallery = gallery.with_copies(0, range(n_pairs // 2, min(n_pairs, n_pairs // 2 + copies)))
    folder = tmp_path_factory.mktemp("any") / "index"
    write_index(folder, embedder, gallery, n_segments=min(n_segments, n_pairs))
    with IndexReader.open(folder) as reader:
        asked = all_kinds(reader, embedder, 1)
    if form == "compact":
        keep_less(folder, "compact")
    with IndexReader.open(search_by_stages(folder, effort(20))) as reader:
        for kind in kinds:
            assert_same(reader, embedder, asked[kind], k, close=1e-5)


# ── galleries of every size ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_gallery_has_no_answer(reader: IndexReader, embedder: Embedder, kind: str) -> None:
    found = reader.answer(embedder, all_kinds(reader, embedder, 7)[kind], 5, NOBODY)
    assert found.neighbours.ids.size == found.neighbours.scores.size == 0


@pytest.mark.parametrize("kind", KINDS)
def test_k_may_be_nothing_or_more_than_there_is(
    reader: IndexReader, embedder: Embedder, kind: str
) -> None:
    terms = all_kinds(reader, embedder, 7)[kind]
    assert reader.answer(embedder, terms, 0).neighbours.ids.size == 0
    found = assert_same(reader, embedder, terms, 5000)
    assert found.exact  # twice as many as are asked for are scored in full: here all of them
    assert len(found.neighbours.ids) == (90 if isinstance(terms[0], FrameTerm) else 85)


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_leaves_three_is_answered_exactly(
    reader: IndexReader, embedder: Embedder, kind: str
) -> None:
    terms, three = all_kinds(reader, embedder, 7)[kind], np.array([9, 33, 61])
    found = assert_same(reader, embedder, terms, 10, three)
    assert found.exact
    assert sorted(found.neighbours.ids) == three.tolist()
    assert set(reader.answer(embedder, terms, 2, three).neighbours.ids) < set(three.tolist())


def test_one_item(tmp_path: Path, embedder: Embedder) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(3, n_pairs=1))
    with IndexReader.open(search_by_stages(folder, effort())) as reader:
        for terms in all_kinds(reader, embedder, 1).values():
            assert assert_same(reader, embedder, terms).neighbours.ids.tolist() == [1]


def test_lone_sides_only(tmp_path: Path, embedder: Embedder, reader: IndexReader) -> None:
    """Pictures without one sound, and sounds without one picture."""
    asked = all_kinds(reader, embedder, 7)
    for name, gallery in {
        "silent": Gallery.drawn(4, n_frames=40),
        "unseen": Gallery.drawn(4, n_sounds=40),
    }.items():
        with IndexReader.open(write_index(tmp_path / name, embedder, gallery)) as opened:
            for terms in asked.values():
                is_frames = isinstance(terms[0], FrameTerm)
                found = assert_same(opened, embedder, terms).neighbours
                assert len(found.ids) == (10 if is_frames == (name == "silent") else 0)


# ── who is shown, in which order ─────────────────────────────────────────────────────────────────


def test_copies_come_by_id(tmp_path: Path, embedder: Embedder) -> None:
    """More copies than are scored in full: the first of them are the answer."""
    at = list(range(4, 60))
    gallery = Gallery.drawn(5, n_pairs=80).with_copies(2, at)
    folder = write_index(tmp_path / "index", embedder, gallery, n_segments=3)
    with IndexReader.open(search_by_stages(folder, effort(25))) as reader:
        for kind, terms in all_kinds(reader, embedder, 3).items():
            found = reader.answer(embedder, terms, 6).neighbours
            if kind in ("associate-audio", "associate-image", "image-image", "audio-audio"):
                assert found.ids.tolist() == [3, 5, 6, 7, 8, 9]
                assert len(set(found.scores.tolist())) == 1
            assert_same(reader, embedder, terms)


def test_deleted_items_are_never_returned(tmp_path: Path, embedder: Embedder) -> None:
    gallery = Gallery.drawn(6, n_pairs=40, n_frames=8, n_sounds=8)
    folder = search_by_stages(write_index(tmp_path / "index", embedder, gallery), effort())
    with IndexReader.open(folder) as reader:
        asked = all_kinds(reader, embedder, 7)
        before = {kind: reader.answer(embedder, asked[kind], 3).neighbours for kind in asked}
        for kind, found in before.items():
            best = int(found.ids[0])
            delete(folder, [best])
            # The reader that is open, at once, and one opened since; a filter brings none back.
            for allowed in (None, np.array([best]), found.ids):
                assert best not in reader.answer(embedder, asked[kind], 99, allowed).neighbours.ids
            assert_same(reader, embedder, asked[kind])
    delete(folder, range(1, 57))
    with IndexReader.open(folder) as reader:
        for terms in asked.values():
            assert reader.answer(embedder, terms, 5).neighbours.ids.size == 0


@pytest.mark.parametrize("grid", [(1, 40), (40, 1), (15, 9)])
def test_extreme_aspect_ratios(tmp_path: Path, embedder: Embedder, grid: tuple[int, int]) -> None:
    gallery = Gallery.drawn(7, n_pairs=45, grid=grid)
    folder = write_index(tmp_path / "index", embedder, gallery)
    with IndexReader.open(search_by_stages(folder, effort(25))) as reader:
        for terms in all_kinds(reader, embedder, 5).values():
            assert_same(reader, embedder, terms, close=1e-5)


@pytest.mark.parametrize("loudness", [0.0, 1e-6])
def test_silent_sounds_look_evenly(tmp_path: Path, embedder: Embedder, loudness: float) -> None:
    gallery = Gallery.drawn(8, n_pairs=45)
    gallery.sounds.h[10:14] *= loudness
    folder = write_index(tmp_path / "index", embedder, gallery)
    with IndexReader.open(search_by_stages(folder, effort(25))) as reader:
        for pair in (5, 11):
            for terms in all_kinds(reader, embedder, pair).values():
                assert_same(reader, embedder, terms, close=1e-5)


# ── what goes from stage to stage ────────────────────────────────────────────────────────────────


def test_few_pictures_are_looked_at_closely(
    reader: IndexReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.compact.effort.LEAST_CANDIDATES", 0)
    embedder = embedder_of("cos", False)  # looks at all cells nearly alike: f_v⁰ says most
    engine, mapped, scored = engine_of(reader, embedder), [], []
    by_map, score_frames = engine.frames_by_map, engine_module.score_frames

    def counted_by_map(terms: list[FrameTerm], ids: Ids) -> tuple[Ids, Floats]:
        mapped.append(len(ids))
        return by_map(terms, ids)

    def counted_scores(e: Embedder, terms: list[FrameTerm], block: FrameBlock) -> Floats:
        scored.append(len(block.ids))
        return score_frames(e, terms, block)

    monkeypatch.setattr(engine, "frames_by_map", counted_by_map)
    monkeypatch.setattr(engine_module, "score_frames", counted_scores)
    for kind in ("associate-audio", "image-image"):
        terms = all_kinds(reader, embedder, 7)[kind]
        scored.clear()
        found = engine.frames(terms, 4, effort(12, 0.5))
        assert (mapped.pop(), sum(scored)) == (45, 12)
        assert not found.exact
        expected = reader.answer(embedder, terms, 4, exact=True)
        assert found.neighbours.ids.tolist() == expected.neighbours.ids.tolist()
    scored.clear()
    assert engine.frames(terms, 30, effort(12, 0.5)).neighbours.ids.size == 30
    assert sum(scored) >= 36  # in proportion, where more than ten are asked for


def test_few_sounds_are_looked_at_closely(
    reader: IndexReader, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.compact.effort.LEAST_CANDIDATES", 0)
    engine, layered = engine_of(reader, embedder), []
    by_layers = engine.sounds_by_layers

    def counted_by_layers(terms: list[SoundTerm], ids: Ids) -> tuple[Ids, Floats]:
        layered.append(len(ids))
        return by_layers(terms, ids)

    monkeypatch.setattr(engine, "sounds_by_layers", counted_by_layers)
    for kind in ("image-audio", "associate-image", "audio-audio", "sounds mixed"):
        terms = all_kinds(reader, embedder, 7)[kind]
        found = engine.sounds(terms, 4, effort(12, 0.5))
        if kind in ("image-audio", "sounds mixed"):  # the others say the same in both stages
            assert layered.pop() == 43  # half of 85
        assert not layered
        assert not found.exact
        expected = reader.answer(embedder, terms, 4, exact=True)
        assert found.neighbours.ids.tolist() == expected.neighbours.ids.tolist()


FRAME_KINDS = ["audio-image", "associate-audio", "silence", "frames away", "frames mixed"]


@pytest.mark.parametrize("kind", FRAME_KINDS)
def test_maps_that_stay_on_a_device_give_the_same_answers(
    reader: IndexReader, embedder: Embedder, kind: str
) -> None:
    """As on a GPU: no stage before, what may not be returned is left out after."""
    engine, terms = engine_of(reader, embedder), all_kinds(reader, embedder, 7)[kind]
    engine.__dict__["_resident"] = Resident.where_it_fits(reader._store, engine.head)
    for allowed in (None, np.arange(3, 60), np.array([9, 33, 61]), NOBODY):
        found = engine.frames(terms, 8, effort(), reader._shown(allowed))
        expected = reader.answer(embedder, terms, 8, allowed, exact=True)
        assert found.neighbours.ids.tolist() == expected.neighbours.ids.tolist()
        assert found.exact == (allowed is not None and len(allowed) <= 30)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_answers_of_the_processor(
    reader: IndexReader, embedder: Embedder, kind: str
) -> None:
    on_gpu = Embedder(embedder.network, name="tiny", fingerprint="same", device="cuda")
    terms = all_kinds(reader, embedder, 7)[kind]
    found = reader.answer(on_gpu, terms, 10).neighbours
    expected = reader.answer(embedder, terms, 10, exact=True).neighbours
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_an_answer_says_whether_it_is_exact(tmp_path: Path, embedder: Embedder) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(9, n_pairs=80))
    with IndexReader.open(search_by_stages(folder, effort(25))) as reader:
        asked = all_kinds(reader, embedder, 7)
        for terms in asked.values():
            assert not reader.answer(embedder, terms, 10).exact
            assert reader.answer(embedder, terms, 10, exact=True).exact
    keep_less(folder, "compact")
    with IndexReader.open(folder) as reader:
        for terms in asked.values():  # no full map is left to be exact by; sounds need none
            is_frames = isinstance(terms[0], FrameTerm)
            assert reader.answer(embedder, terms, 10, exact=True).exact != is_frames
            assert reader.answer(embedder, terms, 80).exact != is_frames


def test_full_maps_without_compact_ones_are_scored_in_full(
    tmp_path: Path, embedder: Embedder
) -> None:
    """So a repair leaves an index that is killed before it makes compact maps anew."""
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(10, n_pairs=80), n_segments=2)
    search_by_stages(folder, effort(25))
    with Catalogue.create(folder, corpus="..") as catalogue:
        with catalogue.writing() as connection:
            (edition,) = all_editions(connection)
            for segment, names in segment_files(connection, edition.id).items():
                kept = {name: file for name, file in names.items() if basis_in([name]) is None}
                replace_segment_files(connection, segment, kept)
        with IndexReader.open(folder) as reader:
            asked = all_kinds(reader, embedder, 7)
            assert reader.effort("frames") is None
            assert reader.effort("sounds") is not None
            assert assert_same(reader, embedder, asked["audio-image"]).exact
        compact_segments(folder, catalogue, edition)
    with IndexReader.open(folder) as reader:
        assert reader.effort("frames") is not None
        assert not assert_same(reader, embedder, asked["audio-image"]).exact


def test_many_ask_at_once(reader: IndexReader, embedder: Embedder) -> None:
    asked = list(all_kinds(reader, embedder, 7).values())
    alone = [reader.answer(embedder, terms, 10).neighbours for terms in asked]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda t: reader.answer(embedder, t, 10).neighbours, 4 * asked))
    for n, found in enumerate(together):
        assert found.ids.tolist() == alone[n % len(asked)].ids.tolist()


def test_two_encoders_take_turns(reader: IndexReader, embedder: Embedder) -> None:
    """An engine is prepared for one embedder; another one gets its own answers."""
    terms = all_kinds(reader, embedder, 7)["audio-image"]
    other = embedder_of("cos", False)
    for one in (embedder, other, embedder):
        assert_same(reader, one, terms)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_queries_that_are_not_finite_are_refused(
    reader: IndexReader, embedder: Embedder, value: float, exact: bool
) -> None:
    asked = all_kinds(reader, embedder, 7)
    frame, sound = asked["associate-audio"][0], asked["associate-image"][0]
    broken: list[FrameTerm | SoundTerm] = [
        replace(frame, target=np.full(1000, value, np.float32)),
        replace(frame, h=np.full(512, value, np.float32)),
        replace(sound, visual_map=np.full((16, 512), value, np.float16)),
        replace(sound, target=np.full(1000, value, np.float32)),
    ]
    for term in broken:
        with pytest.raises(InputError, match=r"NaN or infinite.*again"):
            reader.answer(embedder, [term], 3, exact=exact)
    for weights in ((0.0,), (1.0, np.inf), (np.nan,)):
        terms = [replace(frame, weight=weight) for weight in weights]
        with pytest.raises(ValueError, match="give finite ones"):
            reader.answer(embedder, terms, 3, exact=exact)
