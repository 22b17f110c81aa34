"""Inspections: every kind of finding, on both sides of its limit, in files that the tests make."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from broken_files import write_broken, write_good
from conftest import write_picture, write_sound, write_video
from indexer_fixtures import options
from inspection_fixtures import (
    RATE_HZ,
    found_in,
    inspected,
    large_picture,
    write_level,
    write_samples,
)
from media_files import encoded, tone, write_clip
from PIL import Image

from encoder.embedder import Embedder
from encoder.errors import MEDIA_CODES
from encoder.media import Look, Motion, measure_sound
from indexer.build import build_index
from indexer.inspection import corpus
from indexer.inspection.corpus import inspect_corpus
from indexer.inspection.findings import Thresholds
from indexer.inspection.pictures import judge_video
from indexer.inspection.table import write_table
from indexer.inspection.uses import SourceUse
from indexer.plan import Source
from indexer.progress import BuildProgress
from indexer.reader import IndexReader
from indexer.scan import scan

# ------------------------------------------------------------------ sounds


@pytest.mark.parametrize(("decibels", "is_silent"), [(-60.2, True), (-59.8, False), (-90, True)])
def test_silence(tmp_path: Path, decibels: float, is_silent: bool) -> None:
    write_level(tmp_path / "a.wav", decibels)
    found = found_in(tmp_path, "silent")
    assert bool(found) is is_silent
    for one in found:
        assert one.value == pytest.approx(decibels, abs=0.05)
        assert (one.path, one.t0_s, one.t1_s) == ("a.wav", None, None)


def test_a_silent_window_is_found_in_a_sound(tmp_path: Path) -> None:
    quiet = np.zeros(RATE_HZ, np.float32)
    write_samples(tmp_path / "a.wav", np.concatenate([tone(1.0, RATE_HZ), quiet, quiet, quiet]))
    items = scan(tmp_path, options=options(window_s=1.0)).items
    found = found_in(tmp_path, "silent", window_s=1.0)
    assert [(one.t0_s, one.t1_s) for one in found] == [(1.0, 2.0), (2.0, 3.0), (3.0, None)]
    assert [one.items for one in found] == [(item.key,) for item in items[1:]]


@pytest.mark.parametrize(("n_runs", "is_clipped"), [(3, False), (4, True)])
def test_clipping(tmp_path: Path, n_runs: int, is_clipped: bool) -> None:
    samples = tone(0.5, RATE_HZ)[:3_600]  # a thousandth of it is 3.6 samples
    for n in range(n_runs // 3):
        samples[100 * n : 100 * n + 3] = 1.0
    if n_runs % 3:
        samples[50:53] = -1.0
    write_samples(tmp_path / "a.wav", samples)
    found = found_in(tmp_path, "clipped")
    assert bool(found) is is_clipped
    assert all(one.value == pytest.approx(6 / 3_600) for one in found)


@pytest.mark.parametrize(("n_samples", "is_short"), [(2_399, True), (2_400, False)])
def test_shortness(tmp_path: Path, n_samples: int, is_short: bool) -> None:
    write_samples(tmp_path / "a.wav", tone(1.0, RATE_HZ)[:n_samples])
    assert bool(found_in(tmp_path, "too-short")) is is_short


def test_what_a_build_refuses_as_too_short_or_not_finite_is_measured(tmp_path: Path) -> None:
    write_samples(tmp_path / "a.wav", tone(1.0, RATE_HZ)[:20])
    samples = tone(1.0, RATE_HZ)
    samples[7] = np.nan
    write_samples(tmp_path / "b.wav", samples)
    assert [(one.kind, one.path) for one in inspected(tmp_path).findings] == [
        ("not-finite", "b.wav"),
        ("too-short", "a.wav"),
    ]


@pytest.mark.parametrize(
    ("share", "is_lost"), [(-1.0, True), (-0.55, True), (-0.45, False), (1, False)]
)
def test_channels_that_cancel(tmp_path: Path, share: float, is_lost: bool) -> None:
    left = tone(0.5, RATE_HZ)
    write_samples(tmp_path / "a.wav", np.stack([left, np.float32(share) * left], axis=1))
    assert bool(found_in(tmp_path, "cancelling")) is is_lost
    assert not found_in(tmp_path, "silent")


def test_unrelated_channels_do_not_cancel_however_many(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE_HZ, 12)).astype(np.float32)
    write_samples(tmp_path / "a.wav", noise)
    assert not inspected(tmp_path).findings


# ------------------------------------------------------------------ pictures and videos


@pytest.mark.parametrize(("level", "is_black"), [(25, True), (26, False)])
def test_blackness(tmp_path: Path, level: int, is_black: bool) -> None:
    pixels = np.full((80, 80, 3), level, np.uint8)
    pixels[:1] = 255  # one row of 80 is no more than 2 %
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert bool(found_in(tmp_path, "black")) is is_black
    assert bool(found_in(tmp_path, "one-colour")) is False


@pytest.mark.parametrize(("reach", "is_one"), [(8, True), (9, False)])
def test_one_colour(tmp_path: Path, reach: int, is_one: bool) -> None:
    pixels = np.full((80, 80, 3), (200, 120, 60), np.uint8)
    pixels[:40, :, 1] += reach
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert bool(found_in(tmp_path, "one-colour")) is is_one


@pytest.mark.parametrize(("side", "is_tiny"), [(63, True), (64, False)])
def test_tiny_pictures(tmp_path: Path, side: int, is_tiny: bool) -> None:
    large_picture(size_px=(side, 200)).save(tmp_path / "a.png")
    assert bool(found_in(tmp_path, "tiny")) is is_tiny


def write_frames(path: Path, frames: list[Image.Image]) -> None:
    """Write a mute video at 5 frames a second."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def with_dot(x: int, level: int) -> Image.Image:
    """A picture in one cell of which something is brighter."""
    pixels = np.array(large_picture(size_px=(128, 128))) // 2
    pixels[40:48, x : x + 8] = level
    return Image.fromarray(pixels)


