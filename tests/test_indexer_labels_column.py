"""A column of the manifest as labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_fixtures import indexed, row, said

from encoder.embedder import Embedder
from indexer.labels.column import class_labels, column_labels
from indexer.labels.errors import LabelColumnError
from indexer.labels.labelling import label_items
from indexer.labels.provider import Excluded
from indexer.labels.ranked import LabelRows, sorted_vocabulary
from indexer.reader import IndexReader

ROWS = [
    row(0, 0, label="dog", kinds="dog; animal ;dog;;", tags=["loud", 3], place={"city": "Bonn"}),
    row(1, 1, label="cat", kinds="animal;cat"),
    row(2, None, label="dog"),
    row(None, 3, kinds="rain"),
    row(0, 2, label="Ärger"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: Embedder) -> Path:
    return indexed(tmp_path_factory.mktemp("column") / "corpus", tiny_embedder, ROWS)


@pytest.fixture
def reader(index: Path) -> Iterator[IndexReader]:
    with IndexReader.open(index) as opened:
        yield opened


def test_the_items_own_labels(reader: IndexReader) -> None:
    found = class_labels(reader)
    assert found.names == ("cat", "dog", "Ärger")
    assert (found.provider, found.vocabulary) == ("column:label", "column:label")
    assert found.image is not None
    assert found.audio is not None
    by_item = {
        one.id: ([found.names[k] for k in labels if k >= 0], scores.tolist())
        for one, labels, scores in zip(
            reader.rows(found.image.ids), found.image.labels, found.image.scores, strict=True
        )
    }
    alone = [1.0] + [0.0] * 9
    for one in reader.rows(reader.ids):
        if one.has_frame:  # p000.png has another label in each of its two items
            assert by_item[one.id] == ([one.label], alone)
    assert len(found.audio.ids) == 3  # the lone sound has no label


def test_several_values_are_several_labels(reader: IndexReader) -> None:
    found = class_labels(reader, "kinds")
    assert found.names == ("animal", "cat", "dog", "rain")
    assert said(reader, found) == {
        "image": {"p000.png": {"animal": 1, "dog": 1}, "p001.png": {"animal": 1, "cat": 1}},
        "audio": {
            "p000.wav": {"animal": 1, "dog": 1},
            "p001.wav": {"animal": 1, "cat": 1},
            "p003.wav": {"rain": 1},
        },
    }
    assert class_labels(reader, "tags").names == ("3", "loud")


def test_stored_and_read_again_they_are_the_same(reader: IndexReader) -> None:
    provider = column_labels(reader, "kinds")
    report = label_items(reader, provider)
    assert (report.n_new, report.n_unknown, report.n_skipped) == (5, 3, 0)
    stored, direct = reader.pseudo_labels("column:kinds"), provider.labels
    assert (stored.version, stored.names) == (direct.version, direct.names)
    for modality in ("image", "audio"):
        kept, given_ = stored.of(modality), direct.of(modality)
        assert kept is not None
        assert given_ is not None
        np.testing.assert_array_equal(kept.ids, given_.ids)
        np.testing.assert_array_equal(kept.labels, given_.labels)
        np.testing.assert_array_equal(kept.scores, given_.scores)
    again = label_items(reader, column_labels(reader, "kinds"))
    assert (again.n_new, again.n_unknown, again.n_skipped) == (0, 3, 5)


def test_items_of_a_shared_picture_keep_labels_of_their_own(reader: IndexReader) -> None:
    label_items(reader, column_labels(reader, name="mine"))
    top = reader.pseudo_labels("mine").image
    assert top is not None
    rows = reader.rows(top.ids)
    assert {one.label for one in rows if one.image == "p000.png"} == {"dog", "Ärger"}
    names = reader.pseudo_labels("mine").names
    assert [names[k] for k in top.labels[:, 0]] == [one.label for one in rows]


def test_a_new_item_with_a_known_label_goes_into_the_same_set(
    tmp_path: Path, tiny_embedder: Embedder
) -> None:
    folder, rows = tmp_path / "corpus", [row(0, 0, label="dog"), row(1, 1, label="cat")]
    versions = []
    for added in ([], [row(2, 2, label="dog")], [row(3, 3, label="cow")]):
        rows += added
        with IndexReader.open(indexed(folder, tiny_embedder, rows)) as reader:
            report = label_items(reader, column_labels(reader))
            versions.append(report.labels.version)
            assert report.n_new == {0: 4, 1: 2, 2: 8}[len(versions) - 1]
    assert versions[0] == versions[1] != versions[2]  # the vocabulary grew: another set


def test_a_column_that_is_not_there_names_those_that_are(reader: IndexReader) -> None:
    with pytest.raises(LabelColumnError, match=r"column 'colour'.*: label, kinds, place, tags"):
        column_labels(reader, "colour")


def test_a_column_of_tables_names_the_item(reader: IndexReader) -> None:
    with pytest.raises(LabelColumnError, match=r'item \d+ \(p000.png\).*"Bonn".*not a name'):
        column_labels(reader, "place")


def test_labels_past_the_tenth_are_counted(tmp_path: Path, tiny_embedder: Embedder) -> None:
    many = ";".join(f"k{n:02d}" for n in range(12))
    index = indexed(tmp_path / "corpus", tiny_embedder, [row(0, 0, kinds=many)], n_pairs=1)
    with IndexReader.open(index) as reader:
        provider = column_labels(reader, "kinds")
    assert provider.excluded == (Excluded(reason="labels beyond the ten best", n=4),)
    assert provider.labels.image is not None
    assert provider.labels.image.labels.tolist() == [list(range(10))]


def test_an_index_without_a_manifest_says_so(tmp_path: Path, tiny_embedder: Embedder) -> None:
    index = indexed(tmp_path / "corpus", tiny_embedder, [row(0, 0)], n_pairs=1)
    with IndexReader.open(index) as reader, pytest.raises(LabelColumnError, match="manifest"):
        column_labels(reader)


LABEL_ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 15),
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    ),
    unique_by=lambda one: one[:2],
)


@given(LABEL_ROWS)
def test_the_best_ten_equal_a_plain_sort(rows: list[tuple[int, int, float]]) -> None:
    names = [f"n{(7 * k) % 16:02d}" for k in range(16)]  # first come, not in order
    vocabulary, places = sorted_vocabulary(names)
    flat = LabelRows()
    for item, label, score in rows:
        flat.add(item, label, score)
    top, n_beyond = flat.ranked(places)
    expected: dict[int, list[Any]] = {}
    for item, label, score in rows:
        expected.setdefault(item, []).append((-score, vocabulary.index(names[label])))
    assert n_beyond == sum(max(len(one) - 10, 0) for one in expected.values())
    if top is None:
        assert not rows
        return
    assert top.ids.tolist() == sorted(expected)
    for item, labels, scores in zip(top.ids.tolist(), top.labels, top.scores, strict=True):
        best = sorted(expected[item])[:10]
        filled = best + [(0.0, -1)] * (10 - len(best))
        assert labels.tolist() == [label for _, label in filled]
        assert scores.tolist() == [-score for score, _ in filled]
