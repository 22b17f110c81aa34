"""Heat maps of hits: the frame that was scored, with the sound that it was scored with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder import media
from encoder.heatmap import heatmap
from indexer.errors import MapsMissing
from indexer.lookup import ItemRow
from indexer.paths import from_text
from indexer.reader import IndexReader
from retrieval.asking import Asked
from retrieval.errors import QueryError
from retrieval.hits import Heatmap
from retrieval.plan import ASSOCIATIVE, LOOKS

if TYPE_CHECKING:
    from encoder.embedder import Embedder

Picture = NDArray[np.uint8]


def map_of(
    reader: IndexReader, embedder: Embedder, item: int, picture: Callable[[], Picture]
) -> NDArray[np.float16]:
    """Return the full visual map of an item's frame; embedded anew where the index keeps none.

    Parameters
    ----------
    picture : decodes the frame, where that is needed.
    """
    try:
        return reader.frame_map(item)
    except MapsMissing:
        prepared = embedder.prepare_frame(picture())
        visual_map: NDArray[np.float16] = embedder.embed_frames([prepared]).maps[0]
        return visual_map


@dataclass(frozen=True, kw_only=True, eq=False)
class Looker:
    """Looks at the frames of one search's hits, when asked.

    Attributes
    ----------
    asked : the part of the question whose look is shown (`Prepared.looked`).
    """

    reader: IndexReader
    embedder: Embedder
    asked: Asked
    check_open: Callable[[], None]

    def look(self, row: ItemRow) -> Heatmap:
        """Return the map of the frame and the sound that the ranking scored (`plan.LOOKS`).

        Raises
        ------
        QueryError : the ranking meets no frame with a sound; or the index was closed since.
        """
        self.check_open()
        ranking = self.asked.ranking
        if ranking not in LOOKS:
            kinds = ("sound", "picture") if ranking == "audio-audio" else ("picture", "sound")
            raise QueryError("a {0} found by a {0} has no heat map; add a {1}".format(*kinds))
        frame_of, sound_of = LOOKS[ranking]
        visual_map = (
            self._query_map()
            if frame_of == "query"
            else map_of(self.reader, self.embedder, row.id, partial(self.picture, row))
        )
        h = self._query_context() if sound_of == "query" else self.reader.sound(row.id).h
        picture = self._query_picture if frame_of == "query" else partial(self.picture, row)
        return self._heatmap(visual_map, h, picture)

    def look_before(self) -> Heatmap | None:
        """Return the map of the query's own pair, which an associative ranking starts from.

        None for the other rankings. Raises QueryError where the index was closed since.
        """
        self.check_open()
        if self.asked.ranking not in ASSOCIATIVE:
            return None
        return self._heatmap(self._query_map(), self._query_context(), self._query_picture)

    def picture(self, row: ItemRow) -> Picture:
        """Return an item's frame, (H, W, 3) uint8, upright.

        Raises
        ------
        QueryError : the item is a sound alone.
        MediaError : its file is gone or cannot be read.
        """
        if row.image is None:
            raise QueryError(f"{row.audio}: a sound without a picture")
        return media.read_frame(self.reader.corpus / from_text(row.image), row.frame_time_s or 0.0)

    def _heatmap(
        self,
        visual_map: NDArray[np.float16],
        h: NDArray[np.float32],
        picture: Callable[[], Picture],
    ) -> Heatmap:
        grid = self.embedder.grid
        looked = self.embedder.condition(visual_map[None], h)
        return Heatmap(
            values=heatmap(looked.attention[0], grid),
            attention=looked.attention[0].reshape(grid),
            response=looked.response[0].reshape(grid),
            picture=picture,
        )

    def _query_map(self) -> NDArray[np.float16]:
        assert self.asked.query.visual_map is not None, "such a ranking has a picture in its query"
        return self.asked.query.visual_map

    def _query_context(self) -> NDArray[np.float32]:
        assert self.asked.query.sound is not None, "such a ranking has a sound in its query"
        return self.asked.query.sound.h

    def _query_picture(self) -> Picture:
        assert self.asked.query.picture is not None, "such a ranking has a picture in its query"
        return self.asked.query.picture
