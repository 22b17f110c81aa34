"""What the files of the index hold, for an evaluation: content digests, and vectors streamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select

from indexer.blocks import Ids
from indexer.catalogue import Catalogue, chunked, items, sources
from indexer.evaluation.errors import IndexChanged
from indexer.lookup import latest_generation
from indexer.reader import IndexReader
from indexer.segments import Segment
from indexer.store import segment_folder


@dataclass(frozen=True, kw_only=True)
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


def contents_of(reader: IndexReader, ids: Ids) -> list[Content]:
    """Return the contents of these items, in the order asked.

    A file whose digest was never taken (its vectors were copied from an earlier build) is known by
    its path, size and time instead.
    """
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
                    frame=_frame(row.frame_source, row.frame_digest, row.frame_time_s),
                    sound=_sound(row.sound_source, row.sound_digest, row.t0, row.t1),
                    one_file=row.frame_source is not None and row.frame_source == row.sound_source,
                )
    return [found[item] for item in ids.tolist()]


def _frame(source: int | None, digest: str, time_s: float | None) -> tuple[str, float] | None:
    if source is None:
        return None
    return digest or f"source {source}", -1.0 if time_s is None else time_s


def _sound(
    source: int | None, digest: str, t0: float | None, t1: float | None
) -> tuple[str, float, float] | None:
    if source is None:
        return None
    return digest or f"source {source}", t0 or 0.0, t1 or 0.0


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
    opened: list[Segment] = []
    try:
        for number, files in generation.segments.items():
            opened.append(Segment(segment_folder(reader.path, number), files, mapped=False))
        yield opened
    finally:
        for segment in opened:
            segment.close()
