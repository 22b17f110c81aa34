"""An index follows its corpus: new, changed, renamed, missing; what is removed stays out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_picture
from indexer_fixtures import build, options, write_pairs

import indexer.compaction
from encoder.config import tiny
from encoder.embedder import Embedder
from encoder.two_stream import TwoStreamEncoder
from indexer.build import build_index
from indexer.catalogue import Catalogue, meta
from indexer.changes import Changes
from indexer.compaction import compact_index
from indexer.errors import BuildUnknown
from indexer.options import BuildOptions
from indexer.reader import IndexReader
from indexer.update import Updated, chosen_ids, plan_update, remove_items, update_index
from indexer.verify import verify

N = 10


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    corpus = write_pairs(tmp_path_factory.mktemp("corpus"), N)
    write_picture(corpus / "silent.png", 77)
    (corpus / "broken.png").write_bytes(b"no picture")
    build(corpus, tiny_embedder)
    return corpus


@pytest.fixture
def corpus(built: Path, tmp_path: Path) -> Path:
    """A copy to do harm to; its files keep their times."""
    return Path(shutil.copytree(built, tmp_path / "corpus"))


@pytest.fixture
def update(corpus: Path, tiny_embedder: Embedder) -> Callable[..., Updated]:
    def run(**changes: bool) -> Updated:
        prune = changes.pop("prune", False)
        chosen = BuildOptions(segment_items=4, batch_size=3, workers=2, **changes)  # type: ignore[arg-type]
        return update_index(index_of(corpus), lambda: tiny_embedder, options=chosen, prune=prune)

    return run


def index_of(corpus: Path) -> Path:
    return corpus / ".retrieval"


def planned(corpus: Path, **changes: bool) -> Changes:
    return plan_update(index_of(corpus), options=options(**changes)).changes


def shown(corpus: Path) -> dict[str, int]:
    """Path of the picture, or of the sound, to id of all that is shown."""
    with IndexReader.open(index_of(corpus)) as reader:
        return {row.image or row.audio or "": row.id for row in reader.rows(reader.ids)}


def touch(path: Path) -> None:
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now + 5_000_000_000))


def test_nothing_new_is_nothing_to_do(corpus: Path, update: Callable[..., Updated]) -> None:
    found = planned(corpus)
    assert (found.to_embed, found.moved, found.missing) == ([], [], [])
    assert found.n_unchanged == N + 2
    done = update(prune=True)
    assert (done.build, done.n_pruned) == (None, 0)


def test_new_files_are_taken_in(corpus: Path, update: Callable[..., Updated]) -> None:
    write_pairs(corpus, 2, first=50)
    assert [item.key.partition("@")[0] for item in planned(corpus).new] == ["p050.png", "p051.png"]
    done = update()
    assert done.build is not None
    assert (done.build.n_new, done.build.n_items) == (2, N + 3)


def test_a_renamed_file_keeps_its_id_and_is_not_embedded(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    before = shown(corpus)
    (corpus / "elsewhere").mkdir()
    for suffix in (".png", ".wav"):
        (corpus / f"p003{suffix}").rename(corpus / "elsewhere" / f"küche{suffix}")
    found = planned(corpus)
    assert [(move.item_id, move.is_renamed) for move in found.moved] == [(before["p003.png"], True)]
    assert (found.to_embed, found.missing) == ([], [])
    done = update()
    assert done.build is not None
    assert (done.build.n_moved, done.build.n_new) == (1, 0)
    assert (done.build.n_frames_embedded, done.build.n_sounds_embedded) == (0, 0)
    after = shown(corpus)
    assert after.pop("elsewhere/küche.png") == before.pop("p003.png")
    assert after == before
    assert planned(corpus).moved == []
    assert verify(index_of(corpus)).is_intact


def test_a_touched_file_is_known_by_its_content(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    before = shown(corpus)
    touch(corpus / "p004.png")
    assert [move.is_renamed for move in planned(corpus).moved] == [False]
    done = update()
    assert done.build is not None
    assert (done.build.n_moved, done.build.n_frames_embedded) == (1, 0)
    assert shown(corpus) == before


def test_a_changed_file_is_embedded_anew(corpus: Path, update: Callable[..., Updated]) -> None:
    before = shown(corpus)
    write_picture(corpus / "p004.png", 1234)
    touch(corpus / "p004.png")
    assert [item.key.partition("@")[0] for item in planned(corpus).changed] == ["p004.png"]
    done = update()
    assert done.build is not None
    assert (done.build.n_new, done.build.n_frames_embedded, done.build.n_items) == (1, 1, N + 1)
    assert shown(corpus)["p004.png"] > max(before.values())


def test_swapped_names_are_followed(corpus: Path, update: Callable[..., Updated]) -> None:
    """Two pictures change places: equal lengths, other contents, so both are looked at."""
    before = shown(corpus)
    first, second = corpus / "p001.png", corpus / "p002.png"
    first.rename(corpus / "aside.png")
    second.rename(first)
    (corpus / "aside.png").rename(second)
    update()
    after = shown(corpus)
    assert after.keys() == before.keys()
    with IndexReader.open(index_of(corpus)) as reader:
        assert reader.verify() == []
        assert reader.n_items == N + 1


def test_a_copy_is_new_and_the_original_stays(corpus: Path, update: Callable[..., Updated]) -> None:
    before = shown(corpus)
    shutil.copy2(corpus / "silent.png", corpus / "copy.png")
    assert planned(corpus).moved == []
    update()
    after = shown(corpus)
    assert after.pop("copy.png") not in before.values()
    assert after == before


def test_missing_files_stay_until_they_are_pruned(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    before = shown(corpus)
    (corpus / "silent.png").unlink()
    (corpus / "broken.png").unlink()
    pending = plan_update(index_of(corpus))
    assert {one.item_id for one in pending.changes.missing} == {None, before["silent.png"]}
    assert pending.missing == ["broken.png", "silent.png"]
    assert update().n_pruned == 0
    assert shown(corpus) == before
    assert update(prune=True).n_pruned == 1
    assert shown(corpus).keys() == before.keys() - {"silent.png"}
    with IndexReader.open(index_of(corpus)) as reader:
        assert reader.failures() == []
    write_picture(corpus / "silent.png", 77)  # it comes back
    done = update()
    assert done.build is not None
    assert done.build.n_new == 1


def test_what_is_removed_stays_out_until_restored(
    corpus: Path, update: Callable[..., Updated], tiny_embedder: Embedder
) -> None:
    index = index_of(corpus)
    ids = chosen_ids(index, patterns=["p00[12].*"])
    assert remove_items(index, ids.tolist()) == 2
    assert remove_items(index, ids.tolist()) == 0
    gone = {"p001.png", "p002.png"}
    assert not gone & shown(corpus).keys()
    assert (planned(corpus).to_embed, planned(corpus).n_removed) == ([], 2)
    assert update().build is None
    build_index(corpus, embedder=tiny_embedder, options=options())
    assert not gone & shown(corpus).keys()
    compact_index(index)
    assert update().build is None
    for suffix in (".png", ".wav"):  # nor does it come back under another name
        (corpus / f"p001{suffix}").rename(corpus / f"again{suffix}")
    update()
    assert not (gone | {"again.png"}) & shown(corpus).keys()
    done = update(restore=True)
    assert done.build is not None
    assert done.build.n_new == 2
    assert {"again.png", "p002.png"} <= shown(corpus).keys()


def test_items_are_chosen_by_path_glob_folder_id_and_filter(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    write_pairs(corpus / "more", 2)
    update()
    index, known = index_of(corpus), shown(corpus)
    assert chosen_ids(index, patterns=["silent.png"]).tolist() == [known["silent.png"]]
    assert chosen_ids(index, patterns=["p00[0-2].wav"]).tolist() == sorted(
        known[f"p00{n}.png"] for n in range(3)
    )
    inside = sorted(known[name] for name in known if name.startswith("more/"))
    assert chosen_ids(index, patterns=["more/"]).tolist() == inside
    assert chosen_ids(index, patterns=["more/*.png"]).tolist() == inside
    assert chosen_ids(index, ids=[inside[0], 999]).tolist() == [inside[0]]
    assert chosen_ids(index, where="kind = 'image'").tolist() == [known["silent.png"]]
    assert chosen_ids(index).tolist() == []


# ── clearing ─────────────────────────────────────────────────────────────────────────────────────


def test_clearing_drops_what_is_hidden_and_joins_small_segments(
    corpus: Path, update: Callable[..., Updated], tiny_embedder: Embedder
) -> None:
    index = index_of(corpus)
    write_pairs(corpus, 1, first=50)
    update()
    remove_items(index, chosen_ids(index, patterns=["p00[12].png"]).tolist())
    before = shown(corpus)
    with IndexReader.open(index) as reader:
        item = before["p005.png"]
        f_s, visual_map = reader.sound(item).f_s, reader.frame_map(item)
        near = reader.nearest("own_sound", f_s[0], 5)
        done = compact_index(index)
        assert reader.sound(item).f_s.tolist() == f_s.tolist()  # the reader keeps what it had
    assert (done.n_dropped, done.n_written) == (2, 1)
    assert done.bytes_freed > 0
    assert shown(corpus) == before
    with IndexReader.open(index) as reader:
        assert (reader.verify(), len(reader._generation.segments)) == ([], 1)
        assert reader.sound(item).f_s.tolist() == f_s.tolist()
        assert reader.frame_map(item).tolist() == visual_map.tolist()
        again = reader.nearest("own_sound", f_s[0], 5)
        assert (again.ids.tolist(), again.scores.tolist()) == (
            near.ids.tolist(),
            near.scores.tolist(),
        )
        assert len(reader._store.ids) == len(before)
    assert verify(index).is_intact
    assert compact_index(index).generation is None
    assert update().build is None


@pytest.mark.parametrize("form", ["compact", "none"])
def test_clearing_keeps_what_is_kept_of_maps(
    corpus: Path, tiny_embedder: Embedder, form: str
) -> None:
    build(corpus, tiny_embedder, maps=form)
    index = index_of(corpus)
    remove_items(index, chosen_ids(index, patterns=["p001.png"]).tolist())
    with IndexReader.open(index) as reader:
        kept = reader.kept_maps
        some = reader._store.frame_ids[2:5]
        maps = np.concatenate([block.maps for block in reader._store.frames(some)])
    compact_index(index)
    with IndexReader.open(index) as reader:
        assert reader.kept_maps.form == kept.form
        assert reader.kept_maps.n_frames == kept.n_frames - 1
        again = np.concatenate([block.maps for block in reader._store.frames(some)])
        assert np.abs(again - maps).max(initial=0.0) < 1e-5
        assert reader.verify() == []


def test_everything_may_be_removed(corpus: Path) -> None:
    index = index_of(corpus)
    remove_items(index, chosen_ids(index, patterns=["*"]).tolist())
    assert shown(corpus) == {}
    done = compact_index(index)
    assert done.n_dropped == N + 1
    assert shown(corpus) == {}
    assert verify(index).is_intact


# ── what is easily lost ──────────────────────────────────────────────────────────────────────────


def test_a_name_that_is_known_may_be_taken(corpus: Path, update: Callable[..., Updated]) -> None:
    """`mv a b` where both are indexed, and a chain a → b → c."""
    before = shown(corpus)
    with_sound = [name for name in before if name != "silent.png"]
    for old, new in (("p001", "p002"), ("p005", "p007"), ("p004", "p005")):
        for suffix in (".png", ".wav"):
            (corpus / f"{old}{suffix}").rename(corpus / f"{new}{suffix}")
    update()
    after = shown(corpus)
    assert after.keys() == before.keys() - {"p001.png", "p004.png"}
    assert after["p002.png"] == before["p001.png"]
    assert after["p005.png"] == before["p004.png"]
    assert len(with_sound) - 2 == len([name for name in after if name != "silent.png"])
    assert planned(corpus).to_embed == []
    assert verify(index_of(corpus)).is_intact


def test_what_breaks_is_no_longer_shown(corpus: Path, update: Callable[..., Updated]) -> None:
    (corpus / "silent.png").write_bytes(b"broken now")
    update()
    assert "silent.png" not in shown(corpus)
    (corpus / "silent.png").unlink()
    update(prune=True)
    assert "silent.png" not in shown(corpus)


def test_files_that_are_paired_otherwise_make_other_items(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    before = shown(corpus)
    shutil.copy2(corpus / "p001.wav", corpus / "silent.wav")
    found = planned(corpus)
    assert [one.item_id for one in found.replaced] == [before["silent.png"]]
    assert found.missing == []
    update()
    after = shown(corpus)
    assert after["silent.png"] != before["silent.png"]
    assert len(after) == len(before)


def test_a_removed_file_that_was_renamed_is_restored_at_once(
    corpus: Path, update: Callable[..., Updated]
) -> None:
    index = index_of(corpus)
    remove_items(index, chosen_ids(index, patterns=["./silent.png"]).tolist())
    (corpus / "silent.png").rename(corpus / "renamed.png")
    update(restore=True)
    assert "renamed.png" in shown(corpus)


def test_a_removed_file_that_was_renamed_stays_out_when_all_is_embedded_anew(
    corpus: Path, tiny_embedder: Embedder
) -> None:
    index = index_of(corpus)
    remove_items(index, chosen_ids(index, patterns=["silent.png"]).tolist())
    (corpus / "silent.png").rename(corpus / "renamed.png")
    other = Embedder(TwoStreamEncoder(tiny(), seed=1), name="other", device="cpu")
    build(corpus, other, reembed=True)
    assert "renamed.png" not in shown(corpus)


def test_what_cannot_be_read_is_not_missing(
    corpus: Path, update: Callable[..., Updated], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(corpus / "disk", 2)
    update()
    before, listing = shown(corpus), os.scandir

    def failing(path: Any) -> Any:
        if Path(path).name == "disk":
            raise OSError("the disk does not answer")
        return listing(path)

    monkeypatch.setattr("indexer.walk.os.scandir", failing)
    done = update(prune=True)
    assert (done.pending.missing, done.n_pruned) == ([], 0)
    assert shown(corpus) == before


def test_an_index_that_does_not_say_how_it_was_built_is_not_guessed_at(corpus: Path) -> None:
    with (
        Catalogue.create(index_of(corpus), corpus="..") as catalogue,
        catalogue.writing() as connection,
    ):
        connection.execute(meta.delete().where(meta.c.key == "built_with"))
    with pytest.raises(BuildUnknown, match="retrieval build-index"):
        plan_update(index_of(corpus))


def test_clearing_reads_each_segment_for_what_it_holds(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every old segment for every new one."""
    index = index_of(corpus)
    with IndexReader.open(index) as reader:
        n_before = len(reader._generation.segments)
    remove_items(index, [1])
    read: list[Path] = []
    copy_rows = indexer.compaction.copy_rows

    def counted(sources: Any, *rest: Any) -> Any:
        read.extend(path for path, _ in sources)
        return copy_rows(sources, *rest)

    monkeypatch.setattr(indexer.compaction, "copy_rows", counted)
    compact_index(index, segment_items=4)
    assert len(read) <= 4 * (n_before + 3)
