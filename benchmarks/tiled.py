"""A larger index made of a real one, whose frames and sounds are used again with noise.

What is larger than the corpus needs copies. To each is added NOISE times the difference of two
others of the corpus, drawn at random, over √2: noise of a tenth of the corpus's own spread, along
its own directions. So a basis fits a copy as well as it fits the corpus, and the scores of copies
differ in the third digit, where the exact order resolves the sixth. f_v⁰ of a copy is computed by
the network from its own map. The writers are those of `build_index`; where only compact maps are
kept, the noise is added to their codes, which are linear in the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from encoder.embedder import Embedder
from indexer.blocks import Floats, FrameBlock, Halves, SoundBlock
from indexer.catalogue import Catalogue
from indexer.compact.maps import CompactBlock, file_name, write_compact
from indexer.compact.projection import Projection
from indexer.compact.writing import compact_segments, read_bases
from indexer.history import Edition, segment_files
from indexer.ledger import ItemRecord, SegmentRecord, add_edition, commit_segment
from indexer.lookup import basis_rows
from indexer.options import BuildOptions, MapForm
from indexer.plan import FramePart, PlannedItem, SoundPart, Source, item_key
from indexer.publish import publish_generation
from indexer.reader import IndexReader
from indexer.segments import MAP_ROWS, MAPS, SegmentRows, SegmentWriter
from indexer.storage import FileRecord
from indexer.store import SegmentStore, segment_folder

NOISE = 0.1
SEED = 20_191_024
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Real frames and sounds, shuffled apart.

    Attributes
    ----------
    maps : float16 (F, M, 512).
    f_s : (S, 1000), unit norm.
    h : (S, 512).
    """

    maps: Halves
    f_s: Floats
    h: Floats

    @classmethod
    def of(cls, reader: IndexReader) -> Corpus:
        """Read all of an index that keeps full maps into memory."""
        rng = np.random.default_rng(SEED)
        maps = np.concatenate([block.maps for block in reader.frame_blocks()])
        sounds = list(reader.sound_blocks())
        order = rng.permutation(sum(len(block.ids) for block in sounds))
        return cls(
            maps=maps[rng.permutation(len(maps))],
            f_s=np.concatenate([block.f_s for block in sounds])[order],
            h=np.concatenate([block.h for block in sounds])[order],
        )


@dataclass(frozen=True)
class Draw:
    """Which rows of n become rows of a gallery: each once, then again with noise of two others."""

    rows: Rows
    plus: Rows
    minus: Rows
    scale: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, places: Rows, n: int) -> Draw:
        """Draw for places in the gallery, from 0 on."""
        scale = np.where(places < n, 0, NOISE / np.sqrt(2)).astype(np.float32)
        plus, minus = rng.integers(0, n, (2, len(places)))
        return cls(places % n, plus, minus, scale)

    def of_rows(self, values: NDArray[Any]) -> Floats:
        """Take rows of values (n, …) and add their noise."""
        rows, plus, minus = (
            values[chosen].astype(np.float32) for chosen in (self.rows, self.plus, self.minus)
        )
        made: Floats = rows + self.scale.reshape(-1, *[1] * (values.ndim - 1)) * (plus - minus)
        return made


def full_rows(embedder: Embedder, corpus: Corpus, places: Rows) -> SegmentRows:
    """Make rows of a gallery with their maps, ids from 1 on."""
    rng = generator(places)
    maps = Draw.of(rng, places, len(corpus.maps)).of_rows(corpus.maps).astype(np.float16)
    return _rows(rng, places, corpus, maps, coarse_of(embedder, maps))


def _rows(
    rng: np.random.Generator, places: Rows, corpus: Corpus, maps: Halves, coarse: Floats
) -> SegmentRows:
    """Put frames together with sounds that are drawn for the same places."""
    sounds = Draw.of(rng, places, len(corpus.f_s))
    f_s = sounds.of_rows(corpus.f_s)
    f_s /= np.linalg.norm(f_s, axis=1, keepdims=True)
    return SegmentRows(
        sounds=SoundBlock(ids=places + 1, f_s=f_s, h=sounds.of_rows(corpus.h)),
        frames=FrameBlock(ids=places + 1, maps=maps, coarse=coarse),
        own_sound=np.zeros_like(coarse),
        heard=np.zeros(len(places), np.bool_),
    )


def generator(places: Rows) -> np.random.Generator:
    """Return what draws the noise of these places."""
    return np.random.default_rng([SEED, int(places[0])])


@torch.inference_mode()
def coarse_of(embedder: Embedder, maps: NDArray[np.floating]) -> Floats:
    """Return f_v⁰ (n, 1000) of maps (n, M, 512)."""
    cells = torch.from_numpy(maps).to(embedder.device).float()
    coarse: Floats = normalize(embedder.network.coarse(cells), dim=1).cpu().numpy()
    return coarse


