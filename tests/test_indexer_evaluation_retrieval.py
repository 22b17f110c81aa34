"""Evaluation of real small indexes: against the rankings that users get, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SmallCorpus, write_manifest
from evaluation_fixtures import pseudo_labels
from indexer_fixtures import write_pairs

from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.conditional import rank_frames, rank_sounds
from indexer.errors import EncoderMismatch, FilterError, IndexCorrupt
from indexer.evaluation import (
    EvaluationProgress,
    IndexChanged,
    NothingToEvaluate,
    OptionsInvalid,
    RankingFigures,
    RetrievalFigures,
    RetrievalOptions,
    evaluate_retrieval,
)
from indexer.evaluation.contents import Content, contents_of
from indexer.evaluation.database import read_database
from indexer.evaluation.figures import Direction, Protocol
from indexer.evaluation.vectors import VectorSource
from indexer.neighbours import Neighbours
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound, keep_audio, keep_image, sounds_for_frame

N_PAIRS = 15
Shuffle = Callable[[list[dict[str, str]]], list[dict[str, str]]]


@pytest.fixture(scope="module")
def reader(small_corpus: SmallCorpus) -> Iterator[IndexReader]:
    with IndexReader.open(small_corpus.index) as opened:
        yield opened


@pytest.fixture(scope="module")
def figures(reader: IndexReader, tiny_embedder: Embedder) -> RetrievalFigures:
    return evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(ann=True))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    """Six pairs that nothing is known of."""
    folder = write_pairs(tmp_path_factory.mktemp("unlabelled"), 6)
    return build_index(folder, embedder=tiny_embedder).index_dir


def ranking_of(
    figures: RetrievalFigures, protocol: Protocol, direction: Direction
) -> RankingFigures:
    found = figures.ranking(protocol, direction)
    assert found is not None
    return found


def pair_ids(reader: IndexReader) -> list[int]:
    return [row.id for row in reader.rows(reader.ids) if row.has_frame and row.has_sound]


# ── the same answers as users get ────────────────────────────────────────────────────────────────


def expected_hits(
    reader: IndexReader, item: int, side: str, rank: Callable[[], Neighbours]
) -> list[tuple[int, float]]:
    """The product's ranking without the item and what has the same file on that side."""
    rows = {row.id: row for row in reader.rows(pair_ids(reader))}
    answers = rank()
    own = getattr(rows[item], side)
    kept = [
        (int(answer), float(score))
        for answer, score in zip(answers.ids, answers.scores, strict=True)
        if getattr(rows[int(answer)], side) != own
    ]
    return kept[:5]


def test_hits_are_those_of_the_conditional_engine(
    reader: IndexReader, tiny_embedder: Embedder, figures: RetrievalFigures
) -> None:
    """The exact twin `indexer.conditional` ranks for every query what the evaluation judged."""
    allowed, n = np.array(pair_ids(reader)), N_PAIRS
    embedder = tiny_embedder

    def h(item: int) -> Any:
        return reader.sound(item).h[0]

    twins: list[tuple[Protocol, Direction, str, Callable[[int], Neighbours]]] = [
        (
            "leak_free",
            "audio_to_image",
            "image",
            lambda i: rank_frames(
                embedder, [frames_for_sound(reader.sound(i))], reader.frame_blocks(allowed), n
            ),
        ),
        (
            "leak_free",
            "image_to_audio",
            "audio",
            lambda i: rank_sounds(
                embedder,
                [sounds_for_frame(reader.frame_map(i))],
                reader.sound_blocks(allowed),
                n,
            ),
        ),
        (
            "associative",
            "keep_image",
            "audio",
            lambda i: rank_sounds(
                embedder,
                [keep_image(embedder, reader.frame_map(i), h(i))],
                reader.sound_blocks(allowed),
                n,
            ),
        ),
        (
            "associative",
            "keep_audio",
            "image",
            lambda i: rank_frames(
                embedder,
                [keep_audio(embedder, reader.frame_map(i), h(i))],
                reader.frame_blocks(allowed),
                n,
            ),
        ),
        (
            "coarse",
            "audio_to_image",
            "image",
            lambda i: reader.nearest("coarse", reader.sound(i).f_s[0], n, allowed),
        ),
    ]
    for protocol, direction, side, twin in twins:
        ranking = ranking_of(figures, protocol, direction)
        records = [*ranking.best, *ranking.worst]
        assert len(records) >= 14
        for record in records:
            expected = expected_hits(reader, record.item, side, lambda: twin(record.item))  # noqa: B023
            hits = [(hit.item, hit.score) for hit in record.hits]
            scores = [score for _, score in expected]
            assert [score for _, score in hits] == pytest.approx(scores, abs=3e-6)
            apart = np.diff(scores) < -1e-5
            if apart.all():  # where scores do not tie to the last digit, so does the order
                assert [item for item, _ in hits] == [item for item, _ in expected]


