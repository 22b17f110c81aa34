"""Table 6: success of the nearest neighbours across modalities by pseudo labels (S19 §5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from encoder.intervals import SHARES, mean_figure
from indexer.evaluation.chance import ChanceLevel
from indexer.evaluation.figures import ChanceFigures
from indexer.evaluation.judges import PseudoJudge
from indexer.evaluation.options import RetrievalOptions
from indexer.metrics import Ranked, Values
from train.errors import DataAbsent
from train.reproduce.lab import Lab
from train.reproduce.orderings import above, difference, fact, nowhere_below
from train.reproduce.outcome import Cell, Check, Findings, Table
from train.reproduce.pseudo import pseudo_labels
from train.reproduce.spaces import Scores, Space, databases, spaces_of

KS, RANDOM = (10, 15, 20), "Random-10"
DIRECTIONS: tuple[tuple[str, str, str], ...] = (
    ("Image → Audio", "image", "image_to_audio"),
    ("Audio → Image", "audio", "audio_to_image"),
)
"""Heads of S19 Table 6, the modality that asks, and the name of the scores."""


def table_6(lab: Lab) -> Findings:
    """S19 Table 6: success of cross-modal neighbours by pseudo labels, and chance."""
    parts = databases(lab)
    if len(parts[0]) <= KS[0]:
        raise DataAbsent(f"annotated pairs: a first test set of {KS[0] + 1} or more")
    spaces = [spaces_of(lab, rows) for rows in parts]
    labels = [pseudo_labels(lab, rows) for rows in parts]
    lines: dict[str, list[Cell]] = {name: [] for name in (*(f"Top-{k}" for k in KS), RANDOM)}
    heads, checks = [], []
    for title, asks, direction in DIRECTIONS:
        judges = [one.judge(asks) for one in labels]
        chances = [_chance(judge, lab.seed) for judge in judges]
        for protocol, name in PROTOCOLS.items():
            found = _successes(spaces, judges, f"{protocol}_{direction}")
            for k, one in found.items():
                any_hit = float(np.nanmean(one.any_hit))
                success = mean_figure(one.shares.mean(axis=0), within=SHARES)
                lines[f"Top-{k}"] += [success, any_hit]
            heads += [f"{title}, {name}", "any hit"]
            lines[RANDOM] += [float(np.mean([chance.trials for chance in chances])), ""]
            if protocol == "own":
                checks += _success_checks(title, found, chances)
    table = Table(
        columns=("neighbours", *heads),
        rows=tuple((name, *cells) for name, cells in lines.items()),
        note="Share of the k neighbours that share a pseudo label with the query, itself excluded; "
        "any hit: share of queries with one such neighbour.",
    )
    pairs = f"{len(parts)} × {len(parts[0])}" if len(parts) > 1 else len(parts[0])
    return Findings(
        tables=(table,),
        checks=tuple(checks),
        notes=(f"Database: {pairs} pairs.", labels[0].note, *lab.material.remarks),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Success:
    """Of each query, (runs, N): the share of its neighbours that succeed, and whether any does."""

    shares: Values
    any_hit: Values


def _successes(
    spaces: Sequence[Sequence[Space]], judges: Sequence[PseudoJudge], scores: str
) -> dict[int, _Success]:
    """Judge every database's neighbours, by k; `scores` names a part of `Space`."""
    ranked = [
        [_ranked(getattr(run, scores), judge) for run in of_database]
        for of_database, judge in zip(spaces, judges, strict=True)
    ]

    def joined(of: Callable[[Ranked], Values]) -> Values:
        return np.concatenate([[of(run) for run in runs] for runs in ranked], axis=1)

    return {
        k: _Success(
            shares=joined(lambda run, k=k: run.precision_at(k)),  # type: ignore[misc]
            any_hit=joined(lambda run, k=k: run.any_hit_at(k)),  # type: ignore[misc]
        )
        for k in KS
    }


PROTOCOLS = {"own": "own-sound", "free": "leak-free"}


def _success_checks(
    title: str, found: Mapping[int, _Success], chances: Sequence[ChanceFigures]
) -> list[Check]:
    """Claim what S19 says of Table 6."""
    shares = {k: one.shares for k, one in found.items()}
    trials, closed = (
        float(np.mean([getattr(chance, name) for chance in chances]))
        for name in ("trials", "closed_form")
    )
    steps = [difference(shares[a], shares[b]) for a, b in pairwise(KS)]
    return [
        above(
            f"{title}: success at k = {KS[-1]} is under that at k = {KS[0]}",
            shares[KS[0]],
            shares[KS[-1]],
            what="success",
        ),
        nowhere_below(f"{title}: success rises at no step to more neighbours", steps),
        above(
            f"{title}: success at k = {KS[-1]} stays above chance",
            shares[KS[-1]],
            np.full_like(shares[KS[-1]], max(trials, closed)),
            what="success",
        ),
        fact(
            f"{title}: chance by trials agrees with its closed form",
            all(chance.agrees for chance in chances),
            f"{trials:.3f} and {closed:.3f}",
        ),
    ]


def _ranked(scores: Scores, judge: PseudoJudge) -> Ranked:
    everything = np.arange(len(scores))
    right = judge.facing(everything)(everything)
    return Ranked.of(scores, right, np.eye(len(scores), dtype=bool))


def _chance(judge: PseudoJudge, seed: int) -> ChanceFigures:
    everything = np.arange(len(judge.of_queries))
    options = RetrievalOptions(seed=seed)
    level = ChanceLevel(judge, everything, everything, everything, everything, options)
    found = level.figures("image_to_audio")
    assert found is not None  # every item has labels, and there are other items
    return found
