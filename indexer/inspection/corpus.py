"""Inspect a corpus: every file is decoded once, several at a time, and measured.

Bounded memory: a worker holds a second or so of sound, or one frame, of the one file that it
measures. What stays are some hundred bytes per finding.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from encoder.errors import MediaError
from encoder.media import measure_picture, measure_sound, measure_video
from indexer.inspection.duplicates import duplicates, whole_digest, with_equal_sizes
from indexer.inspection.findings import KINDS, ONE_SIDED, Finding, Thresholds
from indexer.inspection.pictures import judge_picture, judge_video
from indexer.inspection.sounds import judge_sound
from indexer.inspection.uses import SourceUse, uses_of
from indexer.options import BuildOptions
from indexer.paths import from_text
from indexer.plan import FailureRow
from indexer.progress import OnProgress, Progress
from indexer.scan import ScanReport, failure_of

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in a corpus.

    Attributes
    ----------
    findings : by kind in the order of `KINDS`, then in the order of the corpus.
    n_files : that were decoded.
    n_digested : of them, those whose size another file has, too.
    seconds : on the clock.
    cpu_s : processor seconds of all workers.
    durations : seconds of sound by path.
    """

    findings: tuple[Finding, ...]
    n_files: int
    n_digested: int
    seconds: float
    cpu_s: float
    durations: dict[str, float]

    def of_items(self) -> dict[str, set[str]]:
        """Return the kinds of findings by key of the planned item."""
        found: dict[str, set[str]] = {}
        for finding in self.findings:
            for key in finding.items:
                found.setdefault(key, set()).add(finding.kind)
        return found


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What one file gave."""

    findings: list[Finding]
    digest: str | None
    sound_s: float
    cpu_s: float


def inspect_corpus(
    report: ScanReport,
    *,
    options: BuildOptions | None = None,
    limits: Thresholds | None = None,
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Decode every file that a scan has planned items of, and say what is wrong with it.

    A file that cannot be read is a finding; nothing is written.

    Parameters
    ----------
    options : those of the scan; `workers` files are decoded at a time.
    """
    options, limits = options or BuildOptions(), limits or Thresholds()
    uses = uses_of(report.items)
    to_digest = with_equal_sizes(uses)
    work = partial(_measure, report.corpus, options, limits, to_digest)
    progress, began = Progress(on_progress), time.monotonic()
    progress.total = len(uses)
    progress.enter("inspect")
    findings = _known(report)
    digests: dict[str, str] = {}
    durations: dict[str, float] = {}
    cpu_s = 0.0
    for use, measured in zip(uses, _in_threads(work, uses, options.workers), strict=True):
        findings += measured.findings
        cpu_s += measured.cpu_s
        if use.spans:
            durations[use.source.path] = measured.sound_s
        if measured.digest:
            digests[use.source.path] = measured.digest
        is_broken = any(finding.kind == "broken" for finding in measured.findings)
        progress.failed, progress.done = (
            progress.failed + is_broken,
            progress.done + (not is_broken),
        )
        progress.tell()
    progress.tell(at_once=True)
    findings += duplicates(uses, digests)
    return Inspection(
        findings=in_order_of_kinds(findings),
        n_files=len(uses),
        n_digested=len(to_digest),
        seconds=time.monotonic() - began,
        cpu_s=cpu_s,
        durations=durations,
    )


def in_order_of_kinds(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings by kind; within one their order stays."""
    rank = {kind: n for n, kind in enumerate(KINDS)}
    return tuple(sorted(findings, key=lambda finding: rank[finding.kind]))


def _in_threads(work: object, uses: Sequence[SourceUse], workers: int) -> Iterator[_Measured]:
    """Do the work in threads, since decoders release the interpreter's lock; results in order."""
    pool = ThreadPoolExecutor(workers, "inspect")
    try:
        yield from pool.map(work, uses)  # type: ignore[arg-type]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _known(report: ScanReport) -> list[Finding]:
    """Return what the scan itself could not use, each file once by code."""
    keys: dict[FailureRow, list[str]] = {}
    for item in report.items:
        for failure in item.failures:
            keys.setdefault(failure, []).append(item.key)
    return [_broken(failure, tuple(of_failure)) for failure, of_failure in keys.items()]


def _broken(failure: FailureRow, keys: tuple[str, ...]) -> Finding:
    return Finding(
        kind="one-sided" if failure.code in ONE_SIDED else "broken",
        path=failure.path,
        message=failure.message.removeprefix(f"{failure.path}: "),
        code=failure.code,
        items=keys,
    )


def _measure(
    corpus: Path, options: BuildOptions, limits: Thresholds, to_digest: set[str], use: SourceUse
) -> _Measured:
    began = time.thread_time()
    path = corpus / from_text(use.source.path)
    findings: list[Finding] = []
    sound_s, digest = 0.0, None
    if use.times:
        findings += _of_frames(path, options, limits, use)
    if use.spans:
        of_sound, sound_s = _of_sound(path, options, limits, use)
        findings += of_sound
    if use.source.path in to_digest:
        digest, failures = _digest(path, use)
        findings += failures
    return _Measured(
        findings=findings, digest=digest, sound_s=sound_s, cpu_s=time.thread_time() - began
    )


def _of_frames(
    path: Path, options: BuildOptions, limits: Thresholds, use: SourceUse
) -> list[Finding]:
    try:
        with _one_file(path):
            if use.source.kind == "image":
                return judge_picture(use, measure_picture(path, limits=options.limits), limits)
            motion = measure_video(
                path, every_s=LOOK_EVERY_S, times_s=sorted(use.times), limits=options.limits
            )
    except MediaError as error:
        keys = tuple(dict.fromkeys(key for users in use.times.values() for key in users))
        return [_broken(failure_of(use.source.path, error), keys)]
    return judge_video(use, motion, limits, options.window_s)


def _of_sound(
    path: Path, options: BuildOptions, limits: Thresholds, use: SourceUse
) -> tuple[list[Finding], float]:
    try:
        with _one_file(path):
            levels = measure_sound(path, limits=options.limits)
    except MediaError as error:
        keys = tuple(dict.fromkeys(key for users in use.spans.values() for key in users))
        return [_broken(failure_of(use.source.path, error), keys)], 0.0
    return judge_sound(use, levels, limits), levels.duration_s


@contextmanager
def _one_file(path: Path) -> Iterator[None]:
    """Make what no decoder should raise a failure of the file: the others are still measured."""
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        raise MediaError(path, "crashed", found) from error


def _digest(path: Path, use: SourceUse) -> tuple[str | None, list[Finding]]:
    try:
        return whole_digest(path), []
    except MediaError as error:
        return None, [_broken(failure_of(use.source.path, error), use.items)]
