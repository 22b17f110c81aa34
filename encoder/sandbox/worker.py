"""The decoding process: takes one job after the other until nobody asks any more."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder import media
from encoder.errors import MediaError
from encoder.media.reading import decoded_excerpt
from encoder.media.source import MediaLimits
from encoder.media.spans import Span
from encoder.preparing import prepared_frame
from encoder.sandbox.confinement import confine, limit_memory, limit_processor_time
from encoder.sandbox.framing import Ended, Facts, receive, send

Answer = tuple[Facts, NDArray[Any] | None]


def serve(end: socket.socket, *, parent: int) -> None:
    """Answer jobs until the other side is closed."""
    confine(parent=parent)
    while True:
        try:
            job = receive(end).facts
        except Ended:
            return
        facts, content = answer(job)
        send(end, facts, content)


def answer(job: Facts) -> Answer:
    """Do one job; whatever goes wrong is an answer, too."""
    path, limits = Path(job["path"]), MediaLimits(**job["limits"])
    limit_processor_time(job["processor_s"])
    try:
        limit_memory(limits.max_memory_bytes)
        return JOBS[job["do"]](path, limits, job)
    except MediaError as error:
        return {"code": error.code, "reason": error.reason, "remedy": error.remedy}, None
    except MemoryError:
        return {"code": "out-of-memory", "reason": "an allocation was refused"}, None
    except Exception as error:
        # No decoder should raise anything else; one file that makes it do so is still one file.
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return {"code": "crashed", "reason": found}, None


def _probe(path: Path, limits: MediaLimits, job: Facts) -> Answer:
    return asdict(media.probe(path, limits=limits)), None


def _image(path: Path, limits: MediaLimits, job: Facts) -> Answer:
    return _picture(media.read_image(path, limits=limits), job)


def _frame(path: Path, limits: MediaLimits, job: Facts) -> Answer:
    return _picture(media.read_frame(path, job["time_s"], limits=limits), job)


def _picture(pixels: NDArray[np.uint8], job: Facts) -> Answer:
    if job["side_px"]:
        pixels = prepared_frame(pixels, job["side_px"])
    return {"shape": pixels.shape}, pixels


def _sound(path: Path, limits: MediaLimits, job: Facts) -> Answer:
    span = Span(first=job["first"], last=job["last"], rate_hz=job["rate_hz"])
    excerpt = decoded_excerpt(path, span, limits)
    return {"rate_hz": excerpt.rate_hz}, excerpt.samples


JOBS: dict[str, Callable[[Path, MediaLimits, Facts], Answer]] = {
    "probe": _probe,
    "image": _image,
    "frame": _frame,
    "sound": _sound,
}
