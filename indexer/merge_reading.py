"""The indexes that a merge reads: each under one generation and one state of its catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from encoder.embedder import Embedder
from indexer.blocks import Ids
from indexer.catalogue import Catalogue
from indexer.errors import EncoderMismatch, IndexCorrupt, IndexLocked, IndexMissing, MergeError
from indexer.history import Edition
from indexer.lookup import BasisRow, Generation, basis_rows, hidden_ids, latest_generation
from indexer.paths import found_corpus


@dataclass(frozen=True, kw_only=True)
class OpenIndex:
    """An index that is read.

    Attributes
    ----------
    hidden : ids (n,) of items that are not shown: deleted, or superseded.
    corpus : the folder that its paths are relative to, absolute, without links.
    """

    path: Path
    catalogue: Catalogue
    connection: Connection
    generation: Generation
    hidden: Ids
    bases: dict[int, BasisRow]
    corpus: Path

    def damage(self, error: IndexCorrupt) -> Exception:
        """Return what a damaged file means: a writer may have swept it away meanwhile."""
        with self.catalogue.reading() as connection:
            now = latest_generation(connection)
        if now is not None and now.id == self.generation.id:
            return error
        return IndexLocked(f"{self.path}: it was changed while it was read; run the merge again")


@contextmanager
def opened(path: Path) -> Iterator[OpenIndex]:
    """Open an index to merge it; raises IndexMissing and IndexCorrupt."""
    with Catalogue.open(path) as catalogue, catalogue.reading() as connection:
        generation = latest_generation(connection)
        if generation is None:
            raise IndexMissing(path, "the index was never finished")
        yield OpenIndex(
            path=path,
            catalogue=catalogue,
            connection=connection,
            generation=generation,
            hidden=hidden_ids(connection, generation.id),
            bases=basis_rows(connection),
            corpus=found_corpus(generation.corpus, path).resolve(),
        )


def check_alike(found: Sequence[OpenIndex], embedder: Embedder) -> None:
    """Raise MergeError or EncoderMismatch where vectors could not be compared."""
    first = found[0].generation.edition
    for one in found[1:]:
        edition = one.generation.edition
        if (edition.encoder_fingerprint, edition.grid) != (first.encoder_fingerprint, first.grid):
            raise MergeError(
                f"{one.path}: built by encoder {_name(edition)}, {found[0].path} by "
                f"{_name(first)}; embed one of them anew with `retrieval build-index --reembed`"
            )
    if embedder.fingerprint != first.encoder_fingerprint:
        raise EncoderMismatch(
            found[0].path,
            built_by=_name(first),
            given=f"{embedder.name} ({embedder.fingerprint[:12]})",
            corpus=found[0].corpus,
        )


def _name(edition: Edition) -> str:
    return f"{edition.encoder_name} ({edition.encoder_fingerprint[:12]})"
