"""Duplicates are shown once, whatever the ranking hands over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexer.lookup import ItemRow
from indexer.neighbours import Neighbours, best
from retrieval.distinct import distinct


class Gallery:
    """Items 0, 1, … of which item i shows picture `pictures[i]` with `scores[i]`."""

    def __init__(self, pictures: list[int], scores: list[float]) -> None:
        self.pictures, self.n_asked = pictures, 0
        self.scores = np.array(scores, np.float32)

    def rank(self, k: int) -> Neighbours:
        self.n_asked += 1
        return best(np.arange(len(self.scores)), self.scores, k)

    def rows(self, ids: Sequence[int]) -> list[ItemRow]:
        return [
            ItemRow(
                id=item,
                kind="pair",
                image=f"{self.pictures[item]}.png",
                audio=f"{item}.wav",
                frame_time_s=None,
                t0=None,
                t1=None,
                label=None,
                metadata={},
            )
            for item in ids
        ]


items = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.1, 0.2, 0.5])), max_size=120)


@given(items=items, wanted=st.integers(1, 15))
def test_equals_the_full_order_without_repeats(items: list[tuple[int, float]], wanted: int) -> None:
    gallery = Gallery([picture for picture, _ in items], [score for _, score in items])
    expected: dict[int, int] = {}
    for item in sorted(range(len(items)), key=lambda i: (-items[i][1], i)):
        expected.setdefault(items[item][0], item)
    found = distinct(gallery.rank, gallery.rows, to="image", wanted=wanted)
    assert [one.row.id for one in found] == list(expected.values())[:wanted]


def test_a_crowd_of_duplicates_is_looked_past() -> None:
    gallery = Gallery([0] * 500 + list(range(1, 10)), [0.9] * 500 + [0.1] * 9)
    found = distinct(gallery.rank, gallery.rows, to="image", wanted=5)
    assert [one.row.id for one in found] == [0, 500, 501, 502, 503]
    assert gallery.n_asked == 4  # 21, 84, 336, 1344 candidates


def test_sounds_differ_by_their_own_file() -> None:
    gallery = Gallery([0, 0, 0], [0.3, 0.2, 0.1])
    assert len(distinct(gallery.rank, gallery.rows, to="audio", wanted=5)) == 3
