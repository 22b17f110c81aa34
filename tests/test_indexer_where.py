"""`where` texts: what they mean, where they stop making sense, and that none becomes SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from indexer.catalogue import Catalogue, items, labels, sources
from indexer.errors import FilterError
from indexer.lookup import matching_ids
from indexer.where import parse

# id → label, t0, t1, metadata
ROWS: dict[int, tuple[str | None, float | None, float | None, dict[str, Any]]] = {
    1: ("dog", 0.0, 5.0, {"split": "train", "rating": "4.5"}),
    2: ("cat", 5.0, 10.0, {"split": "val", "rating": "10"}),
    3: ("o'neill", None, None, {"split": "val", "rating": "n/a", "größe": "klein"}),
    4: (None, 20.0, 31.5, {"year": 1999, "odd key": "x", "label": "shadowed"}),
    5: ("Dog 100%", 0.0, 1.0, {"split": None, "year": 2024, "ok": True}),
}


@pytest.fixture(scope="module")
def catalogue(
    tmp_path_factory: pytest.TempPathFactory, catalogue_url: str | None
) -> Iterator[Catalogue]:
    folder = tmp_path_factory.mktemp("index")
    with Catalogue.create(folder, corpus="..", url=catalogue_url) as catalogue:
        with catalogue.writing() as connection:
            source = {"kind": "audio", "size": 1, "mtime_ns": 1, "blake2b": ""}
            for n in ROWS:
                path = f"clips/é{n}.wav"
                connection.execute(
                    sources.insert(), source | {"id": n, "path": path, "shown": path}
                )
            for n, (label, t0, t1, metadata) in ROWS.items():
                row = {"id": n, "kind": "audio", "sound_source": n, "t0": t0, "t1": t1}
                connection.execute(items.insert(), row | {"metadata": metadata})
                if label:
                    connection.execute(labels.insert(), {"item": n, "name": label})
        yield catalogue


def found(catalogue: Catalogue, where: str) -> list[int]:
    with catalogue.reading() as connection:
        return matching_ids(connection, where).tolist()


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("label = 'dog'", [1]),
        ("label != 'dog'", [2, 3, 4, 5]),
        ("LABEL = 'dog'", []),  # names are as written; LABEL is a key that nothing has
        ("label = 'o''neill'", [3]),
        ("label in ('dog', 'cat')", [1, 2]),
        ("label not in ('dog', 'cat')", [3, 4, 5]),
        ("label like '%o%'", [1, 3, 5]),
        ("label not like '%o%'", [2, 4]),
        ("id > 2 and id <= 4", [3, 4]),
        ("id in (5, 1, 77)", [1, 5]),
        ("t0 < 6", [1, 2, 5]),
        ("not t0 < 6", [3, 4]),
        ("t1 >= 31.5", [4]),
        ("t0 = -1 or t1 = 1e1", [2]),
        ("split = 'val'", [2, 3]),
        ("split != 'val'", [1, 4, 5]),
        ("rating > 4", [1, 2]),  # as numbers, though a CSV holds text; n/a is none
        ("rating = 10", [2]),
        ("rating = '10'", [2]),
        ("year < 2000", [4]),
        ("\"odd key\" = 'x'", [4]),
        ("größe = 'klein'", [3]),
        ("metadata.label = 'shadowed'", [4]),
        ("path = 'clips/é2.wav'", [2]),
        ("audio = 'clips/e\u0301" + "2.wav'", [2]),
        ("image = 'clips/é2.wav'", []),
        ("kind = 'audio' and not (id = 1 or id = 2)", [3, 4, 5]),
        ("id = 1 or id = 2 and id = 3", [1]),
        ("(id = 1 or id = 2) and id = 2", [2]),
        ("not not id = 1", [1]),
        ("nowhere = 'x'", []),
        ("nowhere != 'x'", [1, 2, 3, 4, 5]),
    ],
)
def test_what_it_means(catalogue: Catalogue, where: str, ids: list[int]) -> None:
    assert found(catalogue, where) == ids


@pytest.mark.parametrize(
    ("where", "position"),
    [
        ("", 0),
        ("label", 5),
        ("label = ", 8),
        ("label = dog", 8),
        ("label == 'dog'", 7),
        ("label = 'dog", 8),
        ("label = 'a' label", 12),
        ("(label = 'a'", 12),
        ("label = 'a')", 11),
        ("label in 'a'", 9),
        ("label in ()", 10),
        ("label like 3", 11),
        ("id = 'seven'", 5),
        ("label = 'a'; drop table items", 11),
        ("label = 'a' -- x", 12),
        ("and", 0),
        ("'dog' = label", 0),
        ("label = 3x", 8),
        ('"a\\" = 1', 0),
        ("not " * 51 + "id = 1", 200),
    ],
)
def test_where_it_stops_making_sense(where: str, position: int) -> None:
    with pytest.raises(FilterError) as caught:
        parse(where)
    assert caught.value.position == position
    assert "\n" not in str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
@settings(max_examples=100, deadline=None)
@given(text=texts)
@example(text="x' or '1'='1")
@example(text='"; drop table items; --')
@example(text="%s :a ?1 $b @c")
def test_a_literal_is_only_ever_a_bound_parameter(dialect: Dialect, text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    condition = parse(f'label = {quoted} and "k" like {quoted} and k < {quoted}')
    bare = parse("label = 'z' and \"k\" like 'y' and k < 'x'")
    assert str(condition.compile(dialect=dialect)) == str(bare.compile(dialect=dialect))


KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=9
)


@settings(max_examples=60, deadline=None)
@given(KEYS, texts)
def test_any_key_and_any_value_are_looked_up_as_they_are(
    catalogue: Catalogue, key: str, value: str
) -> None:
    where = f'"{key}" != ' + "'" + value.replace("'", "''") + "'"
    if key not in {"split", "rating", "größe", "year", "odd key", "label", "ok"}:
        assert found(catalogue, where) == list(ROWS)
        assert found(catalogue, f"not ({where})") == []


WORDS = st.lists(
    st.sampled_from(["id", "=", "1", "and", "(", ")", "not", "'a'", ",", "in", "<="])
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | WORDS)
def test_any_text_is_understood_or_refused(catalogue: Catalogue, text: str) -> None:
    try:
        parse(text)
    except FilterError:
        return
    assert set(found(catalogue, text)) <= set(ROWS)


def test_the_tables_are_still_there(catalogue: Catalogue) -> None:
    assert found(catalogue, "id >= 1") == list(ROWS)
    assert Path(catalogue.path).is_file()
