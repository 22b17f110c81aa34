"""Figures of retrieval as tables: leak-free first, the other protocols beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from encoder.intervals import Figure
from indexer.evaluation.figures import AtK, JudgedFigures, RankingFigures, RetrievalFigures
from retrieval.evaluation.words import (
    ASSOCIATIVE,
    CROSS_MODAL,
    DIRECTIONS,
    ORDER,
    PROTOCOLS,
    ranking_name,
)
from retrieval.report import Table
from retrieval.report.model import Cell

Judged = Callable[[RankingFigures], JudgedFigures | None]


def by_class(ranking: RankingFigures) -> JudgedFigures | None:
    """An answer is right if it bears the query's label."""
    return ranking.by_class


def by_pseudo_labels(ranking: RankingFigures) -> JudgedFigures | None:
    """An answer is right if one of its pseudo labels is one of the query's (S19 Table 6)."""
    return ranking.by_pseudo_labels


def cross_modal(figures: RetrievalFigures) -> list[RankingFigures]:
    """The rankings between sounds and frames, protocol by protocol."""
    found = (figures.ranking(protocol, way) for protocol in ORDER for way in CROSS_MODAL)
    return [ranking for ranking in found if ranking is not None]


def associative(figures: RetrievalFigures) -> list[RankingFigures]:
    """The two associative rankings (S19 §5.3, Figure 12)."""
    found = (figures.ranking("associative", way) for way in ASSOCIATIVE)
    return [ranking for ranking in found if ranking is not None]


def class_tables(figures: RetrievalFigures) -> tuple[Table, ...]:
    """Class mAP with both directions side by side, then P@k."""
    tables = [_mean_average_precision(figures), _precision(figures)]
    return tuple(table for table in tables if table.rows)


def _mean_average_precision(figures: RetrievalFigures) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for protocol in ORDER:
        both = [figures.ranking(protocol, way) for way in CROSS_MODAL]
        judged = [ranking and ranking.by_class for ranking in both]
        if any(judged):
            values = (one.mean_average_precision if one else None for one in judged)
            chance = next(one.chance_average_precision for one in judged if one)
            rows.append((PROTOCOLS[protocol], *values, chance))
    return Table(
        title="Class mAP",
        columns=("ranking", *(DIRECTIONS[way] for way in CROSS_MODAL), "chance"),
        rows=tuple(rows),
        note="An answer is right if it bears the query's label. Leak-free is the figure that "
        "counts; own-sound lets a frame be found by its own sound.",
    )


def _precision(figures: RetrievalFigures) -> Table:
    return at_k(
        "Precision@k by class",
        cross_modal(figures),
        by_class,
        lambda judged: judged.precision_at,
        figures.options.ks,
        note="A label with fewer members than k cannot reach 1.",
    )


def success_tables(figures: RetrievalFigures) -> tuple[Table, ...]:
    """Success@k and any-hit@k by pseudo labels, and both ways to their chance level."""
    rankings, ks = cross_modal(figures), figures.options.ks
    success = at_k(
        "Pseudo-label success@k (S19 Table 6)",
        rankings,
        by_pseudo_labels,
        lambda judged: judged.precision_at,
        ks,
        note="Mean over queries of the share of the k neighbours whose labels meet the query's.",
    )
    any_hit = at_k(
        "Any hit@k",
        rankings,
        by_pseudo_labels,
        lambda judged: judged.any_hit_at,
        ks,
        note="Share of queries with at least one such neighbour: another measure, never to be "
        "compared with success@k, nor with its chance.",
        with_chance=False,
    )
    return tuple(table for table in (success, any_hit, _chance(figures)) if table.rows)


def at_k(
    title: str,
    rankings: Sequence[RankingFigures],
    judged: Judged,
    values: Callable[[JudgedFigures], tuple[AtK, ...]],
    ks: Sequence[int],
    *,
    note: str,
    with_chance: bool = True,
) -> Table:
    """One row per ranking that was judged so, one column per k, and chance at every k."""
    rows: list[tuple[Cell, ...]] = []
    for ranking in rankings:
        one = judged(ranking)
        if one is not None:
            name = ranking_name(ranking.protocol, ranking.direction)
            chance = (one.chance_precision,) if with_chance else ()
            rows.append((name, *(at.figure for at in values(one)), *chance))
    columns = ("ranking", *(f"k = {k}" for k in ks), *(("chance",) if with_chance else ()))
    return Table(title=title, columns=columns, rows=tuple(rows), note=note)


def _chance(figures: RetrievalFigures) -> Table:
    rows = tuple(
        (
            DIRECTIONS[one.direction],
            one.closed_form,
            one.trials,
            one.standard_error,
            one.z,
            one.agrees,
        )
        for one in figures.chance
    )
    return Table(
        title="Chance of success, twice",
        columns=("direction", "closed form", "by trials", "standard error", "z", "agree"),
        rows=rows,
        note=f"{figures.options.n_trials} trials of random neighbours per query against the mean "
        "rate at which labels meet; they agree within 3 standard errors.",
    )


