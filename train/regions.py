"""A manifest's boxes as what training asks the attention for: agreements, or single opinions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder.localization.boxes import box_of, mask_of_boxes
from encoder.localization.errors import GroundTruthError
from encoder.localization.ground_truth import DISAGREE, NO_OBJECT, GroundTruth, ground_truth
from encoder.media import read_frame
from indexer.manifest import ManifestRow, read_manifest
from indexer.plan import Box
from train.bank import AGREEMENT_PX, NONE, Regions, world_rows
from train.errors import PairsError
from train.pairs import Pair, Picture
from train.world import WorldConfig
from train.world.layout import plan_scene
from train.world.scenes import annotate, set_stage

SIDE = (AGREEMENT_PX, AGREEMENT_PX)
Annotator = Literal["consensus", "random"]


@dataclass(frozen=True, kw_only=True)
class Opinions(Regions):
    """Regions that keep every annotator's own map; `of` names the first of a row.

    Attributes
    ----------
    n_from : (A,) how many maps, from this one on, are opinions on the same picture and sound.
    """

    n_from: NDArray[np.int64]

    def drawn(self, first: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.int64]:
        """Draw one opinion for each of (B,) first ones."""
        turn = torch.rand(len(first), generator=generator, dtype=torch.float64).numpy()
        drawn: NDArray[np.int64] = first + (turn * self.n_from[first]).astype(np.int64)
        return drawn


def boxes_of(manifest: Path) -> list[tuple[Box, ...]]:
    """Return the boxes of every row that `read_pairs` gives, in its order."""
    rows = [row for row in read_manifest(manifest) if isinstance(row, ManifestRow)]
    return [row.boxes for row in rows if row.image or row.audio or row.video]


def truths_of(
    pairs: Sequence[Pair], boxes: Sequence[tuple[Box, ...]], *, with_sound: bool
) -> dict[int, GroundTruth]:
    """Return what is to be found in each row with a picture and boxes, and a sound if asked for.

    Rows of ambient boxes alone, and rows whose annotators disagree, have nothing (S19 §5.1).
    Corners that all lie in [0, 1] are fractions of the frame, others are pixels of the picture.

    Raises
    ------
    PairsError : a box leaves its picture; names it.
    """
    truths = {}
    for row, (pair, drawn) in enumerate(zip(pairs, boxes, strict=True)):
        if not drawn or pair.picture is None or (with_sound and pair.sound is None):
            continue
        try:
            truths[row] = _truth(drawn, pair.picture)
        except GroundTruthError as error:
            if str(error) not in (NO_OBJECT, DISAGREE):
                raise PairsError(f"{pair.picture.path}: {error}; mend its boxes") from None
    return truths


def world_truths(config: WorldConfig) -> dict[int, GroundTruth]:
    """Return what is to be found for each row of a made world (`train.bank.world_rows`)."""
    truths, side = {}, float(config.frame_px)
    for row, (scene, kind) in enumerate(world_rows(config)):
        plan = plan_scene(config, scene)
        boxes = annotate(config, plan, set_stage(config, plan))
        truths[row] = ground_truth(
            box_of(
                (box.x0, box.y0, box.x1, box.y1),
                size=(side, side),
                annotator=str(box.annotator),
                kind=box.tag,
                tag=box.kind,
            )
            for box in boxes
            if box.kind == kind
        )
    return truths


def regions_of(truths: dict[int, GroundTruth], n_rows: int, annotator: Annotator) -> Regions:
    """Draw the regions of a bank of `n_rows` rows."""
    of = np.full(n_rows, NONE)
    if annotator == "consensus":
        of[list(truths)] = np.arange(len(truths))
        return Regions(maps=_maps([truth.score_map(SIDE) for truth in truths.values()]), of=of)
    masks: list[NDArray[np.float32]] = []
    n_from: list[int] = []
    for row, truth in truths.items():
        of[row] = len(masks)
        masks += [mask_of_boxes(boxes, SIDE).astype(np.float32) for boxes in truth.boxes]
        n_from += range(len(truth.boxes), 0, -1)
    return Opinions(maps=_maps(masks), of=of, n_from=np.array(n_from, np.int64))


def _truth(boxes: Sequence[Box], picture: Picture) -> GroundTruth:
    corners = [(box.x0, box.y0, box.x1, box.y1) for box in boxes]
    size = (1.0, 1.0)
    if max(map(max, corners)) > 1:
        height, width = read_frame(picture.path, picture.time_s).shape[:2]
        size = float(width), float(height)
    return ground_truth(
        box_of(one, size=size, annotator=box.annotator, kind=box.kind, tag=box.tag)
        for one, box in zip(corners, boxes, strict=True)
    )


def _maps(agreements: Sequence[NDArray[np.float32]]) -> Tensor:
    """(A, 1, S, S) uint8."""
    rounded = [(255 * one).round().astype(np.uint8) for one in agreements]
    return torch.from_numpy(np.stack(rounded) if rounded else np.empty((0, *SIDE), np.uint8))[
        :, None
    ]
