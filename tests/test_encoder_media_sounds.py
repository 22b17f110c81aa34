"""Sounds: every format gives the same tone, every span the same slice."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import (
    RATE_HZ,
    TONE_PEAK,
    assert_tone,
    encoded,
    picture,
    refusal,
    tone,
    write_clip,
    write_tone,
)

from encoder.errors import InputError
from encoder.media import probe, read_frame, read_sound
from encoder.media.resampling import RateChange


@pytest.mark.parametrize(
    ("name", "subtype", "rate_hz"),
    [
        ("a.wav", "PCM_U8", 22_050),
        ("a.wav", "PCM_16", 44_100),
        ("a.wav", "PCM_24", 48_000),
        ("a.wav", "PCM_32", 96_000),
        ("a.wav", "FLOAT", 8_000),
        ("a.wav", "DOUBLE", 32_000),
        ("a.wav", "MS_ADPCM", 22_050),
        ("a.wav", "ULAW", 16_000),
        ("a.flac", "PCM_24", 192_000),
        ("a.aiff", "", 11_025),
        ("a.caf", "", 44_100),
        ("a.w64", "", 44_100),
        ("a.rf64", "", 44_100),
        ("a.au", "", 44_100),
        ("a.ogg", "VORBIS", 44_100),
        ("a.ogg", "OPUS", 48_000),
        ("a.opus", "OPUS", 24_000),
        ("a.mp3", "", 44_100),
    ],
)
def test_a_tone_survives_every_sound_format(tmp_path, name, subtype, rate_hz):
    path = write_tone(tmp_path / name, tone(1.0, rate_hz), rate_hz, subtype)
    sound = read_sound(path)
    assert_tone(sound)
    assert len(sound) == pytest.approx(RATE_HZ, abs=300 if subtype == "MS_ADPCM" else 1)
    assert probe(path).duration_s == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("a.m4a", "aac"),
        ("a.m4a", "alac"),
        ("a.aac", "aac"),
        ("a.mka", "libopus"),
        ("a.mka", "flac"),
        ("a.mkv", "pcm_s16le"),
        ("a.mov", "pcm_f32le"),
        ("a.webm", "libopus"),
        ("a.mka", "libmp3lame"),
        ("a.wav", "ac3"),  # libsndfile knows the container and not the codec
    ],
)
def test_a_tone_survives_every_container(tmp_path, name, audio):
    path = write_clip(tmp_path / name, video=None, audio=audio)
    sound = read_sound(path)
    assert_tone(sound)
    assert len(sound) == pytest.approx(2 * RATE_HZ, abs=0.1 * RATE_HZ)


def test_channels_are_averaged(tmp_path):
    left = np.stack([tone(), np.zeros(22_050, np.float32)], axis=1)
    opposed = np.stack([tone(), -tone()], axis=1)
    assert_tone(read_sound(write_tone(tmp_path / "left.wav", left)), peak=TONE_PEAK / 2)
    assert_tone(read_sound(write_tone(tmp_path / "left.mp3", left)), peak=TONE_PEAK / 2)
    assert refusal(read_sound, write_tone(tmp_path / "opposed.wav", opposed)).code == "silent"


def test_samples_beyond_full_scale_are_clipped(tmp_path):
    sound = read_sound(write_tone(tmp_path / "hot.wav", 4 * tone(), subtype="FLOAT"))
    assert np.abs(sound).max() == 1.0


def test_resampling_is_torchaudio_at_its_defaults(tmp_path):
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, 48_000).astype(np.float32)
    path = write_tone(tmp_path / "noise.wav", noise, 48_000, "FLOAT")
    expected = torchaudio.functional.resample(torch.from_numpy(noise), 48_000, RATE_HZ).numpy()
    np.testing.assert_allclose(read_sound(path), expected, atol=1e-5)


@given(
    from_hz=st.sampled_from([1_000, 8_000, 11_025, 16_000, 32_000, 44_100, 48_000, 192_000]),
    first=st.integers(0, 30_000),
    n_samples=st.integers(1, 5_000),
)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_resampled_span_is_a_slice_of_the_whole(from_hz, first, n_samples):
    change = RateChange.between(from_hz, RATE_HZ)
    source, whole = noise_and_resampled(from_hz)
    begin, end = change.needed(first, first + n_samples)
    span = change.resampled(source[begin:end], begin, first, first + n_samples)
    np.testing.assert_allclose(span, whole[first : first + n_samples], atol=1e-6)


@cache
def noise_and_resampled(from_hz: int):
    noise = np.random.default_rng(0).uniform(-1, 1, 2 * from_hz).astype(np.float32)
    whole = RateChange.between(from_hz, RATE_HZ).resampled(noise, 0, 0, None)
    assert len(whole) == 2 * RATE_HZ
    return noise, whole


def test_chunks_join_without_a_seam(monkeypatch):
    noise = np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)
    for from_hz in (8_000, 44_100, 48_000):
        change = RateChange.between(from_hz, RATE_HZ)
        whole = change.resampled(noise, 0, 0, None)
        monkeypatch.setattr("encoder.media.resampling._CHUNK_SAMPLES", 1_000)
        np.testing.assert_allclose(change.resampled(noise, 0, 0, None), whole, atol=1e-6)
        monkeypatch.undo()


def test_an_odd_rate_costs_no_giant_filter():
    for odd_hz in (22_051, 44_099, 7_919, 767_999):
        change = RateChange.between(odd_hz, RATE_HZ)
        assert max(change.up, change.down) <= 2_560
        assert change.up / change.down == pytest.approx(RATE_HZ / odd_hz, rel=2e-4)


SPANS = [(0.0, 0.5), (0.3, 0.31), (0.7777, 1.9), (1.5, None), (1.9, 9.0)]


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("a.wav", 1e-6), ("a.flac", 1e-6), ("a.ogg", 1e-6), ("a.mp3", 1e-4), ("a.opus", 2e-3)],
)
def test_a_span_is_a_slice_of_the_whole(tmp_path, name, tolerance):
    chirp = tone(2.0, 48_000) * np.linspace(0.2, 1, 96_000, dtype=np.float32)
    path = write_tone(tmp_path / name, chirp, 48_000)
    assert_spans_are_slices(path, tolerance)


@pytest.mark.parametrize(
    ("name", "audio", "tolerance"),
    [
        ("a.m4a", "aac", 2e-3),
        ("a.mp4", "aac", 2e-3),
        ("a.mov", "pcm_s16le", 1e-6),
        ("a.mts", "aac", 2e-3),
    ],
)
def test_a_span_of_a_container_is_a_slice_of_the_whole(tmp_path, name, audio, tolerance):
    video = {".m4a": None, ".webm": "libvpx"}.get(Path(name).suffix, "libx264")
    chirp = tone(2.0, 48_000) * np.linspace(0.2, 1, 96_000, dtype=np.float32)
    assert_spans_are_slices(
        write_clip(tmp_path / name, video=video, audio=audio, samples=chirp), tolerance
    )


def test_a_span_of_matroska_is_a_slice_to_within_half_a_millisecond(tmp_path):
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, 96_000).astype(np.float32)
    path = write_clip(tmp_path / "a.webm", video="libvpx", audio="libopus", samples=noise)
    whole, span = (read_sound(path, rate_hz=48_000, t0_s=t0_s) for t0_s in (0.0, 1.0))
    offsets = np.arange(-60, 61)
    likeness = [np.dot(whole[48_000 + at :][:40_000], span[:40_000]) for at in offsets]
    assert abs(offsets[np.argmax(likeness)]) <= 0.0005 * 48_000
    assert max(likeness) > 0.99 * np.dot(span[:40_000], span[:40_000])


def assert_spans_are_slices(path: Path, tolerance: float):
    whole = read_sound(path)
    for t0_s, t1_s in SPANS:
        first = round(t0_s * RATE_HZ)
        last = len(whole) if t1_s is None else min(round(t1_s * RATE_HZ), len(whole))
        span = read_sound(path, t0_s=t0_s, t1_s=t1_s)
        assert len(span) == last - first
        np.testing.assert_allclose(span, whole[first:last], atol=tolerance)


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.opus", "a.mp3", "a.m4a", "a.mkv"])
def test_a_span_behind_the_end_is_too_short(tmp_path, name):
    if name in ("a.m4a", "a.mkv"):
        path = write_clip(tmp_path / name)
    else:
        path = write_tone(tmp_path / name, tone(2.0, 48_000), 48_000)
    assert refusal(read_sound, path, t0_s=2.5).code == "too-short"
    assert refusal(read_sound, path, t0_s=2.5, t1_s=9.0).code == "too-short"
    assert refusal(read_sound, path, t0_s=1.0, t1_s=1.005).code == "too-short"
    assert refusal(read_sound, path, t0_s=1.0, t1_s=0.5).code == "too-short"


def test_silence_is_judged_in_the_span_alone(tmp_path):
    half = np.concatenate([np.zeros(22_050, np.float32), tone(0.5)])
    path = write_tone(tmp_path / "late.wav", half)
    assert refusal(read_sound, path, t1_s=0.4).code == "silent"
    assert_tone(read_sound(path, t0_s=0.5))


@pytest.mark.parametrize("time_s", [-1.0, math.nan, math.inf])
def test_impossible_times_are_the_callers_error(tmp_path, time_s):
    path = write_tone(tmp_path / "a.wav")
    for wrong in ({"t0_s": time_s}, {"t1_s": time_s}):
        with pytest.raises(InputError, match="number of seconds"):
            read_sound(path, **wrong)
    with pytest.raises(InputError):
        read_frame(path, time_s)


def test_a_stream_that_never_knew_its_length_is_read_to_the_end(tmp_path):
    wav, flac = write_tone(tmp_path / "a.wav"), write_tone(tmp_path / "a.flac")
    whole = {path: read_sound(path) for path in (wav, flac)}
    content = bytearray(wav.read_bytes())
    content[40:44] = b"\xff" * 4  # as FFmpeg writes into a pipe
    wav.write_bytes(content)
    content = bytearray(flac.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # as flac writes into a pipe
    flac.write_bytes(content)
    for path, expected in whole.items():
        np.testing.assert_allclose(read_sound(path), expected, atol=1e-6)


def test_an_mp3_without_a_xing_frame_is_read_to_the_end(tmp_path):
    path = tmp_path / "a.mp3"
    noise = np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    rising = tone(4.0) + np.repeat([0, 0, 0, 0.1], 44_100) * np.tile(noise, 4)
    soundfile.write(path, rising, 44_100, bitrate_mode="VARIABLE", compression_level=0.7)
    content = path.read_bytes()
    first = content.index(b"\xff\xfb")
    second = content.index(content[first : first + 2], content.index(b"Xing") + 100)
    path.write_bytes(content[second:])
    assert len(read_sound(path)) == pytest.approx(4 * RATE_HZ, abs=0.1 * RATE_HZ)


def test_cover_art_is_no_frame(tmp_path):
    path = write_tone(tmp_path / "song.mp3")
    art = encoded(picture(), "JPEG")
    body = b"\0image/jpeg\0\x03\0" + art
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + frame + path.read_bytes())
    found = probe(path)
    assert (found.kind, found.has_sound, found.has_frames) == ("audio", True, False)
    assert refusal(read_frame, path, 0.0).code == "no-video-stream"
    assert_tone(read_sound(path))


def write_tones(path, starts_s):
    """Half a second of a tone at each of the times, nothing between them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for start_s in starts_s:
            pcm = (tone(0.5, 48_000)[None] * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, round(48_000 * start_s)
            container.mux(stream.encode(frame))
    return path


def test_a_pause_in_the_recording_stays_a_pause(tmp_path):
    sound = read_sound(write_tones(tmp_path / "pause.mka", (0, 1)))
    assert len(sound) == pytest.approx(1.5 * RATE_HZ, abs=2)
    assert np.abs(sound[round(0.51 * RATE_HZ) : round(0.99 * RATE_HZ)]).max() < 1e-3
    assert_tone(sound[: RATE_HZ // 2])
    assert_tone(sound[RATE_HZ:])


def test_a_few_clocks_do_not_make_hours_of_silence(tmp_path):
    """Ten pauses of 50 s are a recording; thirty, of as few tones, a damaged file or a bomb."""
    short = write_tones(tmp_path / "short.mka", range(0, 501, 50))
    assert len(read_sound(short)) == pytest.approx(500.5 * RATE_HZ, abs=2)
    long = write_tones(tmp_path / "long.mka", range(0, 1501, 50))
    assert "silence for the most part" in refusal(read_sound, long).reason
    assert_tone(read_sound(long, t0_s=1400, t1_s=1400.4))


def test_sixteen_planes_are_sixteen_channels(tmp_path):
    """PyAV looks for a null pointer behind the last plane, which from nine on need not be there."""
    path = tmp_path / "many.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="hexadecagonal")
        stream.options = {"mapping_family": "255"}
        packed = np.repeat((tone(0.5, 48_000) * 32_767).astype(np.int16), 16)[None]
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="hexadecagonal")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert_tone(read_sound(path))


def test_channels_may_change_inside_a_stream(tmp_path):
    parts = []
    for layout in ("mono", "stereo", "mono"):
        path = tmp_path / f"{layout}.aac"
        with av.open(str(path), "w", format="adts") as container:
            stream = container.add_stream("aac", rate=44_100, layout=layout)
            samples = np.stack([tone(1.0), 0 * tone(1.0)][: 2 if layout == "stereo" else 1])
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = 44_100, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    sound = read_sound(path)
    assert len(sound) == pytest.approx(3.0 * RATE_HZ, abs=0.2 * RATE_HZ)
    for second, level in enumerate((1, 0.5, 1)):  # the second has its tone on the left alone
        assert_tone(sound[round((second + 0.2) * RATE_HZ) :][: RATE_HZ // 2] / level)


def test_vorbis_whose_clock_is_a_few_samples_off_is_read(tmp_path):
    hiss = np.random.default_rng(0).standard_normal(132_300).astype(np.float32)
    path = write_tone(tmp_path / "copied.ogg", tone(3.0) + 0.001 * hiss)
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    path.write_bytes(b"".join(pages[:3] + [_later(page, 200) for page in pages[3:]]))
    assert soundfile.info(path).frames == len(soundfile.read(path)[0]) + 200
    assert_tone(read_sound(path))


def _later(page: bytes, n_samples: int) -> bytes:
    """An Ogg page with its position moved, and its checksum put right (RFC 3533 §6)."""
    position = int.from_bytes(page[6:14], "little") + n_samples
    page = page[:6] + position.to_bytes(8, "little") + page[14:22] + bytes(4) + page[26:]
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return page[:22] + checksum.to_bytes(4, "little") + page[26:]
