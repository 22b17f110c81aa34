"""Concat-and-localize on an index: pictures from the corpus, sounds as they were indexed (O20 §5).

The pixels are decoded again, since a glued frame is another frame; f_s and h of its two sounds
stand in the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encoder.errors import MediaError
from encoder.intervals import pair_figure
from encoder.localization.baselines import left_half, right_half
from encoder.localization.concat import (
    SIDES,
    ConcatDraw,
    LabelMeans,
    Picture,
    Side,
    conditional_cases,
    draw_pairs,
    glue,
    half_picture,
    half_truth,
    on_side,
)
from encoder.localization.concat_files import ConcatReport, ConcatSource, write_concat
from encoder.localization.evaluate import MapFigures, Members, consensus_ious, region_ious
from encoder.localization.ground_truth import GroundTruth
from encoder.localization.metrics import Values, right_mass
from encoder.media import read_frame, read_sound
from indexer.blocks import Floats
from indexer.evaluation.localization.figures import BaselineRow, ConcatFigures
from indexer.evaluation.localization.items import Candidate, LeftOut
from indexer.evaluation.localization.looks import Looks, finite
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.evaluation.localization.rows import baseline_rows
from indexer.evaluation.progress import Teller
from indexer.reader import IndexReader
from indexer.rules import NONE, glue_ties, heard_as, numbered

if TYPE_CHECKING:
    from encoder.embedder import Embedder

AT_ONCE = 16
UNREADABLE = "concat: a picture that cannot be read"


@dataclass(frozen=True, kw_only=True)
class Glued:
    """Glued frames under both of their sounds: 2 n samples, left and right in turn.

    Attributes
    ----------
    f_v : (2n, 1000), unit norm.
    """

    looks: Looks
    f_v: Floats
    sides: tuple[Side, ...]
    own: tuple[Candidate, ...]
    other: tuple[Candidate, ...]


def gluable(items: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return the labelled pairs of a frame and a sound that is not known to lie outside it."""
    return tuple(
        item
        for item in items
        if item.is_pair and item.row.label and not item.is_ambient and item.is_onscreen is not False
    )


def draws_of(items: Sequence[Candidate], options: LocalizationOptions) -> tuple[ConcatDraw, ...]:
    """Draw which items share a frame, positions in `items`."""
    return draw_pairs(_ties(items), n_draws=options.n_concat, seed=options.seed)


def _ties(items: Sequence[Candidate]) -> list[frozenset[str]]:
    """Name what two items must not have in common (`indexer.rules.glue_ties`)."""
    return glue_ties(
        [item.content.frame for item in items],
        [item.content.sound for item in items],
        [item.sounds for item in items],
    )