def test_faiss_serves_the_exact_rankings(figures: RetrievalFigures) -> None:
    assert {(s.protocol, s.direction) for s in figures.served} == {
        (protocol, direction)
        for protocol in ("own_sound", "coarse")
        for direction in ("audio_to_image", "image_to_audio")
    }
    for served in figures.served:
        exact = ranking_of(figures, served.protocol, served.direction)
        assert served.recall_at_10.mean == 1.0
        assert served.recall_at_10.n == N_PAIRS
        assert exact.by_class is not None
        for ours, theirs in zip(
            served.class_precision_at, exact.by_class.precision_at, strict=True
        ):
            assert ours.figure.n == theirs.figure.n
            assert ours.figure.mean >= theirs.figure.mean - 1e-9  # exact ties are pessimistic
            assert ours.figure.mean == pytest.approx(theirs.figure.mean, abs=0.05)
        assert exact.by_recording is not None
        assert [a.figure for a in served.recording_recall_at] == [
            a.figure for a in exact.by_recording.recall_at
        ]


# ── what is measured ─────────────────────────────────────────────────────────────────────────────


def test_every_protocol_is_there_leak_free_first(figures: RetrievalFigures) -> None:
    assert [(r.protocol, r.direction) for r in figures.rankings] == [
        (protocol, direction)
        for protocol in ("leak_free", "own_sound", "swapped", "coarse")
        for direction in ("audio_to_image", "image_to_audio")
    ] + [("associative", "keep_image"), ("associative", "keep_audio")]
    assert (figures.database, figures.n_items) == ("pairs", N_PAIRS)
    assert (figures.n_frames, figures.n_sounds) == (13, 13)
    assert figures.n_conditionings == 13 * 13
    assert figures.exclusions["no frame"] == 2
    assert figures.exclusions["no sound"] == 2
    assert [leak.direction for leak in figures.leaks] == ["audio_to_image", "image_to_audio"]
    assert figures.conditioning is not None
    assert 0 < figures.conditioning.other_label.mean < 2
    assert figures.swap is not None
    assert figures.swap.n_other_label == N_PAIRS


def test_shared_files_are_duplicates_on_the_side_that_answers(figures: RetrievalFigures) -> None:
    """p00.png, p05.png, p00.wav and p03.wav stand in two items each."""
    to_frames = ranking_of(figures, "leak_free", "audio_to_image")
    to_sounds = ranking_of(figures, "leak_free", "image_to_audio")
    own = ranking_of(figures, "own_sound", "audio_to_image")
    assert (to_frames.n_excluded_self, to_frames.n_excluded_duplicates) == (N_PAIRS, 4)
    assert to_sounds.n_excluded_duplicates == 4
    assert own.n_excluded_duplicates == 8  # f_v of a pair holds both its frame and its sound
    assert (to_frames.n_distinct_queries, own.n_distinct_queries) == (13, 13)


