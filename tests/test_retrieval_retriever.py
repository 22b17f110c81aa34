"""Every ranking of definitions §3 over a real index, against its formula written out in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import SmallCorpus, sound_of, write_picture, write_sound, write_video
from numpy.typing import NDArray

from encoder import media
from encoder.embedder import ConditionedFrames, Embedder
from indexer.build import build_index
from indexer.errors import FilterError
from indexer.reader import IndexReader
from retrieval import Results, Retriever
from retrieval.errors import QueryError

HALF_PRECISION = 2e-3
"""Maps and sound contexts rest on disk in float16."""


# ── the slow twin ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Pair:
    """What one row of the manifest, or the query, embeds to."""

    visual_map: NDArray[np.float16] | None
    coarse: NDArray[np.float32] | None
    f_s: NDArray[np.float32] | None
    h: NDArray[np.float32] | None


class Twin:
    """Decodes and embeds on its own; knows neither index nor rankings of the product."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def pair(self, image: Path | None, audio: Path | None) -> Pair:
        visual_map = coarse = f_s = h = None
        if image is not None:
            prepared = self.embedder.prepare_frame(media.read_image(image))
            frames = self.embedder.embed_frames([prepared])
            visual_map, coarse = frames.maps[0], frames.coarse[0]
        if audio is not None:
            sounds = self.embedder.embed_sounds(
                [self.embedder.prepare_sound(media.read_sound(audio))]
            )
            f_s, h = sounds.f_s[0], sounds.h[0]
        return Pair(visual_map, coarse, f_s, h)

    def f_v(self, frame: Pair, sound: Pair) -> NDArray[np.float32]:
        assert frame.visual_map is not None
        assert sound.h is not None
        return self.embedder.condition(frame.visual_map[None], sound.h[None]).f_v[0]


Formula = Callable[[Twin, Pair, Pair], float]
FORMULAS: dict[tuple[str, str, str], Formula] = {
    ("sound", "image", "leak-free"): lambda t, x, y: x.f_s @ t.f_v(y, x),
    ("sound", "image", "own-sound"): lambda t, x, y: x.f_s @ t.f_v(y, y),
    ("sound", "audio", "leak-free"): lambda t, x, y: x.f_s @ y.f_s,
    ("frame", "audio", "leak-free"): lambda t, x, y: t.f_v(x, y) @ y.f_s,
    ("frame", "image", "leak-free"): lambda t, x, y: x.coarse @ y.coarse,
    ("both", "audio", "leak-free"): lambda t, x, y: t.f_v(x, y) @ y.f_s,
    ("both", "audio", "own-sound"): lambda t, x, y: t.f_v(x, x) @ y.f_s,
    ("both", "image", "leak-free"): lambda t, x, y: x.f_s @ t.f_v(y, x),
    ("both", "image", "own-sound"): lambda t, x, y: t.f_v(x, x) @ t.f_v(y, y),
    ("both", "audio", "associate image"): lambda t, x, y: t.f_v(x, x) @ t.f_v(x, y),
    ("both", "image", "associate audio"): lambda t, x, y: t.f_v(x, x) @ t.f_v(y, x),
}
SIDES = ("image", "audio")
NEEDS_BOTH = {("sound", "image", "own-sound"), ("both", "image", "own-sound")}


@pytest.fixture(scope="module")
def twin(tiny_embedder: Embedder) -> Twin:
    return Twin(tiny_embedder)


@pytest.fixture(scope="module")
def gallery(small_corpus: SmallCorpus, twin: Twin) -> list[tuple[dict[str, str], Pair]]:
    """All rows but the video, embedded by the twin."""
    return [
        (
            row,
            twin.pair(*(small_corpus.folder / row[side] if row[side] else None for side in SIDES)),
        )
        for row in small_corpus.rows
        if not row["video"]
    ]


def best_scores(
    twin: Twin, gallery: list[tuple[dict[str, str], Pair]], x: Pair, row: tuple[str, str, str]
) -> dict[str, float]:
    """Return the highest score of each picture or sound that a ranking can show."""
    scores: dict[str, float] = {}
    for line, y in gallery:
        shown, is_pair = line[row[1]], line["image"] and line["audio"]
        if shown and (is_pair or row not in NEEDS_BOTH):
            scores[shown] = max(scores.get(shown, -2.0), float(FORMULAS[row](twin, x, y)))
    return scores


