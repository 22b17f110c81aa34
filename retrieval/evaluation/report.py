"""An evaluation as a report: what counts first, every caveat beside it."""

from __future__ import annotations

from collections.abc import Iterator

from encoder.intervals import FEW
from indexer.evaluation import LocalizationFigures, RetrievalFigures
from retrieval.evaluation import ranking_charts as charts
from retrieval.evaluation import ranking_tables as tables
from retrieval.evaluation.galleries import Illustrator
from retrieval.evaluation.localization_sections import excluded_table, localization_sections
from retrieval.evaluation.run import Evaluation
from retrieval.evaluation.words import CROSS_MODAL, DIRECTIONS, reasons, sentences
from retrieval.report import KeyFigure, Report, Section

INTERVALS = (
    "Wilson's for rates; of means the bootstrap's over queries, frames or sounds, Student's where "
    f"they are {FEW} or fewer"
)


def evaluation_report(
    evaluation: Evaluation, illustrator: Illustrator | None, *, command: str
) -> Report:
    """Lay an evaluation out.

    Parameters
    ----------
    illustrator : draws the queries and maps; None leaves the pictures out.
    command : what a person would type to get the same.
    """
    retrieval, localization = evaluation.retrieval, evaluation.localization
    sections = list(retrieval_sections(retrieval, illustrator))
    if localization is not None:
        sections += localization_sections(localization)
        if illustrator is not None and localization.samples:
            galleries = illustrator.localization_galleries(localization)
            sections.append(Section(title="Sources found best and worst", galleries=galleries))
    left_out = retrieval.exclusions | (localization.exclusions if localization else {})
    sections.append(
        Section(
            title="What was left out",
            tables=(
                *tables.left_out_answers(retrieval),
                *tables.exclusion_table(left_out),
                *(excluded_table(localization) if localization else ()),
            ),
        )
    )
    return Report(
        title=f"Evaluation of {evaluation.corpus}",
        facts=_facts(evaluation, command),
        key_figures=tuple(_key_figures(retrieval, localization)),
        sections=tuple(section for section in sections if section is not None),
        figures=evaluation.to_json(),
    )


def retrieval_sections(
    figures: RetrievalFigures, illustrator: Illustrator | None
) -> Iterator[Section]:
    """Chapters on retrieval, leak-free first."""
    yield Section(
        title="Retrieval by class",
        text=(
            "Leak-free: a sound ranks frames that it is itself used to look at; a frame is looked "
            "at with each sound that it is compared with. No answer's own sound is ever used.",
            *sentences(figures.notes),
            *reasons(figures.not_applicable),
        ),
        warnings=sentences(figures.warnings),
        tables=(
            *tables.class_tables(figures),
            *tables.leak_table(figures),
            *tables.recording_tables(figures),
            *tables.served_table(figures),
        ),
        charts=charts.class_charts(figures),
    )
    success = tables.success_tables(figures)
    if success:
        text = (f"Labels by {figures.pseudo_labels}.",)
        parts = charts.success_charts(figures)
        yield Section(title="Pseudo-label success", text=text, tables=success, charts=parts)
    sound = (*tables.conditioning_table(figures), *tables.associative_tables(figures))
    if sound:
        yield Section(title="Does the sound matter?", tables=sound)
    per_class = tables.class_table(figures)
    if per_class:
        yield Section(title="Class by class", tables=per_class)
    if illustrator is not None:
        galleries = [
            gallery
            for ranking in charts.leak_free(figures)
            for gallery in illustrator.query_galleries(ranking)
        ]
        if galleries:
            yield Section(title="Best and worst queries", galleries=tuple(galleries))


def _facts(evaluation: Evaluation, command: str) -> tuple[tuple[str, str], ...]:
    figures, options = evaluation.retrieval, evaluation.retrieval.options
    facts = [
        ("corpus", evaluation.corpus),
        ("encoder", figures.encoder),
        ("generation", str(figures.generation)),
        ("items", f"{figures.n_items} ({figures.n_frames} frames, {figures.n_sounds} sounds)"),
        ("database", "items with both sides" if figures.database == "pairs" else "all items"),
        ("filter", options.where or "none"),
        ("pseudo labels", figures.pseudo_labels or "none"),
        ("seed", str(options.seed)),
        ("intervals", f"95 %: {INTERVALS}"),
        ("command", command),
    ]
    return tuple(facts)


def _key_figures(
    retrieval: RetrievalFigures, localization: LocalizationFigures | None
) -> Iterator[KeyFigure]:
    for way in CROSS_MODAL:
        ranking = retrieval.ranking("leak_free", way)
        if ranking and ranking.by_class:
            yield KeyFigure(
                name=f"Leak-free class mAP, {DIRECTIONS[way]}",
                figure=ranking.by_class.mean_average_precision,
                chance=ranking.by_class.chance_average_precision,
                limits=(0.0, 1.0),
            )
        elif ranking and ranking.by_pseudo_labels:
            at = ranking.by_pseudo_labels.precision_at[0]
            yield KeyFigure(
                name=f"Leak-free success@{at.k}, {DIRECTIONS[way]}",
                figure=at.figure,
                chance=ranking.by_pseudo_labels.chance_precision,
                limits=(0.0, 1.0),
            )
    if retrieval.leak is not None:
        share = tables.percent(retrieval.leak.share)
        yield KeyFigure(
            name="The leak", figure=retrieval.leak.leak, note=f"{share} of own-sound over chance"
        )
    if localization is not None:
        yield from _localization_key_figures(localization)


def _localization_key_figures(figures: LocalizationFigures) -> Iterator[KeyFigure]:
    if figures.glued is not None:
        side = figures.glued.side_accuracy
        yield KeyFigure(name="Side accuracy", figure=side, chance=0.5, limits=(0.0, 1.0))
    if figures.primary is not None:
        row = figures.primary
        note = f"{row.kind}, {row.threshold}"
        success = row.figures.success
        yield KeyFigure(name="cIoU ≥ 0.5", figure=success, limits=(0.0, 1.0), note=note)