def test_recordings_are_of_one_file_or_said_to_be(
    tmp_path: Path, tiny_embedder: Embedder, figures: RetrievalFigures
) -> None:
    by_file = ranking_of(figures, "leak_free", "audio_to_image").by_recording
    assert by_file is not None
    assert by_file.median_rank.n == 1
    assert by_file.n_gallery == N_PAIRS
    assert figures.exclusions["not a recording"] == N_PAIRS - 1
    write_pairs(tmp_path, 3)
    lines = [
        f'{{"image": "p{n:03d}.png", "audio": "p{n:03d}.wav", "recorded": {said}}}'
        for n, said in enumerate(("true", '"yes"', "false"))
    ]
    manifest = tmp_path / "said.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=manifest).index_dir
    with IndexReader.open(index) as said:
        found = evaluate_retrieval(said, tiny_embedder)
    by_metadata = ranking_of(found, "leak_free", "image_to_audio").by_recording
    assert by_metadata is not None
    assert by_metadata.median_rank.n == 2
    assert [point.value for point in by_metadata.chance_recall_at] == pytest.approx([1 / 3, 1, 1])
    assert found.leak is not None
    assert found.leak.measure == "recall@10"


def test_pseudo_labels_judge_every_ranking(reader: IndexReader, tiny_embedder: Embedder) -> None:
    rng = np.random.default_rng(0)
    image, audio = (
        {item: rng.permutation(20)[:4].tolist() for item in pair_ids(reader)} for _ in range(2)
    )
    del image[pair_ids(reader)[0]]
    found = evaluate_retrieval(reader, tiny_embedder, pseudo_labels=pseudo_labels(image, audio))
    assert found.pseudo_labels == "made up 1, vocabulary numbers"
    assert found.exclusions["no image pseudo label"] == 1
    assert [level.direction for level in found.chance] == ["audio_to_image", "image_to_audio"]
    assert all(level.agrees for level in found.chance)
    for ranking in found.rankings:
        judged = ranking.by_pseudo_labels
        assert judged is not None
        assert [at.k for at in judged.precision_at] == [10, 15, 20]
        assert 0 < judged.chance_precision < 1
        for success, any_hit in zip(judged.precision_at, judged.any_hit_at, strict=True):
            assert success.figure.mean <= any_hit.figure.mean
    only_audio = evaluate_retrieval(reader, tiny_embedder, pseudo_labels=pseudo_labels(None, audio))
    judged_there = [r.direction for r in only_audio.rankings if r.by_pseudo_labels]
    assert judged_there == ["keep_image"]
    assert only_audio.chance == ()


def test_a_filter_restricts_queries_and_galleries(
    reader: IndexReader, tiny_embedder: Embedder
) -> None:
    found = evaluate_retrieval(
        reader, tiny_embedder, options=RetrievalOptions(where="label != 'car'")
    )
    assert found.n_items == sum(row.label != "car" for row in reader.rows(pair_ids(reader)))
    assert found.n_items < N_PAIRS
    assert {ranking.n_gallery for ranking in found.rankings} == {found.n_items}


def test_above_max_pairs_queries_are_sampled_and_it_is_said(
    reader: IndexReader, tiny_embedder: Embedder, figures: RetrievalFigures
) -> None:
    found = evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(max_pairs=60))
    for direction in ("audio_to_image", "image_to_audio"):
        sampled = ranking_of(found, "leak_free", direction)  # type: ignore[arg-type]
        assert sampled.n_distinct_queries == 60 // 13
        assert sampled.n_distinct_queries <= sampled.n_queries < sampled.n_queries_in_all == N_PAIRS
        assert sampled.n_gallery == N_PAIRS
        whole = ranking_of(figures, "leak_free", direction)  # type: ignore[arg-type]
        values = {record.item: record for record in (*whole.best, *whole.worst)}
        for record in (*sampled.best, *sampled.worst):
            assert record.value == pytest.approx(values[record.item].value)
            assert [h.score for h in record.hits] == pytest.approx(
                [h.score for h in values[record.item].hits], abs=2e-6
            )
    assert found.n_conditionings <= 2 * 60
    assert sum("drawn at random" in note for note in found.notes) == 4
    assert ranking_of(found, "own_sound", "audio_to_image").n_queries == N_PAIRS