@pytest.mark.parametrize("row", FORMULAS, ids=" ".join)
def test_ranking_is_its_formula(
    row: tuple[str, str, str],
    retriever: Retriever,
    twin: Twin,
    gallery: list[tuple[dict[str, str], Pair]],
    query: tuple[Path, Path],
) -> None:
    given, to, manner = row
    image = query[0] if given != "sound" else None
    audio = query[1] if given != "frame" else None
    options = {"associate": manner.split()[1]} if " " in manner else {"mode": manner}
    results = retriever.search(image=image, audio=audio, to=to, k=100, **options)

    expected = best_scores(twin, gallery, twin.pair(image, audio), row)
    found = {hit.path: hit.score for hit in results if hit.path != "clip.mp4"}
    assert found.keys() == expected.keys()
    for path, score in found.items():
        assert score == pytest.approx(expected[path], abs=HALF_PRECISION)
    order = [(-hit.score, hit.id) for hit in results]
    assert order == sorted(order)
    assert [hit.rank for hit in results] == list(range(1, len(results) + 1))
    assert results.exact


# ── what is shown ────────────────────────────────────────────────────────────────────────────────


def paths(results: Results) -> list[str]:
    return [hit.path for hit in results]


def test_shared_files_are_shown_once(retriever: Retriever, query: tuple[Path, Path]) -> None:
    found = paths(retriever.search(audio=query[1], k=100))
    assert len(found) == len(set(found)) == 12 + 2 + 1  # pairs, lone pictures, the video
    found = paths(retriever.search(image=query[0], k=100))
    assert len(found) == len(set(found)) == 12 + 2 + 1


def test_of_equal_scores_the_lowest_id_stands(
    retriever: Retriever, query: tuple[Path, Path]
) -> None:
    hits = {hit.path: hit for hit in retriever.search(audio=query[1], k=100)}
    assert hits["p00.png"].audio == "p00.wav"  # not p03.wav, its second row


def test_k_counts_what_is_shown(retriever: Retriever, query: tuple[Path, Path]) -> None:
    everything = paths(retriever.search(audio=query[1], k=100))
    for k in (1, 3, 15):
        assert paths(retriever.search(audio=query[1], k=k)) == everything[:k]


def test_pages_join_to_the_whole(retriever: Retriever, query: tuple[Path, Path]) -> None:
    everything = retriever.search(audio=query[1], k=100)
    second = retriever.search(audio=query[1], k=4, offset=4)
    assert paths(second) == paths(everything)[4:8]
    assert [hit.rank for hit in second] == [5, 6, 7, 8]
    assert len(retriever.search(audio=query[1], k=4, offset=1000)) == 0


def test_filter_keeps_order(
    retriever: Retriever, small_corpus: SmallCorpus, query: tuple[Path, Path]
) -> None:
    rows = small_corpus.rows
    everything = retriever.search(audio=query[1], k=100)
    some = retriever.search(audio=query[1], k=100, where="label = 'drum' and split = 'val'")
    assert {hit.label for hit in some} == {"drum"}
    assert {hit.metadata["split"] for hit in some} == {"val"}
    drums = {row["image"] for row in rows if (row["label"], row["split"]) == ("drum", "val")}
    assert paths(some) == [path for path in paths(everything) if path in drums]
    assert len(retriever.search(audio=query[1], where="label = 'nothing'")) == 0
    with pytest.raises(FilterError):
        retriever.search(audio=query[1], where="label = ")


def test_min_score_cuts_the_tail(retriever: Retriever, query: tuple[Path, Path]) -> None:
    everything = retriever.search(audio=query[1], k=100)
    floor = everything[5].score
    some = retriever.search(audio=query[1], k=100, min_score=floor)
    assert paths(some) == [hit.path for hit in everything if hit.score >= floor]


def test_percentiles_rise_with_the_score(retriever: Retriever, query: tuple[Path, Path]) -> None:
    shares = [hit.percentile for hit in retriever.search(audio=query[1], k=100)]
    assert shares == sorted(shares, reverse=True)
    assert 0 <= shares[-1] <= shares[0] <= 100


def test_arrays_and_files_are_one_query(retriever: Retriever, query: tuple[Path, Path]) -> None:
    image, audio = media.read_image(query[0]), media.read_sound(query[1])
    for by_file, by_array in (
        ({"image": query[0]}, {"image": image}),
        ({"audio": query[1]}, {"audio": audio}),
    ):
        first, second = retriever.search(**by_file), retriever.search(**by_array)
        assert [(h.id, h.score) for h in first] == [(h.id, h.score) for h in second]


