"""Databases, rankings and pseudo labels that the tests of the evaluation make up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.calibration import Percentiles
from indexer.evaluation.database import NONE, Database
from indexer.evaluation.figures import Direction, Protocol
from indexer.evaluation.judges import PseudoPanel
from indexer.evaluation.measure import Bench, Outcome
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.rankings import Ranking, by_matrix
from indexer.metrics import Values
from indexer.pseudo_labels import PseudoLabels, TopLabels


def database_of(
    frames: Sequence[int],
    sounds: Sequence[int],
    labels: Sequence[int],
    *,
    recorded: Sequence[bool] | None = None,
    ids: Sequence[int] | None = None,
) -> Database:
    """Return a database of items by the numbers of their frames, sounds and labels."""
    frame_items = [frames.index(number) for number in range(max(frames) + 1)]
    sound_items = [sounds.index(number) for number in range(max(sounds) + 1)]
    return Database(
        kind="all" if NONE in (*frames, *sounds) else "pairs",
        ids=np.array(ids if ids is not None else range(100, 100 + len(frames)), np.int64),
        labels=np.array(labels, np.int64),
        label_names=tuple(f"class {n}" for n in range(max(labels, default=NONE) + 1)),
        frames=np.array(frames, np.int64),
        sounds=np.array(sounds, np.int64),
        frame_items=np.array(frame_items, np.int64),
        sound_items=np.array(sound_items, np.int64),
        recorded=np.array(recorded if recorded is not None else [False] * len(frames), np.bool_),
        exclusions={},
    )


def distinct(labels: Sequence[int], **changes: Sequence[bool]) -> Database:
    """Return a database in which every item has a frame and a sound of its own."""
    numbers = list(range(len(labels)))
    return database_of(numbers, numbers, labels, **changes)


def pseudo_labels(
    image: dict[int, Sequence[int]] | None,
    audio: dict[int, Sequence[int]] | None,
    *,
    n_names: int = 20,
) -> PseudoLabels:
    """Return labels by item id, as a provider gives them."""
    return PseudoLabels(
        provider="made up",
        version="1",
        vocabulary="numbers",
        names=tuple(f"name {n}" for n in range(n_names)),
        image=None if image is None else top_labels(image),
        audio=None if audio is None else top_labels(audio),
    )


def top_labels(of: dict[int, Sequence[int]]) -> TopLabels:
    ids = sorted(of)
    labels = np.full((len(ids), 10), -1, np.int32)
    for row, item in enumerate(ids):
        labels[row, : len(of[item])] = of[item]
    return TopLabels(
        ids=np.array(ids, np.int64),
        labels=labels,
        scores=np.where(labels < 0, 0, 1).astype(np.float32),
    )


def no_percentiles(_: str, scores: NDArray[np.floating]) -> Values:
    return np.full(len(scores), np.nan)


def bench_of(
    database: Database,
    labels: PseudoLabels | None = None,
    *,
    percentiles: Percentiles | None = None,
    **options: object,
) -> Bench:
    panel = None if labels is None else PseudoPanel(labels, database)
    lookup = no_percentiles if percentiles is None else (lambda _, scores: percentiles(scores))
    return Bench(database, RetrievalOptions(**options), panel, lookup)  # type: ignore[arg-type]


def matrix_ranking(
    database: Database,
    scores: NDArray[np.float32],
    *,
    protocol: Protocol = "coarse",
    direction: Direction = "audio_to_image",
    queries: Sequence[int] | None = None,
) -> Ranking:
    """Return a ranking with given scores (n, n) of items by items."""
    asked = np.arange(len(database.ids)) if queries is None else np.array(queries)
    side = database.frames if direction in ("audio_to_image", "keep_audio") else database.sounds
    gallery = np.flatnonzero(side != NONE)
    return Ranking(
        protocol=protocol,
        direction=direction,
        queries=asked,
        gallery=gallery,
        n_queries_in_all=len(database.ids),
        n_distinct_queries=len(asked),
        scores=by_matrix(scores, asked, gallery),
        holds=((side[asked], side[gallery]),),
    )


def measured(bench: Bench, ranking: Ranking) -> Outcome:
    return bench.measure(ranking, lambda _: None).outcome
