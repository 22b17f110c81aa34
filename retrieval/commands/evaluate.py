"""`retrieval evaluate`: how good the answers of an index are, with intervals."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from retrieval.commands.options import (
    CheckpointOption,
    DeviceOption,
    IndexArgument,
    IndexOption,
    JsonOption,
)
from retrieval.commands.progress import say, shown_phases
from retrieval.errors import QueryError
from retrieval.exit_codes import Codes, ExitCode

if TYPE_CHECKING:
    from encoder.localization import Threshold
    from indexer.evaluation import LocalizationOptions, RetrievalOptions
    from retrieval.evaluation import Evaluation, Illustrator
    from retrieval.report import Report
    from retrieval.retriever import Retriever


LabelsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Pseudo labels to score success@k with: a provider that `retrieval label` ran. "
        "Default: the newest set.",
    ),
]
LabelsKeptOption = Annotated[
    int, typer.Option(min=1, max=10, help="Pseudo labels of an item that count, best first.")
]
WhereOption = Annotated[
    str | None, typer.Option(help="Evaluate only these items, such as \"split = 'test'\".")
]
KsOption = Annotated[
    str, typer.Option("--k", metavar="K,K,…", help="Where success and precision are measured.")
]
SelfOption = Annotated[
    bool, typer.Option("--include-self", help="A query's own item may be its answer.")
]
DuplicatesOption = Annotated[
    bool, typer.Option("--include-duplicates", help="So may exact copies of what the query asks.")
]
AnnOption = Annotated[
    bool, typer.Option("--ann", help="Measure what the vector index serves, too.")
]
MaxPairsOption = Annotated[
    int,
    typer.Option(min=1, help="Most pairs looked at per direction; above, queries are sampled."),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(metavar="median|adaptive|fixed:T", help="From map to region. Default: all three."),
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(help="Boxes: a folder of Flickr-SoundNet XML, or a VGG-SS JSON file."),
]
AgreementOption = Annotated[
    Literal["consensus", "mean"],
    typer.Option(help="Of annotators: two must agree (S19), or their plain mean (O20)."),
]
BoxUnitsOption = Annotated[
    Literal["auto", "px", "fraction"], typer.Option(help="What the index's boxes are in.")
]
AmbientOption = Annotated[
    str | None,
    typer.Option(help="Whose sounds are ambient. Default: items with ambient boxes alone."),
]
WriteConcatOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the glued pictures as a corpus of their own."),
]
DatabaseOption = Annotated[
    Literal["pairs", "all"] | None,
    typer.Option(help="Items with both sides, or all. Default: pairs where there are two."),
]
LocalizationOption = Annotated[bool, typer.Option(help="Measure heat maps against boxes.")]
ConcatOption = Annotated[
    bool, typer.Option(help="Measure side accuracy: on glued pictures, which half sounds.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of every draw and interval.")]
ReportOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write report.html, report.md and report.json."),
]


def codes() -> Codes:
    """Exit codes of evaluation."""
    from encoder.localization.errors import LocalizationError, ThresholdError
    from indexer.evaluation.errors import (
        EvaluationError,
        IndexChanged,
        LabelsInvalid,
        NoScratch,
        NothingToEvaluate,
        OptionsInvalid,
    )

    return (
        (OptionsInvalid, ExitCode.USAGE),
        (ThresholdError, ExitCode.USAGE),
        (LocalizationError, ExitCode.CORPUS),
        (NothingToEvaluate, ExitCode.CORPUS),
        (LabelsInvalid, ExitCode.CORPUS),
        (IndexChanged, ExitCode.INDEX),
        (NoScratch, ExitCode.STORAGE),
        (EvaluationError, ExitCode.FAILED),
    )


def command(
    index: IndexArgument = None,
    index_option: IndexOption = None,
    labels: LabelsOption = None,
    labels_kept: LabelsKeptOption = 10,
    where: WhereOption = None,
    k: KsOption = "10,15,20",
    include_self: SelfOption = False,
    include_duplicates: DuplicatesOption = False,
    ann: AnnOption = False,
    max_pairs: MaxPairsOption = 1_000_000,
    threshold: ThresholdOption = None,
    annotations: AnnotationsOption = None,
    agreement: AgreementOption = "consensus",
    box_units: BoxUnitsOption = "auto",
    ambient_where: AmbientOption = None,
    write_concat: WriteConcatOption = None,
    database: DatabaseOption = None,
    localization: LocalizationOption = True,
    concat: ConcatOption = True,
    seed: SeedOption = 0,
    report: ReportOption = None,
    as_json: JsonOption = False,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure retrieval and localization on an index, leak-free first.

    Classes come from the index's labels, pseudo labels from `retrieval label`, boxes from its
    manifest. Everything is exact unless --ann; every figure carries its 95 % interval and n.
    """
    from indexer.evaluation import LocalizationOptions, RetrievalOptions
    from retrieval.retriever import Retriever

    asked = _Asked(
        retrieval=RetrievalOptions(
            ks=_whole_numbers(k),
            labels_kept=labels_kept,
            database=database,
            where=where,
            include_self=include_self,
            include_duplicates=include_duplicates,
            ann=ann,
            max_pairs=max_pairs,
            seed=seed,
        ),
        localization=LocalizationOptions(
            thresholds=_thresholds(threshold),
            boxes=localization,
            where=where,
            annotations=annotations,
            agreement=agreement,
            box_units=box_units,
            ambient_where=ambient_where,
            seed=seed,
        ),
        concat=concat,
        labels=labels,
        write_concat=write_concat,
    )
    index_dir = _places(index or index_option, report)
    with Retriever.open(index_dir, device=device, checkpoint=checkpoint) as retriever:
        found = _measured(retriever, asked)
        if report is not None:
            _write(found, retriever, report)
    _print(_report(found, None), as_json)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is to be measured, and written of it."""

    retrieval: RetrievalOptions
    localization: LocalizationOptions
    concat: bool
    labels: str | None
    write_concat: Path | None

    @property
    def of_maps(self) -> LocalizationOptions | None:
        """What is measured of heat maps; None where neither boxes nor glued pictures are asked."""
        if self.concat:
            return self.localization
        return replace(self.localization, n_concat=0) if self.localization.boxes else None


def _places(index: Path | None, report: Path | None) -> Path:
    """Find the index, and make sure that the report can be written, before time is spent."""
    from retrieval.locate import find_index
    from retrieval.report import prepare_report_folder

    index_dir = find_index(index)
    if report is not None:
        prepare_report_folder(report)
    return index_dir


def _measured(retriever: Retriever, asked: _Asked) -> Evaluation:
    from indexer.evaluation import write_concat_and_localize
    from retrieval.evaluation import evaluate

    with shown_phases() as on_progress:
        found = evaluate(
            retriever.reader,
            retriever.embedder,
            retrieval=asked.retrieval,
            localization=asked.of_maps,
            labels=asked.labels,
            on_progress=on_progress,
        )
        if asked.write_concat is not None:
            write_concat_and_localize(
                retriever.reader,
                asked.write_concat,
                options=asked.localization,
                on_progress=on_progress,
            )
    return found


def _thresholds(text: str | None) -> tuple[Threshold, ...]:
    from encoder.localization import ADAPTIVE, HALF, MEDIAN, Threshold

    return (ADAPTIVE, MEDIAN, HALF) if text is None else (Threshold.parse(text),)


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise QueryError(f"--k {text}: give whole numbers with commas, such as 10,15,20") from None


def _write(found: Evaluation, retriever: Retriever, folder: Path) -> None:
    from retrieval.evaluation import Illustrator
    from retrieval.report import write_report

    drawn = Illustrator(reader=retriever.reader, embedder=retriever.embedder)
    paths = write_report(_report(found, drawn), folder)
    say(f"report: {paths.html}")


def _report(found: Evaluation, illustrator: Illustrator | None) -> Report:
    from retrieval.evaluation import evaluation_report

    command = " ".join(["retrieval", *map(_shell_word, sys.argv[1:])])
    return evaluation_report(found, illustrator, command=command)


def _shell_word(text: str) -> str:
    """Quote for a shell; a filter, which has quotes in it, stays readable."""
    plain = shlex.quote(text)
    return f'"{text}"' if "'\"'\"'" in plain and not set(text) & set('"$`\\!') else plain


def _print(report: Report, as_json: bool) -> None:
    from retrieval.report import render_json, render_markdown

    typer.echo(render_json(report) if as_json else render_markdown(report), nl=False)
