"""Scans: which items a folder or a manifest holds, and what is passed over, and why."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import write_picture, write_sound, write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from indexer_fixtures import options, write_pairs

from indexer.errors import CorpusMissing, NothingUsable
from indexer.plan import PlannedItem
from indexer.scan import scan, windows


def parts(items: list[PlannedItem]) -> list[tuple[str, str | None, str | None]]:
    return [
        (
            item.kind,
            item.frame.source.path if item.frame else None,
            item.sound.source.path if item.sound else None,
        )
        for item in items
    ]


def test_pairs_by_stem_and_folder_the_rest_alone(tmp_path: Path) -> None:
    for folder in ("", "sub"):
        (tmp_path / folder).mkdir(exist_ok=True)
        write_picture(tmp_path / folder / "a.png", 1)
    write_sound(tmp_path / "a.wav", 2)
    write_sound(tmp_path / "A.wav", 3)
    write_picture(tmp_path / "lone.jpg", 4)
    assert parts(scan(tmp_path).items) == [
        ("audio", None, "A.wav"),
        ("pair", "a.png", "a.wav"),
        ("image", "lone.jpg", None),
        ("image", "sub/a.png", None),
    ]


def test_a_video_gives_an_item_per_window(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 1, seconds=5)
    items = scan(tmp_path, options=options(window_s=2.0)).items
    assert [item.kind for item in items] == ["video"] * len(windows(5.0, 2.0))
    spans = [(item.sound.t0_s, item.sound.t1_s) for item in items if item.sound]
    assert spans[0] == (0.0, 2.0)
    assert spans[-1][1] is None
    times = [item.frame.time_s for item in items if item.frame]
    assert times[0] == 1.0
    assert times == sorted(times)


def test_a_long_sound_is_cut_a_paired_one_is_not(tmp_path: Path) -> None:
    write_sound(tmp_path / "long.wav", 1, seconds=2.0)
    write_sound(tmp_path / "pair.wav", 2, seconds=2.0)
    write_picture(tmp_path / "pair.png", 3)
    items = scan(tmp_path, options=options(window_s=0.5)).items
    spans = [
        (i.sound.t0_s, i.sound.t1_s) for i in items if i.sound and "long" in i.sound.source.path
    ]
    assert spans == [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5), (1.5, None)]
    (pair,) = (i for i in items if i.kind == "pair")
    assert pair.sound is not None
    assert (pair.sound.t0_s, pair.sound.t1_s) == (0.0, None)


@settings(deadline=None)
@given(st.floats(0.01, 1e4), st.floats(0.5, 100))
def test_windows_cover_all_and_none_is_short(duration_s: float, window_s: float) -> None:
    spans = windows(duration_s, window_s)
    assert spans[0][0] == 0
    assert spans[-1][1] == duration_s
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    lengths = [b - a for a, b in spans]
    slack = 1e-6 * duration_s
    assert max(lengths) <= 1.5 * window_s + slack
    if duration_s >= window_s:
        assert min(lengths) >= 0.5 * window_s - slack


def test_junk_hidden_and_foreign_files_are_counted_not_indexed(tmp_path: Path) -> None:
    corpus = write_pairs(tmp_path / "corpus", 1)
    outside = tmp_path / "outside.png"
    write_picture(outside, 5)
    for name in (".DS_Store", "._p000.png", ".hidden.png", "Thumbs.db", "notes.txt"):
        (corpus / name).write_bytes(b"x")
    (corpus / ".git").mkdir()
    write_picture(corpus / ".git" / "x.png", 6)
    index = corpus / "my-index"
    index.mkdir()
    write_picture(index / "thumb.png", 7)
    (corpus / "link.png").symlink_to(outside)
    (corpus / "loop.png").symlink_to(corpus / "loop.png")
    (corpus / "up").symlink_to(tmp_path)
    (corpus / "inside").symlink_to(corpus / ".git")
    os.mkfifo(corpus / "pipe.wav")
    found = scan(corpus, index_dir=index)
    assert parts(found.items) == [("pair", "p000.png", "p000.wav")]
    assert found.ignored == {
        "hidden or junk": 4,
        "not media": 1,
        "link out of the corpus": 3,
        "link to a folder": 1,
        "not a file": 1,
    }


def test_a_link_that_stays_inside_is_followed_a_dangling_one_is_a_failure(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    (tmp_path / "again.png").symlink_to(tmp_path / "p000.png")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    found = scan(tmp_path)
    assert ("image", "again.png", None) in parts(found.items)
    assert [(f.path, f.code) for f in found.failures] == [("gone.wav", "missing")]


def test_a_manifest_says_it_explicitly(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2)
    write_video(tmp_path / "v.mp4", 3)
    rows = [
        {"image": "p000.png", "audio": "p001.wav", "label": "x", "n": 1},
        {"image": "p000.png", "audio": "p001.wav"},
        {"video": "v.mp4", "start_s": 0.2, "end_s": 1.0},
        {"image": "p001.png", "audio": "p000.wav", "video": "v.mp4"},
        {"image": "../secret.png"},
        {"audio": "/etc/passwd"},
        {"audio": "nowhere.wav", "image": "p001.png"},
        {"label": "nothing"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = scan(manifest)
    assert (
        parts(found.items)[:4]
        == [
            ("pair", "p000.png", "p001.wav"),
            ("pair", "p000.png", "p001.wav"),
            ("video", "v.mp4", "v.mp4"),
            ("video", "p001.png", "p000.wav"),
        ]
        or parts(found.items)[3][0] == "pair"
    )
    assert found.items[3].metadata == {"video": "v.mp4"}
    assert len({item.key for item in found.items}) == len(found.items)
    clip = found.items[2]
    assert clip.frame is not None
    assert clip.sound is not None
    assert clip.frame.time_s == pytest.approx(0.6)
    assert (clip.sound.t0_s, clip.sound.t1_s) == (0.2, 1.0)
    codes = [(failure.path, failure.code) for failure in found.failures]
    assert codes == [
        ("../secret.png", "outside-corpus"),
        ("/etc/passwd", "outside-corpus"),
        ("nowhere.wav", "missing"),
        ("m.jsonl row 8", "bad-row"),
    ]
    assert all("row" in failure.message for failure in found.failures)
    assert parts(found.items)[6] == ("pair", "p001.png", None)


def test_the_frame_of_a_row_without_an_end_is_in_the_middle_of_the_rest(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", 3, seconds=5)
    (tmp_path / "m.csv").write_text("video,start_s\nv.mp4,2.0\n")
    (row,) = scan(tmp_path / "m.csv").items
    assert row.frame is not None
    assert row.sound is not None
    assert row.frame.time_s == pytest.approx(3.5, abs=0.05)
    assert (row.sound.t0_s, row.sound.t1_s) == (2.0, None)
    # Cut into windows of two seconds and a rest, the last of them is the same item as such a row.
    windowed = scan(tmp_path, options=options(window_s=2.0)).items
    (tmp_path / "m.csv").write_text("video,start_s\nv.mp4,4.0\n")
    assert [item.key for item in scan(tmp_path / "m.csv").items] == [windowed[-1].key]


def test_a_container_without_one_of_its_streams(tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", 1, with_sound=False)
    found = scan(tmp_path)
    assert parts(found.items) == [("video", "silent.mp4", None)]
    assert [failure.code for failure in found.failures] == ["no-audio-stream"]


def test_names_that_are_no_utf8_are_planned(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.png", 1)
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "x.png").rename(tmp_path / name)
    assert parts(scan(tmp_path).items) == [("image", "bytes:caf%E9.png", None)]


def test_a_scan_is_the_same_twice(tmp_path: Path) -> None:
    write_pairs(tmp_path, 5)
    first, second = scan(tmp_path).items, scan(tmp_path).items
    assert [(i.key, i.stamp) for i in first] == [(i.key, i.stamp) for i in second]


def test_missing_and_empty_corpora_say_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusMissing, match="no such folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(CorpusMissing, match="no such"):
        scan(tmp_path / "nowhere.csv")
    with pytest.raises(NothingUsable, match="the folder is empty"):
        scan(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(NothingUsable) as caught:
        scan(tmp_path)
    assert caught.value.counts == {"not media": 1, "empty": 1}