def test_frames_and_sounds_without_partners(
    tmp_path: Path, reader: IndexReader, tiny_embedder: Embedder
) -> None:
    everything = evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(database="all"))
    to_frames = ranking_of(everything, "leak_free", "audio_to_image")
    assert (to_frames.n_queries, to_frames.n_gallery) == (17, 17)
    assert ranking_of(everything, "own_sound", "audio_to_image").n_gallery == N_PAIRS
    assert ranking_of(everything, "associative", "keep_image").n_queries == N_PAIRS
    write_pairs(tmp_path, 4)
    rows = [{"image": f"p{n:03d}.png", "label": "ab"[n % 2]} for n in range(4)]
    rows += [{"audio": f"p{n:03d}.wav", "label": "ab"[n % 2]} for n in range(4)]
    write_manifest(tmp_path / "m.csv", rows)
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    with IndexReader.open(index) as lone:
        found = evaluate_retrieval(lone, tiny_embedder)
    assert found.database == "all"
    assert [r.protocol for r in found.rankings] == ["leak_free"] * 2 + ["coarse"] * 2
    assert found.not_applicable["own_sound"] == "no item has both a frame and a sound"
    assert found.leak is None
    assert found.conditioning is None


# ── the same figures however it was built ────────────────────────────────────────────────────────


def close(value: Any, other: Any) -> bool:
    """Equal JSON up to rounding of vectors that were embedded in another batch.

    `percentile` is the index's own calibration, whose random pairs are drawn by id.
    """
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(
            close(value[k], other[k]) for k in value if k != "percentile"
        )
    if isinstance(value, list):
        return len(value) == len(other) and all(map(close, value, other))
    if isinstance(value, float) and isinstance(other, float):
        return value == pytest.approx(other, abs=1e-4)
    return bool(value == other)


def test_figures_do_not_depend_on_the_order_of_items(
    tmp_path: Path, small_corpus: SmallCorpus, tiny_embedder: Embedder
) -> None:
    orders: list[Shuffle] = [lambda rows: rows, lambda rows: rows[::-1]]
    found = []
    for n, order in enumerate(orders):
        rows = [row for row in small_corpus.rows if row["image"] and row["audio"]]
        manifest = small_corpus.folder / f"order{n}.csv"
        write_manifest(manifest, order(rows))
        index = build_index(
            small_corpus.folder,
            embedder=tiny_embedder,
            manifest=manifest,
            index_dir=tmp_path / str(n),
        ).index_dir
        with IndexReader.open(index) as opened:
            values = evaluate_retrieval(opened, tiny_embedder).to_json()
        for ranking in values["rankings"]:
            # Ids are not the same, and what is right may tie: values are what must agree.
            for part in ("best", "worst"):
                ranking[part] = [record["value"] for record in ranking[part]]
        found.append(values)
    assert close(*found)
    assert found[0]["rankings"][0]["by_class"]["mean_average_precision"]["n"] == 14


def test_figures_are_determined_by_index_and_seed(
    reader: IndexReader, tiny_embedder: Embedder, figures: RetrievalFigures
) -> None:
    again = evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(ann=True))
    assert again.to_json() == figures.to_json()
    json.dumps(again.to_json(), allow_nan=False)


def test_progress_reaches_the_end_of_every_phase(
    reader: IndexReader, tiny_embedder: Embedder
) -> None:
    told: list[EvaluationProgress] = []
    evaluate_retrieval(reader, tiny_embedder, on_progress=told.append)
    ends = {progress.phase: progress for progress in told}
    assert "leak-free, audio→image" in ends
    assert all(progress.done == progress.total > 0 for progress in ends.values())
    assert told[0].done == 0


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


