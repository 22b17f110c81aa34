"""Label the items of an index: what is left to do, answer by answer into the catalogue.

Each batch is a transaction, so the same call again is the resume: a kill loses the batch in
progress. What is labelled already is skipped, what failed is tried again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.catalogue import Catalogue
from indexer.labels.errors import LabelsMissing, NothingLabelled
from indexer.labels.ledger import begin_set, drop_sets, keep_answers
from indexer.labels.lookup import (
    SetRow,
    answers_of,
    described,
    failures_of,
    labelled_items,
    set_rows,
    sets_of,
    sides,
)
from indexer.labels.provider import Answer, Excluded, LabelProvider, Part, Side
from indexer.locking import only_writer
from indexer.plan import FailureRow
from indexer.progress import OnProgress, Phase, Progress
from indexer.pseudo_labels import MODALITIES, LabelSet, Modality
from indexer.reader import IndexReader

PHASE: Phase = "label"
SIDES_AT_ONCE = 1024
"""Sides per commit where labels are copied."""


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What a run of labelling did. A side is the frame or the sound of one item.

    Attributes
    ----------
    labels : the set as it is now.
    n_new : sides that got their labels in this run, `n_computed` of them by asking the provider;
        the others share their frame or sound with one that was asked about.
    n_skipped : sides that earlier runs had done.
    n_failed : sides that could not be labelled; `failures` names each file once per reason.
    n_unknown : sides of which the provider knows nothing: no value, no row.
    excluded : what the provider left out.
    """

    index_dir: Path
    labels: LabelSet
    n_new: int
    n_computed: int
    n_skipped: int
    n_failed: int
    n_unknown: int
    failures: tuple[FailureRow, ...]
    excluded: tuple[Excluded, ...]
    seconds: float

    @property
    def failures_by_code(self) -> dict[str, int]:
        """Failed files by reason."""
        return dict(Counter(failure.code for failure in self.failures))


def label_items(
    reader: IndexReader, provider: LabelProvider, *, on_progress: OnProgress | None = None
) -> LabelReport:
    """Label every frame and every sound that may be shown, or go on with it.

    Raises
    ------
    NothingLabelled : the provider knows, or can read, not one of them.
    VocabulariesMixed : the index holds labels of this name and version in another vocabulary.
    IndexLocked : another process is writing.
    KeyboardInterrupt : the finished batches are kept.
    """
    # The corpus is in the catalogue already: `create` adds the tables of labels, nothing else.
    with (
        only_writer(reader.path),
        Catalogue.create(reader.path, corpus=str(reader.corpus)) as catalogue,
    ):
        return _Labelling(reader, catalogue, provider, Progress(on_progress)).run()


def drop_labels(reader: IndexReader, provider: str, version: str | None = None) -> list[SetRow]:
    """Delete the labels of a provider, in one version or in all; return what was there.

    Raises
    ------
    LabelsMissing : there are none.
    IndexLocked : another process is writing.
    """
    with (
        only_writer(reader.path),
        Catalogue.create(reader.path, corpus=str(reader.corpus)) as catalogue,
        catalogue.writing() as connection,
    ):
        found = sets_of(connection, provider, version)
        if not found:
            there = [row.name for row in set_rows(connection)]
            raise LabelsMissing(reader.path, provider, version, there=there)
        drop_sets(connection, [row.id for row in found])
        return found


