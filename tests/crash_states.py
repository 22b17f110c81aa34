"""What an index holds and answers, written down to be compared after a kill."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from indexer_fixtures import N_CELLS, unit_rows

from encoder.embedder import Embedder
from indexer.blocks import SoundBlock
from indexer.catalogue import Catalogue
from indexer.history import all_editions, all_outcomes, next_id
from indexer.reader import IndexReader
from indexer.terms import frames_for_sound, sounds_for_frame
from indexer.verify import Named, verify

K = 50
KINDS = ("sound", "coarse", "own_sound", "frames", "sounds")
WRITER = {"writer.lock", "writer.json"}
DATABASE = {"catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm"}


Rows = dict[str, list[Any]]


@dataclass(frozen=True, kw_only=True)
class State:
    """An index as a reader sees it; what is by id has the id as text, as JSON wants it.

    Attributes
    ----------
    rows : by id, the picture and the sound, the seconds, the label.
    vectors : by id, f_s and h of the sound, f_v⁰ of the frame.
    outcomes : by key, the item of each planned one that is committed, shown or not.
    answers : by way of searching, ids with scores.
    """

    rows: Rows
    vectors: dict[str, list[float]]
    outcomes: dict[str, int | None]
    next_item: int
    files: list[str]
    answers: dict[str, list[list[float]]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> State:
        return cls(**values)


def look(index: Path, embedder: Any = None) -> State:
    """Look at an index; with an embedder, ask it something, too.

    Raises IndexMissing and IndexCorrupt as the reader does.
    """
    with IndexReader.open(index) as reader:
        rows = {
            str(row.id): [row.image, row.audio, row.t0, row.t1, row.label]
            for row in reader.rows(reader.ids)
        }
        vectors: dict[str, list[float]] = {}
        for sounds in reader.sound_blocks():
            for item, f_s, h in zip(sounds.ids, sounds.f_s, sounds.h, strict=True):
                vectors.setdefault(str(item), []).extend([*f_s.tolist(), *h.tolist()])
        for frames in reader.frame_blocks():
            for item, coarse in zip(frames.ids, frames.coarse, strict=True):
                vectors.setdefault(str(item), []).extend(coarse.tolist())
        kinds = () if embedder is None else KINDS
        found = {kind: ask(reader, embedder, kind) for kind in kinds}
    with Catalogue.open(index) as catalogue, catalogue.reading() as connection:
        return State(
            rows=rows,
            vectors=vectors,
            outcomes={
                key: outcome.item
                for edition in all_editions(connection)
                for key, outcome in all_outcomes(connection, edition.id)
            },
            next_item=next_id(connection, "item"),
            files=sorted(files_of(index)),
            answers=found,
        )


def ask(reader: IndexReader, embedder: Embedder, kind: str) -> list[list[float]]:
    """Return ids with scores, best first, for the query of this kind: always the same one."""
    rng = np.random.default_rng(5)
    vector = unit_rows(rng, 1)
    h = rng.normal(size=(1, 512)).astype(np.float32)
    if kind == "frames":
        heard = SoundBlock(ids=np.array([0]), f_s=vector, h=h)
        found = reader.answer(embedder, [frames_for_sound(heard)], K).neighbours
    elif kind == "sounds":
        seen = rng.normal(size=(N_CELLS, 512)).astype(np.float16)
        found = reader.answer(embedder, [sounds_for_frame(seen)], K).neighbours
    else:
        found = reader.nearest(kind, vector[0], K)
    return [[int(i), round(float(s), 5)] for i, s in zip(found.ids, found.scores, strict=True)]


def files_of(index: Path) -> set[str]:
    """Return every file of an index but the catalogue's and the lock's."""
    found = {p.relative_to(index).as_posix() for p in index.rglob("*") if p.is_file()}
    return found - WRITER - DATABASE


def named_of(index: Path) -> set[str]:
    """Return every file that the catalogue names."""
    with Catalogue.open(index) as catalogue, catalogue.reading() as connection:
        return set(Named.read(index, connection).files)


def assert_intact(index: Path) -> None:
    assert [damage.path for damage in verify(index).damaged] == []


def assert_same(found: State, expected: State) -> None:
    """Two runs came to the same: items, ids, vectors, scores, files."""
    assert found.rows == expected.rows
    assert_vectors(found, expected)
    assert found.answers == expected.answers
    assert found.outcomes == expected.outcomes
    assert found.next_item == expected.next_item
    assert found.files == expected.files


def assert_vectors(found: State, expected: State) -> None:
    """What is shown has the vectors that it should have."""
    for item in found.rows:
        np.testing.assert_allclose(found.vectors[item], expected.vectors[item], atol=2e-5)


def assert_committed(now: State | None, before: State | None, after: State) -> None:
    """A killed run left what was before it, or what was to come: nothing lost, nothing returned.

    A removal and a new name take effect at once, so either may be seen before the rest. What the
    corpus no longer has is pruned last: it may be seen beside what is new.
    """
    if now is None:
        assert before is None, "an index that was there is gone"
        return
    new = after.rows.keys() - (before.rows.keys() if before else set())
    if before is None or new & now.rows.keys():  # published: then it is all there
        unpruned = {item: row for item, row in now.rows.items() if item not in after.rows}
        assert unpruned.keys() <= (before.rows.keys() if before else set())
        again = [row for row in unpruned.values() if row in after.rows.values()]
        assert not again, "what was replaced is shown"
        assert {item: row for item, row in now.rows.items() if item in after.rows} == after.rows
        assert_vectors(replace(now, rows=after.rows), after)
        return
    assert before.rows.keys() & after.rows.keys() <= now.rows.keys() <= before.rows.keys()
    for item, row in now.rows.items():
        assert row in (before.rows[item], after.rows.get(item))
    assert_vectors(now, before)
