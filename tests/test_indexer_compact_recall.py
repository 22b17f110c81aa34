"""Recall is measured, stored and enforced: on random galleries, and on the shipped encoder's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compact_fixtures import Gallery, embedder_of, write_index
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.catalogue import Catalogue
from indexer.compact import recall
from indexer.compact.effort import Effort
from indexer.compact.engine import Engine
from indexer.compact.maps import basis_in
from indexer.compact.recall import Scored, measure_efforts, scored_frames, scored_sounds
from indexer.compact.resident import Resident
from indexer.history import all_editions, segment_files
from indexer.ledger import replace_segment_files
from indexer.options import BuildOptions
from indexer.reader import IndexReader
from indexer.segments import MAPS
from indexer.terms import (
    FrameTerm,
    SoundTerm,
    frames_for_sound,
    keep_audio,
    keep_image,
    sounds_for_frame,
)
from train.world import WorldConfig, write_world

NOBODY = np.empty(0, np.int64)
KINDS = {
    "frames": {"audio-image", "associate-audio"},
    "sounds": {"image-audio", "associate-image"},
}


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return embedder_of("cos", True)


def engine_of(reader: IndexReader, embedder: Embedder) -> Engine:
    assert reader._codes is not None
    return Engine(reader._store, reader._codes, embedder, reader.grid)


# ── what recall is ───────────────────────────────────────────────────────────────────────────────


def counted(one: Scored, fraction: float, rescored: int) -> float:
    """Count the recall answer by answer: the slow twin."""
    shares = []
    for row in range(len(one.exact)):
        n = one.exact.shape[1]
        first = sorted(range(n), key=lambda i: -one.by_code[row, i])
        first = first[: max(int(np.ceil(fraction * n)), 2 * rescored)]
        second = sorted(first, key=lambda i: -one.by_map[row, i])[:rescored]
        others = [i for i in range(n) if one.gallery[i] != one.asked_by[row]]
        best = sorted(others, key=lambda i: -one.exact[row, i])[:10]
        shares.append(len(set(best) & set(second)) / 10)
    return float(np.mean(shares))


def scored(seed: int, n: int, noise: float) -> Scored:
    rng = np.random.default_rng(seed)
    exact = rng.normal(size=(4, n)).astype(np.float32)
    return Scored(
        kind="audio-image",
        asked_by=rng.choice(np.arange(100, 100 + n), 4),
        gallery=np.arange(100, 100 + n),
        exact=exact,
        by_map=exact + noise * rng.normal(size=exact.shape).astype(np.float32),
        by_code=exact + 2 * noise * rng.normal(size=exact.shape).astype(np.float32),
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    n=st.integers(11, 120),
    noise=st.sampled_from([0.0, 0.3, 2.0]),
    fraction=st.sampled_from([1 / 8, 1 / 2, 1.0]),
    rescored=st.sampled_from([10, 25, 50]),
)
def test_recall_is_the_share_of_the_ten_best(
    seed: int, n: int, noise: float, fraction: float, rescored: int
) -> None:
    one = scored(seed, n, noise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.compact.effort.LEAST_CANDIDATES", 0)
        found = one.recall(fraction, rescored)
    assert found == pytest.approx(counted(one, fraction, rescored))


def test_copies_are_as_good_as_each_other() -> None:
    one = scored(0, 80, 0.0)
    exact = np.sort(one.exact)[:, ::-1].copy()
    exact[:, :40] = exact[:, :1]
    noise = np.random.default_rng(1).normal(size=exact.shape).astype(np.float32) * 1e-3
    copies = replace(one, exact=exact, by_map=exact + noise, by_code=exact)
    assert copies.recall(1.0, 25) == 1.0


def test_the_error_is_that_of_the_best() -> None:
    one = scored(0, 150, 0.0)
    places = np.argsort(-one.exact, axis=1)
    off = np.zeros_like(one.exact)
    np.put_along_axis(off, places[:, :100], np.float32(0.25), axis=1)
    np.put_along_axis(off, places[:, 100:], np.float32(9), axis=1)
    assert replace(one, by_map=one.exact + off).error() == pytest.approx(0.25)
    assert one.error() == 0


def test_the_least_work_that_suffices_is_chosen_and_judged_by_other_queries() -> None:
    easy, hard = scored(1, 3000, 0.0), scored(2, 3000, 5.0)
    chosen = recall._chosen("frames", [easy], [easy], min_recall=0.98)
    assert (chosen.fraction, chosen.rescored) == (min(recall.FRACTIONS), min(recall.RESCORED))
    assert chosen.recall == {"audio-image": 1.0}
    assert (chosen.n_queries, chosen.n_items) == (4, 3000)
    # What half of the queries promised the other half does not keep: all are scored.
    broken = recall._chosen("frames", [easy], [hard], min_recall=0.98)
    assert broken.is_exact
    lenient = recall._chosen("frames", [hard], [hard], min_recall=0.0)
    assert lenient.rescored is not None
    assert lenient.recall["audio-image"] == hard.recall(lenient.fraction, lenient.rescored) < 0.98
    assert lenient.score_error["audio-image"] > 1


# ── what is stored ───────────────────────────────────────────────────────────────────────────────


def test_recall_is_stored_by_kind_and_read_back(tmp_path: Path, embedder: Embedder) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(0, n_pairs=70))
    with IndexReader.open(folder) as reader:
        stored = reader.info()["conditional"]
        assert stored.keys() == KINDS.keys()
        for side, kinds in KINDS.items():
            assert stored[side]["recall"].keys() == stored[side]["score_error"].keys() == kinds
            assert all(0.9 <= found <= 1 for found in stored[side]["recall"].values())
            assert all(0 <= error < 0.01 for error in stored[side]["score_error"].values())
            assert stored[side]["n_queries"] == min(recall.N_QUERIES_OF_SMALL, 70 // 2)
            assert stored[side]["n_items"] == 70
            assert Effort.from_json(stored[side]).to_json() == stored[side]
            assert reader.effort(side) == Effort.from_json(stored[side])  # type: ignore[arg-type]


def test_a_recall_that_cannot_be_had_means_scoring_everything(
    tmp_path: Path, embedder: Embedder
) -> None:
    gallery = Gallery.drawn(1, n_pairs=70)
    folder = write_index(tmp_path / "index", embedder, gallery, min_recall=1.01)
    with IndexReader.open(folder) as reader:
        for side in KINDS:
            stored = reader.info()["conditional"][side]
            assert stored["rescored"] is None
            assert set(stored["recall"].values()) == {1.0}
            assert Effort.from_json(stored).is_exact
            assert reader.effort(side) is None  # type: ignore[arg-type]
        sound = reader.sound(1)
        for term in (frames_for_sound(sound), sounds_for_frame(reader.frame_map(1))):
            found = reader.answer(embedder, [term], 10)
            expected = reader.answer(embedder, [term], 10, exact=True)
            assert found.exact
            assert found.neighbours.ids.tolist() == expected.neighbours.ids.tolist()


@pytest.mark.parametrize(
    ("sizes", "measured"),
    [
        ({"n_pairs": 64}, set()),
        ({"n_pairs": 60, "n_frames": 5}, {"frames"}),
        ({"n_pairs": 60, "n_sounds": 5}, {"sounds"}),
        ({"n_frames": 70}, set()),  # there is no sound to ask with
        ({"n_sounds": 70}, set()),
        ({"n_pairs": 1, "n_frames": 70, "n_sounds": 70}, {"frames", "sounds"}),
    ],
)
def test_sides_that_are_small_or_cannot_be_asked_are_scored_in_full(
    tmp_path: Path, embedder: Embedder, sizes: dict[str, int], measured: set[str]
) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(2, **sizes))
    with IndexReader.open(folder) as reader:
        assert set(reader.info()["conditional"]) == measured
        assert {side for side in KINDS if reader.effort(side) is not None} == measured
        if sizes.get("n_pairs") and not measured:
            assert reader.answer(embedder, [frames_for_sound(reader.sound(1))], 3).exact


def test_what_is_deleted_is_not_measured(tmp_path: Path, embedder: Embedder) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(3, n_pairs=80))
    with IndexReader.open(folder) as reader:
        engine = engine_of(reader, embedder)
        found = measure_efforts(engine, np.arange(1, 11), min_recall=0.0)
        assert {side: effort.n_items for side, effort in found.items()} == dict.fromkeys(KINDS, 70)
        assert measure_efforts(engine, np.arange(1, 17), min_recall=0.0) == {}
        assert measure_efforts(engine, NOBODY, min_recall=0.0) == measure_efforts(
            engine, NOBODY, min_recall=0.0
        )  # the same queries each time


# ── the truth that it is measured against ────────────────────────────────────────────────────────


def drop_maps(index: Path, names: dict[int, str]) -> None:
    """Have segments forget a file of maps, as a repair does."""
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        files = segment_files(connection, all_editions(connection)[0].id)
        for segment, form in names.items():
            kept = {
                name: record
                for name, record in files[segment].items()
                if name != MAPS and (form == "compact" or basis_in([name]) is None)
            }
            replace_segment_files(connection, segment, kept)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Path:
    """An index of three segments: full maps, compact ones, none."""
    folder = tmp_path_factory.mktemp("recall") / "mixed"
    gallery = Gallery.drawn(4, n_pairs=75, n_sounds=6)
    write_index(folder, embedder, gallery, n_segments=3)
    drop_maps(folder, {2: "compact", 3: "none"})
    return folder


def test_the_exact_scores_are_those_of_exact_answers(mixed: Path, embedder: Embedder) -> None:
    asking = np.array([1, 29]), np.array([70, 6])
    with IndexReader.open(mixed) as reader:
        engine = engine_of(reader, embedder)
        frame_of = {n: reader._store.frame(int(n)).maps[0] for n in asking[0]}
        pairs = [(frame_of[v], reader.sound(int(s))) for v, s in zip(*asking, strict=True)]
        terms: dict[str, list[FrameTerm | SoundTerm]] = {
            "audio-image": [frames_for_sound(s) for _, s in pairs],
            "associate-audio": [keep_audio(embedder, v, s.h[0]) for v, s in pairs],
            "image-audio": [sounds_for_frame(v) for v, _ in pairs],
            "associate-image": [keep_image(embedder, v, s.h[0]) for v, s in pairs],
        }
        frames = scored_frames(engine, reader._store.frame_ids, *asking)
        sounds = scored_sounds(engine, reader._store.sound_ids, *asking)
        for one in frames + sounds:
            for term, exact in zip(terms[one.kind], one.exact, strict=True):
                found = reader.answer(embedder, [term], 99, exact=True).neighbours
                order = np.searchsorted(one.gallery, found.ids)
                np.testing.assert_allclose(exact[order], found.scores, atol=3e-6)


def test_forms_side_by_side_are_measured(mixed: Path, embedder: Embedder) -> None:
    with IndexReader.open(mixed) as reader:
        found = measure_efforts(engine_of(reader, embedder), NOBODY, min_recall=0.0)
        assert found.keys() == KINDS.keys()
        for effort in found.values():
            assert min(effort.recall.values()) > 0.9


def test_without_one_map_pictures_are_measured_by_themselves(
    tmp_path: Path, embedder: Embedder
) -> None:
    folder = write_index(tmp_path / "index", embedder, Gallery.drawn(5, n_pairs=70))
    drop_maps(folder, {1: "none"})
    with IndexReader.open(folder) as reader:
        found = measure_efforts(engine_of(reader, embedder), NOBODY, min_recall=0.9)
        assert found.keys() == {"frames"}  # no frame is left to ask the sounds with
        assert min(found["frames"].recall.values()) == 1.0
        term = frames_for_sound(reader.sound(3))
        near = reader.answer(embedder, [term], 10)
        expected = reader.answer(embedder, [term], 10, exact=True)
        assert near.neighbours.ids.tolist() == expected.neighbours.ids.tolist()
        assert len({float(score) for score in near.neighbours.scores}) == 10


def test_maps_that_stay_on_a_device_score_as_those_of_files(
    tmp_path: Path, embedder: Embedder
) -> None:
    gallery = Gallery.drawn(6, n_pairs=40, n_frames=7, n_sounds=7)
    folder = write_index(tmp_path / "index", embedder, gallery, n_segments=3)
    with IndexReader.open(folder) as reader:
        engine = engine_of(reader, embedder)
        resident = Resident.where_it_fits(reader._store, engine.head)
        assert resident is not None
        heard = frames_for_sound(reader.sound(2))
        terms = [heard, replace(frames_for_sound(reader.sound(3)), weight=-0.4)]
        ids, scores = engine.frames_by_map(terms, reader._store.frame_ids)
        found = dict(zip(resident.ids.tolist(), resident.scores(terms).tolist(), strict=True))
        assert sorted(found) == sorted(ids.tolist())
        np.testing.assert_allclose([found[i] for i in ids.tolist()], scores, atol=2e-4)
    drop_maps(folder, {2: "none"})
    with IndexReader.open(folder) as reader:
        assert Resident.where_it_fits(reader._store, engine.head) is None


# ── the shipped encoder ──────────────────────────────────────────────────────────────────────────

N_SCENES = 90


@pytest.fixture(scope="module")
def shipped() -> Embedder:
    return Embedder.load(device="cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shipped: Embedder) -> Iterator[IndexReader]:
    """The project's own made scenes, under an encoder whose attention finds what sounds."""
    config = WorldConfig(
        n_scenes=N_SCENES, n_videos=0, n_panoramas=0, frame_px=96, sound_s=1.0, seed=5
    )
    made = write_world(tmp_path_factory.mktemp("world") / "world", config)
    options = BuildOptions(workers=1, segment_items=32)
    report = build_index(made.manifest, embedder=shipped, options=options)
    with IndexReader.open(report.index_dir) as opened:
        yield opened