def test_an_index_of_another_encoder_is_refused(reader: IndexReader) -> None:
    other = Embedder(TwoStreamEncoder(tiny(), seed=1), name="other", device="cpu")
    with pytest.raises(EncoderMismatch, match="--reembed"):
        evaluate_retrieval(reader, other)


@pytest.mark.parametrize("where", ["label = 'nobody'", "image = 'p01.png'"])
def test_fewer_than_two_are_refused(
    reader: IndexReader, tiny_embedder: Embedder, where: str
) -> None:
    with pytest.raises(NothingToEvaluate, match="needs two of each"):
        evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(where=where))


def test_a_filter_that_does_not_parse_is_refused(
    reader: IndexReader, tiny_embedder: Embedder
) -> None:
    with pytest.raises(FilterError):
        evaluate_retrieval(reader, tiny_embedder, options=RetrievalOptions(where="label ="))


def test_without_labels_somebody_must_judge(unlabelled: Path, tiny_embedder: Embedder) -> None:
    with IndexReader.open(unlabelled) as reader:
        with pytest.raises(NothingToEvaluate, match="retrieval label"):
            evaluate_retrieval(reader, tiny_embedder)
        sets = {int(item): [int(item) % 3] for item in reader.ids}
        found = evaluate_retrieval(reader, tiny_embedder, pseudo_labels=pseudo_labels(sets, sets))
    ranking = ranking_of(found, "leak_free", "audio_to_image")
    assert ranking.by_class is None
    assert ranking.by_pseudo_labels is not None
    assert found.exclusions["no label"] == 6
    assert found.swap is not None
    assert (found.swap.n_other_label, found.swap.n_other_item) == (0, 6)
    assert found.leak is not None
    assert found.leak.measure == "success@10"
    assert "6 with the sound of any other item" in " ".join(found.notes)


