"""What stands in words beside the figures: warnings, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterable

from indexer.evaluation.database import RECORDED, Database
from indexer.evaluation.figures import ChanceFigures, LeakFigures, RankingFigures, SwapFacts
from indexer.evaluation.leak import ARROWS, leak_warnings
from indexer.evaluation.options import RetrievalOptions
from indexer.kept_maps import KeptMaps
from indexer.pseudo_labels import N_LABELS

SATURATED = 0.5
"""Chance of success above which success@k has little room left to say anything in."""


def warnings_of(
    leaks: tuple[LeakFigures, ...], chance: tuple[ChanceFigures, ...], options: RetrievalOptions
) -> tuple[str, ...]:
    """Return what the reader of the figures must not overlook."""
    warnings = leak_warnings(leaks)
    met = max((level.closed_form for level in chance), default=0.0)
    if met > SATURATED:
        fewer = "; judge by fewer with --labels-kept 1" if options.labels_kept > 1 else ""
        warnings.append(
            f"the {options.labels_kept} best pseudo labels of two random items meet in "
            f"{met:.0%} of all cases: success@k says little here{fewer}"
        )
    for level in chance:
        if not level.agrees:
            warnings.append(
                f"chance of success, {ARROWS[level.direction]}: {level.n_trials} trials give "
                f"{level.trials:.4f}, the closed form {level.closed_form:.4f}, "
                f"{abs(level.z):.1f} standard errors apart; try another --seed"
            )
    return tuple(warnings)


def notes_of(
    database: Database,
    options: RetrievalOptions,
    rankings: tuple[RankingFigures, ...],
    swap: SwapFacts | None,
) -> tuple[str, ...]:
    """Return how it was measured, where there was a choice."""
    return tuple(
        [
            _database_note(database),
            *_sampling_notes(options, rankings),
            *_exclusion_notes(options),
            *_digest_notes(database),
            *_swap_notes(swap),
            *_label_notes(options),
            "recordings are items whose frame and sound come from one file, or whose metadata "
            f"says {RECORDED} = true: {int(database.recorded.sum())} of {len(database.ids)}",
        ]
    )


def note_on_maps(kept: KeptMaps) -> tuple[str, ...]:
    """Say how many frames were looked at through compact maps."""
    n = kept.frames["compact"]
    if not n:
        return ()
    return (
        f"{n} of {kept.n_frames} frames of the index were looked at through their compact maps, as "
        "every search does: it keeps no full ones of them",
    )


def _database_note(database: Database) -> str:
    if database.kind == "pairs":
        return "queries and galleries are the items that have both a frame and a sound (S19 §5.3)"
    return "queries and galleries are all items with a frame or a sound"


def _sampling_notes(
    options: RetrievalOptions, rankings: tuple[RankingFigures, ...]
) -> Iterable[str]:
    for ranking in rankings:
        if ranking.n_queries < ranking.n_queries_in_all:
            yield (
                f"{ranking.protocol.replace('_', '-')}, {ARROWS[ranking.direction]}: "
                f"{ranking.n_queries} of {ranking.n_queries_in_all} queries, drawn at random: all "
                f"would be more than {options.max_pairs} pairs (--max-pairs)"
            )


def _exclusion_notes(options: RetrievalOptions) -> Iterable[str]:
    if options.include_self:
        yield "the query's own item may be an answer (--include-self)"
    if options.include_duplicates:
        yield "exact duplicates of the query's item may be answers (--include-duplicates)"


def _digest_notes(database: Database) -> Iterable[str]:
    if database.n_unread:
        yield (
            f"{database.n_unread} long files are gone or have changed: those whose samples agree "
            "with another's count as its duplicates"
        )


def _label_notes(options: RetrievalOptions) -> Iterable[str]:
    if options.labels_kept < N_LABELS:
        yield f"of each item's pseudo labels the best {options.labels_kept} count (--labels-kept)"


def _swap_notes(swap: SwapFacts | None) -> Iterable[str]:
    if swap is not None:
        yield (
            f"swap test: {swap.n_other_label} frames with a sound of another label, "
            f"{swap.n_other_item} with the sound of any other item"
        )
