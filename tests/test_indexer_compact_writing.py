"""What a writer does for compact maps: forms, bases, kills at every step, indexes from before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from indexer_fixtures import build, options, vectors_of, write_pairs

from encoder.embedder import Embedder
from indexer.build import BuildReport, build_index
from indexer.catalogue import Catalogue
from indexer.compact.maps import basis_in, fit_basis, pooled, restored
from indexer.compact.writing import (
    DRIFT,
    compact_segments,
    drifted,
    forget_compact,
    form_of,
    is_in_form,
    loss,
)
from indexer.errors import IndexCorrupt, MapsMissing
from indexer.history import Edition, all_editions, segment_files
from indexer.ledger import replace_efforts
from indexer.lookup import basis_rows, latest_generation
from indexer.reader import IndexReader
from indexer.segments import MAPS
from indexer.terms import frames_for_sound, sounds_like

N = 10  # segments of 4, 4 and 2


class PowerCut(Exception):
    """The process is gone: nothing after this line runs."""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> dict[str, Path]:
    """A corpus with an index in each form, built in peace; for reading and copying alone."""
    found = {}
    for form in ("full", "compact", "none"):
        corpus = write_pairs(tmp_path_factory.mktemp(form) / "corpus", N)
        build(corpus, tiny_embedder, maps=form)
        found[form] = corpus
    return found


@pytest.fixture
def copied(calm: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copies the corpus of a form with its index."""

    def copy(form: str) -> Path:
        return Path(shutil.copytree(calm[form], tmp_path / "corpus"))

    return copy


def index_of(corpus: Path) -> Path:
    return corpus / ".retrieval"


def files_on_disk(corpus: Path) -> list[set[str]]:
    """Return the names of the files of each segment."""
    folders = sorted((index_of(corpus) / "segments").iterdir())
    return [{path.name for path in folder.iterdir()} for folder in folders]


def opened(corpus: Path) -> IndexReader:
    return IndexReader.open(index_of(corpus))


def catalogue_of(corpus: Path) -> tuple[Catalogue, Edition]:
    catalogue = Catalogue.create(index_of(corpus), corpus="..")
    with catalogue.reading() as connection:
        return catalogue, all_editions(connection)[-1]


SIDES = {"sound.arrow", "visual.arrow"}
COMPACT = "compact-000001.arrow"
ON_DISK = {"full": SIDES | {MAPS, COMPACT}, "compact": SIDES | {COMPACT}, "none": SIDES}


# ── forms ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ON_DISK)
def test_what_is_on_the_disk_is_what_was_asked_for(calm: dict[str, Path], form: str) -> None:
    assert files_on_disk(calm[form]) == 3 * [ON_DISK[form]]
    with opened(calm[form]) as reader:
        assert reader.verify() == []
        assert reader.info()["maps"]["form"] == form
        assert len(reader.ids) == N
        files = reader._generation.segments
        assert form_of(files) == form
        assert is_in_form(files, form)  # type: ignore[arg-type]
    bases = index_of(calm[form]) / "bases"
    assert len(list(bases.iterdir()) if bases.exists() else []) == (form != "none")


