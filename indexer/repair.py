"""Making the derived files of an index anew where they are damaged, from those that are not.

What is intact stays as it is. Maps that nothing can give back are given up, so that the index opens
and their frames are ranked by what is left of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from indexer.catalogue import Catalogue
from indexer.compact.engine import Engine
from indexer.compact.maps import basis_in
from indexer.compact.recall import measure_efforts
from indexer.compact.writing import FOLDER as BASES
from indexer.compact.writing import compact_segments, read_bases
from indexer.history import all_editions
from indexer.ledger import (
    drop_basis,
    forget_efforts,
    replace_efforts,
    replace_segment_files,
)
from indexer.locking import only_writer
from indexer.lookup import Generation, basis_rows, hidden_ids
from indexer.options import MIN_RECALL
from indexer.parts import FOLDER as PARTS
from indexer.parts import has_codes, open_codes
from indexer.publish import rebuild_vectors, sweep_garbage
from indexer.segments import MAPS, VISUAL
from indexer.storage import FileRecord
from indexer.store import SegmentStore, segment_folder
from indexer.verify import Named, Verified, verify

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Recall = Literal["kept", "measured", "unknown"]
FindEncoder = Callable[[str], "Embedder | None"]
"""Gives the encoder with a fingerprint; None where it is not at hand."""


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did.

    Attributes
    ----------
    before, after : the index as it was found and as it is now.
    recall : of conditional queries. `kept`: as it was measured. `measured`: anew, since maps are
        not what they were. `unknown`: the encoder was not at hand, so pictures are scored in full.
    """

    before: Verified
    after: Verified
    recall: Recall


def repair(
    index_dir: Path, find_encoder: FindEncoder, *, min_recall: float = MIN_RECALL
) -> Repaired:
    """Make an index whole again, as far as its own files allow it.

    Parameters
    ----------
    find_encoder : asked only where the recall must be measured anew.
    min_recall : as of a build, for that case.

    Raises
    ------
    IndexMissing, IndexCorrupt : as `verify`.
    IndexLocked : another process is writing.
    StorageError : the disk.
    """
    index_dir = index_dir.absolute()
    Catalogue.open(index_dir).close()
    with only_writer(index_dir):
        before = verify(index_dir)
        recall: Recall = "kept"
        if all(damage.fate != "encoded again" for damage in before.damaged):
            recall = _mend(index_dir, before, find_encoder, min_recall)
        return Repaired(before=before, after=verify(index_dir), recall=recall)


def _mend(
    index_dir: Path, before: Verified, find_encoder: FindEncoder, min_recall: float
) -> Recall:
    bad = {damage.path for damage in before.damaged}
    with Catalogue.create(index_dir, corpus="") as catalogue:
        old = _read(index_dir, catalogue)
        # Codes that nobody measured: a repair that was killed.
        unfinished = has_codes(old.generation) and not old.generation.is_measured
        hurt = any(not path.startswith(f"{PARTS}/") for path in bad)
        if hurt:
            _drop(catalogue, old, bad)
        if hurt or unfinished:
            sweep_garbage(index_dir, catalogue)  # a reader may still map what is written anew
            _compact_anew(index_dir, catalogue)
        if any(path.startswith(f"{PARTS}/") for path in bad):
            rebuild_vectors(index_dir)
        if not (hurt or unfinished):
            return "kept"
        now, known = _read(index_dir, catalogue).generation, old.generation
        is_same = now.segments == known.segments or "frames" not in known.efforts
        if known.is_measured and is_same:
            with catalogue.writing() as connection:
                replace_efforts(connection, now.id, known.efforts)
            return "kept"
        return _measure(index_dir, catalogue, now, find_encoder, min_recall, known.efforts)


def _read(index_dir: Path, catalogue: Catalogue) -> Named:
    with catalogue.reading() as connection:
        return Named.read(index_dir, connection)


def _drop(catalogue: Catalogue, named: Named, bad: set[str]) -> None:
    """Forget maps that are damaged, bases that are, and compact maps in such a basis."""
    lost = {int(Path(path).stem) for path in bad if path.startswith(f"{BASES}/")}
    with catalogue.writing() as connection:
        for segment, names in named.segments.items():
            folder = segment_folder(Path(), segment)
            kept = {
                name: record
                for name, record in names.items()
                if (folder / name).as_posix() not in bad and basis_in([name]) not in lost
            }
            if len(kept) < len(names):
                replace_segment_files(connection, segment, kept)
        for number in lost:
            drop_basis(connection, number)
        forget_efforts(connection, named.generation.edition.id)


def _compact_anew(index_dir: Path, catalogue: Catalogue) -> None:
    """Make the compact maps that segments with full maps lack."""
    if not any(map(_lacks_compact, _read(index_dir, catalogue).segments.values())):
        return
    with catalogue.reading() as connection:
        editions = all_editions(connection)
    for edition in editions:
        compact_segments(index_dir, catalogue, edition)


def _lacks_compact(names: Mapping[str, FileRecord]) -> bool:
    return MAPS in names and names[VISUAL].rows > 0 and basis_in(names) is None


def _measure(
    index_dir: Path,
    catalogue: Catalogue,
    generation: Generation,
    find_encoder: FindEncoder,
    min_recall: float,
    known: Mapping[str, Any],
) -> Recall:
    """Measure the recall with the maps there are now, or see that pictures are scored in full."""
    embedder = find_encoder(generation.edition.encoder_fingerprint)
    if embedder is None or not has_codes(generation):
        efforts = {side: kept for side, kept in known.items() if side != "frames"}
        with catalogue.writing() as connection:
            replace_efforts(connection, generation.id, efforts)
        return "unknown"
    with catalogue.reading() as connection:
        hidden = hidden_ids(connection, generation.id)
        bases = read_bases(index_dir, basis_rows(connection), generation.segments)
    codes = open_codes(index_dir, generation)
    store = SegmentStore(index_dir, generation.segments, bases=bases)
    with closing(store), closing(codes):
        engine = Engine(store, codes, embedder, generation.edition.grid)
        found = measure_efforts(engine, hidden, min_recall=min_recall)
    with catalogue.writing() as connection:
        efforts = {side: effort.to_json() for side, effort in found.items()}
        replace_efforts(connection, generation.id, efforts)
    return "measured"