def test_a_still_video_and_one_in_which_a_little_moves(tmp_path: Path) -> None:
    write_frames(tmp_path / "still.mp4", [with_dot(40, 200)] * 20)
    write_frames(tmp_path / "moves.mp4", [with_dot(8 * (n % 10), 200) for n in range(20)])
    found = found_in(tmp_path, "still")
    assert [(one.path, one.t0_s, one.t1_s) for one in found] == [("still.mp4", None, None)]


@pytest.mark.parametrize(
    ("changes", "is_still"),
    [
        ([1.49] * 8, True),
        ([1.51] * 8, False),
        ([0.2] * 7 + [9.0], True),
        ([0.2, 9.0] * 4, False),
    ],
)
def test_the_limit_of_stillness(changes: list[float], is_still: bool) -> None:
    """A quarter of the looks may differ: there the pictures of a codec begin anew."""
    look = Look(width_px=320, height_px=240, brightness=200.0, reach=200)
    motion = Motion(times_s=np.arange(9) / 2, looks=(look,) * 9, changes=np.array([0.0, *changes]))
    source = Source(path="v.mp4", kind="video", size=1, mtime_ns=0)
    use = SourceUse(source=source, times={2.0: ["key"]})
    found = judge_video(use, motion, Thresholds(), window_s=10.0)
    assert [one.kind for one in found] == (["still"] if is_still else [])


def test_a_single_look_says_nothing_of_motion() -> None:
    look = Look(width_px=320, height_px=240, brightness=200.0, reach=200)
    source = Source(path="v.mp4", kind="video", size=1, mtime_ns=0)
    use = SourceUse(source=source, times={0.0: ["key"]})
    assert judge_video(use, Motion.still(look), Thresholds(), window_s=10.0) == []


def test_a_still_window_of_a_video_that_moves(tmp_path: Path) -> None:
    moving = [with_dot(8 * (n % 10), 200) for n in range(20)]
    write_frames(tmp_path / "v.mp4", moving + [with_dot(0, 200)] * 20)
    found = found_in(tmp_path, "still", window_s=4.0)
    assert [(one.t0_s, one.t1_s) for one in found] == [(4.0, 8.0)]
    assert len(found[0].items) == 1


def test_a_video_that_is_black_throughout_and_one_with_a_black_frame(tmp_path: Path) -> None:
    black = Image.new("RGB", (128, 128))
    write_frames(tmp_path / "black.mp4", [black] * 20)
    frames = [with_dot(8 * (n % 10), 200) for n in range(20)]
    write_frames(tmp_path / "part.mp4", frames[:8] + [black] * 4 + frames[:8])
    found = found_in(tmp_path, "black")
    assert [(one.path, one.t0_s) for one in found] == [("black.mp4", None), ("part.mp4", 2.0)]


# ------------------------------------------------------------------ the whole corpus


def test_a_clean_corpus_has_no_findings(tmp_path: Path) -> None:
    for n in range(3):
        large_picture(n).save(tmp_path / f"p{n}.png")
        write_sound(tmp_path / f"p{n}.wav", n)
    found = inspected(tmp_path)
    assert found.findings == ()
    assert found.n_files == 6
    assert sum(found.durations.values()) == pytest.approx(2.4, abs=0.01)
    assert found.of_items() == {}


