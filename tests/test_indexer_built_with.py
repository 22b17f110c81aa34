"""What a merged index is built with: what all its parts agree on, or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from indexer.built_with import BuiltWith, of_all

PLAIN = BuiltWith(manifest=None, window_s=5.0)
CHOSEN = replace(PLAIN, exclude=("raw/",))


def shard(text: str) -> BuiltWith:
    return replace(CHOSEN, shard=text)


@pytest.mark.parametrize(
    ("built", "is_moved", "expected"),
    [
        ([shard("1/2"), shard("2/2")], False, CHOSEN),
        ([shard("1/3"), shard("3/3")], False, None),
        ([shard("1/2"), CHOSEN], False, CHOSEN),
        ([shard("1/2"), shard("1/2")], False, shard("1/2")),
        ([CHOSEN], False, CHOSEN),
        ([CHOSEN, PLAIN], False, None),
        ([CHOSEN, None], False, None),
        ([PLAIN, PLAIN], True, PLAIN),
        ([CHOSEN, CHOSEN], True, None),
        ([replace(PLAIN, shard="1/2"), replace(PLAIN, shard="2/2")], True, None),
    ],
)
def test_what_is_remembered_of_several(
    built: list[BuiltWith | None], is_moved: bool, expected: BuiltWith | None
) -> None:
    assert of_all(built, is_moved=is_moved) == expected
