"""A pair of labellers over the files of the corpus: decode in threads, label in batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.errors import InputError, MediaError
from encoder.labellers.protocol import Labelled, Labeller, LabellerPair, Prepared
from encoder.media import MediaLimits, read_frame, read_image, read_sound
from indexer.decode import in_order
from indexer.encode import READY_BYTES, cores_shared_by
from indexer.errors import CorpusMissing
from indexer.labels.errors import LabellerBroken
from indexer.labels.provider import Answer, Excluded, SetFacts, Side
from indexer.options import n_cores
from indexer.paths import from_text
from indexer.plan import FailureRow, FramePart, SoundPart, Source
from indexer.pseudo_labels import MODALITIES, N_LABELS, NO_LABEL, Modality
from indexer.scan import failure_of

AHEAD = 2
"""Sides per thread that may be under way or wait, decoded."""
SHORT_VERSION = 12
BUILD_AGAIN = "run `retrieval build-index` on the corpus, then label again"


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """How labelling goes about it. None of these changes a label.

    Parameters
    ----------
    workers : threads that decode.
    batch_size : frames and sounds per pass, and so what a kill loses at most.
    limits : what is too large to be opened.
    """

    workers: int = field(default_factory=n_cores)
    batch_size: int = 32
    limits: MediaLimits = field(default_factory=MediaLimits)


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A side, decoded and prepared, or why it could not be."""

    side: Side
    prepared: Prepared | None = None
    failure: FailureRow | None = None

    @property
    def n_bytes(self) -> int:
        return 0 if self.prepared is None else self.prepared.nbytes


class ModelLabels:
    """A pair of labellers as a provider; raises CorpusMissing where the corpus is not there.

    Parameters
    ----------
    corpus : the folder that the paths of the index are relative to.
    name : of the provider; default the pair's.
    """

    by_content = True
    excluded: tuple[Excluded, ...] = ()

    def __init__(
        self,
        pair: LabellerPair,
        corpus: Path,
        *,
        name: str | None = None,
        options: LabelOptions | None = None,
    ) -> None:
        if not corpus.is_dir():
            raise CorpusMissing(
                f"{corpus}: the corpus of the index is not there; bring it back, or build the "
                "index where the corpus is"
            )
        self.corpus, self.options = corpus, options or LabelOptions()
        self.labellers: dict[Modality, Labeller] = {"image": pair.image, "audio": pair.audio}
        versions = (pair.image.version, pair.audio.version)
        self.facts = SetFacts(
            provider=name or pair.name,
            version="+".join(version[:SHORT_VERSION] for version in versions),
            origin="model",
            vocabulary=pair.vocabulary.name,
            names=tuple(pair.vocabulary.names),
        )

    def answers(self, sides: Sequence[Side]) -> Generator[Sequence[Answer]]:
        """Yield answers batch by batch, in the order of the sides.

        A file that cannot be used is an answer; so is one on which a labeller overflows.

        Raises
        ------
        LabellerBroken : a labeller says what cannot be.
        """
        workers = self.options.workers
        with cores_shared_by(workers) as begin:
            ready = in_order(
                sides, self._prepared, workers=workers, n_ahead=AHEAD * workers, begin=begin
            )
            with closing(ready):
                for batch in self._batches(ready):
                    yield self._labelled(batch)

    def _batches(self, ready: Iterator[_Ready]) -> Iterator[list[_Ready]]:
        batch: list[_Ready] = []
        n_bytes = 0
        for one in ready:
            batch.append(one)
            n_bytes += one.n_bytes
            if len(batch) >= self.options.batch_size or n_bytes >= READY_BYTES:
                yield batch
                batch, n_bytes = [], 0
        if batch:
            yield batch

    def _prepared(self, side: Side) -> _Ready:
        """Decode one side; called from several threads."""
        source = side.part.source
        path = self.corpus / from_text(source.path)
        try:
            _check_unchanged(path, source)
            prepared = self._decoded(side, path)
            _check_unchanged(path, source)
        except MediaError as error:
            return _Ready(side=side, failure=failure_of(source.path, error))
        return _Ready(side=side, prepared=prepared)

    def _decoded(self, side: Side, path: Path) -> Prepared:
        part, limits = side.part, self.options.limits
        labeller = self.labellers[side.modality]
        if isinstance(part, SoundPart):
            return labeller.prepare(
                read_sound(
                    path, t0_s=part.t0_s, t1_s=part.t1_s, rate_hz=labeller.rate_hz, limits=limits
                )
            )
        return labeller.prepare(_picture(path, part, limits))

    def _labelled(self, batch: Sequence[_Ready]) -> list[Answer]:
        answers: dict[int, Answer] = {}
        for modality in MODALITIES:
            good = [
                n
                for n, one in enumerate(batch)
                if one.side.modality == modality and not one.failure
            ]
            said = self._of_one_kind(modality, [batch[n] for n in good])
            answers |= dict(zip(good, said, strict=True))
        return [
            answers.get(n) or Answer(side=one.side, failure=one.failure)
            for n, one in enumerate(batch)
        ]

    def _of_one_kind(self, modality: Modality, good: Sequence[_Ready]) -> list[Answer]:
        """Label frames, or sounds; one that overflows must not cost the others their labels."""
        if not good:
            return []
        labeller = self.labellers[modality]
        prepared = [one.prepared for one in good if one.prepared is not None]
        try:
            said = labeller.label(prepared)
        except InputError as error:
            if len(good) > 1:
                return [answer for one in good for answer in self._of_one_kind(modality, [one])]
            return [Answer(side=good[0].side, failure=_not_finite(good[0].side, error))]
        _check(said, labeller, [one.side for one in good])
        return [_answer(one.side, said, n) for n, one in enumerate(good)]


