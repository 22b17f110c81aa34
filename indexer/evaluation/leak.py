"""The leak in one number, and when to warn of it (definitions §3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoder.intervals import COSINES, NOTHING, Figure, mean_figure
from indexer.blocks import Floats
from indexer.evaluation.database import Database, Positions
from indexer.evaluation.figures import ConditioningFigures, Direction, LeakFigures, Protocol
from indexer.evaluation.measure import Outcome
from indexer.evaluation.tally import mean_defined
from indexer.metrics import Values
from indexer.rules import moved

LARGE = 1 / 2
"""Share of what own-sound has over chance that may go without a warning.

Measured networks lie to both sides of it: 0.85 and 0.96 of the own-sound mAP over chance was
missing leak-free in two that leaked (definitions §3), 0.2 to 0.3 of it in the shipped one, whose
heat maps are right: a frame looked at with its own sound does show more of what sounds.
"""
PAIRED: tuple[Protocol, Protocol] = ("own_sound", "swapped")
DIRECTIONS: tuple[Direction, ...] = ("audio_to_image", "image_to_audio")
ARROWS: Mapping[Direction, str] = {
    "audio_to_image": "audio→image",
    "image_to_audio": "image→audio",
    "keep_image": "keep image",
    "keep_audio": "keep audio",
}
Rankings = Mapping[tuple[Protocol, Direction], Outcome]


def leak_figures(rankings: Rankings, n_items: int, seed: int) -> tuple[LeakFigures, ...]:
    """Compare own-sound, swapped and leak-free query by query; empty where there is no own-sound.

    Parameters
    ----------
    n_items : size of the database that the rankings' queries are positions of.
    """
    found = []
    for direction in DIRECTIONS:
        own, swapped = (rankings.get((name, direction)) for name in PAIRED)
        if own and swapped:
            leak_free = rankings["leak_free", direction]
            found.append(_leak(direction, own, swapped, leak_free, n_items, seed))
    return tuple(found)


def _leak(
    direction: Direction,
    own: Outcome,
    swapped: Outcome,
    leak_free: Outcome,
    n_items: int,
    seed: int,
) -> LeakFigures:
    by_own = _by_item(own, n_items)
    leak = _mean_difference(by_own, _by_item(swapped, n_items), seed)
    over = NOTHING
    if leak_free.name == own.name:  # a sample may hold no query that its classes can judge
        over = _mean_difference(by_own, _by_item(leak_free, n_items), seed)
    gain = mean_defined(own.values) - own.chance
    asked = ~np.isnan(_by_item(leak_free, n_items))
    gain_of_asked = mean_defined(by_own[asked]) - own.chance if over.n else 0.0
    return LeakFigures(
        direction=direction,
        measure=own.name,
        leak=leak,
        over_leak_free=over,
        share=leak.mean / gain if gain > 0 else np.nan,
        share_over_leak_free=over.mean / gain_of_asked if gain_of_asked > 0 else np.nan,
    )


def _by_item(outcome: Outcome, n_items: int) -> Values:
    values = np.full(n_items, np.nan)
    values[outcome.queries] = outcome.values
    return values


def _mean_difference(values: Values, others: Values, seed: int) -> Figure:
    """Mean difference of the queries that both of the two measured."""
    measured = ~np.isnan(values) & ~np.isnan(others)
    return mean_figure((values - others)[measured], seed=seed, within=COSINES)


def leak_warnings(leaks: tuple[LeakFigures, ...]) -> list[str]:
    """Return what the reader of own-sound figures must know."""
    warnings = []
    for leak in leaks:
        of = f"{leak.measure}, {ARROWS[leak.direction]}"
        if _is_large(leak.leak, leak.share):
            warnings.append(
                f"own-sound {of}, loses {leak.leak.mean:.3f} when frames are looked at with "
                f"another sound, {leak.share:.0%} of what it has over chance: much of it is the "
                "sound found in the picture's vector; trust the leak-free figures"
            )
        if _is_large(leak.over_leak_free, leak.share_over_leak_free):
            warnings.append(
                f"leak-free {of}, is {leak.over_leak_free.mean:.3f} under own-sound, "
                f"{leak.share_over_leak_free:.0%} of what own-sound has over chance: what a search "
                "for new queries gives is the leak-free figure"
            )
    return warnings


def _is_large(difference: Figure, share: float) -> bool:
    """A loss that is not chance (its interval is over 0) and of the size that leaks have."""
    return bool(difference.low > 0 and share > LARGE)


def conditioning_figures(
    database: Database, keep_image: Floats, queries: Positions, seed: int
) -> ConditioningFigures:
    """How far the sound moves f_v of one frame, by the label of the sound.

    Parameters
    ----------
    keep_image : (B, S) cos(f_v(X_v, X_s), f_v(X_v, Y_s)) of the queries (B,) with all sounds.
    """
    gallery = database.with_sound
    heard = database.sounds[gallery]
    found = [
        moved(keep_image[row, heard], query, gallery, database.labels, database.sounds)
        for row, query in enumerate(queries.tolist())
    ]

    def mean(values: list[float]) -> Figure:
        return mean_figure(np.array(values), seed=seed, within=(0.0, 2.0))

    return ConditioningFigures(
        other_label=mean([one.other_label for one in found]),
        same_label=mean([one.same_label for one in found]),
        any_other=mean([one.any_other for one in found]),
    )
