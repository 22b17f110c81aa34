"""Figures of localization as tables and charts, the degenerate rows always beside them."""

from __future__ import annotations

from collections.abc import Iterable

from encoder.intervals import Figure
from encoder.localization import MapFigures, SplitFigures
from encoder.localization.metrics import CURVE_AT
from indexer.evaluation import ConcatFigures, LocalizationFigures
from indexer.evaluation.localization.reading import NO_BOXES, NO_SOUND
from retrieval.evaluation.words import reasons, sentences
from retrieval.report import LineChart, Section, Series, Table

COLUMNS = ("cIoU ≥ 0.5", "AUC", "mean cIoU")
AGAINST_BOXES = (
    "Maps of frames looked at with their own sounds, against what people drew. A map is only worth "
    "what it has over the rows that look at nothing: a random map, the centred box, the whole "
    "picture."
)
MAX_CURVES = 4
MAX_NAMED = 50
"""Of what was left out; report.json has all."""


def localization_sections(figures: LocalizationFigures) -> tuple[Section, ...]:
    """Where the sound was looked for, glued pictures, and what moves the map."""
    sections = (_maps(figures), _glued(figures), _sounds(figures))
    return tuple(section for section in sections if section is not None)


def _maps(figures: LocalizationFigures) -> Section:
    tables = [_map_table(figures), _annotator_table(figures), _split_table(figures)]
    return Section(
        title="Localization",
        text=(
            *((AGAINST_BOXES,) if figures.options.boxes else ()),
            *sentences(figures.notes),
            *reasons(figures.not_applicable),
        ),
        warnings=sentences(figures.warnings),
        tables=tuple(table for table in tables if table.rows),
        charts=(_success_chart(figures),) if figures.rows else (),
    )


def _map_table(figures: LocalizationFigures) -> Table:
    rows = [(f"{row.kind}, {row.threshold}", *_cells(row.figures)) for row in figures.rows]
    rows += [
        (", ".join(filter(None, (row.name, row.threshold))), *_cells(row.figures))
        for row in figures.baselines
    ]
    return Table(
        title="Maps by threshold",
        columns=("map", *COLUMNS),
        rows=tuple(rows),
        note="A random region of half the frame is expected at a mean cIoU of "
        f"{figures.expected_random:.3f}. Under median what covers less than a quarter of the "
        "frame can never succeed.",
    )


def excluded_table(figures: LocalizationFigures) -> tuple[Table, ...]:
    """Who was left out and why, by name; those without boxes or a sound are only counted."""
    named = [one for one in figures.excluded if one.reason not in (NO_BOXES, NO_SOUND)]
    rows = tuple((one.name, one.reason, one.detail) for one in named[:MAX_NAMED])
    more = f"The first {MAX_NAMED} of {len(named)}." if len(named) > MAX_NAMED else ""
    columns = ("what", "reason", "detail")
    table = Table(title="Left out of localization, by name", columns=columns, rows=rows, note=more)
    return (table,) if rows else ()


def _annotator_table(figures: LocalizationFigures) -> Table:
    return Table(
        title="By annotator (S19 Table 3)",
        columns=("annotator", *COLUMNS),
        rows=tuple(
            (row.annotator or "unnamed", *_cells(row.figures)) for row in figures.annotators
        ),
        note="IoU with each annotator's own boxes.",
    )


def _split_table(figures: LocalizationFigures) -> Table:
    splits = figures.splits.splits if figures.splits else ()
    return Table(
        title="Disjoint sets (S19 Table 4)",
        columns=("set", *COLUMNS),
        rows=tuple((str(n), *_cells(one)) for n, one in enumerate(splits, start=1)),
        note=_spread(figures.splits) if figures.splits else "",
    )


def _spread(splits: SplitFigures) -> str:
    return (
        f"Standard deviation between the sets: {splits.success_spread:.3f} of success, "
        f"{splits.auc_spread:.3f} of AUC."
    )


