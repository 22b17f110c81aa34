"""What is there, without a model: a folder or a manifest becomes a list of planned items.

Media are looked at through `encoder.media.probe` alone (headers), and only where a duration decides
how many items a file gives. The list is held in memory: about 1 KB per item, where the index takes
about 100 KB per item on disk.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from encoder.errors import MediaError
from encoder.media import MediaProbe, kind_of
from encoder.sandbox import Sandbox
from indexer.errors import CorpusMissing, NothingUsable, ShardError
from indexer.ignoring import Choice
from indexer.manifest import BadRow, ManifestRow, is_manifest, read_manifest
from indexer.options import BuildOptions
from indexer.paths import from_text, to_text
from indexer.plan import FailureRow, FramePart, ItemKind, PlannedItem, SoundPart, Source, item_key
from indexer.sharding import items_of
from indexer.walk import Walk, is_inside


@dataclass(frozen=True, kw_only=True)
class ScanReport:
    """What a build would do.

    Attributes
    ----------
    corpus : the folder that paths are relative to.
    n_files : media files by kind.
    ignored : files that are passed over, by reason.
    unread : paths, ending in a slash, of folders that could not be listed.
    items : in the order in which they get their ids.
    """

    corpus: Path
    n_files: dict[str, int]
    ignored: dict[str, int]
    unread: tuple[str, ...]
    items: list[PlannedItem]

    @property
    def n_items(self) -> dict[str, int]:
        """Items by kind, those that hold nothing usable left out."""
        return dict(Counter(item.kind for item in self.items if item.frame or item.sound))

    @property
    def failures(self) -> list[FailureRow]:
        return [failure for item in self.items for failure in item.failures]


def scan(
    corpus: Path,
    *,
    manifest: Path | None = None,
    index_dir: Path | None = None,
    options: BuildOptions | None = None,
) -> ScanReport:
    """Look through a corpus.

    Parameters
    ----------
    corpus : a folder, or a manifest whose folder is then the corpus.
    index_dir : a folder to leave out; hidden ones are left out anyway.

    Raises
    ------
    CorpusMissing : no such folder or manifest, or it may not be read.
    ManifestError : the manifest is no table of media.
    NothingUsable : not one item, with counts by reason.
    PatternError : an ignore file, or a pattern of the options, that means nothing.
    ShardError : the part that is asked for has no items.
    """
    options = options or BuildOptions()
    corpus, manifest = resolve_corpus(corpus, manifest)
    plan = _Plan(corpus, options)
    items = plan.of_manifest(manifest) if manifest else plan.of_folder(index_dir)
    report = ScanReport(
        corpus=corpus,
        n_files=dict(plan.n_files),
        ignored=dict(plan.ignored),
        unread=tuple(plan.unread),
        items=_numbered(items),
    )
    if not report.n_items:
        codes = Counter(failure.code for failure in report.failures)
        raise NothingUsable(manifest or corpus, Counter(report.ignored) + codes)
    return report


def resolve_corpus(corpus: Path, manifest: Path | None) -> tuple[Path, Path | None]:
    """Return the corpus folder, absolute, and the manifest; raises CorpusMissing."""
    if manifest is None and is_manifest(corpus) and not corpus.is_dir():
        corpus, manifest = corpus.parent, corpus
    for path, there in ((manifest, Path.is_file), (corpus, Path.is_dir)):
        if path is not None and not there(path):
            what = "not a folder or manifest" if path.exists() else "no such folder or manifest"
            raise CorpusMissing(f"{path}: {what}; look at the path")
    if not os.access(corpus, os.R_OK | os.X_OK):
        raise CorpusMissing(f"{corpus}: no permission to read it; ask its owner")
    return corpus.resolve(), manifest


def windows(duration_s: float, window_s: float) -> list[tuple[float, float]]:
    """Cut a duration into windows; a rest shorter than half a window joins the one before it.

    Examples
    --------
    >>> windows(24.0, 10.0), windows(25.0, 10.0)
    ([(0.0, 10.0), (10.0, 24.0)], [(0.0, 10.0), (10.0, 20.0), (20.0, 25.0)])
    """
    n = max(1, int(duration_s / window_s + 0.5))
    starts = [i * window_s for i in range(n)]
    return list(zip(starts, [*starts[1:], duration_s], strict=True))


class _Plan:
    """Files of one corpus to items; counts what it passes over."""

    def __init__(self, corpus: Path, options: BuildOptions) -> None:
        self.corpus, self.options = corpus, options
        self.choice = Choice.of(options.include, options.exclude)
        self.sources: dict[str, Source | FailureRow] = {}
        self.n_files: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.unread: list[str] = []

    def _finished(self, planned: list[PlannedItem]) -> Iterator[PlannedItem]:
        """Go on with the items of the shard that is asked for: only these are probed."""
        shard = self.options.shard
        mine = planned if shard is None else items_of(shard, planned)
        if planned and not mine:
            raise ShardError(
                f"{self.corpus}: shard {shard} is empty, which needs no index: merge the others"
            )
        return self._cut(mine)

    # ── folders ──────────────────────────────────────────────────────────────────────────────

    def of_folder(self, index_dir: Path | None) -> Iterator[PlannedItem]:
        planned: list[PlannedItem] = []
        walk = Walk(
            self.corpus,
            skipped=index_dir,
            choice=self.choice,
            follow_symlinks=self.options.follow_symlinks,
            ignored=self.ignored,
            unread=self.unread,
        )
        for names in walk.media_files():
            planned += self._pairs(names)
        return self._finished(planned)

    def _pairs(self, names: Sequence[str]) -> Iterator[PlannedItem]:
        """Pair pictures and sounds of one folder by stem; the rest stands alone."""
        by_stem: dict[str, dict[str, list[str]]] = {}
        for name in names:
            kind = kind_of(Path(name))
            assert kind is not None
            kinds = by_stem.setdefault(Path(name).stem, {"image": [], "audio": [], "video": []})
            kinds[kind].append(name)
        for kinds in by_stem.values():
            for image, audio in zip_longest(kinds["image"], kinds["audio"]):
                yield self._item(image and self._relative(image), audio and self._relative(audio))
            for video in kinds["video"]:
                yield self._item(video=self._relative(video))

    def _relative(self, path: str) -> str:
        return to_text(Path(path).relative_to(self.corpus))

    # ── manifests ────────────────────────────────────────────────────────────────────────────

    def of_manifest(self, manifest: Path) -> Iterator[PlannedItem]:
        rows = (self._of_row(manifest, row) for row in read_manifest(manifest))
        return self._finished([item for item in rows if item is not None])

    def _of_row(self, manifest: Path, row: ManifestRow | BadRow) -> PlannedItem | None:
        """Return the item of a row, None where every file of it is left out."""
        name = f"{manifest.name} row {row.number}"
        if isinstance(row, BadRow):
            failure = _failure(name, "bad-row", row.reason)
            return PlannedItem(key=name, kind="image", failures=(failure,))
        image, audio, video = (self._chosen(path) for path in (row.image, row.audio, row.video))
        if not (image or audio or video):
            return None
        metadata = dict(row.metadata)
        if image and audio and video:
            # The picture and the sound of a video, taken out beforehand: they are what is indexed.
            metadata["video"], video = video, None
        item = self._item(image, audio, video, span=(row.start_s, row.end_s))
        failures = tuple(
            replace(failure, message=f"{name}: {failure.message}") for failure in item.failures
        )
        return replace(item, label=row.label, metadata=metadata, boxes=row.boxes, failures=failures)

    def _chosen(self, path: str | None) -> str | None:
        """Return a path of a manifest as text, None where it is left out."""
        reason = self.choice.why_not(path) if path else ""
        if reason:
            self.ignored[reason] += 1
        return to_text(path) if path and not reason else None

    # ── parts ────────────────────────────────────────────────────────────────────────────────

    def _item(
        self,
        image: str | None = None,
        audio: str | None = None,
        video: str | None = None,
        span: tuple[float | None, float | None] = (None, None),
    ) -> PlannedItem:
        """Make an item; a video gives what neither the picture nor the sound gives."""
        failures: list[FailureRow] = []
        frame_of, sound_of = (self._source(path or video, failures) for path in (image, audio))
        t0, t1 = span
        frame = sound = None
        if frame_of:
            moving = frame_of.kind == "video"
            frame = FramePart(source=frame_of, time_s=_middle(t0, t1) if moving else 0.0)
        if sound_of:
            sound = SoundPart(source=sound_of, t0_s=t0 or 0.0, t1_s=t1)
        kind: ItemKind = "video" if video else "pair" if image and audio else "image"
        if not (image or video):
            kind = "audio"
        key = item_key(frame, sound) if frame or sound else f"{image}|{audio}|{video}"
        return PlannedItem(
            key=key, kind=kind, frame=frame, sound=sound, failures=tuple(dict.fromkeys(failures))
        )

    def _source(self, text: str | None, failures: list[FailureRow]) -> Source | None:
        if text is None:
            return None
        if text not in self.sources:
            self.sources[text] = self._look_at(text)
        found = self.sources[text]
        if isinstance(found, FailureRow):
            failures.append(found)
            return None
        return found

    def _look_at(self, text: str) -> Source | FailureRow:
        path = self.corpus / from_text(text)
        kind = kind_of(path)
        if not (self.options.follow_symlinks or is_inside(path, self.corpus)):
            return _failure(text, "outside-corpus", OUTSIDE)
        try:
            found = path.stat()
        except PermissionError:
            return _failure(text, "permission", "the file may not be read")
        except OSError:
            return _failure(text, "missing", "no such file")
        if kind is None or not stat.S_ISREG(found.st_mode):
            return _failure(text, "unsupported", "not a media file by its name")
        self.n_files[kind] += 1
        return Source(path=text, kind=kind, size=found.st_size, mtime_ns=found.st_mtime_ns)

    # ── durations ────────────────────────────────────────────────────────────────────────────

    def _cut(self, items: list[PlannedItem]) -> Iterator[PlannedItem]:
        """Replace each item whose length a file's header decides by one item per window."""
        with Sandbox() as media, ThreadPoolExecutor(self.options.workers, "scan") as pool:
            looked_at = pool.map(partial(self._probe, media), items)
            for item, found in zip(items, looked_at, strict=True):
                if found is None:
                    yield item
                elif isinstance(found, FailureRow):
                    yield replace(item, frame=None, sound=None, failures=(*item.failures, found))
                else:
                    yield from self._windows_of(item, found)

    def _probe(self, media: Sandbox, item: PlannedItem) -> MediaProbe | FailureRow | None:
        part = item.sound or item.frame
        if part is None or (item.kind != "video" and item.frame):
            return None
        path = self.corpus / from_text(part.source.path)
        try:
            return media.probe(path, limits=self.options.limits)
        except MediaError as error:
            return failure_of(part.source.path, error)

    def _windows_of(self, item: PlannedItem, found: MediaProbe) -> Iterator[PlannedItem]:
        item = _without_absent_streams(item, found)
        sound, frame = item.sound, item.frame
        explicit = sound is not None and (sound.t0_s > 0 or sound.t1_s is not None)
        if found.duration_s is None or explicit or not (frame or sound):
            yield _centred(item, found.duration_s)
            return
        spans = windows(found.duration_s, self.options.window_s)
        for n, (t0, t1) in enumerate(spans):
            # The last window runs to the end of the file, wherever its header says that is.
            end = None if n == len(spans) - 1 else t1
            moved = replace(frame, time_s=(t0 + t1) / 2) if frame and _moves(frame) else frame
            heard = replace(sound, t0_s=t0, t1_s=end) if sound else None
            yield replace(
                item,
                key=item_key(moved, heard),
                frame=moved,
                sound=heard,
                failures=item.failures if n == 0 else (),
            )


