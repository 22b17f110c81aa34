"""One segment, from planned items to its commit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from encoder.embedder import Embedder
from encoder.sandbox import Sandbox
from indexer.catalogue import Catalogue
from indexer.compact.writing import read_bases
from indexer.decode import Decoder, in_order
from indexer.encode import (
    BatchEncoder,
    EncodedItem,
    EncodedParts,
    FrameVectors,
    KnownParts,
    PartShelf,
    SoundVectors,
    batches,
    cores_shared_by,
    n_encoders,
    segment_rows,
)
from indexer.errors import storing
from indexer.history import earlier_items, embedded_parts, next_id, segment_files
from indexer.ledger import ItemRecord, SegmentRecord, commit_segment
from indexer.lookup import basis_rows
from indexer.options import BuildOptions
from indexer.plan import PlannedItem, frames_together
from indexer.progress import Progress
from indexer.segments import SegmentWriter
from indexer.storage import FileRecord, put_in_place, temporary
from indexer.store import SegmentStore, segment_folder

BATCHES_AHEAD = 2
"""Batches per thread that may be under way or wait, encoded: enough to ride over a slow file."""


@dataclass
class EncodeCounts:
    """What a build put through the network, in place of what it shared or copied."""

    n_frames: int = 0
    n_sounds: int = 0

    def add(self, encoded: EncodedParts) -> None:
        self.n_frames += sum(isinstance(v, FrameVectors) for v in encoded.frames.values())
        self.n_sounds += sum(isinstance(v, SoundVectors) for v in encoded.sounds.values())


class SegmentBuild:
    """Encodes items into one segment and commits it."""

    def __init__(
        self,
        index_dir: Path,
        catalogue: Catalogue,
        edition: int,
        embedder: Embedder,
        items: Sequence[PlannedItem],
        *,
        options: BuildOptions,
        counts: EncodeCounts,
        progress: Progress,
    ) -> None:
        self.index_dir, self.catalogue, self.edition = index_dir, catalogue, edition
        self.embedder, self.options, self.progress = embedder, options, progress
        self.items = list(frames_together(items))
        self.records: list[ItemRecord] = []
        self.counts, self.digests = counts, dict[str, str]()
        self.known = self._look_up()
        self.folder = segment_folder(index_dir, self.id)
        with storing(index_dir):
            self.draft = temporary(self.folder)
            self.writer = SegmentWriter(self.draft, embedder.grid[0] * embedder.grid[1])
        self._whole = True

    def run(self, corpus: Path) -> None:
        """Encode and commit.

        Ctrl-C commits the batches that are finished and is raised again. Anything else that is
        raised leaves no trace in the index.
        """
        try:
            self._encode(corpus)
        except KeyboardInterrupt:
            if self._whole and self.records:
                self._commit()
            raise
        else:
            self._commit()
        finally:
            self.writer.abandon()
            self.known.store.close()

    def _encode(self, corpus: Path) -> None:
        workers, limits = self.options.workers, self.options.limits
        passes = n_encoders(self.embedder, workers)
        shelf = PartShelf(self.items, self.known)
        with Sandbox() as sandbox, cores_shared_by(passes) as begin:
            decoder = Decoder(corpus=corpus, embedder=self.embedder, limits=limits, sandbox=sandbox)
            encoded = in_order(
                batches(self.items, self.known, self.options.batch_size),
                BatchEncoder(decoder, n_encoders=passes),
                workers=workers,
                n_ahead=BATCHES_AHEAD * workers,
                begin=begin,
            )
            with closing(encoded):
                for batch, parts in encoded:
                    self.counts.add(parts)
                    self.digests |= parts.digests
                    self._append(shelf.take(batch, parts))

    def _append(self, batch: Sequence[EncodedItem]) -> None:
        records = [self._record(encoded) for encoded in batch]
        ids = {record.plan.key: record.id for record in records if record.id is not None}
        rows = segment_rows(self.embedder, batch, ids)
        self._whole = False  # an interrupt in between would leave vectors without items
        with storing(self.index_dir):
            self.writer.append(rows)
        self.records += records
        self._whole = True
        self.progress.done += len(ids)
        self.progress.failed += len(records) - len(ids)
        self.progress.tell()

    def _record(self, encoded: EncodedItem) -> ItemRecord:
        t0, t1 = _span(encoded)
        return ItemRecord(
            plan=encoded.plan,
            id=self._item_id(encoded) if encoded.usable else None,
            has_frame=encoded.frame is not None,
            has_sound=encoded.sound is not None,
            t0=t0,
            t1=t1,
            failures=encoded.failures,
        )

    def _item_id(self, encoded: EncodedItem) -> int:
        """Keep the id of an item that is embedded anew; otherwise give one never given before."""
        earlier = self.earlier.get(encoded.plan.key)
        sides = (encoded.frame is not None, encoded.sound is not None)
        if earlier and earlier.stamp == encoded.plan.stamp and earlier.sides == sides:
            return earlier.item
        self.next_item += 1
        return self.next_item - 1

    def _commit(self) -> None:
        files: dict[str, FileRecord] = {}
        with storing(self.index_dir):
            if any(record.id is not None for record in self.records):
                files = self.writer.finish()
                put_in_place(self.draft, self.folder)
        record = SegmentRecord(
            id=self.id,
            edition=self.edition,
            files=files,
            items=self.records,
            digests=self.digests,
        )
        with self.catalogue.writing() as connection:
            commit_segment(connection, record)

    def _look_up(self) -> KnownParts:
        """Ask the catalogue what may be numbered from here, kept, and copied."""
        frames = {item.frame.key: item.frame.source for item in self.items if item.frame}
        sounds = {item.sound.key: item.sound.source for item in self.items if item.sound}
        keys = [item.key for item in self.items]
        with self.catalogue.reading() as connection:
            self.id, self.next_item = next_id(connection, "segment"), next_id(connection, "item")
            self.earlier = earlier_items(connection, self.edition, keys)
            files = segment_files(connection, self.edition)
            bases = read_bases(self.index_dir, basis_rows(connection), files)
            store = SegmentStore(self.index_dir, files, bases=bases)
            embedded = embedded_parts(connection, self.edition, "frame", frames)
            return KnownParts(
                store=store,
                frames={key: part for key, part in embedded.items() if store.has_map(part.item)},
                sounds=embedded_parts(connection, self.edition, "sound", sounds),
            )


def _span(encoded: EncodedItem) -> tuple[float | None, float | None]:
    """Seconds of the sound as decoded; for a mute video's frame its moment, twice."""
    frame, sound = encoded.plan.frame, encoded.plan.sound
    if sound and encoded.sound:
        return sound.t0_s, sound.t0_s + encoded.sound.duration_s
    if frame and encoded.frame and frame.source.kind == "video":
        return frame.time_s, frame.time_s
    return None, None
