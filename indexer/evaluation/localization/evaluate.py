"""How good localization is on an index: definitions §4 over its items, by their boxes.

Maps and sounds come from the index; pictures are decoded again for glued frames alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from encoder.intervals import SHARES, mean_figure
from encoder.localization.concat_files import ConcatReport
from encoder.localization.errors import LocalizationError
from encoder.localization.metrics import Values
from encoder.localization.splits import SplitFigures, disjoint_splits, linked, split_figures
from indexer.evaluation.checks import check_encoder
from indexer.evaluation.localization.concat import (
    concat_figures,
    gluable,
    glued_frames,
    write_glued,
)
from indexer.evaluation.localization.conditions import (
    ambient_figures,
    ambient_sounds,
    find_scenes,
    interactive_figures,
    onscreen_figures,
)
from indexer.evaluation.localization.figures import (
    AmbientFigures,
    ConcatFigures,
    InteractiveFigures,
    LocalizationFigures,
    OnscreenFigures,
)
from indexer.evaluation.localization.items import ONSCREEN, Candidate, LeftOut
from indexer.evaluation.localization.looks import Looks, finite, look
from indexer.evaluation.localization.options import LocalizationOptions
from indexer.evaluation.localization.reading import read_candidates
from indexer.evaluation.localization.rows import rows_of
from indexer.evaluation.localization.warnings import notes_of, warnings_of
from indexer.evaluation.progress import OnEvaluation, Teller
from indexer.reader import IndexReader

if TYPE_CHECKING:
    from encoder.embedder import Embedder

BY_BOXES = ("rows", "splits", "interactive", "ambient", "concat")
"""Figures that only boxes can give."""
NO_BOXES_ASKED = "maps were not to be held against boxes"
NO_MAPS = (
    "the index does not keep the full visual map of every frame; build it anew with `retrieval "
    "build-index CORPUS --reembed --maps full`"
)


def evaluate_localization(
    reader: IndexReader,
    embedder: Embedder,
    *,
    options: LocalizationOptions | None = None,
    on_progress: OnEvaluation | None = None,
) -> LocalizationFigures:
    """Measure where the heat maps of an index light up, against what people drew.

    An index without boxes, or without full maps, has figures of glued frames alone, whose pictures
    are embedded anew; `not_applicable` says what it lacks.

    Raises
    ------
    EncoderMismatch : the index was built by another encoder.
    FilterError : a filter does not parse.
    AnnotationError : the annotations cannot be read at all.
    """
    check_encoder(reader, embedder)
    evaluation = _Evaluation(reader, embedder, options or LocalizationOptions(), on_progress)
    figures = evaluation.figures()
    return replace(figures, warnings=warnings_of(figures), notes=notes_of(figures))


def write_concat_and_localize(
    reader: IndexReader,
    root: Path,
    *,
    options: LocalizationOptions | None = None,
    size_px: int = 320,
    on_progress: OnEvaluation | None = None,
) -> ConcatReport:
    """Write an index's concat-and-localize set as ordinary files with a manifest (O20 §5).

    Its pairs are the items with a ground truth, drawn as `evaluate_localization` draws them.

    Raises
    ------
    ConcatError, MediaError : see `indexer.evaluation.localization.concat.write_glued`.
    FilterError, AnnotationError : as above.
    """
    options = options or LocalizationOptions()
    samples = read_candidates(reader, options, LeftOut()).samples
    return write_glued(reader, root, samples, options, size_px=size_px, teller=Teller(on_progress))


class _Evaluation:
    """One run: what it has read, what it leaves out, and what it cannot measure."""

    def __init__(
        self,
        reader: IndexReader,
        embedder: Embedder,
        options: LocalizationOptions,
        on_progress: OnEvaluation | None,
    ) -> None:
        self.reader, self.embedder = reader, embedder
        self.has_maps = reader.keeps_maps
        self.options = options = replace(options, boxes=options.boxes and self.has_maps)
        self.teller = Teller(on_progress)
        self.left_out = LeftOut()
        self.not_applicable: dict[str, str] = {}
        # Boxes that nothing is measured against still say what sounds in a picture.
        of_boxes = self.left_out if options.boxes else LeftOut()
        self.found = read_candidates(reader, options, of_boxes)
        self.samples, self.looks = self._looked_at(self.found.samples if options.boxes else ())

    def figures(self) -> LocalizationFigures:
        """Measure everything; warnings and notes are still to come."""
        options, seed = self.options, self.options.seed
        measured = rows_of(self.samples, self.looks, options)
        if not self.samples:
            self.not_applicable["rows"] = "no item has a frame, a sound and an object box"
        area = np.sort(np.array([record.area for record in measured.records]))
        splits, interactive = self._splits(measured.values), self._interactive()
        ambient, onscreen = self._ambient(), self._onscreen()
        concat, glued = self._both_glued()
        if not options.boxes:
            reason = NO_BOXES_ASKED if self.has_maps else NO_MAPS
            self.not_applicable |= dict.fromkeys(BY_BOXES, reason)
        return LocalizationFigures(
            encoder=self.embedder.name,
            generation=self.reader.generation,
            options=options,
            n_samples=len(self.samples),
            area=mean_figure(area, seed=seed, within=SHARES),
            rows=measured.maps,
            baselines=measured.baselines,
            expected_random=measured.expected_random,
            annotators=measured.annotators,
            splits=splits,
            interactive=interactive,
            ambient=ambient,
            onscreen=onscreen,
            concat=concat,
            glued=glued,
            samples=measured.records,
            exclusions=dict(sorted(self.left_out.counts.items())),
            excluded=tuple(self.left_out.named),
            n_fraction_boxes=self.found.n_fraction_boxes,
            not_applicable=self.not_applicable,
            warnings=(),
            notes=(),
        )

    def _looked_at(self, samples: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], Looks]:
        tell = partial(self.teller.tell, "localize")
        looks = look(self.reader, self.embedder, samples, samples, tell)
        usable = finite(looks, samples, self.left_out)
        kept = tuple(sample for sample, keep in zip(samples, usable, strict=True) if keep)
        return kept, looks.kept(usable)

    def _splits(self, values: Values) -> SplitFigures | None:
        options = self.options
        names = [f"{sample.key:014x} {at}" for at, sample in enumerate(self.samples)]
        try:
            splits = disjoint_splits(
                names,
                linked([sample.origins for sample in self.samples]),
                n_splits=options.n_splits,
                n_samples=options.n_per_split,
                seed=options.seed,
            )
        except LocalizationError as error:
            self.not_applicable["splits"] = str(error)
            return None
        return split_figures(values, splits, seed=options.seed)

    def _interactive(self) -> InteractiveFigures | None:
        scenes = find_scenes(self.samples, self.found.items, self.options, self.left_out)
        found = interactive_figures(self.reader, self.embedder, scenes, self.options, self.left_out)
        if found is None:
            self.not_applicable["interactive"] = "no frame has boxes for several sounds"
        return found

    def _ambient(self) -> AmbientFigures | None:
        sounds = ambient_sounds(self.reader, self.found.items, self.options)
        found = ambient_figures(
            *(self.reader, self.embedder, self.samples, self.looks, sounds),
            options=self.options,
            left_out=self.left_out,
        )
        if found is None:
            self.not_applicable["ambient"] = "no ambient sound, or no sample to hear it with"
        return found

    def _onscreen(self) -> OnscreenFigures | None:
        if not self.has_maps:
            self.not_applicable["onscreen"] = NO_MAPS
            return None
        found = onscreen_figures(
            self.reader, self.embedder, self.found.items, self.options, self.left_out
        )
        if found is None:
            self.not_applicable["onscreen"] = (
                f"no item has `{ONSCREEN}` true, or none has it false, in its metadata"
            )
        return found

    def _both_glued(self) -> tuple[ConcatFigures | None, ConcatFigures | None]:
        """Glue the samples, and all that is labelled: side accuracy needs no box."""
        labelled = gluable(self.found.items)
        if not self.options.boxes:
            glued = self._glued("glued", labelled)
            return None, glued and replace(glued, maps=None, baselines=())
        concat = self._glued("concat", self.samples)
        # Where all that is labelled has boxes, the second would be the first once more.
        return concat, concat if labelled == self.samples else self._glued("glued", labelled)

    def _glued(self, name: str, items: Sequence[Candidate]) -> ConcatFigures | None:
        if not self.options.n_concat:
            self.not_applicable[name] = "no glued frames were asked for"
            return None
        tell = partial(self.teller.tell, name)
        glued = glued_frames(self.reader, self.embedder, items, self.options, self.left_out, tell)
        if glued is None:
            self.not_applicable[name] = f"{len(items)} items give no two sounds of two labels"
            return None
        return concat_figures(self.reader, glued, self.found.items, self.options)
