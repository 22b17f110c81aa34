"""Whether segments and catalogue speak of the same items, in vectors that can be searched.

Checksums say that files are what was written; these checks say that what was written makes sense.
Nothing here repairs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from indexer.blocks import Ids
from indexer.catalogue import items, outcomes
from indexer.storage import TEMPORARY
from indexer.store import VECTORS, SegmentStore

UNIT_WITHIN = 1e-3
EXAMPLES = 5
FOLDERS = ("segments", "bases", "faiss")
Side = Literal["frame", "sound"]
SIDES: tuple[Side, ...] = ("frame", "sound")
Wrong = Literal["missing", "repeated", "unknown", "not finite", "not of unit length"]
MEANS: dict[Wrong, str] = {
    "missing": "items of the catalogue have no row",
    "repeated": "items have more than one row",
    "unknown": "rows are of no item of the catalogue, or of one without such a side",
    "not finite": "rows hold NaN or infinity, and can never be found",
    "not of unit length": "vectors have another length than 1, so their scores are wrong",
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is wrong with some items.

    Attributes
    ----------
    where : `frame` or `sound` for rows; `sound`, `coarse`, `own_sound`, `h` or `map` for vectors.
    n : items.
    examples : the first of their ids, ascending.
    """

    wrong: Wrong
    where: str
    n: int
    examples: tuple[int, ...]

    def __str__(self) -> str:
        more = ", …" if self.n > len(self.examples) else ""
        ids = ", ".join(map(str, self.examples))
        return f"{self.where}: {self.n} {MEANS[self.wrong]} (items {ids}{more})"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Items of an edition with one of the two sides, by the catalogue; ids (n,) ascending.

    Attributes
    ----------
    shown : those that a reader of the generation may see: each must have its row.
    known : deleted and replaced ones, too: their rows stay until they are compacted.
    """

    shown: Ids
    known: Ids


def listed_items(connection: Connection, edition: int, generation: int, side: Side) -> Listed:
    """Ask the catalogue which items of an edition have a frame, or a sound."""
    has_side = items.c[f"{side}_source"].is_not(None)
    known = select(items.c.id).where(has_side)
    is_hidden = items.c.deleted | items.c.superseded_in.is_not(None) & (
        items.c.superseded_in <= generation
    )
    shown = (
        known.join(outcomes, outcomes.c.item == items.c.id)
        .where(outcomes.c.edition == edition, ~is_hidden)
        .distinct()
    )
    return Listed(shown=_ids(connection, shown), known=_ids(connection, known))


def faults_of_rows(store: SegmentStore, side: Side, listed: Listed) -> list[Fault]:
    """Compare the rows of one side with the catalogue: each item once, and no other.

    Parameters
    ----------
    store : all committed segments of the edition.
    """
    rows = store.frame_ids if side == "frame" else store.sound_ids
    distinct, n_rows = np.unique(rows, return_counts=True)
    found: dict[Wrong, Ids] = {
        "missing": np.setdiff1d(listed.shown, distinct),
        "repeated": distinct[n_rows > 1],
        "unknown": np.setdiff1d(distinct, listed.known),
    }
    return [_fault(wrong, side, ids) for wrong, ids in found.items() if len(ids)]


def faults_of_vectors(store: SegmentStore) -> list[Fault]:
    """Read every vector, context and map; block by block."""
    checks: dict[str, Callable[[], Iterator[tuple[Ids, NDArray[np.floating]]]]] = {
        "h": lambda: ((block.ids, block.h) for block in store.sound_blocks()),
        "map": lambda: ((block.ids, block.maps) for block in store.frame_blocks()),
    }
    faults = []
    for space in VECTORS:
        infinite, crooked = [], []
        for ids, vectors in store.vectors(space):
            finite = _finite(vectors)
            lengths = np.linalg.norm(np.where(finite[:, None], vectors, 0), axis=1)
            infinite.append(ids[~finite])
            crooked.append(ids[finite & (np.abs(lengths - 1) > UNIT_WITHIN)])
        faults += _faults("not finite", space, infinite)
        faults += _faults("not of unit length", space, crooked)
    for where, blocks in checks.items():
        faults += _faults("not finite", where, [ids[~_finite(rows)] for ids, rows in blocks()])
    return faults


def orphans(index_dir: Path, named: Collection[str]) -> list[str]:
    """Return files of an index that no row names, POSIX and relative to it, in order.

    What a writer is making at the moment is none; what a killed one left is swept by the next.

    Parameters
    ----------
    named : as `indexer.verify.Named.files` gives them.
    """
    found = []
    for folder in FOLDERS:
        for path in sorted((index_dir / folder).rglob("*")):
            relative = path.relative_to(index_dir)
            is_draft = any(part.startswith(TEMPORARY) for part in relative.parts)
            if not (path.is_dir() or is_draft or relative.as_posix() in named):
                found.append(relative.as_posix())
    return found


def _finite(rows: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(n, …) → (n,) whether all numbers of a row are finite."""
    finite: NDArray[np.bool_] = np.isfinite(rows).all(axis=tuple(range(1, rows.ndim)))
    return finite


def _faults(wrong: Wrong, where: str, parts: list[Ids]) -> list[Fault]:
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
    return [_fault(wrong, where, ids)] if len(ids) else []


def _fault(wrong: Wrong, where: str, ids: Ids) -> Fault:
    return Fault(wrong=wrong, where=where, n=len(ids), examples=tuple(map(int, ids[:EXAMPLES])))


def _ids(connection: Connection, statement: object) -> Ids:
    found = connection.scalars(statement)  # type: ignore[call-overload]
    return np.unique(np.array(list(found), dtype=np.int64))