def write_tiled(
    folder: Path, embedder: Embedder, corpus: Corpus, n: int, form: MapForm = "full"
) -> None:
    """Write an index of n frames and n sounds into a folder that is there, and publish it."""
    options = BuildOptions()
    size = options.segment_items
    with Catalogue.create(folder, corpus="tiled") as catalogue:
        with catalogue.writing() as connection:
            edition = add_edition(
                connection,
                fingerprint=embedder.fingerprint,
                name=embedder.name,
                grid=embedder.grid,
            )
        n_full = n if form == "full" else min(n, len(corpus.maps))
        numbers = count(1)
        for places, number in zip(cut(0, n_full, size), numbers, strict=False):
            files = _write_full(segment_folder(folder, number), embedder, corpus, places)
            _commit(catalogue, edition, number, files, places)
            compact_segments(folder, catalogue, edition, form)
        if n > n_full:
            compact = CompactCorpus.of(folder, catalogue, edition, corpus)
            for places, number in zip(cut(n_full, n, size), numbers, strict=False):
                files = _write_compact(segment_folder(folder, number), embedder, compact, places)
                _commit(catalogue, edition, number, files, places)
        publish_generation(folder, catalogue, edition, embedder, min_recall=options.min_recall)


def cut(first: int, end: int, size: int) -> Iterator[Rows]:
    """Yield the places from first to end, up to `size` at a time."""
    for start in range(first, end, size):
        yield np.arange(start, min(start + size, end))


def _write_full(
    folder: Path, embedder: Embedder, corpus: Corpus, places: Rows
) -> dict[str, FileRecord]:
    folder.mkdir(parents=True)
    writer = SegmentWriter(folder, corpus.maps.shape[1])
    for part in cut(int(places[0]), int(places[-1]) + 1, MAP_ROWS):
        writer.append(full_rows(embedder, corpus, part))
    return writer.finish()


@dataclass(frozen=True, kw_only=True)
class CompactCorpus:
    """What there is of a corpus once its maps are compact.

    Attributes
    ----------
    codes : int8 (F, C, r), of the basis by that number.
    means : (F, 1, 512), the mean cell of each map, all that f_v⁰ needs.
    """

    corpus: Corpus
    codes: NDArray[np.int8]
    means: Floats
    basis: Projection
    number: int

    @classmethod
    def of(
        cls, folder: Path, catalogue: Catalogue, edition: Edition, corpus: Corpus
    ) -> CompactCorpus:
        """Read the codes of a corpus that makes up all the segments of an edition."""
        with catalogue.reading() as connection:
            files = segment_files(connection, edition.id)
            bases = read_bases(folder, basis_rows(connection), files)
        ((number, basis),) = bases.items()
        with closing(SegmentStore(folder, files, bases=bases)) as store:
            blocks = [part.compact(np.arange(len(part.frame_ids))) for part in store.segments]
            codes = CompactBlock.joined(blocks).codes
        means = [m.astype(np.float32).mean(axis=0, keepdims=True) for m in corpus.maps]
        return cls(corpus=corpus, codes=codes, means=np.stack(means), basis=basis, number=number)

    def part(self, embedder: Embedder, places: Rows) -> tuple[SegmentRows, CompactBlock]:
        """Make rows of a gallery whose maps are their mean cells, and their compact maps."""
        rng = generator(places)
        frames = Draw.of(rng, places, len(self.codes))
        codes = np.clip(np.rint(frames.of_rows(self.codes)), -127, 127).astype(np.int8)
        norms = np.linalg.norm(self.basis.rows(codes), axis=2).astype(np.float16)
        means = frames.of_rows(self.means)
        rows = _rows(rng, places, self.corpus, means.astype(np.float16), coarse_of(embedder, means))
        return rows, CompactBlock(ids=places + 1, codes=codes, norms=norms)


def _write_compact(
    folder: Path, embedder: Embedder, compact: CompactCorpus, places: Rows
) -> dict[str, FileRecord]:
    """Write a segment as it is once its maps are given up: the writer had mean cells for them."""
    folder.mkdir(parents=True)
    writer, name = SegmentWriter(folder, 1), file_name(compact.number)

    def blocks() -> Iterator[CompactBlock]:
        for part in cut(int(places[0]), int(places[-1]) + 1, MAP_ROWS):
            rows, block = compact.part(embedder, part)
            writer.append(rows)
            yield block

    record = write_compact(folder / name, blocks(), compact.basis, compact.codes.shape[1])
    files = writer.finish() | {name: record}
    del files[MAPS]
    (folder / MAPS).unlink()
    return files


def _commit(
    catalogue: Catalogue, edition: Edition, number: int, files: dict[str, FileRecord], places: Rows
) -> None:
    """Register a segment: its pairs pose as seconds of a long video."""
    n = len(places)
    source = Source(path=f"{number:06d}.mp4", kind="video", size=n, mtime_ns=number)
    items = []
    for second, place in enumerate(places.tolist()):
        frame = FramePart(source=source, time_s=float(second))
        sound = SoundPart(source=source, t0_s=float(second), t1_s=second + 1.0)
        plan = PlannedItem(key=item_key(frame, sound), kind="video", frame=frame, sound=sound)
        items.append(
            ItemRecord(
                plan=plan,
                id=place + 1,
                has_frame=True,
                has_sound=True,
                t0=float(second),
                t1=second + 1.0,
            )
        )
    record = SegmentRecord(id=number, edition=edition.id, files=files, items=items, digests={})
    with catalogue.writing() as connection:
        commit_segment(connection, record)
