"""Parts: the FAISS files and codes of some segments, in one folder, written once.

A generation is made of one large part and a few small ones for what came after, so that adding a
little costs a little. All of it is derived: it can be made anew from the segments at any time,
without the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from encoder.config import F_S, F_V
from indexer.blocks import Floats, Ids
from indexer.compact.codes import FILES as CODE_FILES
from indexer.compact.codes import CodeFiles, write_codes
from indexer.compact.projection import Projection
from indexer.errors import storing
from indexer.ledger import PartRecord
from indexer.lookup import Generation, Part
from indexer.storage import FileRecord, is_intact, put_in_place, temporary
from indexer.store import SegmentStore
from indexer.vectors import FLAT_UNTIL, VectorPlan, write_vectors

FOLDER = "faiss"
WIDTHS = {"sound": F_S, "coarse": F_V, "own_sound": F_V}
ASKED_BY: dict[str, str] = {"sound": "own_sound", "own_sound": "sound"}
"""Spaces that are searched by vectors of another kind, too: these must find as much."""
N_ASKED = 256
SegmentFiles = Mapping[int, Mapping[str, FileRecord]]


def part_folder(index_dir: Path, part: int) -> Path:
    """Return where the files of a part live."""
    return index_dir / FOLDER / f"g{part:06d}"


def space_file(space: str) -> str:
    """Return the name of the FAISS file of `sound`, `coarse` or `own_sound`."""
    return f"{space}.faiss"


def write_part(
    index_dir: Path,
    part: int,
    segments: SegmentFiles,
    hidden: Ids,
    *,
    plan: VectorPlan,
    projections: dict[str, Projection] | None = None,
) -> PartRecord:
    """Write the vectors of segments, block by block, without what is hidden.

    Parameters
    ----------
    plan : what each of the FAISS files may cost and must give.
    projections : of the parts that this one goes with; None fits them.
    """
    folder = part_folder(index_dir, part)
    with closing(SegmentStore(index_dir, segments, mapped=False)) as store, storing(index_dir):
        draft = temporary(folder)
        records, facts = {}, dict[str, Any](plan=asdict(plan))
        for space, width in WIDTHS.items():
            name, blocks = space_file(space), partial(_shown, store, space, hidden)
            asked = _asked(store, space, hidden)
            written = write_vectors(draft / name, blocks, width, plan=plan, asked=asked)
            records[name], facts[space] = written.record, written.facts
        records |= write_codes(draft, store, hidden, projections)
        put_in_place(draft, folder)
    return PartRecord(id=part, segments=list(segments), files=records, facts=facts)


def plan_of(part: Part) -> VectorPlan | None:
    """Return what the FAISS files of a part were written by; None where a release before did."""
    return VectorPlan(**part.facts["plan"]) if "plan" in part.facts else None


def _asked(store: SegmentStore, space: str, hidden: Ids) -> Floats | None:
    """Return some vectors (m, width) of another kind that a large space is asked with."""
    if space not in ASKED_BY or len(store.ids) <= FLAT_UNTIL:
        return None
    first = (vectors for _, vectors in _shown(store, ASKED_BY[space], hidden) if len(vectors))
    some = next(first, None)
    return None if some is None else some[:N_ASKED]


def _shown(store: SegmentStore, space: str, hidden: Ids) -> Iterator[tuple[Ids, Floats]]:
    for ids, vectors in store.vectors(space):
        kept = ~np.isin(ids, hidden)
        yield ids[kept], vectors[kept]


def has_codes(generation: Generation) -> bool:
    """Say whether every part has codes; releases before them wrote none."""
    return all(set(part.files) >= set(CODE_FILES) for part in generation.parts)


def open_codes(index_dir: Path, generation: Generation) -> CodeFiles:
    """Open the codes of all parts; raises IndexCorrupt as `CodeFiles`."""
    return CodeFiles([(part_folder(index_dir, part.id), part.files) for part in generation.parts])


def part_files(index_dir: Path, generation: Generation) -> Iterator[tuple[Path, FileRecord]]:
    """Yield every file of every part, with what was written."""
    for part in generation.parts:
        folder = part_folder(index_dir, part.id)
        yield from ((folder / name, record) for name, record in part.files.items())


def are_there(index_dir: Path, generation: Generation) -> bool:
    """Say whether every file of every part is there, as long as it was written."""
    files = part_files(index_dir, generation)
    return all(path.is_file() and path.stat().st_size == record.bytes for path, record in files)


def are_whole(index_dir: Path, generation: Generation) -> bool:
    """Say whether every file of every part is there, byte for byte."""
    return all(starmap(is_intact, part_files(index_dir, generation)))
