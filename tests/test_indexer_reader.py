"""Reading: one generation, whole; deletions at once; damage told with the way out."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import write_picture
from indexer_fixtures import IN_A_FILE, ON_BOTH, build, copied, options, write_pairs
from sqlalchemy import update

from encoder.embedder import Embedder
from indexer.build import build_index
from indexer.catalogue import SCHEMA_VERSION, Catalogue, meta
from indexer.errors import FilterError, IndexCorrupt, IndexMissing
from indexer.ledger import delete_items
from indexer.lookup import hidden_ids
from indexer.publish import rebuild_vectors
from indexer.reader import IndexReader
from indexer.vectors import exact_nearest

pytestmark = ON_BOTH

RANKINGS = (
    "audio-image",
    "image-audio",
    "audio-image/own-sound",
    "image-audio/own-sound",
    "audio-audio",
    "image-image",
    "associate-image",
    "associate-audio",
)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder, catalogue_url: str | None
) -> Path:
    corpus = write_pairs(tmp_path_factory.mktemp("corpus"), 10)
    write_picture(corpus / "silent.png", 77)
    build(corpus, tiny_embedder)
    return corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return copied(built, tmp_path / "corpus")


def delete(index: Path, *ids: int) -> None:
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, ids)


def all_ids(reader: IndexReader) -> list[set[int]]:
    """What every way in shows."""
    vector = reader.sound(2).f_s[0]
    return [
        set(reader.ids.tolist()),
        {int(i) for block in reader.sound_blocks() for i in block.ids},
        {int(i) for block in reader.frame_blocks() for i in block.ids},
        *(
            {int(i) for i in reader.nearest(space, vector, 99).ids}
            for space in ("sound", "coarse", "own_sound")
        ),
    ]


def test_a_deleted_item_is_gone_at_once_everywhere(corpus: Path) -> None:
    with IndexReader.open(corpus / ".retrieval") as reader:
        everyone = reader.ids
        assert all(5 in ids for ids in all_ids(reader))
        assert reader.allowed(None) is None
        delete(corpus / ".retrieval", 5)
        assert all(5 not in ids for ids in all_ids(reader))
        vector = reader.sound(2).f_s[0]
        assert 5 not in reader.nearest("sound", vector, 99, allowed=everyone).ids
        assert 5 not in [i for block in reader.frame_blocks(everyone) for i in block.ids]
        assert reader.allowed(None) is None
        named = reader.allowed("id > 0")
        assert named is not None
        assert 5 not in named
        assert reader.n_items == len(everyone) - 1


def test_a_reader_sees_one_generation_while_a_writer_publishes(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    index = corpus / ".retrieval"
    first = IndexReader.open(index)
    before = all_ids(first)
    seen: list[tuple[int, int]] = []
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with IndexReader.open(index) as reader:
                ids = all_ids(reader)
                if ids[0] != ids[1] | ids[2] or ids[1] != ids[3] or ids[2] != ids[4]:
                    wrong.append(str(ids))
                seen.append((reader.generation, reader.n_items))

    thread = threading.Thread(target=read)
    thread.start()
    for n in (20, 30):
        write_pairs(corpus, 2, first=n)
        build(corpus, tiny_embedder)
    done.set()
    thread.join()
    assert not wrong
    assert set(seen) <= {(1, 11), (2, 13), (3, 15)}
    assert all_ids(first) == before  # its files were swept from under it
    first.close()


def test_nearest_agrees_with_the_segments(built: Path) -> None:
    with IndexReader.open(built / ".retrieval") as reader:
        vector = reader.sound(4).f_s[0]
        blocks = [(block.ids, block.f_s) for block in reader.sound_blocks()]
        slow, fast = exact_nearest(blocks, vector, 6), reader.nearest("sound", vector, 6)
        assert fast.ids.tolist() == slow.ids.tolist()
        assert fast.scores.tolist() == slow.scores.tolist()


def test_filters_reach_every_ranking(built: Path) -> None:
    with IndexReader.open(built / ".retrieval") as reader:
        allowed = reader.allowed("image like 'p00%' and id > 3")
        assert allowed is not None
        expected = set(allowed.tolist())
        assert 0 < len(expected) < 10
        near = reader.nearest("coarse", reader.sound(4).f_s[0], 99, allowed=allowed)
        assert set(near.ids.tolist()) == expected
        assert {int(i) for b in reader.sound_blocks(allowed) for i in b.ids} == expected
        nobody = reader.allowed("label = 'unheard of'")
        assert nobody is not None
        assert not len(nobody)
        assert list(reader.frame_blocks(nobody)) == []
        with pytest.raises(FilterError):
            reader.allowed("image ~ 'x'")


def test_threads_share_a_reader(built: Path) -> None:
    with IndexReader.open(built / ".retrieval") as reader:
        expected = all_ids(reader)
        found: list[list[set[int]]] = []
        threads = [threading.Thread(target=lambda: found.append(all_ids(reader))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 6


def test_rows_keep_their_order_and_unknown_ids_are_errors(built: Path) -> None:
    with IndexReader.open(built / ".retrieval") as reader:
        assert [row.id for row in reader.rows([7, 2, 7])] == [7, 2, 7]
        for call in (lambda: reader.rows([999]), lambda: reader.sound(999)):
            with pytest.raises(KeyError):
                call()
        (silent,) = reader.rows(reader.allowed("image = 'silent.png'"))  # type: ignore[arg-type]
        assert (silent.has_frame, silent.has_sound, silent.t0) == (True, False, None)
        with pytest.raises(KeyError):
            reader.sound(silent.id)


def test_percentiles_are_shares_of_random_pairs(built: Path, tiny_embedder: Embedder) -> None:
    with IndexReader.open(built / ".retrieval") as reader:
        pairs = []
        for frame in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
            for block in reader.sound_blocks():
                others = block.ids != frame
                f_v = tiny_embedder.condition(reader.frame_map(frame)[None], block.h).f_v
                pairs += np.einsum("nd,nd->n", f_v, block.f_s)[others].tolist()
        shares = reader.percentiles("audio-image", np.quantile(pairs, [0.1, 0.5, 0.9]))
        assert shares == pytest.approx([10, 50, 90], abs=4)
        for ranking in RANKINGS:
            low, high = reader.percentiles(ranking, np.array([-1.0, 1.0]))
            assert (low, high) == (0, 100)
        assert np.isnan(reader.percentiles("no such", np.zeros(1))).all()


def test_a_gallery_of_silent_pictures_has_no_pairs_to_compare(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    for n in range(3):
        write_picture(tmp_path / f"{n}.png", n)
    report = build_index(tmp_path, embedder=tiny_embedder, options=options())
    with IndexReader.open(report.index_dir) as reader:
        assert np.isnan(reader.percentiles("audio-image", np.zeros(2))).all()
        assert np.isfinite(reader.percentiles("image-image", np.zeros(2))).all()
        assert list(reader.sound_blocks()) == []
        assert reader.nearest("sound", np.eye(1000, dtype=np.float32)[0], 5).ids.size == 0


def test_info_is_json_and_adds_up(built: Path) -> None:
    import json

    with IndexReader.open(built / ".retrieval") as reader:
        info = json.loads(json.dumps(reader.info()))
    assert (info["n_items"], info["n_frames"], info["n_sounds"]) == (11, 11, 10)
    stored = [
        *(built / ".retrieval").glob("segments/*/*"),
        *(built / ".retrieval").glob("faiss/*/*"),
    ]
    assert info["bytes"] == sum(path.stat().st_size for path in stored)


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_a_flipped_byte_is_found_by_verify(corpus: Path) -> None:
    flip(corpus / ".retrieval" / "segments" / "000002" / "maps.arrow")
    flip(corpus / ".retrieval" / "faiss" / "g000001" / "coarse.faiss")
    with IndexReader.open(corpus / ".retrieval") as reader:
        assert reader.verify() == ["segments/000002/maps.arrow", "faiss/g000001/coarse.faiss"]


def test_derived_files_are_made_anew_from_the_segments(corpus: Path) -> None:
    index = corpus / ".retrieval"
    with IndexReader.open(index) as reader:
        vector = reader.sound(3).f_s[0]
        expected = reader.nearest("coarse", vector, 5).ids.tolist()
    flip(index / "faiss" / "g000001" / "coarse.faiss")
    (index / "faiss" / "g000001" / "sound.faiss").unlink()
    with pytest.raises(IndexCorrupt, match="gone"):
        IndexReader.open(index)
    rebuild_vectors(index)
    with IndexReader.open(index) as reader:
        assert reader.verify() == []
        assert reader.nearest("coarse", vector, 5).ids.tolist() == expected


def test_the_same_command_mends_damaged_vectors(corpus: Path, tiny_embedder: Embedder) -> None:
    index = corpus / ".retrieval"
    with IndexReader.open(index) as reader:
        vector = reader.sound(3).f_s[0]
        expected = reader.nearest("sound", vector, 5).ids.tolist()
    (index / "faiss" / "g000001" / "sound.faiss").write_bytes(b"cut off")
    with pytest.raises(IndexCorrupt, match="makes it anew from the segments"):
        IndexReader.open(index)
    report = build_index(corpus, embedder=tiny_embedder)
    assert (report.n_new, report.generation) == (0, 2)
    with IndexReader.open(index) as reader:
        assert reader.verify() == []
        assert reader.nearest("sound", vector, 5).ids.tolist() == expected


def read_all(index: Path) -> None:
    with IndexReader.open(index) as reader:
        reader.rows(reader.ids)
        reader.failures()


@IN_A_FILE
@pytest.mark.parametrize("damage", ["zeros", "text", "truncated", "header"])
def test_a_corrupt_catalogue_says_what_to_do(corpus: Path, damage: str) -> None:
    path = corpus / ".retrieval" / "catalogue.sqlite"
    content = path.read_bytes()
    path.write_bytes(
        {
            "zeros": bytes(len(content)),
            "text": b"this was a database once " * 400,
            "truncated": content[: len(content) // 3],
            "header": content[:20] + b"\xff" * 80 + content[100:],
        }[damage]
    )
    with pytest.raises(IndexCorrupt, match="build-index") as caught:
        read_all(corpus / ".retrieval")
    assert "\n" not in str(caught.value)


@IN_A_FILE
def test_a_corrupt_catalogue_stops_a_build_too(corpus: Path, tiny_embedder: Embedder) -> None:
    (corpus / ".retrieval" / "catalogue.sqlite").write_bytes(b"no database " * 500)
    with pytest.raises(IndexCorrupt, match="build-index"):
        build(corpus, tiny_embedder)


def test_a_newer_schema_asks_for_a_newer_program(corpus: Path, tiny_embedder: Embedder) -> None:
    with (
        Catalogue.create(corpus / ".retrieval", corpus="..") as catalogue,
        catalogue.writing() as connection,
    ):
        newer = update(meta).where(meta.c.key == "schema_version").values(value=SCHEMA_VERSION + 1)
        connection.execute(newer)
    with pytest.raises(IndexCorrupt, match="update this program"):
        IndexReader.open(corpus / ".retrieval")
    with pytest.raises(IndexCorrupt, match="update this program"):
        build(corpus, tiny_embedder)


def test_no_index_and_a_build_that_never_finished(
    tmp_path: Path, catalogue_url: str | None
) -> None:
    with pytest.raises(IndexMissing, match="build-index"):
        IndexReader.open(tmp_path)
    Catalogue.create(tmp_path, corpus="..", url=catalogue_url).close()
    with pytest.raises(IndexMissing, match="never finished"):
        IndexReader.open(tmp_path)


def test_no_pickle_on_disk(built: Path) -> None:
    suffixes = {path.suffix for path in (built / ".retrieval").rglob("*") if path.is_file()}
    assert suffixes <= {
        ".sqlite",
        ".sqlite-wal",
        ".sqlite-shm",
        ".arrow",
        ".faiss",
        ".lock",
        ".json",
        ".safetensors",
    }


@IN_A_FILE
def test_a_folder_that_only_others_may_write_to_is_no_disk_at_rest(corpus: Path) -> None:
    """Where the log cannot be joined the file is read alone, until others commit."""
    path = corpus / ".retrieval" / "catalogue.sqlite"
    with Catalogue._frozen_at(path) as frozen:
        with frozen.reading() as connection:
            assert len(hidden_ids(connection, 1)) == 0
        delete(corpus / ".retrieval", 5)
        with frozen.reading() as connection:
            assert hidden_ids(connection, 1).tolist() == [5]
