"""Chance level: trials against the closed form, both against plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_fixtures import bench_of, database_of, distinct, pseudo_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.evaluation.chance import ChanceLevel
from indexer.evaluation.database import Database
from indexer.evaluation.options import RetrievalOptions

Sets = dict[int, list[int]]


def random_sets(rng: np.random.Generator, database: Database, n_names: int) -> Sets:
    return {int(i): rng.permutation(n_names)[: rng.integers(1, 6)].tolist() for i in database.ids}


def level_of(database: Database, image: Sets, audio: Sets, **options: bool) -> ChanceLevel:
    """Audio asks, images answer, over all items."""
    bench = bench_of(database, pseudo_labels(image, audio), **options)
    judge = bench.pseudo_judge("audio_to_image")
    assert judge is not None
    everything = np.arange(len(database.ids))
    return ChanceLevel(
        judge, everything, everything, database.frames, database.frames, bench.options
    )


def plain_rates(
    database: Database, image: Sets, audio: Sets, options: RetrievalOptions
) -> list[float]:
    rates = []
    for query, asked in enumerate(database.ids):
        overlaps = [
            bool(set(audio[int(asked)]) & set(image[int(given_)]))
            for answer, given_ in enumerate(database.ids)
            if (
                options.include_self
                if answer == query
                else options.include_duplicates or database.frames[answer] != database.frames[query]
            )
        ]
        rates.append(float(np.mean(overlaps)) if overlaps else np.nan)
    return rates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 14), st.booleans(), st.booleans())
def test_the_closed_form_counts_overlapping_pairs(
    seed: int, n: int, include_self: bool, include_duplicates: bool
) -> None:
    rng = np.random.default_rng(seed)
    frames = np.unique(rng.integers(0, n, n), return_inverse=True)[1].tolist()
    database = database_of(frames, list(range(n)), [0] * n)
    image, audio = (random_sets(rng, database, 12) for _ in range(2))
    switches = {"include_self": include_self, "include_duplicates": include_duplicates}
    level = level_of(database, image, audio, **switches)
    expected = plain_rates(database, image, audio, RetrievalOptions(**switches))
    np.testing.assert_allclose(level.closed_form(), expected)


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("include_duplicates", [False, True])
def test_trials_and_closed_form_agree(include_self: bool, include_duplicates: bool) -> None:
    rng = np.random.default_rng(7)
    frames = [*range(60), *[5] * 15, *[9] * 5]
    database = database_of(frames, list(range(80)), [0] * 80)
    image, audio = (random_sets(rng, database, 20) for _ in range(2))
    level = level_of(
        database, image, audio, include_self=include_self, include_duplicates=include_duplicates
    )
    figures = level.figures("audio_to_image")
    assert figures is not None
    assert figures.agrees
    assert abs(figures.z) <= 3
    assert (figures.n_trials, figures.n_drawn, figures.n_queries) == (100, 10, 80)
    assert abs(figures.trials - figures.closed_form) <= 3 * figures.standard_error
    assert 0.2 < figures.closed_form < 0.9


def test_a_wrong_closed_form_would_be_noticed() -> None:
    """The agreement is a test that can fail: one pair more that overlaps is too many."""
    rng = np.random.default_rng(8)
    database = distinct([0] * 80)
    image, audio = (random_sets(rng, database, 20) for _ in range(2))
    level = level_of(database, image, audio)
    trials = level.trials()
    error = trials.std(ddof=1) / 10
    wrong = level.closed_form().mean() + 4 / 79
    assert abs(trials.mean() - wrong) > 3 * error


def test_neighbours_are_drawn_without_replacement_and_never_the_query() -> None:
    frames = [0, 0, 0, *range(1, 13)]
    database = database_of(frames, list(range(15)), [0] * 15)
    sets = {int(item): [1] for item in database.ids}
    level = level_of(database, sets, sets)
    rng = np.random.default_rng(0)
    counts = np.zeros((15, 15), int)
    for _ in range(400):
        drawn = level._drawn(rng, np.arange(15), 10)
        items = level._gallery[drawn]
        for query, row in enumerate(items):
            assert len(set(row.tolist())) == 10
            counts[query, row] += 1
    same = np.array(frames)[:, None] == np.array(frames)[None]
    assert (counts[same] == 0).all()
    for query in range(15):
        allowed = ~same[query]
        share = 400 * 10 / allowed.sum()
        # Six standard deviations of a binomial count.
        assert (abs(counts[query, allowed] - share) < 6 * np.sqrt(400 * 0.25) + 1e-9).all()


def test_where_every_draw_succeeds_there_is_no_error_to_divide_by() -> None:
    database = distinct([0] * 5)
    sets = {int(item): [1] for item in database.ids}
    figures = level_of(database, sets, sets).figures("audio_to_image")
    assert figures is not None
    assert (figures.closed_form, figures.trials, figures.z, figures.agrees) == (1.0, 1.0, 0.0, True)


def test_a_query_that_can_draw_nothing_is_left_out() -> None:
    database = database_of([0, 0], [0, 1], [0, 0])
    sets = {int(item): [1] for item in database.ids}
    assert level_of(database, sets, sets).figures("audio_to_image") is None