OUTSIDE = "the path leads out of the corpus; copy the file into it, or give --follow-symlinks"


def failure_of(path: str, error: MediaError) -> FailureRow:
    """Return a media error as a row of the catalogue, its path relative to the corpus."""
    way_out = f"; {error.remedy}" if error.remedy else ""
    return FailureRow(
        path=path, code=error.code, message=f"{path}: {error.code}: {error.reason}{way_out}"
    )


def _without_absent_streams(item: PlannedItem, found: MediaProbe) -> PlannedItem:
    """Take off the part that a container does not hold, and say so."""
    if item.sound and not found.has_sound:
        absent = MediaError(item.sound.source.path, "no-audio-stream", "there is no sound in it")
        failures = (*item.failures, failure_of(item.sound.source.path, absent))
        item = replace(item, sound=None, failures=failures)
    if _moves(item.frame) and not found.has_frames:
        assert item.frame is not None
        absent = MediaError(item.frame.source.path, "no-video-stream", "there is no picture in it")
        failures = (*item.failures, failure_of(item.frame.source.path, absent))
        item = replace(item, frame=None, failures=failures)
    return item


def _centred(item: PlannedItem, duration_s: float | None) -> PlannedItem:
    """Put the frame into the middle of a span that runs to the end of its video."""
    frame, sound = item.frame, item.sound
    if frame is None or sound is None or frame.source != sound.source or sound.t1_s is not None:
        return item
    if duration_s is None or duration_s <= sound.t0_s:
        return item
    moved = replace(frame, time_s=(sound.t0_s + duration_s) / 2)
    return replace(item, key=item_key(moved, sound), frame=moved)


def _moves(frame: FramePart | None) -> bool:
    return frame is not None and frame.source.kind == "video"


def _middle(t0: float | None, t1: float | None) -> float:
    return (t0 or 0.0) if t1 is None else ((t0 or 0.0) + t1) / 2


def _failure(path: str, code: str, reason: str) -> FailureRow:
    return FailureRow(path=path, code=code, message=f"{path}: {code}: {reason}")


def _numbered(items: Iterable[PlannedItem]) -> list[PlannedItem]:
    """Number repeated keys, so that two rows of the same files stay two items."""
    seen: Counter[str] = Counter()
    numbered = []
    for item in items:
        seen[item.key] += 1
        n = seen[item.key]
        numbered.append(item if n == 1 else replace(item, key=f"{item.key}#{n}"))
    return numbered