def test_labels_that_nobody_shares_judge_nothing(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_pairs(tmp_path, 3)
    rows = [
        {"image": f"p{n:03d}.png", "audio": f"p{n:03d}.wav", "label": "abc"[n]} for n in range(3)
    ]
    write_manifest(tmp_path / "m.csv", rows)
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    with (
        IndexReader.open(index) as reader,
        pytest.raises(NothingToEvaluate, match="no two items share a label"),
    ):
        evaluate_retrieval(reader, tiny_embedder)


def test_labels_shared_only_by_duplicates_leave_figures_undefined(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    """Two items of one label, with one and the same frame and sound: neither has an answer."""
    write_pairs(tmp_path, 2)
    names = [("p000", "a"), ("p000", "a"), ("p001", "b")]
    rows = [{"image": f"{n}.png", "audio": f"{n}.wav", "label": label} for n, label in names]
    write_manifest(tmp_path / "m.csv", rows)
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    with IndexReader.open(index) as reader:
        found = evaluate_retrieval(reader, tiny_embedder)
    assert all(ranking.by_class is None for ranking in found.rankings)
    assert all(ranking.best == () for ranking in found.rankings)
    assert found.leak is not None
    assert found.leak.leak.n == 0
    assert found.warnings == ()
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    "options", [{"ks": ()}, {"ks": (0,)}, {"recall_ks": (-1,)}, {"n_trials": 1}, {"max_pairs": 0}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionsInvalid):
        RetrievalOptions(**options)


class Spoilt:
    """A segment one of whose vectors is not a number."""

    def __init__(self, segment: Any, item: int, space: str) -> None:
        self._segment, self._item, self._space = segment, item, space

    def __getattr__(self, name: str) -> Any:
        def blocks() -> Iterator[Any]:
            for block in getattr(self._segment, name)():
                if name != f"{self._space}_blocks":
                    yield block
                    continue
                fields = {key: np.array(value) for key, value in vars(block).items()}
                vectors = fields["f_s" if self._space == "sound" else "maps"]
                vectors[block.ids == self._item] = np.nan
                yield type(block)(**fields)

        return blocks


@pytest.mark.parametrize(("space", "what"), [("sound", "sound"), ("frame", "visual map")])
def test_a_vector_that_is_not_a_number_names_its_item(
    reader: IndexReader, space: str, what: str
) -> None:
    database = read_database(reader, RetrievalOptions())
    item = int(
        database.ids[database.sound_items[3] if space == "sound" else database.frame_items[3]]
    )
    segments: Any = [Spoilt(s, item, space) for s in reader._store.segments]
    source = VectorSource(reader.path, segments, database)
    with pytest.raises(IndexCorrupt, match=f"item {item}: NaN in its {what} vector"):
        source.sounds().__enter__() if space == "sound" else list(source.maps())


def test_an_index_that_changed_meanwhile_is_refused(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    write_pairs(tmp_path, 3)
    manifest = tmp_path / "m.csv"
    rows = [{"image": f"p{n:03d}.png", "audio": f"p{n:03d}.wav", "label": "a"} for n in range(3)]
    write_manifest(manifest, rows[:2])
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=manifest).index_dir
    with IndexReader.open(index) as reader:
        write_manifest(manifest, rows)
        build_index(tmp_path, embedder=tiny_embedder, manifest=manifest)
        with pytest.raises(IndexChanged, match="run the command again"):
            evaluate_retrieval(reader, tiny_embedder)


def test_equal_files_are_one_content_whatever_they_are_called(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    write_pairs(tmp_path, 3)
    (tmp_path / "copy.png").write_bytes((tmp_path / "p000.png").read_bytes())
    rows = [{"image": f"p{n:03d}.png", "audio": f"p{n:03d}.wav", "label": "a"} for n in range(3)]
    rows.append({"image": "copy.png", "audio": "p002.wav", "label": "a"})
    write_manifest(tmp_path / "m.csv", rows)
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    with IndexReader.open(index) as reader:
        contents = contents_of(reader, reader.ids)
        names = {
            row.image: content
            for row, content in zip(reader.rows(reader.ids), contents, strict=True)
        }
        assert names["copy.png"].frame == names["p000.png"].frame
        assert names["copy.png"].sound == names["p002.png"].sound
        assert names["p001.png"].frame != names["p000.png"].frame
        found = evaluate_retrieval(reader, tiny_embedder)
    assert found.n_frames == 3
    assert ranking_of(found, "coarse", "audio_to_image").n_excluded_duplicates == 2


def test_long_files_are_equal_only_to_the_last_byte(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    """Three sounds whose samples agree, as the catalogue has it: two of them are equal."""
    write_pairs(tmp_path, 4)
    (tmp_path / "p001.wav").write_bytes((tmp_path / "p000.wav").read_bytes())
    rows = [{"image": f"p{n:03d}.png", "audio": f"p{n:03d}.wav", "label": "a"} for n in range(4)]
    write_manifest(tmp_path / "m.csv", rows)
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    with closing(sqlite3.connect(index / "catalogue.sqlite")) as catalogue, catalogue:
        catalogue.execute(
            "UPDATE sources SET blake2b = 'sampled:alike' WHERE path LIKE '%.wav' "
            "AND path NOT LIKE '%p003.wav'"
        )
    with IndexReader.open(index) as reader:
        first, second, third, other = (content.sound for content in in_rows(reader))
        assert first == second
        assert len({first, third, other}) == 3
        whole = evaluate_retrieval(reader, tiny_embedder)
        assert not any("long files" in note for note in whole.notes)
        (tmp_path / "p002.wav").unlink()
        first, second, third, other = (content.sound for content in in_rows(reader))
        assert first == second == third != other
        found = evaluate_retrieval(reader, tiny_embedder)
    assert any("1 long files are gone" in note for note in found.notes)


def in_rows(reader: IndexReader) -> list[Content]:
    """Contents by the name of the picture."""
    names = [row.image or "" for row in reader.rows(reader.ids)]
    found = dict(zip(names, contents_of(reader, reader.ids), strict=True))
    return [found[name] for name in sorted(found)]
