"""Build an index: scan → decode → encode → segment → commit → publish.

The same call again is the resume: what is committed is skipped, what is not is done. A kill at any
instant loses at most the segment in progress; Ctrl-C keeps even that one's finished batches.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.embedder import Embedder
from indexer.assemble import EncodeCounts, SegmentBuild
from indexer.built_with import BuiltWith, remember
from indexer.catalogue import Catalogue, chunked
from indexer.changes import find_moves, stale_items
from indexer.compact.maps import basis_in
from indexer.compact.writing import compact_segments, forget_compact, is_in_form
from indexer.database.place import checked_url
from indexer.errors import EncoderMismatch, NothingUsable, storing
from indexer.history import (
    Edition,
    all_editions,
    is_published,
    segment_files,
)
from indexer.kept_maps import KeptMaps, form_of_all, keeps_more, kept_maps
from indexer.ledger import add_edition, forget_efforts, move_items, replace_segment_files
from indexer.locking import only_writer
from indexer.lookup import Generation, basis_rows, failure_rows, latest_generation
from indexer.options import BuildOptions, MapForm
from indexer.parts import are_whole, has_codes
from indexer.paths import stored_corpus
from indexer.plan import PlannedItem
from indexer.progress import BuildProgress, OnProgress, Progress
from indexer.publish import is_measured, publish_generation, sweep_garbage
from indexer.scan import ScanReport, resolve_corpus, scan

INDEX_FOLDER = ".retrieval"


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    n_items : items that the generation holds; `n_new` of them are of this run.
    n_failed : files of the corpus that have failed, wholly or in part.
    n_skipped : planned items that earlier runs had done; `n_moved` of them are under another name,
        or have files of another time, that hold what they held.
    failures_by_code : the same by code; `IndexReader.failures` names them.
    n_frames_embedded, n_sounds_embedded : what went through the network; the rest was shared.
    seconds_by_phase : `scan`, `encode`, `index`.
    maps : what is kept of the frames.
    conditional : by side, `frames` and `sounds`, the `indexer.compact.effort.Effort` that it is
        searched with, as JSON; a side that was not measured is scored in full.
    min_recall : what had to be reached for less than scoring in full.
    """

    index_dir: Path
    generation: int
    n_items: int
    n_new: int
    n_failed: int
    n_skipped: int
    n_moved: int
    failures_by_code: dict[str, int]
    n_frames_embedded: int
    n_sounds_embedded: int
    seconds_by_phase: dict[str, float]
    peak_rss_bytes: int
    maps: KeptMaps
    conditional: dict[str, Any]
    min_recall: float

    @property
    def seconds(self) -> float:
        return sum(self.seconds_by_phase.values())

    @property
    def items_per_s(self) -> float:
        """New items per second of encoding, 0.0 where none was new."""
        seconds = self.seconds_by_phase.get("encode", 0.0)
        return self.n_new / seconds if seconds else 0.0


def build_index(
    corpus: Path,
    *,
    embedder: Embedder,
    index_dir: Path | None = None,
    manifest: Path | None = None,
    options: BuildOptions | None = None,
    on_progress: OnProgress | None = None,
) -> BuildReport:
    """Build or continue the index of a corpus.

    Parameters
    ----------
    corpus : a folder, or a manifest (.csv, .jsonl, .parquet) whose folder is then the corpus.
    index_dir : default `<corpus>/.retrieval`, that of a shard `<corpus>/.retrieval-shards/2-of-8`.
    on_progress : called a few times per second from this thread.

    Raises
    ------
    CorpusMissing, ManifestError, NothingUsable : there is nothing to index.
    PatternError : an ignore file, or a pattern of the options, that means nothing.
    ShardError : the shard is empty, or the index holds another one.
    CatalogueUrlError, CatalogueUnreachable : the catalogue cannot be kept there, or not reached.
    EncoderMismatch : the index is another encoder's and `reembed` is off.
    IndexLocked : another process is writing.
    IndexCorrupt, StorageError : what is on the disk, or the disk itself; nothing finished is lost.
    KeyboardInterrupt : after the finished batches were committed.
    """
    options = options or BuildOptions()
    url = None if options.catalogue is None else checked_url(options.catalogue)
    corpus, manifest = resolve_corpus(corpus, manifest)
    folder = options.shard.folder if options.shard else INDEX_FOLDER
    index_dir = (index_dir or corpus / folder).absolute()
    progress = Progress(on_progress)
    found = scan(corpus, manifest=manifest, index_dir=index_dir, options=options)
    with storing(index_dir):
        index_dir.mkdir(parents=True, exist_ok=True)
    stored = stored_corpus(corpus, index_dir)
    with (
        only_writer(index_dir),
        Catalogue.create(index_dir, corpus=stored, url=url) as catalogue,
    ):
        sweep_garbage(index_dir, catalogue)
        built_with = BuiltWith.of(corpus, manifest, options)
        build = _Build(index_dir, catalogue, embedder, options, found, progress, built_with)
        return build.run()


