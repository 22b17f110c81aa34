"""Labels of items: kept per provider and version, once for what is shared, read by one call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from indexer_fixtures import ON_BOTH, build, copied
from label_fixtures import (
    BINS,
    BrightnessLabeller,
    OverflowingLabeller,
    PitchLabeller,
    indexed,
    pair,
    row,
    said,
)
from sqlalchemy import update

from encoder.embedder import Embedder
from encoder.labellers.protocol import Labelled, Vocabulary
from encoder.media import read_frame, read_image, read_sound
from indexer.catalogue import Catalogue, pseudo_labels
from indexer.errors import CorpusMissing, IndexCorrupt, IndexLocked
from indexer.labels.errors import (
    LabellerBroken,
    LabelsMissing,
    NothingLabelled,
    VocabulariesMixed,
)
from indexer.labels.labelling import LabelReport, drop_labels, label_items
from indexer.labels.models import LabelOptions, ModelLabels
from indexer.ledger import delete_items
from indexer.locking import only_writer
from indexer.reader import IndexReader

pytestmark = ON_BOTH

ROWS = [row(0, 0), row(1, 1), row(2, None), row(None, 3), row(0, 2)]
"""Two pairs, a lone picture, a lone sound, and a row that shares the first picture."""


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder, catalogue_url: str | None
) -> Path:
    return indexed(tmp_path_factory.mktemp("built") / "corpus", tiny_embedder, ROWS).parent


@pytest.fixture
def index(tmp_path: Path, built: Path) -> Path:
    """An index of one's own, with its corpus."""
    return copied(built, tmp_path / "corpus") / ".retrieval"


@pytest.fixture
def reader(index: Path) -> Iterator[IndexReader]:
    with IndexReader.open(index) as opened:
        yield opened


def labelled(
    reader: IndexReader, image: BrightnessLabeller | None = None, audio: PitchLabeller | None = None
) -> LabelReport:
    options = LabelOptions(workers=2, batch_size=2)
    return label_items(reader, ModelLabels(pair(image, audio), reader.corpus, options=options))


def test_every_side_gets_what_the_labeller_says_of_its_file(reader: IndexReader) -> None:
    report = labelled(reader)
    assert (report.labels.n_frames, report.labels.n_sounds) == (4, 4)
    assert (report.n_new, report.n_skipped, report.n_failed, report.n_unknown) == (8, 0, 0, 0)
    found = reader.pseudo_labels("bins")
    assert (found.provider, found.vocabulary, found.names) == ("bins", "bins", BINS.names)
    for modality, labeller in (("image", BrightnessLabeller()), ("audio", PitchLabeller())):
        top = found.of(modality)
        assert top is not None
        assert top.ids.tolist() == sorted(top.ids.tolist())
        assert (top.ids.dtype, top.labels.dtype, top.scores.dtype) == ("int64", "int32", "float32")
        for place, item in enumerate(reader.rows(top.ids)):
            path = reader.locate(getattr(item, modality))
            decoded = read_image(path) if modality == "image" else read_sound(path, rate_hz=8_000)
            alone = labeller.label([labeller.prepare(decoded)])
            np.testing.assert_array_equal(top.labels[place], alone.ids[0])
            np.testing.assert_allclose(top.scores[place], alone.scores[0], rtol=1e-6)


def test_what_is_shared_is_labelled_once_and_kept_for_all(reader: IndexReader) -> None:
    image, audio = BrightnessLabeller(), PitchLabeller()
    report = labelled(reader, image, audio)
    assert (image.n_seen, audio.n_seen) == (3, 4)  # four frames, one of them in two items
    assert (report.n_computed, report.n_new) == (7, 8)
    top = reader.pseudo_labels("bins").image
    assert top is not None
    files = [one.image for one in reader.rows(top.ids)]
    twice = [n for n, file in enumerate(files) if file == "p000.png"]
    assert len(twice) == 2
    np.testing.assert_array_equal(*top.labels[twice])