def _picture(path: Path, part: FramePart, limits: MediaLimits) -> Prepared:
    if part.source.kind == "image":
        return read_image(path, limits=limits)
    return read_frame(path, part.time_s, limits=limits)


def _check_unchanged(path: Path, source: Source) -> None:
    """The index speaks of the file as it was when it was built: so must its labels."""
    try:
        now = path.stat()
    except OSError:
        raise MediaError(
            path,
            "missing",
            "it is gone since the index was built",
            f"bring it back, or {BUILD_AGAIN}",
        ) from None
    if (now.st_size, now.st_mtime_ns) != (source.size, source.mtime_ns):
        raise MediaError(path, "changed", "it changed since the index was built", BUILD_AGAIN)


def _check(said: Labelled, labeller: Labeller, sides: Sequence[Side]) -> None:
    """Raise LabellerBroken where the answer of a labeller cannot be."""
    shape, n_names = (len(sides), N_LABELS), len(labeller.vocabulary.names)
    if said.ids.shape != shape or said.scores.shape != shape:
        raise LabellerBroken(
            f"labeller {labeller.name} gave labels of shape {said.ids.shape} and scores of shape "
            f"{said.scores.shape} where {shape} was due; mend the labeller"
        )
    named = said.ids != NO_LABEL
    wrong = (said.ids < NO_LABEL) | (said.ids >= n_names) | (named & ~np.isfinite(said.scores))
    gaps = named[:, 1:] & ~named[:, :-1]
    bad = wrong.any(axis=1) | gaps.any(axis=1) | _twice(said.ids)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise LabellerBroken(
            f"labeller {labeller.name}: {sides[row].part.source.path}: labels "
            f"{said.ids[row].tolist()} with scores {said.scores[row].tolist()}, where distinct ids "
            f"below {n_names}, best first, and finite scores were due; mend the labeller"
        )


def _twice(ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Say of each row of (n, 10) whether a label stands in it twice."""
    ordered = np.sort(ids, axis=1)
    same = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_LABEL)
    twice: NDArray[np.bool_] = same.any(axis=1)
    return twice


def _answer(side: Side, said: Labelled, row: int) -> Answer:
    n = int((said.ids[row] != NO_LABEL).sum())
    return Answer(side=side, labels=said.ids[row, :n], scores=said.scores[row, :n])


def _not_finite(side: Side, error: InputError) -> FailureRow:
    path = side.part.source.path
    return FailureRow(path=path, code="not-finite", message=f"{path}: not-finite: {error}")