def test_broken_files_give_their_codes_and_stop_nothing(tmp_path: Path) -> None:
    good, broken = write_good(tmp_path / "good"), write_broken(tmp_path / "broken")
    found = inspected(tmp_path)
    codes = {one.path: one.code for one in found.findings if one.code}
    assert set(codes.values()) <= set(MEDIA_CODES)
    usable = {f"good/{path.name}" for path in good}
    assert not usable & set(codes)
    measured = {
        one.path for one in found.findings if one.kind in ("silent", "not-finite", "too-short")
    }
    for one in broken:
        is_entry = one.path.is_file() or one.path.is_symlink()
        if is_entry and one.code != "no-video-stream":  # a sound, and nobody asks for its frames
            assert f"broken/{one.path.name}" in measured | set(codes)


def test_a_file_that_makes_measuring_fail_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_level(tmp_path / "a.wav", -70)
    write_level(tmp_path / "b.wav", -70, seconds=1.0)

    def unlucky(path: Path, **how: Any) -> Any:
        return measure_sound(path, **how) if path.name == "b.wav" else np.zeros(-1)

    monkeypatch.setattr(corpus, "measure_sound", unlucky)
    found = [(one.kind, one.path, one.code) for one in inspected(tmp_path).findings]
    assert found == [("broken", "a.wav", "crashed"), ("silent", "b.wav", "")]