def test_the_same_run_again_does_nothing(reader: IndexReader) -> None:
    first = labelled(reader)
    image, audio = BrightnessLabeller(), PitchLabeller()
    again = labelled(reader, image, audio)
    assert (image.n_seen, audio.n_seen) == (0, 0)
    assert (again.n_new, again.n_skipped) == (0, 8)
    assert again.labels == first.labels
    assert reader.label_sets() == [first.labels]


def test_a_new_item_of_a_labelled_file_costs_nothing(
    tmp_path: Path, tiny_embedder: Embedder, reader: IndexReader
) -> None:
    labelled(reader)
    index = indexed(tmp_path / "corpus", tiny_embedder, [*ROWS, row(2, 3), row(3, 3)])
    with IndexReader.open(index) as later:
        image, audio = BrightnessLabeller(), PitchLabeller()
        report = labelled(later, image, audio)
        assert (image.n_seen, audio.n_seen) == (1, 0)
        assert (report.n_new, report.n_computed, report.n_skipped) == (4, 1, 8)
        found = said(later, later.pseudo_labels("bins"))
        assert found["image"].keys() == {f"p{n:03d}.png" for n in range(4)}


def test_another_version_is_another_set_and_the_newest_is_the_default(reader: IndexReader) -> None:
    old = labelled(reader)
    new = labelled(reader, BrightnessLabeller(weights="b"))
    assert new.n_new == 8
    assert new.labels.version != old.labels.version
    assert [one.version for one in reader.label_sets()] == [old.labels.version, new.labels.version]
    assert reader.pseudo_labels("bins").version == new.labels.version
    assert reader.pseudo_labels("bins", old.labels.version).version == old.labels.version


def test_a_label_does_not_depend_on_batches_or_threads(tmp_path: Path, reader: IndexReader) -> None:
    labelled(reader)
    whole = ModelLabels(
        pair(), reader.corpus, name="whole", options=LabelOptions(workers=1, batch_size=99)
    )
    label_items(reader, whole)
    by_two, at_once = (said(reader, reader.pseudo_labels(name)) for name in ("bins", "whole"))
    assert by_two == at_once


def test_a_video_is_labelled_window_by_window(tmp_path: Path, tiny_embedder: Embedder) -> None:
    write_video(tmp_path / "clip.mp4", seed=3, seconds=4)
    build(tmp_path, tiny_embedder, window_s=2.0)
    with IndexReader.open(tmp_path / ".retrieval") as reader:
        assert labelled(reader).n_new == 4
        found = reader.pseudo_labels("bins")
        assert found.image is not None
        assert found.audio is not None
        for place, item in enumerate(reader.rows(reader.ids)):
            labeller, listener = BrightnessLabeller(), PitchLabeller()
            frame = read_frame(tmp_path / "clip.mp4", item.frame_time_s or 0.0)
            sound = read_sound(tmp_path / "clip.mp4", t0_s=item.t0, t1_s=item.t1, rate_hz=8_000)
            seen = labeller.label([labeller.prepare(frame)])
            np.testing.assert_array_equal(found.image.labels[place], seen.ids[0])
            np.testing.assert_array_equal(found.audio.labels[place], listener.label([sound]).ids[0])


def test_deleted_items_have_no_labels(index: Path, reader: IndexReader) -> None:
    labelled(reader)
    gone = int(reader.ids[0])
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        delete_items(connection, [gone])
    found = reader.pseudo_labels("bins")
    assert found.image is not None
    assert found.audio is not None
    assert gone not in found.image.ids
    assert gone not in found.audio.ids
    (now,) = reader.label_sets()
    assert (now.n_frames, now.n_sounds) == (3, 3)
    assert labelled(reader).n_skipped == 6


# ── what cannot be labelled ──────────────────────────────────────────────────────────────────────


def test_a_file_that_is_gone_or_changed_is_a_counted_failure(reader: IndexReader) -> None:
    (reader.corpus / "p001.png").unlink()
    changed = reader.corpus / "p003.wav"
    os.utime(changed, ns=(0, 0))
    report = labelled(reader)
    assert (report.n_new, report.n_failed) == (6, 2)
    assert report.failures_by_code == {"changed": 1, "missing": 1}
    messages = [failure.message for failure in report.failures]
    assert messages[0].startswith("p001.png: missing: it is gone since the index was built")
    assert messages[1].startswith("p003.wav: changed: it changed since the index was built")
    assert all("retrieval build-index" in message for message in messages)
    assert report.labels.n_failures == 2
    found = said(reader, reader.pseudo_labels("bins"))
    assert "p001.png" not in found["image"]
    assert "p003.wav" not in found["audio"]


