"""Media read in processes of their own: a hostile file costs one answer, and not the caller.

The functions are those of `encoder.media` and give the same, bit for bit. What a decoder does wrong
is one more `MediaError`: `crashed`, `timeout`, `out-of-memory`. PyTorch's resampler stays with the
caller: it sees samples and no files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from encoder.errors import MediaError
from encoder.media import MediaLimits, MediaProbe
from encoder.media.source import DEFAULT_LIMITS
from encoder.media.spans import RATES_HZ, Span, check_time, finished
from encoder.sandbox.answers import STOPPED, WAYS_OUT, error_in, picture_in, probe_in, sound_in
from encoder.sandbox.framing import Ended, Facts, Garbled, Late, Message
from encoder.sandbox.processes import Template, Worker, how_it_ended

_T = TypeVar("_T")
_SECONDS_PER_TIMEOUT = 3000.0
_BYTES_PER_SECOND = 1000.0
"""Of a sound: none of those that people keep takes less."""


class Sandbox:
    """Decoding processes, made as they are needed; may be used from several threads.

    Examples
    --------
    >>> with Sandbox() as sandbox:
    ...     sandbox.read_image("nowhere.jpg")
    Traceback (most recent call last):
    encoder.errors.MediaError: nowhere.jpg: missing: No such file or directory
    """

    def __init__(self) -> None:
        self._template = Template()
        self._idle: list[Worker] = []
        self._finalizer = finalize(self, _end, self._template, self._idle)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes; otherwise they end with the last reference, or the interpreter."""
        self._finalizer()

    # ── what can be read ─────────────────────────────────────────────────────────────────────

    def probe(self, path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS) -> MediaProbe:
        """See `encoder.media.probe`."""
        return self._done(
            path, {"do": "probe"}, limits, 0.0, 0, lambda message: probe_in(path, message, limits)
        )

    def read_image(
        self, path: Path | str, *, limits: MediaLimits = DEFAULT_LIMITS, side_px: int | None = None
    ) -> NDArray[np.uint8]:
        """See `encoder.media.read_image`; with `side_px` as `encoder.preparing` makes of it."""
        return self._picture(path, {"do": "image", "side_px": side_px}, limits, 0.0)

    def read_frame(
        self,
        path: Path | str,
        time_s: float,
        *,
        limits: MediaLimits = DEFAULT_LIMITS,
        side_px: int | None = None,
    ) -> NDArray[np.uint8]:
        """See `encoder.media.read_frame`; with `side_px` as `encoder.preparing` makes of it."""
        check_time("time_s", time_s)
        job = {"do": "frame", "time_s": time_s, "side_px": side_px}
        return self._picture(path, job, limits, time_s)

    def read_sound(
        self,
        path: Path | str,
        *,
        t0_s: float = 0.0,
        t1_s: float | None = None,
        rate_hz: int = 22_050,
        limits: MediaLimits = DEFAULT_LIMITS,
    ) -> NDArray[np.float32]:
        """See `encoder.media.read_sound`."""
        span = Span.of(t0_s, t1_s, rate_hz)
        until_s = _longest_s(path, limits) if t1_s is None else t1_s
        longest_s = limits.max_seconds
        if t1_s is not None:
            longest_s = min(max(t1_s - t0_s, 0.0), longest_s)
        # With what the resampler needs around the span; a tenth of a second is plenty.
        n_most = min(int(4 * RATES_HZ.stop * (longest_s + 0.1)), limits.max_memory_bytes)
        job = {"do": "sound", **asdict(span)}
        excerpt = self._done(path, job, limits, until_s, n_most, partial(sound_in, path))
        return finished(path, excerpt, span)

    # ── how ──────────────────────────────────────────────────────────────────────────────────

    def _picture(
        self, path: Path | str, job: Facts, limits: MediaLimits, until_s: float
    ) -> NDArray[np.uint8]:
        side_px = job["side_px"]
        n_most = 3 * (side_px**2 if side_px else limits.max_pixels)
        return self._done(
            path, job, limits, until_s, n_most, lambda message: picture_in(path, message, side_px)
        )

    def _done(
        self,
        path: Path | str,
        job: Facts,
        limits: MediaLimits,
        until_s: float,
        n_most: int,
        parse: Callable[[Message], _T],
    ) -> _T:
        """Have a job done; what a worker may owe to files that it had before is tried once more."""
        timeout_s = limits.timeout_s * (1 + until_s / _SECONDS_PER_TIMEOUT)
        job |= {"path": str(path), "limits": asdict(limits), "processor_s": timeout_s}
        worker = self._taken()
        fresh = worker.n_jobs == 0
        try:
            return self._asked(worker, path, job, n_most, timeout_s, parse)
        except MediaError as error:
            if fresh or error.code not in ("crashed", "out-of-memory"):
                raise
        return self._asked(self._template.fork(), path, job, n_most, timeout_s, parse)

    def _asked(
        self,
        worker: Worker,
        path: Path | str,
        job: Facts,
        n_most: int,
        timeout_s: float,
        parse: Callable[[Message], _T],
    ) -> _T:
        try:
            with self._borrowed(worker):
                message = worker.ask(job, n_most, time.monotonic() + timeout_s)
                error = error_in(path, message)
                if error is None:
                    return _parsed(path, message, parse)
                if error.code in STOPPED:
                    raise error
        except Late:
            reason = f"decoding it took longer than {timeout_s:.0f} s"
            raise MediaError(path, "timeout", reason, WAYS_OUT["timeout"]) from None
        except Garbled as garbled:
            raise MediaError(path, "crashed", f"the decoder answered with {garbled}") from None
        except Ended:
            code, reason = how_it_ended(worker.status)
            raise MediaError(path, code, reason, WAYS_OUT[code]) from None
        raise error

    def _taken(self) -> Worker:
        try:
            return self._idle.pop()
        except IndexError:
            return self._template.fork()

    @contextmanager
    def _borrowed(self, worker: Worker) -> Iterator[None]:
        """Keep a worker for the next job, unless this one, or Ctrl-C, made it useless."""
        try:
            yield
        except BaseException:
            self._template.kill(worker)
            raise
        self._idle.append(worker)


def _parsed(path: Path | str, message: Message, parse: Callable[[Message], _T]) -> _T:
    try:
        return parse(message)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = f"the decoder's answer cannot be taken: {type(error).__name__}"
        raise MediaError(path, "crashed", reason, WAYS_OUT["crashed"]) from error


def _end(template: Template, idle: list[Worker]) -> None:
    template.close()
    for worker in idle:
        worker.end.close()


def _longest_s(path: Path | str, limits: MediaLimits) -> float:
    """Seconds of sound that a file can hold at most, by its size."""
    try:
        n_bytes = Path(path).stat().st_size
    except (OSError, ValueError):  # the decoder will say what is wrong with it
        n_bytes = 0
    return min(n_bytes / _BYTES_PER_SECOND, limits.max_seconds)