# ── videos ───────────────────────────────────────────────────────────────────────────────────────


def test_a_video_gives_frame_and_sound(retriever: Retriever, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", seed=7, seconds=3)
    results = retriever.search(video=tmp_path / "v.mp4", at_s=1.0, associate="image")
    frame = media.read_frame(tmp_path / "v.mp4", 1.0)
    sound = media.read_sound(tmp_path / "v.mp4")  # shorter than the window around the frame
    by_array = retriever.search(image=frame, audio=sound, associate="image")
    assert paths(results) == paths(by_array)
    assert results[0].score == pytest.approx(by_array[0].score, abs=1e-3)


@pytest.mark.parametrize("sound", ["missing", "silent"])
def test_a_mute_video_is_a_picture(retriever: Retriever, tmp_path: Path, sound: str) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, seed=7, with_sound=sound == "silent", loudness=0.0)
    results = retriever.search(video=path)
    assert results.plan.given == "frame"
    assert "searched by its frame alone" in results.notes[0]
    assert paths(results) == paths(retriever.search(image=media.read_frame(path, 1.0)))


def test_a_moment_behind_the_end_is_refused(retriever: Retriever, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", seed=7, seconds=2)
    with pytest.raises(QueryError, match="behind its end"):
        retriever.search(video=tmp_path / "v.mp4", at_s=60)


# ── heat maps ────────────────────────────────────────────────────────────────────────────────────


def test_heat_map_of_a_picture_found_by_sounds(
    retriever: Retriever, query: tuple[Path, Path]
) -> None:
    first = retriever.search(audio=query[1], k=1)[0].heatmap()
    assert first.values.shape == first.attention.shape == first.response.shape == (4, 4)
    assert first.values.min() == 0
    assert first.values.max() == 1
    assert first.attention.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(first.response).max() <= 1.001
    assert first.overlay().size == (64, 48)  # the picture's own size, not the network's


def test_heat_map_depends_on_the_sound(retriever: Retriever) -> None:
    def attention(seed: int) -> NDArray[np.float32]:
        hits = retriever.search(audio=sound_of(seed), k=100)
        return next(hit for hit in hits if hit.path == "p04.png").heatmap().attention

    assert np.allclose(attention(1), attention(1))
    assert not np.allclose(attention(1), attention(2), atol=1e-6)


def test_heat_maps_of_sounds_lie_on_the_query(
    retriever: Retriever, query: tuple[Path, Path]
) -> None:
    maps = [hit.heatmap() for hit in retriever.search(image=query[0], k=2)]
    assert not np.allclose(maps[0].attention, maps[1].attention, atol=1e-6)
    assert np.array_equal(maps[0].picture(), media.read_image(query[0]))


def test_heat_map_is_the_attention_of_that_pair(
    retriever: Retriever,
    small_corpus: SmallCorpus,
    twin: Twin,
    query: tuple[Path, Path],
) -> None:
    hit = retriever.search(audio=query[1], k=1, where="path = 'p04.png'")[0]
    x, y = twin.pair(None, query[1]), twin.pair(small_corpus.folder / "p04.png", None)
    expected = twin.embedder.condition(y.visual_map[None], x.h[None])
    assert np.allclose(hit.heatmap().attention.ravel(), expected.attention[0], atol=1e-5)


ATTENDED: dict[tuple[str, str], Callable[[Pair, Pair], tuple[Pair, Pair]]] = {
    ("image", "leak-free"): lambda x, y: (y, x),
    ("image", "own-sound"): lambda x, y: (y, y),
    ("audio", "leak-free"): lambda x, y: (x, y),
    ("audio", "own-sound"): lambda x, y: (x, x),
    ("audio", "associate image"): lambda x, y: (x, y),
    ("image", "associate audio"): lambda x, y: (y, x),
}
"""Frame and sound of the f_v in each formula, X the query and Y the hit."""


@pytest.mark.parametrize("row", ATTENDED, ids=" ".join)
def test_heat_map_is_why_the_hit_scored(
    row: tuple[str, str],
    retriever: Retriever,
    small_corpus: SmallCorpus,
    twin: Twin,
    query: tuple[Path, Path],
) -> None:
    to, manner = row
    options = {"associate": manner.split()[1]} if " " in manner else {"mode": manner}
    hits = retriever.search(image=query[0], audio=query[1], to=to, k=100, **options)
    hit = next(one for one in hits if one.path in ("p04.png", "p04.wav"))
    x = twin.pair(*query)
    y = twin.pair(small_corpus.folder / "p04.png", small_corpus.folder / "p04.wav")
    frame, sound = ATTENDED[row](x, y)
    expected = twin.embedder.condition(frame.visual_map[None], sound.h[None]).attention[0]
    assert np.allclose(hit.heatmap().attention.ravel(), expected, atol=1e-5)
    shown = query[0] if frame is x else small_corpus.folder / "p04.png"
    assert np.array_equal(hit.heatmap().picture(), media.read_image(shown))


def test_own_sound_maps_of_a_sound_alone_hear_the_hit(
    retriever: Retriever, small_corpus: SmallCorpus, twin: Twin, query: tuple[Path, Path]
) -> None:
    hits = retriever.search(audio=query[1], mode="own-sound", k=100)
    hit = next(one for one in hits if one.path == "p04.png")
    y = twin.pair(small_corpus.folder / "p04.png", small_corpus.folder / "p04.wav")
    expected = twin.embedder.condition(y.visual_map[None], y.h[None]).attention[0]
    assert np.allclose(hit.heatmap().attention.ravel(), expected, atol=1e-5)


def test_hits_show_their_own_picture_and_stand_in_sets(
    retriever: Retriever, small_corpus: SmallCorpus
) -> None:
    hits = retriever.search(audio=sound_of(3), k=100)
    assert len(set(hits)) == len(hits)
    by_path = {hit.path: hit for hit in hits}
    moment = media.read_frame(small_corpus.folder / "clip.mp4", 1.0)
    assert np.array_equal(by_path["clip.mp4"].picture(), moment)
    still = media.read_image(small_corpus.folder / "p04.png")
    assert np.array_equal(by_path["p04.png"].picture(), still)
    sounds = {hit.path: hit for hit in retriever.search(image=still, k=100)}
    with pytest.raises(QueryError, match="without a picture"):
        sounds["lone0.wav"].picture()


def test_duplicates_are_conditioned_once(
    tiny_embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that shows one picture makes a second look at the list, not at the items."""
    write_picture(tmp_path / "a.png", seed=1)
    write_sound(tmp_path / "a.wav", seed=1, seconds=40)
    rows = ["image,audio,start_s,end_s"]
    rows += [f"a.png,a.wav,{n / 2},{n / 2 + 1}" for n in range(60)]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    index = build_index(tmp_path, embedder=tiny_embedder, manifest=tmp_path / "m.csv").index_dir
    looked_at = 0
    condition = tiny_embedder.condition

    def counted(maps: NDArray[np.float16], h: NDArray[np.float32]) -> ConditionedFrames:
        nonlocal looked_at
        looked_at += max(len(maps), len(h))
        return condition(maps, h)

    monkeypatch.setattr(tiny_embedder, "condition", counted)
    with IndexReader.open(index) as reader:
        hits = Retriever(reader, tiny_embedder).search(audio=sound_of(1), k=2)
    assert len(hits) == 1
    assert looked_at == 60


def test_a_frame_of_a_video_is_painted(retriever: Retriever, small_corpus: SmallCorpus) -> None:
    hit = retriever.search(audio=sound_of(3), where="label = 'bell'", k=100)
    video = next(one for one in hit if one.path == "clip.mp4")
    shown = media.read_frame(small_corpus.folder / "clip.mp4", 1.0)
    assert np.array_equal(video.heatmap().picture(), shown)


def test_a_large_photograph_is_drawn_smaller(retriever: Retriever) -> None:
    photograph = np.zeros((1000, 3200, 3), np.uint8)
    hit = retriever.search(image=photograph, k=1)[0]
    assert hit.heatmap().overlay().size == (1600, 500)
    assert hit.heatmap().picture().shape == photograph.shape


def test_one_kind_alone_has_no_heat_map(retriever: Retriever, query: tuple[Path, Path]) -> None:
    with pytest.raises(QueryError, match="sound found by a sound"):
        retriever.search(audio=query[1], to="audio", k=1)[0].heatmap()
    with pytest.raises(QueryError, match="picture found by a picture"):
        retriever.search(image=query[0], to="image", k=1)[0].heatmap()
