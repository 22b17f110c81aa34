"""The rows that a training reads, refused early where they cannot be used, and banks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encoder.localization.ground_truth import GroundTruth
from encoder.two_stream import TwoStreamEncoder
from train.bank import PICTURE_PX, Bank, OnFile, bank_of_pairs, bank_of_world, join, world_config
from train.checks import check_held_back, check_rows, data_key
from train.errors import PairsError
from train.pairs import Pair, of_split, read_pairs
from train.recipe import Recipe
from train.regions import boxes_of, regions_of, truths_of, world_truths

WORLD_SEED = 1
"""The world that training sees; the demo and the check use other seeds."""


def rows_of(manifest: Path, pairs: Sequence[Pair], split: str) -> list[Pair]:
    """Rows of a split; raises PairsError where it has none, naming those that there are."""
    rows = of_split(pairs, split)
    if not rows:
        there = ", ".join(sorted({pair.split or "train" for pair in pairs}))
        raise PairsError(f"{manifest}: no row has split {split!r}; there are {there}")
    return rows


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Rows of a manifest, before any file is decoded.

    Attributes
    ----------
    rows, held_back : of the splits `train` and `val`.
    truths : by row, what people drew; None where boxes are not asked for.
    key : changes with whatever training reads of them.
    """

    rows: list[Pair]
    held_back: list[Pair]
    truths: dict[int, GroundTruth] | None
    key: str


def listed_rows(manifest: Path, recipe: Recipe, *, with_boxes: bool, choose_on_val: bool) -> Listed:
    """Read a manifest and refuse what training could not use (`train.checks`).

    Raises
    ------
    PairsError, ManifestError : the rows cannot be used; nothing was decoded.
    """
    pairs = read_pairs(manifest)
    rows = rows_of(manifest, pairs, "train")
    check_rows(rows, recipe)
    held_back = of_split(pairs, "val") if choose_on_val else []
    if choose_on_val:
        check_held_back(held_back, manifest)
    truths = _truths(manifest, pairs, recipe) if with_boxes else None
    key = data_key(manifest, [*rows, *held_back], truths)
    return Listed(rows=rows, held_back=held_back, truths=truths, key=key)


def _truths(manifest: Path, pairs: Sequence[Pair], recipe: Recipe) -> dict[int, GroundTruth]:
    """What people drew into the training rows; raises PairsError where that is nothing.

    With positives by label a picture needs no sound of its own: any of its label asks for it.
    """
    drawn = zip(pairs, boxes_of(manifest), strict=True)
    of_train = [(pair, boxes) for pair, boxes in drawn if (pair.split or "train") == "train"]
    truths = truths_of(
        [pair for pair, _ in of_train],
        [boxes for _, boxes in of_train],
        with_sound=recipe.positives == "recording",
    )
    if not truths:
        also = " and a sound" if recipe.positives == "recording" else ""
        raise PairsError(
            f"{manifest}: no training row with a picture{also} has object boxes; fill in the "
            "column boxes, or leave out --boxes"
        )
    return truths


def banks_of(
    listed: Listed,
    recipe: Recipe,
    network: TwoStreamEncoder,
    *,
    on_file: OnFile | None = None,
    cache: Path | None = None,
) -> tuple[Bank, Bank | None]:
    """Decode the training rows and make the world's: both joined, and the world's alone."""
    side = max(PICTURE_PX, recipe.crop_px)
    rows = listed.rows
    bank = bank_of_pairs(rows, network, picture_px=side, on_file=on_file, cache=cache)
    world = None
    if recipe.world_share > 0:
        world = bank_of_world(
            network,
            n_scenes=recipe.n_world,
            seed=WORLD_SEED,
            two_source_share=recipe.two_source_share,
            picture_px=side,
            on_file=on_file,
        )
        bank = join([bank, world])
    if listed.truths is not None:
        truths = dict(listed.truths)
        if recipe.world_share > 0:
            made = world_config(
                network,
                n_scenes=recipe.n_world,
                seed=WORLD_SEED,
                two_source_share=recipe.two_source_share,
            )
            truths |= {len(listed.rows) + i: truth for i, truth in world_truths(made).items()}
        bank = replace(bank, regions=regions_of(truths, len(bank), recipe.annotator))
    return bank, world