def test_the_disk_holds_the_full_maps_of_one_segment_at_most(
    tmp_path: Path, tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_pairs(tmp_path / "corpus", N)
    finish, seen = import_module("indexer.assemble").commit_segment, []

    def watched(*args: Any) -> None:
        finish(*args)
        seen.append(sum(MAPS in names for names in files_on_disk(corpus)))

    monkeypatch.setattr("indexer.assemble.commit_segment", watched)
    build(corpus, tiny_embedder, maps="compact")
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("form", ["compact", "none"])
def test_a_later_build_goes_on_in_the_same_form(
    copied: Callable[[str], Path], tiny_embedder: Embedder, form: str
) -> None:
    corpus = copied(form)
    write_pairs(corpus, 3, first=N)
    report = build(corpus, tiny_embedder)
    assert (report.n_new, report.n_items) == (3, N + 3)
    assert files_on_disk(corpus) == 4 * [ON_DISK[form]]
    with opened(corpus) as reader:
        assert reader.verify() == []
        assert len(reader.answer(tiny_embedder, [asked(reader)], 99).neighbours.ids) == N + 3


def asked(reader: IndexReader) -> Any:
    return frames_for_sound(reader.sound(int(reader.ids[0])))


@pytest.mark.parametrize("form", ON_DISK)
def test_answers_say_whether_full_maps_are_behind_them(
    calm: dict[str, Path], tiny_embedder: Embedder, form: str
) -> None:
    with opened(calm[form]) as reader:
        for exact in (True, False):
            found = reader.answer(tiny_embedder, [asked(reader)], 5, exact=exact)
            assert found.exact == (form == "full")
        like = sounds_like(reader.sound(1).f_s[0])
        assert reader.answer(tiny_embedder, [like], 5).exact
        if form == "full":
            assert reader.frame_map(1).shape == (16, 512)
        else:
            with pytest.raises(MapsMissing, match="--reembed --maps full"):
                reader.frame_map(1)
        with pytest.raises(KeyError):
            reader.frame_map(999)


def test_compact_maps_are_those_of_the_full_ones(calm: dict[str, Path]) -> None:
    with opened(calm["full"]) as full:
        names = {row.id: row.image for row in full.rows(full.ids)}
        segments = full._store.segments
        of_full = {}
        for segment in segments:
            assert segment.basis is not None
            block = segment.compact(np.arange(len(segment.frame_ids)))
            for item, cells in zip(block.ids, restored(segment.basis, block), strict=True):
                near = pooled(full.frame_map(item)[None], full.grid)[0]
                assert np.square(cells - near).sum() < 1e-3 * np.square(near).sum()
                of_full[names[int(item)]] = cells
    with opened(calm["compact"]) as compact:
        for block in compact.frame_blocks():
            for row, cells in zip(compact.rows(block.ids), block.maps, strict=True):
                assert cells.shape == (4, 512)
                # One basis is fitted to all frames, the other to those of the first segment.
                gap = np.square(cells - of_full[row.image]).sum()
                assert gap < 0.2 * np.square(of_full[row.image]).sum()


def test_without_maps_the_frame_alone_stands_for_every_look(
    calm: dict[str, Path], tiny_embedder: Embedder
) -> None:
    with opened(calm["none"]) as reader:
        term = asked(reader)
        found = reader.answer(tiny_embedder, [term], 5).neighbours
        near = reader.nearest("coarse", term.target, 5)
        assert found.ids.tolist() == near.ids.tolist()
        np.testing.assert_allclose(found.scores, near.scores, atol=2e-6)
        assert np.isfinite(reader.percentiles("audio-image", found.scores)).all()


@pytest.mark.parametrize(("form", "n_embedded"), [("full", 0), ("compact", 1), ("none", 1)])
def test_frames_without_full_maps_are_embedded_again_where_an_item_shares_them(
    copied: Callable[[str], Path], tiny_embedder: Embedder, form: str, n_embedded: int
) -> None:
    """What is copied into a new segment is a full map; sounds are whole in every form."""
    corpus = copied(form)
    manifest = corpus / "m.csv"
    manifest.write_text("image,audio\np001.png,p002.wav\n")
    report = build_index(corpus, embedder=tiny_embedder, manifest=manifest, options=options())
    assert (report.n_items, report.n_new) == (N + 1, 1)
    assert (report.n_frames_embedded, report.n_sounds_embedded) == (n_embedded, 0)
    assert files_on_disk(corpus)[-1] == ON_DISK[form]


@pytest.mark.parametrize("form", ["compact", "none"])
def test_an_index_may_keep_less_from_now_on(
    copied: Callable[[str], Path], tiny_embedder: Embedder, form: str
) -> None:
    corpus = copied("full")
    write_pairs(corpus, 1, first=N)
    with opened(corpus) as before:
        build(corpus, tiny_embedder, maps=form)
        assert before.frame_map(1).shape == (16, 512)  # open files outlive their names
    assert all(MAPS not in names for names in files_on_disk(corpus))
    with opened(corpus) as reader:
        assert reader.info()["maps"]["form"] == form
        assert reader.verify() == []
        assert len(reader.answer(tiny_embedder, [asked(reader)], 99).neighbours.ids) == N + 1


@pytest.mark.parametrize("form", ["compact", "none"])
def test_a_build_with_nothing_new_gives_maps_up_too(
    copied: Callable[[str], Path], tiny_embedder: Embedder, form: str
) -> None:
    corpus = copied("full")
    assert build(corpus, tiny_embedder, maps=form).n_new == 0
    assert all(MAPS not in names for names in files_on_disk(corpus))
    with opened(corpus) as reader:
        assert reader.verify() == []
        assert not reader.answer(tiny_embedder, [asked(reader)], 99).exact


# ── bases ────────────────────────────────────────────────────────────────────────────────────────


def facts_of(corpus: Path) -> dict[int, dict[str, Any]]:
    with Catalogue.open(index_of(corpus)) as catalogue, catalogue.reading() as connection:
        return {number: row.facts for number, row in basis_rows(connection).items()}


def bases_used(corpus: Path) -> list[int | None]:
    with opened(corpus) as reader:
        return [basis_in(names) for names in reader._generation.segments.values()]


def test_the_catalogue_knows_how_a_basis_was_fitted(calm: dict[str, Path]) -> None:
    facts = facts_of(calm["full"])[1]
    assert (facts["n_frames"], facts["blocks"]) == (N, 4)
    assert 0 < facts["rank"] < 4 * N
    assert 0 <= facts["lost"] < 1e-3
    assert set(facts["lost_by_segment"]) == {"1", "2", "3"}
    assert facts_of(calm["compact"])[1]["n_frames"] == 4  # the first segment's


def test_drift_is_noticed_and_refitting_ends_it(tmp_path: Path, tiny_embedder: Embedder) -> None:
    corpus = write_pairs(tmp_path / "corpus", 4)
    for first, n in ((4, 4), (8, 2)):
        build(corpus, tiny_embedder)
        write_pairs(corpus, n, first=first)
    report = build(corpus, tiny_embedder)
    facts = facts_of(corpus)[1]
    lost = facts["lost_by_segment"]
    assert lost["1"] == pytest.approx(facts["lost"])
    assert min(lost["2"], lost["3"]) > DRIFT * facts["lost"]  # four frames do not span the others
    assert drifted(facts) == list(report.maps.drifted) == [2, 3]
    refitted = build(corpus, tiny_embedder, refit=True)
    assert (refitted.n_new, list(refitted.maps.drifted)) == (0, [])
    with opened(corpus) as reader:
        assert list(reader.info()["maps"]["drifted"]) == []
        assert reader.verify() == []


def test_compact_maps_alone_drift_until_their_frames_are_encoded_again(
    copied: Callable[[str], Path], tiny_embedder: Embedder
) -> None:
    corpus = copied("compact")
    assert drifted(facts_of(corpus)[1]) == [2, 3]
    assert list(build(corpus, tiny_embedder, refit=True).maps.drifted) == [2, 3]
    report = build(corpus, tiny_embedder, reembed=True, maps="full")
    assert (report.n_new, list(report.maps.drifted)) == (N, [])


def test_loss_is_the_part_of_the_variance() -> None:
    maps = np.random.default_rng(0).normal(size=(200, 4, 512)).astype(np.float32)
    basis = fit_basis(maps, (2, 2))
    one = loss(basis, maps, (2, 2))
    assert 0 < one < 1
    assert loss(basis, maps - 0.1 * basis.mean, (2, 2)) == pytest.approx(one, rel=0.05)
    assert loss(basis, np.broadcast_to(basis.mean, (3, 4, 512)), (2, 2)) == 0


def test_refitting_makes_all_compact_maps_anew(
    copied: Callable[[str], Path], tiny_embedder: Embedder
) -> None:
    corpus = copied("full")
    write_pairs(corpus, 6, first=N)
    build(corpus, tiny_embedder)
    assert bases_used(corpus) == 5 * [1]
    first = build(corpus, tiny_embedder, refit=True)
    assert (first.n_new, bases_used(corpus)) == (0, 5 * [2])
    assert facts_of(corpus)[2]["n_frames"] == N + 6
    assert {path.name for path in (index_of(corpus) / "bases").iterdir()} == {"000002.safetensors"}
    assert files_on_disk(corpus) == 5 * [SIDES | {MAPS, "compact-000002.arrow"}]


def test_refitting_leaves_what_it_cannot_make_anew(
    copied: Callable[[str], Path], tiny_embedder: Embedder
) -> None:
    """Of some frames there are compact maps alone: these stay in their basis."""
    corpus = copied("compact")
    write_pairs(corpus, 4, first=N)
    build(corpus, tiny_embedder, maps="full")
    assert files_on_disk(corpus) == [*3 * [ON_DISK["compact"]], ON_DISK["full"]]
    build(corpus, tiny_embedder, refit=True, maps="full")
    assert bases_used(corpus) == [1, 1, 1, 2]
    assert facts_of(corpus)[2]["n_frames"] == 4
    write_pairs(corpus, 1, first=N + 4)
    build(corpus, tiny_embedder, maps="full")
    assert bases_used(corpus) == [1, 1, 1, 2, 2]
    with opened(corpus) as reader:
        assert reader.verify() == []
        found = reader.answer(tiny_embedder, [asked(reader)], 99)
        assert (len(found.neighbours.ids), found.exact) == (N + 5, False)


def test_what_was_measured_on_other_maps_is_forgotten(
    copied: Callable[[str], Path],
) -> None:
    corpus = copied("full")
    catalogue, edition = catalogue_of(corpus)
    with closing(catalogue):
        with catalogue.writing() as connection:
            generation = latest_generation(connection)
            assert generation is not None
            replace_efforts(connection, generation.id, {"frames": {}})
        forget_compact(index_of(corpus), catalogue, edition)
        with catalogue.reading() as connection:
            generation = latest_generation(connection)
        assert generation is not None
        assert generation.efforts == {}


def test_what_is_derived_anew_is_byte_for_byte_the_same(copied: Callable[[str], Path]) -> None:
    corpus = copied("full")
    folders = sorted((index_of(corpus) / "segments").iterdir())
    before = [(folder / COMPACT).read_bytes() for folder in folders]
    basis = (index_of(corpus) / "bases" / "000001.safetensors").read_bytes()
    catalogue, edition = catalogue_of(corpus)
    with closing(catalogue):
        forget_compact(index_of(corpus), catalogue, edition)
        with catalogue.reading() as connection:
            assert basis_rows(connection) == {}
            forgotten = segment_files(connection, edition.id)
            assert all(basis_in(names) is None for names in forgotten.values())
        compact_segments(index_of(corpus), catalogue, edition)
    assert [(folder / "compact-000002.arrow").read_bytes() for folder in folders] == before
    assert (index_of(corpus) / "bases" / "000002.safetensors").read_bytes() == basis


def test_who_has_the_index_open_keeps_what_is_swept(
    copied: Callable[[str], Path], tiny_embedder: Embedder
) -> None:
    corpus = copied("full")
    with opened(corpus) as reader:
        before = [block.maps.copy() for block in reader.frame_blocks()]
        build(corpus, tiny_embedder, refit=True)
        build(corpus, tiny_embedder, maps="compact")
        assert files_on_disk(corpus) == 3 * [SIDES | {"compact-000002.arrow"}]
        for block, maps in zip(reader.frame_blocks(), before, strict=True):
            np.testing.assert_array_equal(block.maps, maps)
        assert reader.answer(tiny_embedder, [asked(reader)], 99).neighbours.ids.size == N


def test_an_index_opens_while_maps_are_given_up_and_made_anew(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a look into the catalogue and the files a writer goes on, again and again."""
    corpus = copied("full")
    catalogue, edition = catalogue_of(corpus)
    module, index = import_module("indexer.compact.writing"), index_of(corpus)

    def made_anew() -> None:
        forget_compact(index, catalogue, edition)
        compact_segments(index, catalogue, edition)
        for segment in (2, 3):
            (index / "segments" / f"{segment:06d}" / COMPACT).unlink()

    meanwhile = [
        lambda: module._give_up(index, catalogue, edition, 1),
        made_anew,
        lambda: module._give_up(index, catalogue, edition, 2),
    ]
    read_bases = module.read_bases

    def interrupted(*args: Any) -> Any:
        if meanwhile:
            meanwhile.pop(0)()
        return read_bases(*args)

    monkeypatch.setattr("indexer.reader.read_bases", interrupted)
    with closing(catalogue), opened(corpus) as reader:
        assert not meanwhile
        assert reader.verify() == []
    assert bases_used(corpus) == [1, 2, 2]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────

WAY_OUT = {"full": "retrieval verify --repair", "compact": "must be encoded again"}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("form", WAY_OUT)
@pytest.mark.parametrize("how", ["flipped", "short", "gone"])
def test_a_damaged_basis_is_found_on_opening(
    copied: Callable[[str], Path], form: str, how: str
) -> None:
    corpus = copied(form)
    path = index_of(corpus) / "bases" / "000001.safetensors"
    damage(path, how)
    with pytest.raises(IndexCorrupt, match=rf"000001\.safetensors.*{WAY_OUT[form]}") as caught:
        opened(corpus)
    assert "\n" not in str(caught.value)


def damage(path: Path, how: str) -> None:
    if how == "flipped":
        flip(path)
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-8])
    else:
        path.unlink()


@pytest.mark.parametrize("form", WAY_OUT)
@pytest.mark.parametrize("how", ["short", "gone"])
def test_compact_maps_of_another_length_are_found_on_opening(
    copied: Callable[[str], Path], form: str, how: str
) -> None:
    corpus = copied(form)
    damage(index_of(corpus) / "segments" / "000002" / COMPACT, how)
    with pytest.raises(IndexCorrupt, match=rf"000002/{COMPACT}.*{WAY_OUT[form]}"):
        opened(corpus)


@pytest.mark.parametrize("form", WAY_OUT)
def test_a_flipped_byte_of_compact_maps_is_found_by_reading_everything(
    copied: Callable[[str], Path], form: str
) -> None:
    corpus = copied(form)
    flip(index_of(corpus) / "segments" / "000002" / COMPACT)
    with opened(corpus) as reader:
        assert reader.verify() == [f"segments/000002/{COMPACT}"]


@pytest.mark.parametrize("name", ["codes.safetensors", "frame_codes.arrow", "sound_codes.arrow"])
def test_damaged_codes_are_made_anew_by_the_same_command(
    copied: Callable[[str], Path], tiny_embedder: Embedder, name: str
) -> None:
    corpus = copied("compact")
    (folder,) = (index_of(corpus) / "faiss").iterdir()
    (folder / name).write_bytes(b"")
    with pytest.raises(IndexCorrupt, match="build-index"):
        opened(corpus)
    assert build(corpus, tiny_embedder).n_skipped == N
    with opened(corpus) as reader:
        assert reader.verify() == []


# ── kills ────────────────────────────────────────────────────────────────────────────────────────

STEPS = {
    "before the basis is committed": ("add_basis", 0),
    "while the first compact maps are written": ("write_compact", 0),
    "between compact maps and commit": ("replace_segment_files", 0),
    "before the drift is noted": ("note_loss", 0),
    "before full maps are given up": ("replace_segment_files", 1),
    "between giving up and deleting": ("storing", 2),
    "while later compact maps are written": ("write_compact", 2),
    "before the last full maps are given up": ("replace_segment_files", 5),
}


def cut_short(
    monkeypatch: pytest.MonkeyPatch, name: str, calls: int, run: Callable[[], BuildReport]
) -> None:
    """Let a function of the writer through so many times, then have the power fail."""
    module = import_module("indexer.compact.writing")
    function, left = getattr(module, name), [calls]

    def failing(*args: Any, **kwargs: Any) -> Any:
        if not left[0]:
            raise PowerCut
        left[0] -= 1
        return function(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, failing)
        with pytest.raises(PowerCut):
            run()


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_loses_nothing(
    tmp_path: Path,
    calm: dict[str, Path],
    tiny_embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    corpus = write_pairs(tmp_path / "corpus", N)
    cut_short(monkeypatch, *STEPS[step], lambda: build(corpus, tiny_embedder, maps="compact"))
    kept = sum(len(names) > 0 for names in files_on_disk(corpus))
    again = build(corpus, tiny_embedder, maps="compact")
    assert again.n_items == N
    assert again.n_skipped == min(4 * kept, N)  # every segment that was committed
    assert files_on_disk(corpus) == 3 * [ON_DISK["compact"]]
    assert_same_vectors(corpus, calm["compact"])


def assert_same_vectors(corpus: Path, expected: Path) -> None:
    found, wanted = vectors_of(index_of(corpus)), vectors_of(index_of(expected))
    assert found.keys() == wanted.keys()
    for name, vector in found.items():
        np.testing.assert_allclose(vector[:1000], wanted[name][:1000], atol=1e-5)
        # Compact maps are those of a basis that may have been fitted to other frames.
        assert np.corrcoef(vector[1000:], wanted[name][1000:])[0, 1] > 0.9
    with opened(corpus) as reader:
        assert reader.verify() == []


@pytest.mark.parametrize("step", [("write_compact", 1), ("replace_segment_files", 4)])
def test_a_killed_refit_is_searched_exactly_and_mended_by_the_next_build(
    copied: Callable[[str], Path],
    tiny_embedder: Embedder,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[str, int],
) -> None:
    corpus = copied("full")
    cut_short(monkeypatch, *step, lambda: build(corpus, tiny_embedder, refit=True))
    with opened(corpus) as reader:
        assert reader.verify() == []
        found = reader.answer(tiny_embedder, [asked(reader)], 99)
        assert (len(found.neighbours.ids), found.exact) == (N, True)
        assert not reader._store.can_scan
    build(corpus, tiny_embedder)
    assert bases_used(corpus) == 3 * [2]
    with opened(corpus) as reader:
        assert reader._store.can_scan
        assert reader.verify() == []


def test_a_kill_while_an_index_comes_to_keep_less(
    copied: Callable[[str], Path], tiny_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = copied("full")
    cut_short(monkeypatch, "storing", 1, lambda: build(corpus, tiny_embedder, maps="compact"))
    with opened(corpus) as reader:
        assert reader.verify() == []
        assert len(reader.answer(tiny_embedder, [asked(reader)], 99).neighbours.ids) == N
    build(corpus, tiny_embedder, maps="compact")
    assert files_on_disk(corpus) == 3 * [ON_DISK["compact"]]
