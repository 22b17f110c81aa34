"""Containers, Opus and MP3, by the FFmpeg that PyAV brings: frames at a time, spans of sound."""

from __future__ import annotations

import errno
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.stream import Disposition

from encoder.media.formats import kind_of
from encoder.media.source import MediaProbe, Source
from encoder.media.spans import (
    MOTION_PX,
    Excerpt,
    MovingFrame,
    SoundBlock,
    Span,
    checked_rate,
    mixed_down,
    rate_change,
)

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    Frame = AudioFrame | VideoFrame
    Stream = TypeVar("Stream", AudioStream, VideoStream)

_RUN_IN_S = 0.5
"""Decoded and thrown away before a span, for codecs that lean on earlier packets (Opus 80 ms, MP3
ten frames)."""
_SLACK_S = 0.05
"""A clock may be this far off the samples; more is a pause in the recording."""
_MAX_PAUSE_S = 60.0
_MAX_SILENCE_S = 600.0
"""Of all pauses and a late start together, unless there is as much sound: a few damaged clocks
would otherwise turn kilobytes into hours."""
_BACK_S = (0.0, 5.0)
"""A seek can land too late (MPEG-TS has no index, MP4 keeps one of decoding times): then from this
much earlier, and at last from the beginning."""

_RUN_SAMPLES = 1 << 20
"""Samples per channel that are mixed down at once."""

_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def probed(source: Source) -> MediaProbe:
    """Read the headers. A file without frames is a video if its suffix says so, else a sound."""
    with _opened(source) as container:
        pictures = _pictures(container)
        is_video = bool(pictures) or kind_of(source.path) == "video"
        return MediaProbe(
            kind="video" if is_video else "audio",
            width_px=pictures[0].width if pictures else None,
            height_px=pictures[0].height if pictures else None,
            duration_s=_duration_s(container),
            has_sound=bool(_decodable(container.streams.audio)),
            has_frames=bool(pictures),
        )


def frame_at(source: Source, time_s: float) -> NDArray[np.uint8]:
    """Decode the frame shown at a time to (H, W, 3) uint8 RGB, upright.

    Raises
    ------
    MediaError : `no-video-stream`, `too-large`, `corrupt`, …
    """
    with _opened(source) as container:
        stream = _chosen(source, _pictures(container), "no-video-stream")
        source.check_pixels(stream.width, stream.height)
        track = _Track(source=source, container=container, stream=stream)
        frame = _shown(track, min(time_s, _duration_s(container) or time_s))
        if frame is None:
            raise source.error("corrupt", "no frame of it can be decoded")
        source.check_pixels(frame.width, frame.height)
        rgb = frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def excerpt(source: Source, span: Span) -> Excerpt:
    """Decode what a span depends on.

    Raises
    ------
    MediaError : `no-audio-stream`, `corrupt`, …
    """
    with _opened(source) as container:
        stream = _chosen(source, _decodable(container.streams.audio), "no-audio-stream")
        rate_hz = stream.codec_context.sample_rate
        change = rate_change(source, rate_hz, span.rate_hz)
        first, last = change.needed(span.first, span.last)
        track = _Track(source=source, container=container, stream=stream)
        samples = _between(track, rate_hz, first, last)
    return Excerpt(samples=samples, rate_hz=rate_hz)


def channel_blocks(source: Source) -> Iterator[SoundBlock]:
    """Decode all of a sound once, block by block.

    Raises
    ------
    MediaError : `no-audio-stream`, `corrupt`, …
    """
    with _opened(source) as container:
        stream = _chosen(source, _decodable(container.streams.audio), "no-audio-stream")
        rate_hz = checked_rate(source, stream.codec_context.sample_rate)
        track = _Track(source=source, container=container, stream=stream)
        is_empty = True
        for first, frame in _placed(track, rate_hz, 0.0, None):
            source.check_seconds(first / rate_hz)
            # What stands before the file's beginning, by a damaged clock, is of no span either.
            samples = _channels(frame)[max(-first, 0) :]
            if len(samples):
                is_empty = False
                yield SoundBlock(samples=samples, first=max(first, 0), rate_hz=rate_hz)
        if is_empty:
            raise source.error("corrupt", "nothing of its sound can be decoded")