class _Labelling:
    """One run over one index, under the writer's lock."""

    def __init__(
        self,
        reader: IndexReader,
        catalogue: Catalogue,
        provider: LabelProvider,
        progress: Progress,
    ) -> None:
        self.reader, self.catalogue, self.provider = reader, catalogue, provider
        self.progress = progress
        self.n_computed = self.n_unknown = 0

    def run(self) -> LabelReport:
        began = time.monotonic()
        with self.catalogue.writing() as connection:
            self.label_set = begin_set(connection, self.provider.facts)
        left, known = self._look_up()
        self.progress.enter(PHASE)
        self._copy(left, known)
        self._ask([side for side in left if side.part not in known])
        self.progress.end()
        self.progress.tell(at_once=True)
        return self._report(time.monotonic() - began)

    def _look_up(self) -> tuple[list[Side], dict[Part, Side]]:
        """Return the sides left to do, and those whose labels may be copied, by their part."""
        with self.catalogue.reading() as connection:
            found = sides(connection)
            done = {
                modality: set(labelled_items(connection, self.label_set, modality).tolist())
                for modality in MODALITIES
            }
        may_show = set(self.reader.ids.tolist())
        shown = [side for side in found if side.items[0] in may_show]
        left = [side for side in shown if side.items[0] not in done[side.modality]]
        self.progress.total = len(shown)
        self.progress.skipped = len(shown) - len(left)
        self.n_skipped = self.progress.skipped
        if not self.provider.by_content:
            return left, {}
        known = {side.part: side for side in found if side.items[0] in done[side.modality]}
        return _by_content(left), known

    def _copy(self, left: Sequence[Side], known: dict[Part, Side]) -> None:
        """Give items the labels that an earlier run found for the same frame or sound."""
        copies = [(side, known[side.part]) for side in left if side.part in known]
        for start in range(0, len(copies), SIDES_AT_ONCE):
            chosen = copies[start : start + SIDES_AT_ONCE]
            with self.catalogue.reading() as connection:
                said = answers_of(connection, self.label_set, [like for _, like in chosen])
            self._keep(
                [replace(answer, side=side) for (side, _), answer in zip(chosen, said, strict=True)]
            )

    def _ask(self, left: Sequence[Side]) -> None:
        with closing(self.provider.answers(left)) as batches:
            for answers in batches:
                self._keep(answers)
                self.n_computed += sum(answer.labels is not None for answer in answers)

    def _keep(self, answers: Sequence[Answer]) -> None:
        with self.catalogue.writing() as connection:
            keep_answers(connection, self.label_set, answers)
        for answer in answers:
            n_items = len(answer.side.items)
            if answer.failure:
                self.progress.failed += n_items
            elif answer.labels is None:
                self.n_unknown += n_items
                self.progress.skipped += n_items
            else:
                self.progress.done += n_items
        self.progress.tell()

    def _report(self, seconds: float) -> LabelReport:
        with self.catalogue.reading() as connection:
            (row,) = [row for row in set_rows(connection) if row.id == self.label_set]
            now = described(connection, row, self.reader.ids)
            failures = failures_of(connection, self.label_set, self.reader.ids)
        if not now.n_frames and not now.n_sounds:
            self._give_up(failures)
        return LabelReport(
            index_dir=self.reader.path,
            labels=now,
            n_new=self.progress.done,
            n_computed=self.n_computed,
            n_skipped=self.n_skipped,
            n_failed=self.progress.failed,
            n_unknown=self.n_unknown,
            failures=tuple(failures),
            excluded=tuple(self.provider.excluded),
            seconds=seconds,
        )

    def _give_up(self, failures: Sequence[FailureRow]) -> None:
        """Leave no empty set behind, and say why there is nothing."""
        with self.catalogue.writing() as connection:
            drop_sets(connection, [self.label_set])
        counts = Counter(failure.code for failure in failures)
        if self.n_unknown:
            counts["unknown to it"] = self.n_unknown
        example = failures[0].message if failures else ""
        raise NothingLabelled(self.reader.path, self.provider.facts.provider, counts, example)


def _by_content(left: Iterable[Side]) -> list[Side]:
    """Join the sides of one frame or one sound, in the order of their first items."""
    items: dict[Part, list[int]] = {}
    modalities: dict[Part, Modality] = {}
    for side in left:
        items.setdefault(side.part, []).extend(side.items)
        modalities[side.part] = side.modality
    return [
        Side(modality=modalities[part], part=part, items=tuple(ids)) for part, ids in items.items()
    ]