def test_what_failed_is_tried_again(reader: IndexReader) -> None:
    path = reader.corpus / "p001.png"
    path.rename(path.with_suffix(".away"))
    assert labelled(reader).n_failed == 1
    path.with_suffix(".away").rename(path)
    again = labelled(reader)
    assert (again.n_new, again.n_failed, again.failures) == (1, 0, ())
    assert again.labels.n_failures == 0


def test_a_shared_file_that_fails_is_named_once(reader: IndexReader) -> None:
    (reader.corpus / "p000.png").unlink()
    report = labelled(reader)
    assert report.n_failed == 2
    assert [failure.path for failure in report.failures] == ["p000.png"]


def test_failures_of_items_that_are_gone_are_not_told(
    tmp_path: Path, tiny_embedder: Embedder, reader: IndexReader
) -> None:
    os.utime(reader.corpus / "p003.wav", ns=(0, 0))
    assert labelled(reader).n_failed == 1
    with IndexReader.open(indexed(tmp_path / "corpus", tiny_embedder, ROWS)) as later:
        report = labelled(later)
    assert (report.n_failed, report.failures, report.labels.n_failures) == (0, (), 0)


def test_one_overflow_does_not_cost_the_batch_its_labels(
    tmp_path: Path, reader: IndexReader
) -> None:
    samples = len(read_sound(reader.corpus / "p001.wav", rate_hz=8_000))
    report = labelled(reader, audio=OverflowingLabeller(samples))
    assert report.n_failed == report.failures_by_code["not-finite"] == 4  # all are as long
    report = labelled(reader)
    assert (report.n_new, report.n_failed) == (4, 0)


def test_a_corpus_that_is_not_there_is_told_before_anything_is_read(reader: IndexReader) -> None:
    reader.corpus.rename(reader.corpus.with_name("moved"))
    with pytest.raises(CorpusMissing, match="the corpus of the index is not there"):
        ModelLabels(pair(), reader.corpus)


def test_nothing_labelled_leaves_no_set_behind(reader: IndexReader) -> None:
    for path in [*reader.corpus.glob("*.png"), *reader.corpus.glob("*.wav")]:
        path.unlink()
    with pytest.raises(NothingLabelled, match=r"bins labelled nothing \(7 missing, such as p000"):
        labelled(reader)
    assert reader.label_sets() == []


class Nonsense(PitchLabeller):
    """Says what cannot be."""

    def __init__(self, change: Callable[[Labelled], Labelled]) -> None:
        super().__init__()
        self.change = change

    def label(self, prepared: list[np.ndarray]) -> Labelled:  # type: ignore[override]
        return self.change(super().label(prepared))


