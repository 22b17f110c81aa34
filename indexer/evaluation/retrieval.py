"""Evaluates retrieval over an open index: every protocol of definitions §3, leak-free first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.errors import MapsMissing
from indexer.evaluation.checks import check_encoder
from indexer.evaluation.contents import streamed_segments
from indexer.evaluation.course import Course
from indexer.evaluation.database import read_database
from indexer.evaluation.errors import NothingToEvaluate
from indexer.evaluation.figures import RetrievalFigures
from indexer.evaluation.judges import PseudoPanel
from indexer.evaluation.measure import Bench
from indexer.evaluation.options import RetrievalOptions
from indexer.evaluation.progress import OnEvaluation, Teller
from indexer.evaluation.remarks import note_on_maps, notes_of, warnings_of
from indexer.evaluation.vectors import VectorSource
from indexer.pseudo_labels import PseudoLabels
from indexer.reader import IndexReader

if TYPE_CHECKING:
    from encoder.embedder import Embedder


def evaluate_retrieval(
    reader: IndexReader,
    embedder: Embedder,
    *,
    options: RetrievalOptions | None = None,
    pseudo_labels: PseudoLabels | None = None,
    on_progress: OnEvaluation | None = None,
) -> RetrievalFigures:
    """Measure how good retrieval is on an index.

    Every ranking is exact; `options.ann` measures what FAISS serves beside it, and loads its
    indexes. Otherwise memory is a few blocks of vectors and scores and under 2 kB per item; vectors
    lie in the folder for temporary files, at most 18 kB per item, and visual maps are streamed.

    Parameters
    ----------
    pseudo_labels : one provider's labels, for success@k; None leaves these figures out.
    on_progress : called a few times per second from this thread.

    Raises
    ------
    EncoderMismatch : the index was built by another encoder.
    MapsMissing : it keeps no maps of some of its frames; compact ones will do.
    FilterError : `options.where` does not parse.
    NothingToEvaluate : fewer than two frames or sounds; or no two items share a label, none has
        a recorded partner, and there are no pseudo labels.
    LabelsInvalid : the pseudo labels do not fit the index or their own vocabulary.
    IndexCorrupt, IndexChanged : a vector is missing or NaN; the index changed meanwhile.
    NoScratch : the folder for temporary files has no room.
    """
    options = options or RetrievalOptions()
    check_encoder(reader, embedder)
    kept = reader.kept_maps
    if kept.frames["none"]:
        raise MapsMissing(reader.path)
    database = read_database(reader, options)
    panel = (
        None
        if pseudo_labels is None
        else PseudoPanel(pseudo_labels, database, kept=options.labels_kept)
    )
    bench = Bench(database, options, panel, reader.percentiles)
    _check_judges(reader, bench)
    with streamed_segments(reader) as segments:
        source = VectorSource(reader.path, segments, database)
        course = Course(reader, embedder, bench, source, Teller(on_progress))
        course.run()
    rankings = tuple(outcome.figures for outcome in course.in_order())
    return RetrievalFigures(
        encoder=f"{reader.encoder_name} ({reader.encoder_fingerprint[:12]})",
        generation=reader.generation,
        options=options,
        database=database.kind,
        n_items=len(database.ids),
        n_frames=len(database.frame_items),
        n_sounds=len(database.sound_items),
        pseudo_labels=_described(pseudo_labels),
        n_conditionings=course.n_conditionings,
        rankings=rankings,
        leaks=course.leaks,
        conditioning=course.conditioning,
        swap=course.swap_facts,
        chance=course.chance,
        served=tuple(course.served),
        not_applicable=course.not_applicable,
        exclusions=database.exclusions | (panel.exclusions if panel else {}),
        warnings=warnings_of(course.leaks, course.chance, options),
        notes=(
            *notes_of(database, options, rankings, course.swap_facts),
            *note_on_maps(kept),
        ),
    )


def _check_judges(reader: IndexReader, bench: Bench) -> None:
    if not bench.judged.any():
        raise NothingToEvaluate(
            f"{reader.path}: nobody says which answers are right: no two items share a label, none "
            "is a recording, and no pseudo labels were given; label the rows of the manifest, or "
            "run `retrieval label`"
        )


def _described(labels: PseudoLabels | None) -> str | None:
    if labels is None:
        return None
    return f"{labels.provider} {labels.version}, vocabulary {labels.vocabulary}"
