"""Damaged files of an index: found one and all, made anew where others allow it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from indexer_fixtures import IN_A_FILE, ON_BOTH, build, copied, write_pairs

import indexer.verify
from encoder.embedder import Embedder
from indexer.catalogue import Catalogue, items, outcomes
from indexer.compact.maps import basis_in
from indexer.errors import IndexCorrupt, IndexLocked, IndexMissing
from indexer.ledger import drop_basis, replace_segment_files
from indexer.locking import only_writer
from indexer.reader import IndexReader
from indexer.repair import Recall, repair
from indexer.verify import Named, verify

pytestmark = ON_BOTH


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder, catalogue_url: str | None
) -> Path:
    """A corpus of 10 pairs in three segments, with full and compact maps."""
    folder = write_pairs(tmp_path_factory.mktemp("verify") / "corpus", 10)
    build(folder, tiny_embedder)
    return folder


@pytest.fixture(scope="module")
def built_compact(
    tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder, catalogue_url: str | None
) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("verify") / "compact", 6)
    build(folder, tiny_embedder, maps="compact")
    return folder


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return copied(built, tmp_path / "corpus") / ".retrieval"


@pytest.fixture
def compact_index(built_compact: Path, tmp_path: Path) -> Path:
    return copied(built_compact, tmp_path / "corpus") / ".retrieval"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def mended(index: Path) -> Recall:
    """Repair without an encoder; what is left is whole and opens."""
    done = repair(index, lambda fingerprint: None)
    assert done.after.is_intact
    with IndexReader.open(index) as reader:
        assert reader.verify() == []
    return done.recall


def contents(index: Path, *patterns: str) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of files, by path."""
    files = [path for pattern in patterns for path in index.glob(pattern)]
    assert files
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_every_file_is_read_and_an_intact_index_is_said_to_be(index: Path) -> None:
    found = verify(index)
    assert found.is_intact
    there = [p for p in index.rglob("*") if p.suffix in (".arrow", ".faiss", ".safetensors")]
    assert found.n_files == len(there)
    assert found.n_bytes == sum(path.stat().st_size for path in there)
    for path in there:
        whole = path.read_bytes()
        flip(path)
        damaged = verify(index).damaged
        assert [one.path for one in damaged] == [path.relative_to(index).as_posix()]
        path.write_bytes(whole)


def test_reasons(index: Path) -> None:
    (index / "bases" / "000001.safetensors").unlink()
    (index / "faiss" / "g000001" / "sound.faiss").write_bytes(b"cut")
    flip(index / "segments" / "000002" / "maps.arrow")
    changed, gone, cut = (one.reason for one in verify(index).damaged)
    assert changed == "not the bytes that were written"
    assert gone == "gone"
    assert cut.startswith("3 bytes where ")


def test_all_that_is_derived_is_made_anew_from_segments(index: Path) -> None:
    with IndexReader.open(index) as reader:
        vector = reader.sound(3).f_s[0]
        expected = reader.nearest("sound", vector, 5).ids.tolist()
    kept = contents(index, "segments/*/sound.arrow", "segments/*/visual.arrow", "segments/*/maps.*")
    for path in (*index.glob("segments/*/compact-*"), *index.glob("bases/*")):
        path.unlink()
    shutil.rmtree(index / "faiss")
    with pytest.raises(IndexCorrupt, match="verify --repair"):
        IndexReader.open(index)
    assert {one.fate for one in verify(index).damaged} == {"made anew"}
    mended(index)
    assert contents(index, "segments/*/[svm]*.arrow") == kept
    with IndexReader.open(index) as reader:
        assert reader.nearest("sound", vector, 5).ids.tolist() == expected
        assert reader.kept_maps.frames == {"full": 10, "compact": 0, "none": 0}
        assert len(reader.kept_maps.bases) == 1


def test_compact_maps_come_back_byte_for_byte_and_others_stay(index: Path) -> None:
    damaged = index / "segments" / "000002" / "compact-000001.arrow"
    before = damaged.read_bytes()
    flip(damaged)
    kept = contents(index, "segments/00000[13]/*", "segments/000002/[svm]*", "bases/*", "faiss/*/*")
    assert mended(index) == "kept"
    assert damaged.read_bytes() == before
    assert (
        contents(index, *("segments/00000[13]/*", "segments/000002/[svm]*", "bases/*"), "faiss/*/*")
        == kept
    )