def recording_tables(figures: RetrievalFigures) -> tuple[Table, ...]:
    """Is the partner found that a sound or frame was recorded with?"""
    rows: list[tuple[Cell, ...]] = []
    for ranking in cross_modal(figures):
        one = ranking.by_recording
        if one is not None:
            recall = (at.figure for at in one.recall_at)
            name = ranking_name(ranking.protocol, ranking.direction)
            rows.append(
                (name, *recall, str(one.median_rank), one.chance_median_rank, one.n_gallery)
            )
    columns = ("ranking", *(f"R@{k}" for k in figures.options.recall_ks))
    table = Table(
        title="Recall of the recorded partner",
        columns=(*columns, "median rank", "by chance", "gallery"),
        rows=tuple(rows),
        note="Only of items whose frame and sound were recorded together.",
    )
    return (table,) if rows else ()


def leak_table(figures: RetrievalFigures) -> tuple[Table, ...]:
    """How much of the own-sound figure is the sound found again (definitions §3, "The leak")."""
    rows = tuple(
        (
            DIRECTIONS[leak.direction],
            leak.measure,
            leak.leak,
            percent(leak.share),
            leak.over_leak_free,
            percent(leak.share_over_leak_free),
        )
        for leak in figures.leaks
    )
    table = Table(
        title="The leak",
        columns=(
            "own-sound ranking",
            "measured by",
            "own − swapped",
            "of what it has over chance",
            "own − leak-free",
            "of what own-sound has over chance",
        ),
        rows=rows,
        note="In the swap test every frame of the gallery is looked at with a sound of another "
        "label. What is lost was never seen in the picture.",
    )
    return (table,) if rows else ()


def conditioning_table(figures: RetrievalFigures) -> tuple[Table, ...]:
    """How far f_v moves when its sound is exchanged (definitions §3)."""
    if figures.conditioning is None:
        return ()
    one = figures.conditioning
    kinds = (
        ("sounds of another label", one.other_label),
        ("sounds of the same label", one.same_label),
        ("any other sound", one.any_other),
    )
    table = Table(
        title="Conditioning strength",
        columns=("sound exchanged for", "1 − cos"),
        rows=tuple((name, figure) for name, figure in kinds if figure.n),
        note="0 means that the sound does not change how a frame is seen. Another label should "
        "move it more than the same one.",
    )
    return (table,) if table.rows else ()


def associative_tables(figures: RetrievalFigures) -> tuple[Table, ...]:
    """Success of associative search, by class and by pseudo labels of what is exchanged."""
    tables = (
        at_k(
            f"Associative precision@k by {name}",
            associative(figures),
            judged,
            lambda one: one.precision_at,
            figures.options.ks,
            note=note,
        )
        for name, judged, note in (
            ("class", by_class, "The answer bears the query's label."),
            ("pseudo labels", by_pseudo_labels, "Labels of the half that is exchanged meet."),
        )
    )
    return tuple(table for table in tables if table.rows)


def served_table(figures: RetrievalFigures) -> tuple[Table, ...]:
    """What the vector index serves, and how much of the exact ranking is in it."""
    rows = tuple(
        (
            ranking_name(one.protocol, one.direction),
            one.recall_at_10,
            *_first(one.class_precision_at),
            *_first(one.success_at),
            *_first(one.recording_recall_at),
        )
        for one in figures.served
    )
    k, recall_k = figures.options.ks[0], figures.options.recall_ks[0]
    table = Table(
        title="As served",
        columns=(
            "ranking",
            "recall@10 of exact",
            f"P@{k} by class",
            f"success@{k}",
            f"R@{recall_k}",
        ),
        rows=rows,
    )
    return (table,) if rows else ()


def _first(values: Iterable[AtK]) -> Iterator[Figure | None]:
    yield next((at.figure for at in values), None)


def class_values(figures: RetrievalFigures) -> dict[str, list[Figure | None]]:
    """Leak-free average precision by class, in the directions of `CROSS_MODAL`."""
    found: dict[str, list[Figure | None]] = {}
    for n, way in enumerate(CROSS_MODAL):
        ranking = figures.ranking("leak_free", way)
        for row in ranking.by_class.per_class if ranking and ranking.by_class else ():
            found.setdefault(row.label, [None] * len(CROSS_MODAL))[n] = row.average_precision
    return dict(sorted(found.items()))


def class_table(figures: RetrievalFigures) -> tuple[Table, ...]:
    """Leak-free average precision of every class."""
    rows = tuple((label, *values) for label, values in class_values(figures).items())
    columns = ("class", *(DIRECTIONS[way] for way in CROSS_MODAL))
    table = Table(title="Leak-free average precision by class", columns=columns, rows=rows)
    return (table,) if rows else ()


def exclusion_table(exclusions: dict[str, int]) -> tuple[Table, ...]:
    """What was left out, by reason."""
    rows = tuple((reason, n) for reason, n in sorted(exclusions.items()) if n)
    return (Table(title="Left out", columns=("reason", "items"), rows=rows),) if rows else ()


def left_out_answers(figures: RetrievalFigures) -> tuple[Table, ...]:
    """How many answers were withheld: the query itself and its exact duplicates."""
    rows = tuple(
        (
            ranking_name(one.protocol, one.direction),
            f"{one.n_queries} of {one.n_queries_in_all}",
            one.n_distinct_queries,
            one.n_gallery,
            one.n_excluded_self,
            one.n_excluded_duplicates,
        )
        for one in figures.rankings
    )
    columns = (
        "ranking",
        "queries",
        "distinct",
        "gallery",
        "itself left out",
        "duplicates left out",
    )
    return (Table(title="Queries and galleries", columns=columns, rows=rows),)


def percent(share: float) -> str:
    """Write a share in percent; a share of nothing is a dash."""
    return "–" if share != share else f"{100 * share:.0f} %"
