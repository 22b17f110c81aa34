"""What the files of the index hold, for an evaluation: content digests, and vectors streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from indexer.blocks import Ids
from indexer.catalogue import Catalogue, chunked, items, sources
from indexer.compact.writing import read_bases
from indexer.evaluation.digests import WholeDigests, whole_digests
from indexer.evaluation.errors import IndexChanged
from indexer.lookup import basis_rows, latest_generation
from indexer.reader import IndexReader
from indexer.segments import MAPS, Segment
from indexer.store import segment_folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What an item is made of: equal contents are equal files and equal spans of them.

    Attributes
    ----------
    frame : (digest of the file, seconds into it), None without a frame; a still is at −1 s.
    sound : (digest of the file, from, to in seconds), None without a sound.
    one_file : whether frame and sound come from one file.
    """

    frame: tuple[str, float] | None
    sound: tuple[str, float, float] | None
    one_file: bool

    @property
    def is_pair(self) -> bool:
        return self.frame is not None and self.sound is not None

    @property
    def order(self) -> tuple[str, float, str, float, float]:
        """What items are ordered by, so that no figure depends on how they were indexed."""
        return (*(self.frame or ("", 0.0)), *(self.sound or ("", 0.0, 0.0)))


def contents_of(reader: IndexReader, ids: Ids, whole: WholeDigests | None = None) -> list[Content]:
    """Return the contents of these items, in the order asked.

    A file whose digest was never taken (its vectors were copied from an earlier build) is known by
    its path, size and time instead.

    Parameters
    ----------
    whole : of the files of these items and others; None reads those of these items now.
    """
    by_source = (whole or whole_digests(reader, ids)).by_source

    def digest(source: int, known: str) -> str:
        return f"{known or f'source {source}'}{by_source.get(source, '')}"

    frame, sound = sources.alias(), sources.alias()
    statement = (
        select(
            items.c.id,
            items.c.frame_time_s,
            items.c.t0,
            items.c.t1,
            items.c.frame_source,
            items.c.sound_source,
            frame.c.blake2b.label("frame_digest"),
            sound.c.blake2b.label("sound_digest"),
        )
        .outerjoin(frame, frame.c.id == items.c.frame_source)
        .outerjoin(sound, sound.c.id == items.c.sound_source)
    )
    found: dict[int, Content] = {}
    with Catalogue.open(reader.path) as catalogue, catalogue.reading() as connection:
        for part in chunked(ids.tolist()):
            for row in connection.execute(statement.where(items.c.id.in_(part))):
                found[row.id] = Content(
                    frame=_frame(row, digest),
                    sound=_sound(row, digest),
                    one_file=row.frame_source is not None and row.frame_source == row.sound_source,
                )
    return [found[item] for item in ids.tolist()]


def _frame(row: Any, digest: Callable[[int, str], str]) -> tuple[str, float] | None:
    if row.frame_source is None:
        return None
    time_s = -1.0 if row.frame_time_s is None else row.frame_time_s
    return digest(row.frame_source, row.frame_digest), time_s


def _sound(row: Any, digest: Callable[[int, str], str]) -> tuple[str, float, float] | None:
    if row.sound_source is None:
        return None
    return digest(row.sound_source, row.sound_digest), row.t0 or 0.0, row.t1 or 0.0


@contextmanager
def streamed_segments(reader: IndexReader) -> Iterator[list[Segment]]:
    """Open the reader's segments to be read batch by batch.

    The reader maps them into memory: a pass over all visual maps would leave all of them there.

    Raises
    ------
    IndexChanged : the reader's generation is no longer the newest.
    """
    with Catalogue.open(reader.path) as catalogue, catalogue.reading() as connection:
        generation = latest_generation(connection)
        if generation is None or generation.id != reader.generation:
            raise IndexChanged(reader.path)
        lacking = {n: names for n, names in generation.segments.items() if MAPS not in names}
        bases = read_bases(reader.path, basis_rows(connection), lacking)
    opened: list[Segment] = []
    try:
        for number, files in generation.segments.items():
            folder = segment_folder(reader.path, number)
            read = bases if number in lacking else None  # full maps need none
            opened.append(Segment(folder, files, bases=read, mapped=False))
        yield opened
    finally:
        for segment in opened:
            segment.close()
