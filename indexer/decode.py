"""Files to prepared arrays, and the threads that do such work in order, a bounded way ahead.

Threads, since the network releases the interpreter's lock, and so does the wait for a decoding
process. Results come in the order of the jobs, so nothing that follows depends on how many threads
there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from encoder.embedder import Embedder
from encoder.errors import MediaError
from encoder.media import MediaLimits, read_frame, read_image, read_sound
from encoder.sandbox import Sandbox
from indexer.digest import digest_of
from indexer.paths import from_text
from indexer.plan import FailureRow, FramePart, SoundPart, Source
from indexer.scan import failure_of

Job = TypeVar("Job")
Result = TypeVar("Result")
Part = FramePart | SoundPart


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A part, decoded and prepared, or why it could not be.

    Attributes
    ----------
    prepared : what `Embedder.prepare_frame` or `prepare_sound` gave; None after a failure.
    duration_s : of the sound that was read.
    digest : blake2b of the source, empty where it was not asked for.
    """

    part: Part
    prepared: NDArray[Any] | None = None
    duration_s: float = 0.0
    digest: str = ""
    failure: FailureRow | None = None

    @property
    def n_bytes(self) -> int:
        return 0 if self.prepared is None else self.prepared.nbytes


@dataclass(frozen=True, kw_only=True)
class DecodeJob:
    """A part to decode; `digests` says whether its source is to be digested, too."""

    part: Part
    digests: bool


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Decodes the parts of one corpus for one encoder; called from several threads.

    Parameters
    ----------
    sandbox : where files are opened; None opens them in this process, which is faster by a fifth of
        a millisecond for each and is at the mercy of the worst of them. The result is the same.
    """

    corpus: Path
    embedder: Embedder
    limits: MediaLimits
    sandbox: Sandbox | None = None

    def __call__(self, job: DecodeJob) -> Decoded:
        """Decode one part. A file that cannot be used is a result; any other error is a bug."""
        part, path = job.part, self.corpus / from_text(job.part.source.path)
        try:
            if isinstance(part, FramePart):
                decoded = Decoded(part=part, prepared=self._frame(part, path))
            else:
                decoded = self._sound(part, path)
            digest = _digest(path) if job.digests else ""
            _check_unchanged(path, part.source)
        except MediaError as error:
            return Decoded(part=part, failure=failure_of(part.source.path, error))
        return Decoded(
            part=part, prepared=decoded.prepared, duration_s=decoded.duration_s, digest=digest
        )

    def _frame(self, part: FramePart, path: Path) -> NDArray[np.uint8]:
        side_px, limits = self.embedder.config.frame_px, self.limits
        still, box = part.source.kind == "image", self.sandbox
        if box and still:
            return box.read_image(path, limits=limits, side_px=side_px)
        if box:
            return box.read_frame(path, part.time_s, limits=limits, side_px=side_px)
        image = (
            read_image(path, limits=limits)
            if still
            else read_frame(path, part.time_s, limits=limits)
        )
        return self.embedder.prepare_frame(image)

    def _sound(self, part: SoundPart, path: Path) -> Decoded:
        rate_hz = self.embedder.config.rate_hz
        read = self.sandbox.read_sound if self.sandbox else read_sound
        waveform = read(path, t0_s=part.t0_s, t1_s=part.t1_s, rate_hz=rate_hz, limits=self.limits)
        prepared = self.embedder.prepare_sound(waveform)
        return Decoded(part=part, prepared=prepared, duration_s=len(waveform) / rate_hz)


def in_order(
    jobs: Iterable[Job],
    work: Callable[[Job], Result],
    *,
    workers: int,
    n_ahead: int,
    begin: Callable[[], None] = lambda: None,
) -> Generator[Result]:
    """Do jobs in threads and yield their results in order.

    Parameters
    ----------
    n_ahead : jobs that may be under way or wait to be taken.
    begin : what each thread calls first.

    Whatever `work` raises is raised here in its turn. Closing the generator, or an exception
    around it, cancels what has not begun and waits for what has.
    """
    waiting: deque[Future[Result]] = deque()
    queue = iter(jobs)
    pool = ThreadPoolExecutor(workers, "build", begin)
    try:
        while True:
            for job in islice(queue, n_ahead - len(waiting)):
                waiting.append(pool.submit(work, job))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_unchanged(path: Path, source: Source) -> None:
    try:
        now = path.stat()
    except OSError:
        raise MediaError(path, "missing", "it went away while it was read") from None
    if (now.st_size, now.st_mtime_ns) != (source.size, source.mtime_ns):
        raise MediaError(path, "changed", "it changed after the scan", "run the same command again")


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError:
        raise MediaError(path, "missing", "it went away while it was read") from None