def glued_frames(
    reader: IndexReader,
    embedder: Embedder,
    items: Sequence[Candidate],
    options: LocalizationOptions,
    left_out: LeftOut,
    on_frame: Callable[[int, int], None],
) -> Glued | None:
    """Embed glued frames and look at each with both of its sounds; None where there are none.

    Parameters
    ----------
    on_frame : called with (done, total).
    """
    draws = draws_of(items, options)
    halves = _read_halves(reader, items, draws, embedder.config.frame_px, left_out)
    draws = tuple(d for d in draws if all(items[d.of(side)].id in halves for side in SIDES))
    parts = []
    for first in range(0, len(draws), AT_ONCE):
        parts.append(_looked(reader, embedder, items, draws[first : first + AT_ONCE], halves))
        on_frame(min(first + AT_ONCE, len(draws)), len(draws))
    if not parts:
        return None
    attention, response, f_v = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    own = [items[draw.of(side)] for draw in draws for side in SIDES]
    other = [items[at] for draw in draws for at in (draw.right, draw.left)]
    looks = Looks(attention=attention, response=response)
    # Both samples of a frame go: a share of sides is fair over whole frames alone.
    usable = np.repeat(finite(looks, own, left_out).reshape(-1, 2).all(axis=1), 2)
    return Glued(
        looks=looks.kept(usable),
        f_v=f_v[usable],
        sides=SIDES * (int(usable.sum()) // 2),
        own=tuple(item for item, keep in zip(own, usable, strict=True) if keep),
        other=tuple(item for item, keep in zip(other, usable, strict=True) if keep),
    )


def _read_halves(
    reader: IndexReader,
    items: Sequence[Candidate],
    draws: Sequence[ConcatDraw],
    size_px: int,
    left_out: LeftOut,
) -> dict[int, Picture]:
    """Decode each picture that is drawn, once; by item."""
    halves: dict[int, Picture] = {}
    for at in sorted({draw.of(side) for draw in draws for side in SIDES}):
        try:
            halves[items[at].id] = half_picture(_picture(reader, items[at]), size_px)
        except MediaError as error:
            left_out.add(items[at].name, UNREADABLE, str(error))
    return halves


def _looked(
    reader: IndexReader,
    embedder: Embedder,
    items: Sequence[Candidate],
    draws: Sequence[ConcatDraw],
    halves: dict[int, Picture],
) -> tuple[Floats, Floats, Floats]:
    """Return attention, response (2n, H', W') and f_v (2n, 1000) of a batch of draws."""
    frames = [glue(*(halves[items[d.of(side)].id] for side in SIDES)) for d in draws]
    maps = embedder.embed_frames([embedder.prepare_frame(frame) for frame in frames]).maps
    contexts = [reader.sound(items[d.of(side)].id).h for d in draws for side in SIDES]
    looked = embedder.condition(np.repeat(maps, len(SIDES), axis=0), np.concatenate(contexts))
    grids = (part.reshape(-1, *reader.grid) for part in (looked.attention, looked.response))
    return (*grids, looked.f_v)  # type: ignore[return-value]


def concat_figures(
    reader: IndexReader,
    glued: Glued,
    items: Sequence[Candidate],
    options: LocalizationOptions,
) -> ConcatFigures:
    """Sum up glued frames.

    Parameters
    ----------
    items : all under evaluation; label means of f_s are taken over their sounds.
    """
    truths = [
        half_truth(item.truth, side)
        for item, side in zip(glued.own, glued.sides, strict=True)
        if item.truth is not None
    ]
    means, row_of = _rows_of_sounds(reader, items)
    own, other = (np.array([row_of[item.id] for item in of]) for of in (glued.own, glued.other))
    members, seed = _members(glued), options.seed
    maps: MapFigures | None = None
    baselines: tuple[BaselineRow, ...] = ()
    if len(truths) == len(glued.own):
        looked = glued.looks.maps(options.map_kind)
        values = consensus_ious(looked, truths, [options.threshold])[0]
        maps = MapFigures.of_pairs(values, *members, seed=seed)
        baselines = _baselines(glued, truths, members, options)
    on_right_side = on_side(right_mass(glued.looks.attention), glued.sides).astype(np.float64)
    nearer = conditional_cases(glued.f_v, means, own, other)
    return ConcatFigures(
        side_accuracy=pair_figure(on_right_side, *members, seed=seed),
        conditional_accuracy=pair_figure(nearer, *members, seed=seed),
        maps=maps,
        baselines=baselines,
        n_frames=len(glued.own) // 2,
        n_items=len({item.id for item in glued.own}),
    )


def _members(glued: Glued) -> tuple[Members, Members]:
    """Number the two pictures of every sample."""
    numbers: dict[int, int] = {}
    own, other = (
        np.array([numbers.setdefault(item.id, len(numbers)) for item in of], dtype=np.int64)
        for of in (glued.own, glued.other)
    )
    return own, other


def _baselines(
    glued: Glued,
    truths: Sequence[GroundTruth],
    members: tuple[Members, Members],
    options: LocalizationOptions,
) -> tuple[BaselineRow, ...]:
    """Return what knows nothing, and what knows the half and no more (definitions §4)."""
    keys, seed = [item.key for item in glued.own], options.seed
    on_left, on_right = (region_ious(truths, half) for half in (left_half, right_half))
    values = np.where([side == "left" for side in glued.sides], on_left, on_right)

    def sum_up(values: Values) -> MapFigures:
        return MapFigures.of_pairs(values, *members, seed=seed)

    return (
        *baseline_rows(truths, [options.threshold], sum_up, keys=keys, seed=seed),
        BaselineRow(name="the right half", threshold="", figures=sum_up(values)),
    )


def _rows_of_sounds(
    reader: IndexReader, items: Sequence[Candidate]
) -> tuple[LabelMeans, dict[int, int]]:
    """Return f_s of every sound under each of its labels, and the row of each item."""
    names = sorted({item.row.label for item in items if item.row.label})
    labels = [names.index(item.row.label) if item.row.label else NONE for item in items]
    sounds, first = numbered([item.content.sound for item in items])
    heard = heard_as(sounds, np.array(labels, np.int64))
    f_s = [reader.sound(items[at].id).f_s[0] for at in first[heard.sounds].tolist()]
    means = LabelMeans(f_s=np.array(f_s), recordings=heard.sounds, labels=heard.labels)
    rows = zip(items, heard.of_item.tolist(), strict=True)
    return means, {item.id: row for item, row in rows if row != NONE}


def write_glued(
    reader: IndexReader,
    root: Path,
    items: Sequence[Candidate],
    options: LocalizationOptions,
    *,
    size_px: int = 320,
    teller: Teller | None = None,
) -> ConcatReport:
    """Write the glued pairs of items as ordinary files with a manifest (O20 §5).

    The draws are those of `evaluate_localization` with the same options.

    Raises
    ------
    ConcatError : fewer than two labels among them, or the folder cannot be written.
    MediaError : a picture or a sound cannot be read.
    """
    names = {item.id: f"{item.row.label or 'pair'}-{item.key:014x}" for item in items}
    sources = [
        ConcatSource(
            name=names[item.id],
            picture=partial(_picture, reader, item),
            sound=partial(_sound, reader, item),
            label=item.row.label or "",
            boxes=tuple(box for box in item.boxes if box.kind == "object"),
        )
        for item in items
    ]
    tell = teller.tell if teller is not None else (lambda *_: None)
    return write_concat(
        root,
        sources,
        draws_of(items, options),
        size_px=size_px,
        on_progress=partial(tell, "write"),
    )


def _picture(reader: IndexReader, item: Candidate) -> Picture:
    assert item.row.image is not None, "only items with a frame are drawn"
    return read_frame(reader.locate(item.row.image), item.row.frame_time_s or 0.0)


def _sound(reader: IndexReader, item: Candidate) -> Floats:
    assert item.row.audio is not None, "only items with a sound are drawn"
    return read_sound(reader.locate(item.row.audio), t0_s=item.row.t0 or 0.0, t1_s=item.row.t1)