def _success_chart(figures: LocalizationFigures) -> LineChart:
    """Success against the threshold on cIoU (S19 Figure 9)."""
    first = figures.rows[0].threshold
    curves = [
        (f"{row.kind}, {row.threshold}", row.figures)
        for row in figures.rows
        if row.threshold == first
    ]
    idle = [(row.name, row.figures) for row in figures.baselines if row.threshold in ("", first)]
    return LineChart(
        title="Success against cIoU (S19 Figure 9)",
        x_label="cIoU of at least",
        y_label="share of samples",
        series=(
            *(_curve(name, one) for name, one in curves[:MAX_CURVES]),
            *(_curve(name, one, idle=True) for name, one in idle),
        ),
        y_range=(0.0, 1.0),
    )


def _curve(name: str, figures: MapFigures, *, idle: bool = False) -> Series:
    at = tuple(map(float, CURVE_AT))
    return Series(name=name, x=at, y=figures.curve, role="reference" if idle else "measured")


def _glued(figures: LocalizationFigures) -> Section | None:
    kinds = (("with boxes", figures.concat), ("all labelled pairs", figures.glued))
    found = [(name, one) for name, one in kinds if one is not None]
    if figures.concat is not None and figures.concat == figures.glued:
        found = [("all labelled pairs, all with boxes", figures.concat)]
    if not found:
        return None
    rows = tuple(
        (name, one.side_accuracy, one.conditional_accuracy, one.n_frames) for name, one in found
    )
    tables = [
        Table(
            title="Which half sounds",
            columns=("samples", "side accuracy", "conditional accuracy", "glued frames"),
            rows=rows,
            note="Chance is 0.5 for both; a map that ignores the sound sits there.",
        ),
        *(_concat_table(name, one.maps, one) for name, one in found if one.maps is not None),
    ]
    return Section(
        title="Glued pictures",
        text=(
            "Two pictures of different labels side by side and one of their sounds (O20 §5): the "
            "map must light up the right half.",
        ),
        tables=tuple(tables),
    )


def _concat_table(name: str, maps: MapFigures, figures: ConcatFigures) -> Table:
    rows = [("map", *_cells(maps))]
    rows += [
        (", ".join(filter(None, (row.name, row.threshold))), *_cells(row.figures))
        for row in figures.baselines
    ]
    return Table(title=f"Concat-and-localize, {name}", columns=("map", *COLUMNS), rows=tuple(rows))


def _sounds(figures: LocalizationFigures) -> Section | None:
    tables = [*_interactive(figures), *_ambient(figures), *_onscreen(figures)]
    if not tables:
        return None
    return Section(
        title="Does the map follow the sound?",
        text=("The same frame with another sound must be looked at elsewhere, or not at all.",),
        tables=tuple(tables),
    )


def _interactive(figures: LocalizationFigures) -> Iterable[Table]:
    one = figures.interactive
    if one is None:
        return ()
    rows = (("map", one.found), *sorted(one.chance.items()))
    title = "Interactive: several sounds, one frame (S19 Figure 6)"
    note = f"{one.n_shared} frames that items share, {one.n_by_tag} with boxes of several tags."
    return (Table(title=title, columns=("map", "IIoU@0.5"), rows=rows, note=note),)


def _ambient(figures: LocalizationFigures) -> Iterable[Table]:
    one = figures.ambient
    if one is None:
        return ()
    rows = (
        ("greatest response", one.object_max, one.ambient_max, one.auroc_max),
        ("mean response", one.object_mean, one.ambient_mean, one.auroc_mean),
    )
    columns = ("of a frame", "its object's sound", "ambient sound", "AUROC")
    note = f"{one.n_ambient_sounds} ambient sounds on the same frames."
    title = "Ambient against object sounds (S19 Figure 10)"
    return (Table(title=title, columns=columns, rows=rows, note=note),)


def _onscreen(figures: LocalizationFigures) -> Iterable[Table]:
    one = figures.onscreen
    if one is None:
        return ()
    rows = (("greatest response", one.onscreen_max, one.offscreen_max, one.auroc),)
    columns = ("of a frame", "source in the frame", "source elsewhere", "AUROC")
    return (Table(title="On-screen against off-screen", columns=columns, rows=rows),)


def _cells(figures: MapFigures) -> tuple[Figure, Figure, Figure]:
    return figures.success, figures.auc, figures.mean