class _Build:
    """One run over one index, under the writer's lock."""

    def __init__(
        self,
        index_dir: Path,
        catalogue: Catalogue,
        embedder: Embedder,
        options: BuildOptions,
        found: ScanReport,
        progress: Progress,
        built_with: BuiltWith,
    ) -> None:
        self.index_dir, self.catalogue = index_dir, catalogue
        self.embedder, self.options, self.found = embedder, options, found
        self.progress, self.built_with = progress, built_with
        self.counts, self.n_moved = EncodeCounts(), 0

    def run(self) -> BuildReport:
        self.progress.total = len(self.found.items)
        edition = self._edition()
        self.progress.enter("encode")
        form = self.options.maps or self._form()
        for items in chunked(self._left_to_do(edition), self.options.segment_items):
            self._segment(edition, items).run(self.found.corpus)
            if form != "full":
                self._keep(edition, form)
        self.progress.enter("index")
        if self.options.refit:
            forget_compact(self.index_dir, self.catalogue, edition)
        generation = self._publish(edition, form)
        self.progress.end()
        self.progress.tell(at_once=True)
        return self._report(edition, generation)

    def _edition(self) -> Edition:
        """Return the edition to go on with; raises EncoderMismatch."""
        fingerprint = self.embedder.fingerprint
        with self.catalogue.writing() as connection:
            remember(connection, self.built_with)
            editions = all_editions(connection)
            # Readers see the oldest; a later one is a re-embedding that did not come to its end.
            current = editions[0] if editions else None
            candidates = editions[:0:-1] if self.options.reembed else editions[::-1]
            for edition in candidates:
                if edition.encoder_fingerprint == fingerprint:
                    return edition
            if current and not self.options.reembed:
                raise EncoderMismatch(
                    self.index_dir,
                    built_by=_name(current.encoder_name, current.encoder_fingerprint),
                    given=_name(self.embedder.name, fingerprint),
                    corpus=self.found.corpus,
                )
            return add_edition(
                connection,
                fingerprint=fingerprint,
                name=self.embedder.name,
                grid=self.embedder.grid,
            )

    def _form(self) -> MapForm:
        """Return what the index that readers see keeps; a segment of a killed run has no say."""
        with self.catalogue.reading() as connection:
            published = latest_generation(connection)
        return form_of_all(published.segments) if published else "full"

    def _segment(self, edition: Edition, items: Sequence[PlannedItem]) -> SegmentBuild:
        return SegmentBuild(
            self.index_dir,
            self.catalogue,
            edition.id,
            self.embedder,
            items,
            options=self.options,
            counts=self.counts,
            progress=self.progress,
        )

    def _left_to_do(self, edition: Edition) -> list[PlannedItem]:
        """Return what must be embedded, once what has only moved stands where it is now."""
        planned = self.found.items
        with self.catalogue.reading() as connection:
            stale = stale_items(
                connection,
                edition.id,
                planned,
                restore=self.options.restore,
                retry=self.options.retry_failed,
            )
            moves = find_moves(
                connection,
                edition.id,
                stale.items,
                planned,
                self.found.corpus,
                restore=self.options.restore,
            )
        if moves:
            with self.catalogue.writing() as connection:
                move_items(connection, edition.id, moves)
        moved = {move.item.key for move in moves}
        left = [item for item in stale.items if item.key not in moved]
        self.n_moved = len(moved)
        self.progress.skipped = len(planned) - len(left)
        self.progress.tell()
        return left

    def _publish(self, edition: Edition, form: MapForm) -> int:
        with self.catalogue.reading() as connection:
            current = latest_generation(connection)
            files = segment_files(connection, edition.id)
            failures = failure_rows(connection, edition.id)
            published = current is not None and is_published(connection, edition.id)
        # Damaged vectors are derived: the same command makes them anew from the segments.
        fits = is_in_form(files, form) and not keeps_more(files, form)
        whole = not published or (current is not None and self._is_whole(current))
        if current and published and whole and fits and not self.options.refit:
            return current.id
        if not files:
            ignored = Counter(self.found.ignored)
            raise NothingUsable(
                self.found.corpus, ignored + Counter(failure.code for failure in failures)
            )
        self._keep(edition, form)
        return publish_generation(
            self.index_dir,
            self.catalogue,
            edition,
            self.embedder,
            min_recall=self.options.min_recall,
            max_memory=self.options.max_memory,
            anew=not whole,
        )

    def _is_whole(self, generation: Generation) -> bool:
        measured = is_measured(generation, self.options.min_recall)
        return measured and has_codes(generation) and are_whole(self.index_dir, generation)

    def _keep(self, edition: Edition, form: MapForm) -> None:
        """See to it that every segment keeps maps in a form, as far as it has them."""
        if form == "none":
            with self.catalogue.writing() as connection:
                for segment, names in segment_files(connection, edition.id).items():
                    plain = {n: record for n, record in names.items() if basis_in([n]) is None}
                    if len(plain) < len(names):
                        replace_segment_files(connection, segment, plain)
                        forget_efforts(connection, edition.id)
            forget_compact(self.index_dir, self.catalogue, edition)
        compact_segments(self.index_dir, self.catalogue, edition, form)

    def _report(self, edition: Edition, generation: int) -> BuildReport:
        with self.catalogue.reading() as connection:
            published = latest_generation(connection)
            failures = failure_rows(connection, edition.id)
            bases = basis_rows(connection)
        assert published is not None
        return BuildReport(
            index_dir=self.index_dir,
            generation=generation,
            n_items=published.n_items,
            n_new=self.progress.done,
            n_failed=len({failure.path for failure in failures}),
            n_skipped=self.progress.skipped,
            n_moved=self.n_moved,
            failures_by_code=dict(Counter(failure.code for failure in failures)),
            n_frames_embedded=self.counts.n_frames,
            n_sounds_embedded=self.counts.n_sounds,
            seconds_by_phase=self.progress.seconds,
            peak_rss_bytes=peak_rss_bytes(),
            maps=kept_maps(published.segments, bases),
            conditional=published.efforts,
            min_recall=self.options.min_recall,
        )


def peak_rss_bytes() -> int:
    """Return the most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _name(name: str, fingerprint: str) -> str:
    return f"{name} ({fingerprint[:12]})"


__all__ = [
    "INDEX_FOLDER",
    "BuildOptions",
    "BuildProgress",
    "BuildReport",
    "build_index",
    "peak_rss_bytes",
]