@pytest.mark.parametrize("step", ["_compact_anew", "sweep_garbage", "_measure"])
def test_a_repair_that_was_killed_is_gone_on_with(
    index: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(index / "segments" / "000001" / "maps.arrow")
    flip(index / "segments" / "000002" / "compact-000001.arrow")
    with monkeypatch.context() as patch:
        patch.setattr(f"indexer.repair.{step}", _power_cut)
        with contextlib.suppress(KeyboardInterrupt):
            mended(index)
    mended(index)
    assert verify(index).is_intact
    with IndexReader.open(index) as reader:
        assert reader._generation.is_measured
        assert reader.kept_maps.frames == {"full": 6, "compact": 4, "none": 0}
        assert all(one.basis is not None for one in reader._store.segments)


def _power_cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_full_maps_that_are_lost_leave_compact_ones(index: Path) -> None:
    (index / "segments" / "000003" / "maps.arrow").unlink()
    (lost,) = verify(index).damaged
    assert (lost.fate, lost.n_frames) == ("given up", 2)
    mended(index)
    with IndexReader.open(index) as reader:
        assert reader.kept_maps.frames == {"full": 8, "compact": 2, "none": 0}
        assert reader.kept_maps.form == "full"


def test_compact_maps_without_full_ones_are_given_up(compact_index: Path) -> None:
    flip(compact_index / "segments" / "000001" / "compact-000001.arrow")
    found = verify(compact_index)
    (lost,) = found.damaged
    assert (lost.fate, lost.n_frames) == ("given up", 4)
    assert found.encode_again.endswith("--reembed --maps compact")
    mended(compact_index)
    with IndexReader.open(compact_index) as reader:
        assert reader.kept_maps.frames == {"full": 0, "compact": 2, "none": 4}


def test_a_lost_basis_takes_the_maps_in_it_along(compact_index: Path) -> None:
    (compact_index / "bases" / "000001.safetensors").unlink()
    with pytest.raises(IndexCorrupt, match="must be encoded again"):
        IndexReader.open(compact_index)
    (lost,) = verify(compact_index).damaged
    assert (lost.fate, lost.n_frames) == ("given up", 6)
    mended(compact_index)
    assert not list(compact_index.glob("segments/*/compact-*"))
    with IndexReader.open(compact_index) as reader:
        assert reader.kept_maps.frames == {"full": 0, "compact": 0, "none": 6}


def test_a_basis_that_the_catalogue_forgot_is_as_good_as_gone(index: Path) -> None:
    with Catalogue.create(index, corpus="") as catalogue, catalogue.writing() as connection:
        drop_basis(connection, 1)
    (lost,) = verify(index).damaged
    assert (lost.path, lost.fate) == ("bases/000001.safetensors", "made anew")
    mended(index)
    with IndexReader.open(index) as reader:
        assert [basis["id"] for basis in reader.kept_maps.bases] == [2]


@pytest.mark.parametrize(("name", "side"), [("sound.arrow", "sounds"), ("visual.arrow", "frames")])
def test_where_vectors_are_lost_nothing_is_touched(index: Path, name: str, side: str) -> None:
    flip(index / "segments" / "000001" / name)
    (index / "faiss" / "g000001" / "coarse.faiss").unlink()
    vectors, derived = verify(index).damaged
    assert vectors.fate == derived.fate == "encoded again"
    assert getattr(vectors, f"n_{side}") == 4
    before = contents(index, "segments/*/*", "bases/*", "faiss/*/*")
    done = repair(index, lambda fingerprint: None)
    assert done.after.damaged == done.before.damaged
    assert contents(index, "segments/*/*", "bases/*", "faiss/*/*") == before


def test_reembedding_mends_what_repair_cannot(index: Path, tiny_embedder: Embedder) -> None:
    (index / "segments" / "000001" / "sound.arrow").unlink()
    build(index.parent, tiny_embedder, reembed=True)
    assert verify(index).is_intact


def test_a_writer_beside_it_is_no_damage(
    index: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generation that is being read is replaced and swept meanwhile."""
    is_intact, waiting = indexer.verify.is_intact, [True]

    def slowly(*arguments: object) -> bool:
        if waiting and waiting.pop():
            write_pairs(index.parent, 1, first=10)
            build(index.parent, tiny_embedder)
        return is_intact(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("indexer.verify.is_intact", slowly)
    assert verify(index).is_intact
    assert not (index / "faiss" / "g000001").exists()


def test_an_index_of_an_older_release_is_given_nothing_new(index: Path) -> None:
    with Catalogue.create(index, corpus="") as catalogue:
        with catalogue.reading() as connection:
            named = Named.read(index, connection)
        with catalogue.writing() as connection:
            for segment, names in named.segments.items():
                plain = {name: record for name, record in names.items() if basis_in([name]) is None}
                replace_segment_files(connection, segment, plain)
    flip(index / "faiss" / "g000001" / "coarse.faiss")
    mended(index)
    with IndexReader.open(index) as reader:
        assert not reader.kept_maps.bases


@IN_A_FILE
def test_a_damaged_catalogue_is_said_to_be(index: Path) -> None:
    path = index / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    content[8192:20000] = b"\xa5" * (20000 - 8192)
    path.write_bytes(content)
    with pytest.raises(IndexCorrupt, match="catalogue"):
        verify(index)


def test_repair_is_alone_and_needs_an_index(index: Path, tmp_path: Path) -> None:
    with only_writer(index), pytest.raises(IndexLocked):
        repair(index, lambda fingerprint: None)
    with pytest.raises(IndexMissing):
        repair(tmp_path, lambda fingerprint: None)


def test_whole_files_that_make_no_sense_are_told(index: Path) -> None:
    """The bytes are what was written, but the catalogue speaks of other items."""
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        connection.execute(outcomes.update().where(outcomes.c.item == 3).values(item=None))
        connection.execute(items.delete().where(items.c.id == 3))
    found = verify(index)
    assert (found.damaged, found.is_intact) == ((), False)
    assert [(one.wrong, one.where, one.examples) for one in found.faults] == [
        ("unknown", "frame", (3,)),
        ("unknown", "sound", (3,)),
    ]


def test_files_that_belong_to_nothing_are_named_and_do_no_harm(index: Path) -> None:
    stray = index / "segments" / "000001" / "stray.arrow"
    stray.write_bytes(b"from a killed run")
    found = verify(index)
    assert (found.orphans, found.is_intact) == (("segments/000001/stray.arrow",), True)
