"""What an associative hit looked at before and after the exchange, on screen and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from command_line import run
from conftest import SmallCorpus, write_picture
from numpy.typing import NDArray
from PIL import Image

from encoder import media
from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.options import BuildOptions
from indexer.reader import IndexReader
from retrieval import Retriever
from retrieval.contact_sheet import PANEL_PX, Cell, side_by_side
from retrieval.errors import QueryError
from retrieval.hits import Heatmap
from retrieval.outputs import write_heatmaps


def attention(embedder: Embedder, image: Path, audio: Path) -> NDArray[np.float32]:
    """Look at a picture with a sound, without index or ranking."""
    prepared = embedder.prepare_frame(media.read_image(image))
    sound = embedder.embed_sounds([embedder.prepare_sound(media.read_sound(audio))])
    maps = embedder.embed_frames([prepared]).maps
    return embedder.condition(maps, sound.h).attention[0]


def assert_looks(
    found: Heatmap | None, embedder: Embedder, image: Path, audio: Path, tolerance: float = 1e-5
) -> None:
    assert found is not None
    expected = attention(embedder, image, audio)
    np.testing.assert_allclose(found.attention.ravel(), expected, atol=tolerance)
    assert np.array_equal(found.picture(), media.read_image(image))


@pytest.mark.parametrize("kept", ["image", "audio"])
def test_before_is_the_pair_and_after_the_exchange(
    kept: str,
    retriever: Retriever,
    small_corpus: SmallCorpus,
    tiny_embedder: Embedder,
    query: tuple[Path, Path],
) -> None:
    image, audio = query
    hits = retriever.search(image=image, audio=audio, associate=kept, k=100)
    hit = next(one for one in hits if one.path in ("p04.png", "p04.wav"))
    after = (image, hit.file) if kept == "image" else (hit.file, audio)
    assert_looks(hit.before(), tiny_embedder, image, audio)
    assert_looks(hit.heatmap(), tiny_embedder, *after)
    assert not np.allclose(hit.before().attention, hit.heatmap().attention, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"to": "image"}, {"mode": "own-sound"}, {"mode": "own-sound", "to": "image"}],
    ids=str,
)
def test_other_rankings_have_no_before(
    options: dict[str, Any], retriever: Retriever, query: tuple[Path, Path]
) -> None:
    hit = retriever.search(image=query[0], audio=query[1], k=1, **options)[0]
    assert hit.before() is None


def test_what_is_added_changes_the_hits_and_not_the_panels(
    retriever: Retriever, small_corpus: SmallCorpus, query: tuple[Path, Path]
) -> None:
    asked = {"image": query[0], "audio": query[1], "associate": "audio", "k": 100}
    alone = {hit.path: hit for hit in retriever.search(**asked)}
    for hit in retriever.search(**asked, subtract=[small_corpus.folder / "p01.png"]):
        for mixed, plain in (
            (hit.before(), alone[hit.path].before()),
            (hit.heatmap(), alone[hit.path].heatmap()),
        ):
            assert np.array_equal(mixed.attention, plain.attention)


def test_a_closed_index_shows_nothing(small_corpus: SmallCorpus, query: tuple[Path, Path]) -> None:
    with Retriever.open(
        small_corpus.folder, device="cpu", checkpoint=small_corpus.checkpoint
    ) as opened:
        hit = opened.search(image=query[0], audio=query[1], associate="image", k=1)[0]
    with pytest.raises(QueryError, match="closed"):
        hit.before()


@pytest.mark.parametrize("maps", ["none", "compact"])
def test_a_frame_without_a_stored_map_is_embedded_anew(
    maps: Literal["none", "compact"],
    retriever: Retriever,
    small_corpus: SmallCorpus,
    tiny_embedder: Embedder,
    query: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    built = build_index(
        small_corpus.folder,
        embedder=tiny_embedder,
        index_dir=tmp_path / "index",
        manifest=small_corpus.folder / "manifest.csv",
        options=BuildOptions(maps=maps),
    )
    stored = {hit.path: hit.heatmap() for hit in retriever.search(audio=query[1], k=100)}
    with IndexReader.open(built.index_dir) as reader:
        hits = Retriever(reader, tiny_embedder).search(audio=query[1], k=100)
        again = {hit.path: hit.heatmap() for hit in hits}
    assert again.keys() == stored.keys() >= {"p04.png", "clip.mp4"}
    for path, found in again.items():
        np.testing.assert_allclose(found.attention, stored[path].attention, atol=1e-5)
        np.testing.assert_allclose(found.response, stored[path].response, atol=2e-3)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kept", ["image", "audio"])
def test_both_panels_are_written_side_by_side(
    kept: str, retriever: Retriever, query: tuple[Path, Path], tmp_path: Path
) -> None:
    results = retriever.search(image=query[0], audio=query[1], associate=kept, k=2)
    written = write_heatmaps(results, tmp_path, strength=1.0)
    assert len(written.paths) == 2
    with Image.open(written.paths[0]) as file:
        sheet = np.asarray(file.convert("RGB")).astype(int)
    width, height = PANEL_PX  # 64 x 48 pixels, enlarged to fit
    before, after = (
        results[0].before().overlay(strength=1.0),
        results[0].heatmap().overlay(strength=1.0),
    )
    for picture, left in ((before, 10), (after, 10 + width + 10)):
        expected = picture.resize(PANEL_PX, Image.Resampling.BICUBIC)
        panel = sheet[10 : 10 + height, left : left + width]
        np.testing.assert_allclose(panel, np.asarray(expected).astype(int), atol=1)
        caption = sheet[10 + height :, left : left + width]
        assert caption.min() < 160, "words stand under every panel"


def test_the_command_writes_them(
    small_corpus: SmallCorpus, query: tuple[Path, Path], tmp_path: Path
) -> None:
    pair = ("--image", query[0], "--audio", query[1])
    for name, associate in (("pair", ("--associate", "image")), ("plain", ())):
        asked = (*pair, *associate, "-k", 1, "--heatmap", tmp_path / name)
        result = run("query", *asked, *small_corpus.arguments)
        assert result.exit_code == 0, result.output
    sizes = {}
    for name in ("pair", "plain"):
        (path,) = (tmp_path / name).glob("*.png")
        with Image.open(path) as file:
            sizes[name] = file.size
    assert sizes["plain"] == (64, 48)
    assert sizes["pair"][0] > 2 * PANEL_PX[0]


def test_any_shape_fits_its_panel() -> None:
    cells = [
        Cell(picture=Image.new("RGB", size, (200, 0, 0)), caption="a caption that is wide")
        for size in ((2000, 1), (1, 2000), (8, 8), (1600, 1200))
    ]
    sheet = side_by_side(cells)
    assert sheet.height < PANEL_PX[1] + 60
    assert sheet.width <= 4 * (PANEL_PX[0] + 10) + 10
    red = (np.asarray(sheet) == (200, 0, 0)).all(axis=2)
    columns = np.flatnonzero(red.any(axis=0))
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert [len(run) for run in runs] == [480, 1, 360, 480]


def test_a_lost_picture_is_named_and_the_rest_written(
    tiny_embedder: Embedder, query: tuple[Path, Path], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for n in range(3):
        write_picture(corpus / f"{n}.png", seed=n)
    index = build_index(corpus, embedder=tiny_embedder).index_dir
    (corpus / "1.png").unlink()
    with IndexReader.open(index) as reader:
        opened = Retriever(reader, tiny_embedder)
        results = opened.search(image=query[0], audio=query[1], associate="audio")
        written = write_heatmaps(results, tmp_path / "why")
    assert len(written.paths) == 2
    assert len(written.failures) == 1
    assert "1.png" in written.failures[0]