def moving_frames(
    source: Source, every_s: float, times_s: Sequence[float]
) -> Iterator[MovingFrame]:
    """Decode a video once; give what it shows every so often, at its end, and at some times.

    Parameters
    ----------
    times_s : ascending; behind the end the last frame is shown.

    Raises
    ------
    MediaError : `no-video-stream`, `too-large`, `corrupt`, …
    """
    with _opened(source) as container:
        stream = _chosen(source, _pictures(container), "no-video-stream")
        source.check_pixels(stream.width, stream.height)
        track = _Track(source=source, container=container, stream=stream)
        asked, shown = _Asked(every_s, times_s), None
        ends_s = 0.0
        for starts_s, decoded in track.frames_from(0.0):
            frame = cast("VideoFrame", decoded)
            source.check_pixels(frame.width, frame.height)
            begins_s = ends_s if starts_s is None else starts_s
            source.check_seconds(begins_s)
            _check_pause(source, begins_s - ends_s, begins_s)
            # Half a tick of grace, as in `_shown`.
            while shown is not None and begins_s > asked.next_s + track.tick_s / 2:
                yield _moving(shown, asked.taken())
            shown, ends_s = frame, max(begins_s, 0.0)
        if shown is None:
            raise source.error("corrupt", "no frame of it can be decoded")
        for time_s in sorted({ends_s, *asked.times_s}):
            yield _moving(shown, time_s)


class _Asked:
    """Times every so often, and some between them."""

    def __init__(self, every_s: float, times_s: Sequence[float]) -> None:
        self.every_s, self.times_s, self._n = every_s, deque(times_s), 0

    @property
    def next_s(self) -> float:
        return min([self._n * self.every_s, *islice(self.times_s, 1)])

    def taken(self) -> float:
        time_s = self.next_s
        if time_s == self._n * self.every_s:
            self._n += 1
        while self.times_s and self.times_s[0] == time_s:
            self.times_s.popleft()
        return time_s


def _moving(frame: VideoFrame, time_s: float) -> MovingFrame:
    small = frame.reformat(
        width=MOTION_PX, height=MOTION_PX, format="gray", interpolation="AREA"
    ).to_ndarray()
    pixels: Any = frame.to_ndarray(format="rgb24")
    return MovingFrame(time_s=time_s, pixels=pixels, small=cast("NDArray[np.uint8]", small))


