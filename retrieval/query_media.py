"""The media of a query: decoded, then embedded.

They may come from anyone, so they are opened in processes of their own (`encoder.sandbox`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import MediaError
from indexer.blocks import SoundBlock
from retrieval.errors import QueryError
from retrieval.plan import Kind
from retrieval.question import Extra, Picture, Question, Sound

if TYPE_CHECKING:
    from encoder.embedder import Embedder
    from encoder.sandbox import Sandbox

RATE_HZ = 22_050
MIN_SAMPLES, SILENCE = RATE_HZ // 100, 1e-4
"""A sound given as an array is held to what `encoder.media.read_sound` asks of files."""
NOTHING_HEARD = ("no-audio-stream", "silent", "too-short")
"""Codes of a video's sound without which its frame is still a query."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryMedia:
    """`frame` (H, W, 3) uint8 and `sound` (T,) float32 at 22 050 Hz; None for what is absent.

    `notes` says what a person might expect to be there and is not.
    """

    frame: NDArray[np.uint8] | None
    sound: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What an extra is; only a main query has both."""
        return "frame" if self.sound is None else "sound"


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedQuery:
    """What the encoder makes of a query.

    Attributes
    ----------
    picture : (H, W, 3) uint8, the frame as it was decoded, for overlays.
    visual_map : (M, 512) float16.
    coarse : (1000,) float32, unit norm.
    sound : a block of one.
    """

    picture: NDArray[np.uint8] | None
    visual_map: NDArray[np.float16] | None
    coarse: NDArray[np.float32] | None
    sound: SoundBlock | None


def read_query(question: Question, media: Sandbox, *, window_s: float) -> QueryMedia:
    """Decode what a question names: whole sounds, whole pictures, one moment of a video.

    Parameters
    ----------
    window_s : seconds of a video's sound around its frame, as in the index.

    Raises
    ------
    MediaError : a file is missing or cannot be read.
    QueryError : an array of the wrong shape or type.
    """
    if question.video is not None:
        return _moment(media, Path(question.video), question.at_s, window_s)
    return QueryMedia(
        frame=None if question.image is None else _picture(media, question.image),
        sound=None if question.audio is None else _sound(media, question.audio),
    )


def read_extra(extra: Extra, media: Sandbox) -> QueryMedia:
    """Decode what counts beside the main query: a whole sound, or else one frame.

    Raises
    ------
    MediaError : the file is missing, cannot be read, or holds neither.
    QueryError : an array of the wrong shape or type.
    """
    if isinstance(extra.media, np.ndarray):
        given: NDArray[Any] = extra.media
        if given.ndim == 1:
            return QueryMedia(frame=None, sound=_sound(media, given))
        return QueryMedia(frame=_picture(media, given), sound=None)
    path = Path(extra.media)
    found = media.probe(path)
    if found.kind == "image":
        return QueryMedia(frame=media.read_frame(path, 0.0), sound=None)
    try:
        return QueryMedia(frame=None, sound=media.read_sound(path))
    except MediaError as error:
        if not found.has_frames or error.code not in NOTHING_HEARD:
            raise
        note = f"{path}: {error.code}: {error.reason}; counted by its middle frame"
    frame = media.read_frame(path, (found.duration_s or 0.0) / 2)
    return QueryMedia(frame=frame, sound=None, notes=(note,))


def embed_query(embedder: Embedder, query: QueryMedia) -> EmbeddedQuery:
    """Embed one frame, one sound, or both."""
    visual_map, coarse, sound = None, None, None
    if query.frame is not None:
        frames = embedder.embed_frames([embedder.prepare_frame(query.frame)])
        visual_map, coarse = frames.maps[0], frames.coarse[0]
    if query.sound is not None:
        sounds = embedder.embed_sounds([embedder.prepare_sound(query.sound)])
        sound = SoundBlock(ids=np.zeros(1, np.int64), f_s=sounds.f_s, h=sounds.h)
    return EmbeddedQuery(picture=query.frame, visual_map=visual_map, coarse=coarse, sound=sound)


def _picture(media: Sandbox, given: Picture) -> NDArray[np.uint8]:
    if not isinstance(given, np.ndarray):
        return media.read_frame(Path(given), 0.0)
    if given.ndim != 3 or given.shape[2] != 3 or given.dtype != np.uint8 or given.size == 0:
        raise QueryError(f"image: {given.dtype} {given.shape}; give uint8 (H, W, 3)")
    return given


def _sound(media: Sandbox, given: Sound) -> NDArray[np.float32]:
    if not isinstance(given, np.ndarray):
        return media.read_sound(Path(given))
    if given.ndim != 1 or given.dtype != np.float32 or given.size == 0:
        raise QueryError(f"audio: {given.dtype} {given.shape}; give float32 (T,) at 22050 Hz")
    if not np.isfinite(given).all():
        raise QueryError("audio: NaN or infinite samples; give finite ones in [-1, 1]")
    if given.size < MIN_SAMPLES:
        raise QueryError(f"audio: {given.size} samples; give {MIN_SAMPLES} or more (10 ms)")
    if np.abs(given).max() < SILENCE:
        raise QueryError("audio: never above -80 dBFS; give a sound that can be heard")
    return given


def _moment(media: Sandbox, path: Path, at_s: float | None, window_s: float) -> QueryMedia:
    found = media.probe(path)
    if found.kind == "image":
        raise QueryError(f"{path}: a picture, not a video; give it as the image")
    duration_s = found.duration_s or 0.0
    if at_s is not None and found.duration_s is not None and at_s > found.duration_s:
        raise QueryError(f"{path}: at_s={at_s} lies behind its end at {duration_s:.2f} s")
    middle_s = duration_s / 2 if at_s is None else at_s
    if not (found.has_frames or found.has_sound):
        raise MediaError(path, "unsupported", "neither picture nor sound in it")
    if not found.has_frames:
        sound = _sound_around(media, path, middle_s, window_s, found.duration_s)
        return QueryMedia(frame=None, sound=sound, notes=(f"{path}: no picture; by its sound",))
    frame = media.read_frame(path, middle_s)
    try:
        sound = _sound_around(media, path, middle_s, window_s, found.duration_s)
    except MediaError as error:
        if error.code not in NOTHING_HEARD:
            raise
        note = f"{path}: {error.code}: {error.reason}; searched by its frame alone"
        return QueryMedia(frame=frame, sound=None, notes=(note,))
    return QueryMedia(frame=frame, sound=sound)


def _sound_around(
    media: Sandbox, path: Path, middle_s: float, window_s: float, duration_s: float | None
) -> NDArray[np.float32]:
    """Read a window around a moment, moved inwards where it would leave the file."""
    start_s = max(middle_s - window_s / 2, 0.0)
    if duration_s is None:
        return media.read_sound(path, t0_s=start_s, t1_s=start_s + window_s)
    start_s = max(min(start_s, duration_s - window_s), 0.0)
    return media.read_sound(path, t0_s=start_s, t1_s=min(start_s + window_s, duration_s))