def test_videos_of_one_half_are_not_broken(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", 1, with_sound=False)
    write_clip(tmp_path / "blind.mp4", video=None)
    found = [(one.kind, one.path, one.code) for one in inspected(tmp_path).findings if one.code]
    assert found == [
        ("one-sided", "blind.mp4", "no-video-stream"),
        ("one-sided", "mute.mp4", "no-audio-stream"),
    ]


def test_exact_duplicates_are_grouped_by_the_first(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c/z.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(large_picture(), "PNG"))
    write_picture(tmp_path / "other.png", 5)
    same_size = bytearray(encoded(large_picture(), "PNG"))
    same_size[-1] ^= 1  # behind the last chunk's content: read alike, other bytes
    (tmp_path / "near.png").write_bytes(same_size)
    found = inspected(tmp_path)
    pairs = [(one.path, one.same_as) for one in found.findings if one.kind == "duplicate"]
    assert pairs == [("b.png", "a.png"), ("c/z.png", "a.png")]
    assert found.n_digested == 4


def test_items_know_their_findings_and_shared_files_are_read_once(tmp_path: Path) -> None:
    large_picture().save(tmp_path / "p.png")
    write_level(tmp_path / "quiet.wav", -70)
    write_level(tmp_path / "loud.wav", -20)
    rows = [("p.png", "quiet.wav"), ("p.png", "loud.wav"), ("", "quiet.wav")]
    (tmp_path / "m.csv").write_text("image,audio\n" + "".join(f"{a},{b}\n" for a, b in rows))
    report = scan(tmp_path / "m.csv")
    found = inspect_corpus(report)
    keys = [item.key for item in report.items]
    assert found.n_files == 3
    assert found.of_items() == {keys[0]: {"silent"}, keys[2]: {"silent"}}


def test_it_is_the_same_however_many_work(tmp_path: Path) -> None:
    write_good(tmp_path / "good")
    write_broken(tmp_path / "broken")
    one, four = (inspected(tmp_path, workers=n).findings for n in (1, 4))
    assert one == four
    assert Counter(found.kind for found in one)["broken"] > 30


def test_progress_is_told_and_adds_up(tmp_path: Path) -> None:
    write_good(tmp_path / "good")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    told: list[BuildProgress] = []
    inspect_corpus(scan(tmp_path), on_progress=told.append)
    last = told[-1]
    assert last.phase == "inspect"
    assert (last.done, last.failed, last.total) == (12, 1, 13)
    assert last.rate_per_s > 0
    assert last.eta_s == 0


def test_it_needs_no_torch(tmp_path: Path) -> None:
    write_good(tmp_path)
    code = (
        "import sys, pathlib; from indexer.scan import scan;"
        "from indexer.inspection.corpus import inspect_corpus;"
        "inspect_corpus(scan(pathlib.Path(sys.argv[1])));"
        "print(sorted({'torch', 'faiss', 'sqlalchemy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


# ------------------------------------------------------------------ the table


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A corpus of every sort of item: pair, lone ones, windows, a mute video, a whole one."""
    corpus = tmp_path / "küche"
    corpus.mkdir()
    large_picture().save(corpus / "pair.png")
    write_level(corpus / "pair.wav", -70)
    large_picture(1).save(corpus / "lone, really.png")
    write_sound(corpus / "long.wav", 1, seconds=4.2)
    write_video(corpus / "v.mp4", 1, seconds=5)
    write_video(corpus / "short.mp4", 2, seconds=2)
    write_video(corpus / "mute.mp4", 3, seconds=5, with_sound=False)
    return corpus


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_plans_the_same_items_again(mixed: Path, tmp_path: Path, suffix: str) -> None:
    chosen = options(window_s=2.0)
    report = scan(mixed, options=chosen)
    path = mixed / f"findings{suffix}"
    assert write_table(path, report.items, inspect_corpus(report, options=chosen).of_items()) == 0
    again = scan(path, options=chosen)
    assert sorted(item.key for item in again.items) == sorted(item.key for item in report.items)
    kinds = {item.key: item.metadata["findings"] for item in again.items}
    assert {value for key, value in kinds.items() if "pair" in key} == {"silent"}
    assert {value for key, value in kinds.items() if "lone" in key} == {"none"}
    with pytest.raises(FileExistsError):
        write_table(path, report.items, {})


class CountingEmbedder(Embedder):
    """An embedder that counts what it is given."""

    n_embedded = 0

    def embed_frames(self, prepared: Any) -> Any:
        self.n_embedded += len(prepared)
        return super().embed_frames(prepared)

    def embed_sounds(self, prepared: Any) -> Any:
        self.n_embedded += len(prepared)
        return super().embed_sounds(prepared)


def test_an_index_takes_a_table_in_without_encoding_again(
    mixed: Path, tiny_checkpoint: Path
) -> None:
    embedder = CountingEmbedder.load(tiny_checkpoint, device="cpu")
    chosen = options(window_s=2.0)
    first = build_index(mixed, embedder=embedder, options=chosen)
    report, n_embedded = scan(mixed, options=chosen), embedder.n_embedded
    write_table(mixed / "f.csv", report.items, inspect_corpus(report, options=chosen).of_items())
    again = build_index(mixed, manifest=mixed / "f.csv", embedder=embedder, options=chosen)
    assert (again.n_items, embedder.n_embedded) == (first.n_items, n_embedded)
    with IndexReader.open(first.index_dir) as reader:
        silent = reader.allowed("findings like '%silent%'")
        clean = reader.allowed("findings = 'none'")
        assert silent is not None
        assert "pair.png" in {row.image for row in reader.rows(silent)}
        assert {row.audio for row in reader.rows(silent)} <= {"pair.wav", "long.wav", "v.mp4", None}
        assert clean is not None
        assert set(silent) | set(clean) < set(reader.ids)  # some videos are tiny


def test_a_table_keeps_what_a_manifest_said(tmp_path: Path) -> None:
    large_picture().save(tmp_path / "p.png")
    write_clip(tmp_path / "v.mp4", n_frames=30)
    write_level(tmp_path / "s.wav", -20, seconds=2.0)
    rows = [
        {"image": "p.png", "audio": "s.wav", "label": "dog", "boxes": [[1, 2, 30, 40]], "n": 1},
        {"image": "p.png", "audio": "s.wav", "video": "v.mp4", "start_s": 0.5, "end_s": 1.5},
        {"video": "v.mp4", "start_s": 0.4, "end_s": 1.4, "split": "val"},
        {"audio": "s.wav", "start_s": 0.5},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = scan(tmp_path / "m.jsonl").items
    write_table(tmp_path / "t.jsonl", before, {before[0].key: {"still", "black"}})
    after = scan(tmp_path / "t.jsonl").items
    assert [item.key for item in after] == [item.key for item in before]
    assert [item.boxes for item in after] == [item.boxes for item in before]
    assert [item.label for item in after] == [item.label for item in before]
    assert [item.metadata.pop("findings") for item in after] == ["black still", *["none"] * 3]
    assert [item.metadata for item in after] == [item.metadata for item in before]


def test_names_that_no_manifest_can_hold_are_counted(tmp_path: Path) -> None:
    large_picture().save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    large_picture(1).save(tmp_path / "b.png")
    assert write_table(tmp_path / "t.csv", scan(tmp_path).items, {}) == 1
    with (tmp_path / "t.csv").open(newline="") as lines:
        assert [row["image"] for row in csv.DictReader(lines)] == ["b.png"]