class _File:
    """The source for PyAV, which prints a traceback where a seek fails.

    A damaged header can send FFmpeg to before the beginning: it gets its answer as an error number.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.tell = file.read, file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EIO)


@contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    # `replace`: a title in Latin-1 must not make a film unreadable.
    try:
        with av.open(
            _File(source.file), mode="r", format=source.format.demuxer, metadata_errors="replace"
        ) as container:
            source.check_seconds(_duration_s(container) or 0.0)
            yield container
    except av.FFmpegError as error:
        code = "truncated" if isinstance(error, av.EOFError) else "corrupt"
        raise source.error(code, f"FFmpeg: {error.strerror}") from error


def _duration_s(container: InputContainer) -> float | None:
    """Seconds that the headers promise; damaged ones can promise less than none."""
    duration = container.duration
    return None if duration is None or duration < 0 else duration / av.time_base


def _decodable(streams: Iterable[Stream]) -> list[Stream]:
    """Streams that FFmpeg has a decoder for, the default one first."""
    usable = [stream for stream in streams if stream.codec_context is not None]
    return sorted(usable, key=lambda stream: not stream.disposition & Disposition.default)


def _pictures(container: InputContainer) -> list[VideoStream]:
    streams = _decodable(container.streams.video)
    return [stream for stream in streams if not stream.disposition & Disposition.attached_pic]


def _chosen(source: Source, streams: list[Stream], code: str) -> Stream:
    if not streams:
        raise source.error(code, f"this {source.format.name} has none that can be decoded")
    streams[0].codec_context.thread_count = 1  # callers run one decoder per core
    return streams[0]


@dataclass(frozen=True, kw_only=True)
class _Track:
    """One stream of an open file; times are seconds since the first stream of the file began."""

    source: Source
    container: InputContainer
    stream: AudioStream | VideoStream

    @property
    def tick_s(self) -> float:
        return float(self.stream.time_base or 1)

    @property
    def origin_s(self) -> float:
        return (self.container.start_time or 0) / av.time_base

    def frames_from(self, time_s: float) -> Iterator[tuple[float | None, Frame]]:
        """Frames and when each begins, the first of them at or before a time."""
        if time_s == 0:
            yield from self._frames()
            return
        for start_s in (time_s - back_s for back_s in _BACK_S if back_s < time_s):
            frames = self._frames_sought(start_s)
            first = next(frames, None)
            if first is not None and (first[0] or 0.0) <= time_s:
                yield first
                yield from frames
                return
        yield from self._frames_from_the_beginning()

    def _frames_sought(self, time_s: float) -> Iterator[tuple[float | None, Frame]]:
        ticks = math.floor((time_s + self.origin_s) / self.tick_s)
        try:
            self.container.seek(ticks, stream=self.stream)
        except av.FFmpegError:  # not all formats can
            return
        yield from self._frames()

    def _frames_from_the_beginning(self) -> Iterator[tuple[float | None, Frame]]:
        self.source.file.seek(0)
        with _opened(self.source) as container:
            stream = cast("AudioStream | VideoStream", container.streams[self.stream.index])
            stream.codec_context.thread_count = 1
            yield from replace(self, container=container, stream=stream)._frames()

    def _frames(self) -> Iterator[tuple[float | None, Frame]]:
        tick_s, origin_s = self.tick_s, self.origin_s
        for frame in self._decoded():
            ticks = frame.dts if frame.pts is None else frame.pts
            yield None if ticks is None else ticks * tick_s - origin_s, frame

    def _decoded(self) -> Iterator[Frame]:
        """All that can be decoded; a damaged packet is passed over, as players do."""
        for packet in self._packets():
            try:
                frames: Any = packet.decode()
            except av.InvalidDataError:
                continue
            yield from frames

    def _packets(self) -> Iterator[Packet[Any]]:
        try:
            yield from self.container.demux(self.stream)
        except IndexError as error:  # PyAV, in formats that may announce a stream at any time
            raise self.source.error(
                "corrupt", "a stream begins that no header announced"
            ) from error


def _shown(track: _Track, time_s: float) -> VideoFrame | None:
    """Last frame that begins at or before a time, the first one where all begin later."""
    # Half a tick of grace: times are floats, and Matroska's ticks are rounded.
    until_s = time_s + track.tick_s / 2
    shown = None
    for starts_s, frame in track.frames_from(time_s):
        if shown is not None and starts_s is not None and starts_s > until_s:
            break
        shown = frame
    return cast("VideoFrame | None", shown)


def _between(track: _Track, rate_hz: int, first: int, last: int | None) -> NDArray[np.float32]:
    """Mono samples [first, last) of a stream; silence where its recording pauses."""
    chunks = []
    n_heard = 0
    for at, frame in _placed(track, rate_hz, max(first / rate_hz - _RUN_IN_S, 0.0), last):
        track.source.check_seconds((at - first) / rate_hz)
        chunk = mixed_down(_channels(frame))
        n_silent = at - first - n_heard
        if n_silent > max(_MAX_SILENCE_S * rate_hz, n_heard):
            raise track.source.error("corrupt", "by its clock it is silence for the most part")
        chunks.append((at, chunk))
        n_heard += len(chunk)
    if not chunks:
        raise track.source.error("corrupt", "nothing of its sound can be decoded")
    return _joined(chunks, first, last)


def _placed(
    track: _Track, rate_hz: int, time_s: float, last: int | None
) -> Iterator[tuple[int, AudioFrame]]:
    """Chunks from a time to a sample, and the sample at which each begins.

    They follow each other without a gap unless the clock jumps forward: a coarse clock (Matroska
    counts milliseconds) must not tear the waveform, a pause must not move what comes after it.
    """
    run, begin, at, kind = AudioFifo(), 0, None, None
    frames = cast("Iterator[tuple[float | None, AudioFrame]]", track.frames_from(time_s))
    for starts_s, frame in frames:
        if frame.sample_rate != rate_hz:
            reason = f"its rate changes to {frame.sample_rate} Hz inside"
            raise track.source.error("corrupt", reason)
        start = _start(track.source, starts_s, at, rate_hz)
        if last is not None and start >= last:
            break
        if start != at or run.samples > _RUN_SAMPLES or _kind(frame) != kind:
            yield from _emptied(run, begin)
            run, begin, kind = AudioFifo(), start, _kind(frame)
        frame.pts = None  # the queue would hold us to the file's clock, which may be coarse
        run.write(frame)  # FFmpeg's: in numpy it would be five calls for each 20 ms of Opus
        at = start + frame.samples
    yield from _emptied(run, begin)


def _kind(frame: AudioFrame) -> tuple[str, int]:
    """What the frames of one queue must share; PyAV does not look."""
    return frame.format.name, frame.layout.nb_channels


def _emptied(run: AudioFifo, begin: int) -> Iterator[tuple[int, AudioFrame]]:
    frame = run.read()
    if frame is not None:
        yield begin, frame


def _start(source: Source, time_s: float | None, expected: int | None, rate_hz: int) -> int:
    """Sample at which a frame begins: where it is expected, unless its clock says much later."""
    if time_s is None:
        return expected or 0
    if expected is None:
        return round(time_s * rate_hz)
    pause_s = time_s - expected / rate_hz
    _check_pause(source, pause_s, time_s)
    return round(time_s * rate_hz) if pause_s > _SLACK_S else expected


def _check_pause(source: Source, pause_s: float, time_s: float) -> None:
    if pause_s > _MAX_PAUSE_S:
        raise source.error("corrupt", f"its clock jumps ahead to {time_s:.0f} s")


def _channels(frame: AudioFrame) -> NDArray[np.float32]:
    """(T, C) float32, full scale ±1, from any sample format."""
    dtype = _SAMPLE_TYPES[frame.format.packed.name]
    planar, n_channels = frame.format.is_planar, frame.layout.nb_channels
    # PyAV looks for the last plane by its null pointer, which from nine channels on is not there:
    # what it finds behind them points anywhere.
    found = frame.planes[: n_channels if planar else 1]
    planes = [np.frombuffer(cast("memoryview", plane), dtype) for plane in found]
    if len(planes) > 1:
        channels = np.stack(planes, axis=1)[: frame.samples]
    else:
        width = 1 if planar else n_channels
        channels = planes[0][: frame.samples * width].reshape(-1, width)
    return _full_scale(channels)


def _full_scale(channels: NDArray[Any]) -> NDArray[np.float32]:
    """Integers to [-1, 1]; FFmpeg fills all bits of a sample, also with 24-bit sound."""
    scaled: NDArray[np.float32] = channels.astype(np.float32, copy=False)
    if channels.dtype == np.uint8:
        scaled = (scaled - 128) / np.float32(128)
    elif channels.dtype.kind == "i":
        scaled = scaled / np.float32(2 ** (8 * channels.dtype.itemsize - 1))
    return scaled


def _joined(
    chunks: list[tuple[int, NDArray[np.float32]]], first: int, last: int | None
) -> NDArray[np.float32]:
    end = chunks[-1][0] + len(chunks[-1][1])
    samples = np.zeros(max((end if last is None else min(end, last)) - first, 0), np.float32)
    for at, chunk in chunks:
        chunk = chunk[max(first - at, 0) :]
        place = samples[max(at - first, 0) :][: len(chunk)]
        place[:] = chunk[: len(place)]
    return samples
