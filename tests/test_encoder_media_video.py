"""Video: the frame that is asked for is the frame that is given."""

from __future__ import annotations

import numpy as np
import pytest
from media_files import (
    CLIPS,
    assert_two_halves,
    picture,
    shown,
    write_clip,
    write_frames,
)

from encoder.media import read_frame


@pytest.mark.parametrize("name", sorted(CLIPS.keys() - {"mpeg4.avi"}))
def test_every_frame_is_found_by_its_time(tmp_path, name):
    path = write_clip(tmp_path / name, **CLIPS[name])
    for n in (0, 1, 2, 7, 8, 9, 13, 16, 19):
        if not name.endswith(".mts"):  # whose sound begins 21 ms before its picture
            assert shown(path, n / 10) == pytest.approx(n, abs=0.45)
        assert shown(path, n / 10 + 0.03) == pytest.approx(n, abs=0.45)
        assert shown(path, n / 10 + 0.09) == pytest.approx(n, abs=0.45)


def test_frames_of_an_avi_are_found_to_within_one(tmp_path):
    path = write_clip(tmp_path / "a.avi", **CLIPS["mpeg4.avi"])
    # An AVI has no clock: FFmpeg counts frames, and differs by one with and without a seek.
    for n in range(20):
        assert shown(path, n / 10 + 0.05) == pytest.approx(n, abs=1.45)


def test_behind_the_end_the_last_frame_is_shown(tmp_path):
    for name in ("a.mp4", "a.mkv"):
        assert shown(write_clip(tmp_path / name), 1e6) == pytest.approx(19, abs=0.45)


def test_a_variable_frame_rate_is_followed(tmp_path):
    path = write_frames(tmp_path / "screen.mkv", [0, 100, 1_000, 1_040, 5_000, 5_500])
    expected = {0.05: 0, 0.1: 1, 0.99: 1, 1.02: 2, 1.04: 3, 4.9: 3, 5.2: 4, 6.0: 5}
    for time_s, n in expected.items():
        assert shown(path, time_s) == pytest.approx(n, abs=0.45)


def test_time_begins_with_the_first_stream(tmp_path):
    path = write_frames(tmp_path / "cut from a broadcast.mts", [60_000, 60_100, 60_200, 60_300])
    assert shown(path, 0.0) == pytest.approx(0, abs=0.45)
    assert shown(path, 0.25) == pytest.approx(2, abs=0.45)


@pytest.mark.parametrize(
    ("turn", "matrix"),
    [
        (0, (1, 0, 0, 1)),
        (-1, (0, 1, -1, 0)),  # a phone held upright
        (2, (-1, 0, 0, -1)),
        (1, (0, -1, 1, 0)),
    ],
)
def test_display_rotation_is_applied(tmp_path, turn, matrix):
    path = write_clip(tmp_path / "phone.mp4", audio=None, image=picture())
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44  # behind version, times, ids, layer and volume
    a, b, c, d = (value.to_bytes(2, "big", signed=True) + b"\0\0" for value in matrix)
    content[at : at + 24] = a + b + bytes(4) + c + d + bytes(4)
    path.write_bytes(content)
    assert_two_halves(np.ascontiguousarray(np.rot90(read_frame(path, 0.5), -turn)), 12)