NONSENSE: dict[str, Callable[[Labelled], Labelled]] = {
    "an id outside the vocabulary": lambda said: Labelled(said.ids + 5, said.scores),
    "an id below none": lambda said: Labelled(said.ids - 12, said.scores),
    "a label twice": lambda said: Labelled(np.zeros_like(said.ids), said.scores),
    "nine labels": lambda said: Labelled(said.ids[:, :9], said.scores[:, :9]),
    "a score that is no number": lambda said: Labelled(said.ids, said.scores * np.nan),
    "an item too few": lambda said: Labelled(said.ids[1:], said.scores[1:]),
    "a gap": lambda said: Labelled(np.where(np.arange(10) == 2, -1, said.ids), said.scores),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_labeller_that_says_what_cannot_be_is_named(reader: IndexReader, what: str) -> None:
    with pytest.raises(LabellerBroken, match=r"labeller pitch.* due; mend the labeller"):
        labelled(reader, audio=Nonsense(NONSENSE[what]))


def test_nothing_recognised_is_kept_as_such(reader: IndexReader) -> None:
    def silent(said: Labelled) -> Labelled:
        return Labelled(np.full_like(said.ids, -1), np.zeros_like(said.scores))

    report = labelled(reader, audio=Nonsense(silent))
    assert (report.n_new, report.labels.n_frames, report.labels.n_sounds) == (8, 4, 0)
    assert reader.pseudo_labels("bins").audio is None
    assert labelled(reader).n_skipped == 8


def test_fewer_than_ten_labels_are_filled_with_none(reader: IndexReader) -> None:
    def three(said: Labelled) -> Labelled:
        kept = np.arange(10) < 3
        return Labelled(np.where(kept, said.ids, -1).astype(np.int32), said.scores * kept)

    labelled(reader, audio=Nonsense(three))
    top = reader.pseudo_labels("bins").audio
    assert top is not None
    assert (top.labels[:, :3] >= 0).all()
    assert (top.labels[:, 3:] == -1).all()
    assert (top.scores[:, 3:] == 0).all()


# ── names, vocabularies, other hands ─────────────────────────────────────────────────────────────


def test_labels_that_are_not_there_name_the_command(index: Path, reader: IndexReader) -> None:
    with pytest.raises(LabelsMissing, match="there are none yet") as none:
        reader.pseudo_labels("shipped")
    assert f"`retrieval label {index} --provider shipped`" in str(none.value)
    labelled(reader)
    with pytest.raises(
        LabelsMissing, match=r"there are bins \(version .*--provider column --column kind`"
    ):
        reader.pseudo_labels("column:kind")
    with pytest.raises(LabelsMissing, match="bins of version 7"):
        reader.pseudo_labels("bins", "7")


def test_two_vocabularies_never_share_a_set(reader: IndexReader) -> None:
    labelled(reader)
    other = Vocabulary("bins", ("another", *BINS.names[1:]))
    with pytest.raises(VocabulariesMixed, match=r"labels by bins .*--name, or drop those"):
        labelled(reader, BrightnessLabeller(other), PitchLabeller(other))
    assert len(reader.label_sets()) == 1


def test_dropping_takes_one_version_or_all(reader: IndexReader) -> None:
    old = labelled(reader).labels.version
    new = labelled(reader, BrightnessLabeller(weights="b")).labels.version
    assert [row.version for row in drop_labels(reader, "bins", old)] == [old]
    assert [one.version for one in reader.label_sets()] == [new]
    drop_labels(reader, "bins")
    assert reader.label_sets() == []
    with pytest.raises(LabelsMissing, match="none yet"):
        drop_labels(reader, "bins")
    assert labelled(reader).n_new == 8


def test_one_writer_at_a_time(index: Path, reader: IndexReader) -> None:
    with only_writer(index), pytest.raises(IndexLocked, match="is writing"):
        labelled(reader)
    labelled(reader)
    with only_writer(index), pytest.raises(IndexLocked, match="is writing"):
        drop_labels(reader, "bins")


def test_damaged_labels_are_told(index: Path, reader: IndexReader) -> None:
    labelled(reader)
    with Catalogue.create(index, corpus="..") as catalogue, catalogue.writing() as connection:
        wrong = update(pseudo_labels).where(pseudo_labels.c.rank == 3).values(label=400)
        connection.execute(wrong)
    with pytest.raises(IndexCorrupt, match="retrieval label --delete bins"):
        reader.pseudo_labels("bins")


def test_a_build_leaves_labels_alone(
    tmp_path: Path, tiny_embedder: Embedder, reader: IndexReader
) -> None:
    labelled(reader)
    before = said(reader, reader.pseudo_labels("bins"))
    build(reader.corpus / "manifest.jsonl", tiny_embedder, reembed=True)
    with IndexReader.open(reader.path) as later:
        assert said(later, later.pseudo_labels("bins")) == before


def test_the_types_of_labels_load_light() -> None:
    code = (
        "import sys, indexer.pseudo_labels, indexer.labels.errors, indexer.labels.provider;"
        "print(sorted({'faiss', 'sqlalchemy', 'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
