"""Reading every byte of an index: which files are damaged, and what becomes of each.

It goes by the catalogue alone, so that it works where an index no longer opens. A file is derived,
and made anew from others (`indexer.repair`), or it is what the encoder made: that is encoded again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Literal

from sqlalchemy import Connection

from indexer.catalogue import Catalogue
from indexer.compact.maps import basis_in
from indexer.compact.writing import basis_file, read_bases
from indexer.consistency import (
    SIDES,
    Fault,
    faults_of_rows,
    faults_of_vectors,
    listed_items,
    orphans,
)
from indexer.errors import IndexCorrupt, IndexMissing
from indexer.history import all_editions, segment_files
from indexer.kept_maps import form_of_all
from indexer.lookup import BasisRow, Generation, basis_rows, latest_generation
from indexer.parts import FOLDER as PARTS
from indexer.parts import part_folder
from indexer.paths import found_corpus
from indexer.segments import MAPS, SOUND, VISUAL
from indexer.storage import FileRecord, is_intact
from indexer.store import FOLDER as SEGMENTS
from indexer.store import SegmentStore, segment_folder

Fate = Literal["made anew", "given up", "encoded again"]
"""What a repair does with a damaged file: it is made anew from others; or it is given up, and its
frames go on with less until they are encoded again; or nothing is done to the whole index, since
vectors are lost that no other file has."""
NO_FILE = FileRecord(bytes=0, blake2b="")
"""Stands for a basis that maps are written in and the catalogue does not know: never intact."""
SegmentFiles = Mapping[int, Mapping[str, FileRecord]]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that is not what was written.

    Attributes
    ----------
    path : relative to the index, POSIX.
    reason : such as "gone".
    n_frames, n_sounds : that must be encoded again for it.
    """

    path: str
    reason: str
    fate: Fate
    n_frames: int = 0
    n_sounds: int = 0


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found in an index.

    Attributes
    ----------
    n_files, n_bytes : that were read, as they were written.
    faults : where segments and catalogue do not agree, or vectors cannot be searched; looked for
        where all bytes are what was written.
    orphans : files that no row names, relative to the index. The next writer sweeps them.
    encode_again : the command that makes all of it anew from the corpus; it needs the other options
        of the first build.
    """

    index_dir: Path
    generation: int
    n_files: int
    n_bytes: int
    damaged: tuple[Damage, ...]
    faults: tuple[Fault, ...]
    orphans: tuple[str, ...]
    encode_again: str

    @property
    def is_intact(self) -> bool:
        return not (self.damaged or self.faults)


@dataclass(frozen=True, kw_only=True)
class Named:
    """All files that a catalogue names; `segments` are of every edition."""

    generation: Generation
    segments: dict[int, dict[str, FileRecord]]
    bases: dict[int, BasisRow]

    @classmethod
    def read(cls, index_dir: Path, connection: Connection) -> Named:
        """Raises IndexMissing where no generation was ever published."""
        generation = latest_generation(connection)
        if generation is None:
            raise IndexMissing(index_dir, "the index was never finished")
        editions = [edition.id for edition in all_editions(connection)]
        segments = {
            number: names
            for edition in editions
            for number, names in segment_files(connection, edition).items()
        }
        return cls(generation=generation, segments=segments, bases=basis_rows(connection))

    @property
    def files(self) -> dict[str, FileRecord]:
        """Every file by its path."""
        return named_files(self.segments, self.generation, self.bases)


def verify(index_dir: Path) -> Verified:
    """Read every file of an index and compare it with what was written.

    Raises
    ------
    IndexMissing : no index, or none that was ever finished.
    IndexCorrupt : the catalogue itself is damaged.
    """
    index_dir = index_dir.absolute()
    with Catalogue.open(index_dir) as catalogue:
        catalogue.check_pages()
        with catalogue.reading() as connection:
            named = Named.read(index_dir, connection)
        files = named.files
        bad = {name for name, record in files.items() if not is_intact(index_dir / name, record)}
        faults = () if bad else _faults_now(index_dir, catalogue)
        stray = orphans(index_dir, files)
        with catalogue.reading() as connection:  # a writer may have replaced and swept meanwhile
            now = Named.read(index_dir, connection).files
    bad = {name for name in bad if now.get(name) == files[name]}
    return Verified(
        index_dir=index_dir,
        generation=named.generation.id,
        n_files=len(files),
        n_bytes=sum(record.bytes for record in files.values()),
        damaged=tuple(_damage(index_dir, named, name, bad) for name in files if name in bad),
        faults=faults,
        orphans=tuple(name for name in stray if name not in now),
        encode_again=reembedding(index_dir, named.generation),
    )


def _faults_now(index_dir: Path, catalogue: Catalogue) -> tuple[Fault, ...]:
    """Look for faults, again where a writer has swept away what was being read."""
    seen = -1
    while True:
        with catalogue.reading() as connection:
            now = latest_generation(connection)
        try:
            return _faults(index_dir, catalogue)
        except IndexCorrupt:
            if now is None or now.id == seen:
                raise
            seen = now.id


def _faults(index_dir: Path, catalogue: Catalogue) -> tuple[Fault, ...]:
    """Compare the segments that readers see with the catalogue, in one state of it."""
    found: list[Fault] = []
    with catalogue.reading() as connection:
        generation = latest_generation(connection)
        assert generation is not None, "asked where one was published"
        edition = generation.edition.id
        files = segment_files(connection, edition)
        bases = read_bases(index_dir, basis_rows(connection), files)
        with closing(SegmentStore(index_dir, files, bases=bases, mapped=False)) as store:
            for side in SIDES:
                listed = listed_items(connection, edition, generation.id, side)
                found += faults_of_rows(store, side, listed)
            found += faults_of_vectors(store)
    return tuple(found)


def reembedding(index_dir: Path, generation: Generation) -> str:
    """Return the command that encodes all of an index again; the old one serves until then."""
    words = ["retrieval", "build-index", str(found_corpus(generation.corpus, index_dir))]
    form = form_of_all(generation.segments)
    return join([*words, "--index", str(index_dir), "--reembed", "--maps", form])


def named_files(
    segments: SegmentFiles, generation: Generation, bases: Mapping[int, BasisRow]
) -> dict[str, FileRecord]:
    """Return what segments, a generation and bases consist of, by path relative to the index."""
    here = Path()
    found = {
        segment_folder(here, segment) / name: record
        for segment, names in segments.items()
        for name, record in names.items()
    }
    used = {number for names in segments.values() if (number := basis_in(names)) is not None}
    found |= {basis_file(here, number): NO_FILE for number in used - set(bases)}
    found |= {basis_file(here, number): row.file for number, row in bases.items()}
    found |= {
        part_folder(here, part.id) / name: record
        for part in generation.parts
        for name, record in part.files.items()
    }
    return {path.as_posix(): record for path, record in found.items()}


def _damage(index_dir: Path, named: Named, path: str, bad: set[str]) -> Damage:
    """Say what is wrong with a file and what would become of it; `bad` are the paths of all."""
    reason = _reason(index_dir / path, named.files[path])
    parts = Path(path).parts
    segment = int(parts[1]) if parts[0] == SEGMENTS else None
    if segment is not None and parts[2] in (SOUND, VISUAL):
        n = named.segments[segment][parts[2]].rows
        lost = {"n_frames": n} if parts[2] == VISUAL else {"n_sounds": n}
        return Damage(path=path, reason=reason, fate="encoded again", **lost)
    if any(is_lost(number, bad) for number in named.generation.segments):
        return Damage(path=path, reason=reason, fate="encoded again")
    if parts[0] == PARTS:
        return Damage(path=path, reason=reason, fate="made anew")
    if segment is not None:
        of_maps = [segment]
    else:
        number = int(Path(path).stem)
        of_maps = [n for n, names in named.segments.items() if basis_in(names) == number]
    without = [n for n in of_maps if not _has_maps(n, named.segments[n], bad)]
    n_frames = sum(named.segments[n][VISUAL].rows for n in without)
    fate: Fate = "given up" if n_frames else "made anew"
    return Damage(path=path, reason=reason, fate=fate, n_frames=n_frames)


def is_lost(segment: int, bad: Collection[str]) -> bool:
    """Say whether vectors of a segment are among the bad files: from them all else is derived."""
    folder = segment_folder(Path(), segment)
    return any((folder / name).as_posix() in bad for name in (SOUND, VISUAL))


def _has_maps(segment: int, names: Collection[str], bad: Collection[str]) -> bool:
    return MAPS in names and (segment_folder(Path(), segment) / MAPS).as_posix() not in bad


def _reason(path: Path, record: FileRecord) -> str:
    try:
        found = path.stat().st_size
    except OSError as error:
        return "gone" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    if found != record.bytes:
        return f"{found} bytes where {record.bytes} were written"
    return "not the bytes that were written"
