"""Queries that went well or badly, with their pictures, sounds and heat maps.

Every picture is decoded from the corpus when the report is made. A file that is gone since costs
its picture and is named in the caption, never the report.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoder.embedder import Embedder
from encoder.errors import MediaError
from encoder.heatmap import heatmap, overlay
from encoder.media import read_frame, read_sound
from indexer.evaluation import LocalizationFigures
from indexer.evaluation.figures import QueryRecord, RankingFigures
from indexer.lookup import ItemRow
from indexer.reader import IndexReader
from retrieval.contact_sheet import waveform_picture
from retrieval.evaluation.words import DIRECTIONS
from retrieval.looking import map_of
from retrieval.report import Gallery, Picture, PictureRow, Thumbnail, thumbnail

N_QUERIES = 5
N_HITS = 5
GREY = Image.new("RGB", (160, 120), (200, 200, 205))
"""Stands where a file can no longer be read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Illustrator:
    """Draws what an index holds."""

    reader: IndexReader
    embedder: Embedder

    def query_galleries(self, ranking: RankingFigures) -> tuple[Gallery, ...]:
        """Return the best and the worst queries of a ranking with their first answers."""
        galleries = []
        for title, records in (("Best", ranking.best), ("Worst", ranking.worst)):
            rows = tuple(self._query(ranking, record) for record in records[:N_QUERIES])
            if rows:
                name = f"{title} queries, {DIRECTIONS[ranking.direction]}"
                note = f"By {ranking.value_name}. Green is right, red is wrong."
                galleries.append(Gallery(title=name, rows=rows, note=note))
        return tuple(galleries)

    def localization_galleries(self, figures: LocalizationFigures) -> tuple[Gallery, ...]:
        """Return the samples whose source was found best and worst."""
        by_value = sorted(figures.samples, key=lambda sample: (sample.ciou, sample.item))
        ends = (("Found best", by_value[::-1]), ("Found worst", by_value))
        galleries = []
        for title, samples in ends:
            pictures = tuple(
                self._looked_at(item, item, f"{item.label or item.path}: {sample.ciou:.2f}")
                for sample in samples[:N_QUERIES]
                for item in self._named([sample.item])
            )
            if pictures:
                row = PictureRow(title="Heat maps with their own sounds, and cIoU", found=pictures)
                galleries.append(Gallery(title=title, rows=(row,)))
        return tuple(galleries)

    def _query(self, ranking: RankingFigures, record: QueryRecord) -> PictureRow:
        asked, *found = self._named([record.item, *(hit.item for hit in record.hits[:N_HITS])])
        by_sound = ranking.direction == "audio_to_image"
        pictures = [
            self._looked_at(
                hit if by_sound else asked,
                asked if by_sound else hit,
                f"{hit.name(by_sound)}, {answer.score:.2f}",
                right=answer.right,
            )
            for hit, answer in zip(found, record.hits, strict=False)
        ]
        shown = self._sound(asked) if by_sound else self._frame(asked)
        return PictureRow(
            title=f"{asked.name(not by_sound)}: {record.value:.2f}",
            asked=(shown,),
            found=tuple(pictures),
        )

    def _named(self, ids: Iterable[int]) -> list[Item]:
        return [Item(row=row) for row in self.reader.rows(list(ids))]

    def _looked_at(
        self, frame: Item, sound: Item, caption: str, *, right: bool | None = None
    ) -> Picture:
        """Draw a frame with the attention that a sound gives it."""
        alt = f"{frame.name(True)} looked at with {sound.name(False)}"
        pixels = self._pixels(frame)
        if pixels is None:
            return _missing(caption, alt, right)
        visual_map = map_of(self.reader, self.embedder, frame.row.id, lambda: pixels)
        h = self.reader.sound(sound.row.id).h
        attention = self.embedder.condition(visual_map[None], h).attention[0]
        values = heatmap(attention, self.embedder.grid)
        drawn = overlay(pixels, values)
        return Picture(caption=caption, alt=alt, thumbnail=thumbnail(drawn), right=right)

    def _frame(self, item: Item) -> Picture:
        name, pixels = item.name(True), self._pixels(item)
        if pixels is None:
            return _missing(name, name)
        return Picture(caption=name, alt=name, thumbnail=thumbnail(pixels))

    def _sound(self, item: Item) -> Picture:
        name, row = item.name(False), item.row
        assert row.audio is not None, "a sound asks"
        try:
            sound = read_sound(self.reader.locate(row.audio), t0_s=row.t0 or 0.0, t1_s=row.t1)
        except MediaError:
            return _missing(name, name)
        return Picture(caption=name, alt=f"envelope of {name}", thumbnail=_envelope(sound))

    def _pixels(self, item: Item) -> NDArray[np.uint8] | None:
        row = item.row
        assert row.image is not None, "a frame is drawn"
        try:
            return read_frame(self.reader.locate(row.image), row.frame_time_s or 0.0)
        except MediaError:
            return None


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item with its names for people."""

    row: ItemRow

    @property
    def label(self) -> str | None:
        return self.row.label

    @property
    def path(self) -> str:
        return self.row.image or self.row.audio or ""

    def name(self, frame: bool) -> str:
        """Its label and the file name of its frame or sound."""
        path = (self.row.image if frame else self.row.audio) or self.path
        file = PurePosixPath(path).name
        return f"{self.label} ({file})" if self.label else file


def _envelope(sound: NDArray[np.float32]) -> Thumbnail:
    return thumbnail(waveform_picture(sound))


def _missing(caption: str, alt: str, right: bool | None = None) -> Picture:
    caption = f"{caption} (file missing or changed)"
    return Picture(caption=caption, alt=alt, thumbnail=thumbnail(GREY), right=right)
