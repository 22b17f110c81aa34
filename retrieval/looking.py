"""Heat maps of hits: a frame of one side looked at with a sound of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoder import media
from encoder.heatmap import heatmap
from indexer.lookup import ItemRow
from indexer.paths import from_text
from indexer.reader import IndexReader
from retrieval.errors import QueryError
from retrieval.hits import Heatmap
from retrieval.plan import Plan
from retrieval.query_media import EmbeddedQuery

if TYPE_CHECKING:
    from encoder.embedder import Embedder


@dataclass(frozen=True, kw_only=True, eq=False)
class Looker:
    """Looks at the frames of one search's hits, when asked."""

    reader: IndexReader
    embedder: Embedder
    query: EmbeddedQuery
    plan: Plan
    check_open: Callable[[], None]

    def look(self, row: ItemRow) -> Heatmap:
        """Return the map of the hit's frame and the query's sound, or the other way round.

        Raises
        ------
        QueryError : the query has no picture, or no sound, to go with the hit; or the index was
            closed since.
        """
        self.check_open()
        if self.plan.to == "image":
            if self.query.sound is None:
                raise QueryError("a picture found by a picture has no heat map; add a sound")
            visual_map, h = self.reader.frame_map(row.id), self.query.sound.h
        else:
            if self.query.visual_map is None:
                raise QueryError("a sound found by a sound has no heat map; add a picture")
            visual_map, h = self.query.visual_map, self.reader.sound(row.id).h
        return self._heatmap(row, visual_map, h)

    def _heatmap(
        self, row: ItemRow, visual_map: NDArray[np.float16], h: NDArray[np.float32]
    ) -> Heatmap:
        grid = self.embedder.grid
        looked = self.embedder.condition(visual_map[None], h)
        return Heatmap(
            values=heatmap(looked.attention[0], grid),
            attention=looked.attention[0].reshape(grid),
            response=looked.response[0].reshape(grid),
            picture=lambda: self._picture(row),
        )

    def _picture(self, row: ItemRow) -> NDArray[np.uint8]:
        if self.plan.to == "audio":
            assert self.query.picture is not None
            return self.query.picture
        assert row.image is not None
        return media.read_frame(self.reader.corpus / from_text(row.image), row.frame_time_s or 0.0)
