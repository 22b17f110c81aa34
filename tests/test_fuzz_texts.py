"""Damaged manifests and `where` texts of any shape: understood, or refused by a typed error."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_picture
from fuzz_seeds import mutant
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.catalogue import Catalogue
from indexer.errors import FilterError, ManifestError, NothingUsable
from indexer.lookup import matching_ids
from indexer.manifest import BadRow, ManifestRow, read_manifest
from indexer.scan import scan
from indexer.where import parse

ROWS = [
    {"image": "a.png", "audio": "", "video": "", "start_s": "", "end_s": "", "label": "dog"},
    {
        "image": "",
        "audio": "b.wav",
        "video": "",
        "start_s": "1",
        "end_s": "2.5",
        "label": "o'neill",
    },
    {"image": "", "audio": "", "video": "../c.mp4", "start_s": "0", "end_s": "9", "label": "größe"},
]
BOXES = [{"box": [1, 2, 3, 4], "annotator": "x", "kind": "ambient", "tag": "wind"}]
N_MUTANTS = 800
SUFFIXES = (".csv", ".jsonl", ".parquet")


def seeds() -> list[bytes]:
    """The same three rows as CSV, JSON lines and Parquet."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*ROWS[0], "boxes", "split"])
    writer.writeheader()
    writer.writerows(row | {"boxes": json.dumps(BOXES), "split": "val"} for row in ROWS)
    lines = "".join(json.dumps(row | {"boxes": BOXES, "n": 3}) + "\n" for row in ROWS)
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row | {"boxes": BOXES} for row in ROWS]), table)
    return [text.getvalue().encode(), lines.encode(), table.getvalue()]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_manifest_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    path, which, given = tmp_path / f"m{suffix}", SUFFIXES.index(suffix), seeds()
    write_picture(tmp_path / "a.png", seed=1)
    n_read, n_lines = 0, set[int]()
    for number in range(N_MUTANTS):
        path.write_bytes(mutant(given, which, number))
        try:
            rows = list(read_manifest(path))
        except ManifestError as refused:
            n_lines.add(len(str(refused).splitlines()))
            continue
        assert all(isinstance(row, ManifestRow | BadRow) for row in rows), number
        n_read += 1
        try:
            planned = scan(tmp_path, manifest=path).items
        except NothingUsable:
            continue
        inside = {part.source.path for item in planned for part in item.parts}
        assert inside <= {"a.png"}, number
    assert n_lines == {1}
    assert N_MUTANTS * 0.01 < n_read < N_MUTANTS * 0.95


def test_a_date_that_python_does_not_have(tmp_path: Path) -> None:
    far = pa.array([2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"image": ["a.png"], "taken": far}), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match="damaged"):
        list(read_manifest(tmp_path / "m.parquet"))


# ------------------------------------------------------------------ where


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    with Catalogue.create(tmp_path_factory.mktemp("index"), corpus="..") as catalogue:
        yield catalogue


names = st.sampled_from(
    ["id", "t0", "label", "path", "kind", "metadata.label", "größe", '"a b"', '"$.x[0]"', "rowid"]
)
numbers = st.floats().map(repr) | st.integers().map(str) | st.sampled_from(["1e999", "-0", ".5"])
strings = st.text(max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'")
literals = numbers | strings
tests = st.one_of(
    st.tuples(names, st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "==", ";"]), literals).map(
        " ".join
    ),
    st.tuples(names, st.sampled_from(["like", "not like"]), literals).map(" ".join),
    st.tuples(names, st.lists(literals, max_size=5)).map(
        lambda test: f"{test[0]} in ({', '.join(test[1])})"
    ),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or ", " "]), inner).map("".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(conditions)
def test_any_condition_is_answered_or_refused(catalogue: Catalogue, text: str) -> None:
    with catalogue.reading() as connection:
        try:
            parse(text)
        except FilterError as refused:
            error: FilterError | None = refused
        else:
            error = None
            assert matching_ids(connection, text).size == 0
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert len(str(error).splitlines()) == 1