def test_the_shipped_encoder_is_searched_by_stages(world: IndexReader) -> None:
    stored = world.info()["conditional"]
    for side, kinds in KINDS.items():
        assert stored[side]["rescored"] is not None
        assert stored[side]["n_items"] == N_SCENES
        assert stored[side]["recall"].keys() == kinds
        assert min(stored[side]["recall"].values()) >= 0.98


def asked_by(
    reader: IndexReader, embedder: Embedder, frame: int, sound: int
) -> dict[str, FrameTerm | SoundTerm]:
    seen, heard = reader.frame_map(frame), reader.sound(sound)
    return {
        "audio-image": frames_for_sound(heard),
        "associate-audio": keep_audio(embedder, seen, heard.h[0]),
        "image-audio": sounds_for_frame(seen),
        "associate-image": keep_image(embedder, seen, heard.h[0]),
    }


def test_answers_of_the_shipped_encoder_reach_the_recall(
    world: IndexReader, shipped: Embedder
) -> None:
    """Other queries than those it was measured with; 40 of 90 are scored in full."""
    effort = Effort(rescored=40, recall={}, score_error={}, n_queries=0, n_items=0)
    engine, rng = engine_of(world, shipped), np.random.default_rng(1)
    shares: dict[str, list[float]] = {kind: [] for side in KINDS.values() for kind in side}
    for frame, sound in rng.choice(world.ids, (12, 2)):
        for kind, term in asked_by(world, shipped, int(frame), int(sound)).items():
            if isinstance(term, FrameTerm):
                found = engine.frames([term], 10, effort)
            else:
                found = engine.sounds([term], 10, effort)
            expected = world.answer(shipped, [term], 10, exact=True).neighbours
            assert not found.exact
            shares[kind].append(len(np.intersect1d(found.neighbours.ids, expected.ids)) / 10)
            assert found.neighbours.scores[0] == pytest.approx(expected.scores[0], abs=1e-5)
    assert min(float(np.mean(share)) for share in shares.values()) >= 0.97


def test_its_compact_maps_stand_for_the_full_ones(world: IndexReader, shipped: Embedder) -> None:
    """What a score differs by, of scores that spread over some tenths."""
    engine = engine_of(world, shipped)
    for kind, term in asked_by(world, shipped, 5, 40).items():
        if isinstance(term, FrameTerm):
            ids, near = engine.frames_by_map([term], world._store.frame_ids)
            exact = world.answer(shipped, [term], N_SCENES, exact=True).neighbours
            scores = dict(zip(exact.ids.tolist(), exact.scores.tolist(), strict=True))
            wanted = np.array([scores[item] for item in ids.tolist()])
            assert np.abs(near - wanted).mean() < 0.03, kind
            assert np.corrcoef(near, wanted)[0, 1] > 0.95, kind
