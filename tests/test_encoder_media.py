"""Media, whatever they are: refusals by code, damage, names, limits, threads, probes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from broken_files import BROKEN, write_broken_file, write_good
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_files import (
    CLIPS,
    RATE_HZ,
    TONE_PEAK,
    assert_tone,
    encoded,
    noise_picture,
    picture,
    refusal,
    shown,
    write_clip,
    write_tone,
)
from PIL import Image

from encoder.errors import MEDIA_CODES, MediaError
from encoder.media import MediaLimits, kind_of, probe, read_frame, read_image, read_sound
from encoder.media.formats import declared_end, identify

OPEN_SET = Path(__file__).parents[2] / "shared/dataset/open"
READ = {"image": read_image, "sound": read_sound, "frame": lambda path: read_frame(path, 0.5)}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_its_code(tmp_path, name):
    broken = write_broken_file(tmp_path, name)
    error = refusal(READ[broken.reads], broken.path)
    assert error.code == broken.code
    assert str(error).startswith(f"{broken.path}: {broken.code}: ")
    assert "\n" not in str(error)
    assert len(error.reason) > 5


def test_the_broken_files_show_every_code_that_a_file_alone_can_cause():
    shown = {code for _, code, _ in BROKEN.values()}
    of_processes = {"crashed", "timeout", "out-of-memory"}
    assert set(MEDIA_CODES) - shown == {"changed", "permission"} | of_processes
    assert len(BROKEN) >= 40


@pytest.mark.parametrize("name", ["bomb.png", "bomb.webp", "bomb.gif", "bomb.jpg", "bomb.bmp"])
def test_a_bomb_is_refused_by_probe_too(tmp_path, name):
    assert refusal(probe, write_broken_file(tmp_path, name).path).code == "too-large"


def test_good_files_are_read_whatever_their_name(tmp_path):
    paths = write_good(tmp_path)
    assert len(paths) == 12
    for path in paths:
        found = probe(path)
        assert found.has_frames or found.has_sound
        if found.has_frames:
            assert read_frame(path, 0.0).shape[2] == 3
        if found.has_sound:
            assert np.abs(read_sound(path)).max() == pytest.approx(TONE_PEAK, abs=0.1)


def test_a_file_that_grows_while_it_is_read_is_changed(tmp_path, monkeypatch):
    from encoder.media import reading

    path = tmp_path / "growing.png"
    path.write_bytes(encoded(picture(), "PNG"))
    whole = reading.images.pixels

    def pixels_while_written(source):
        path.write_bytes(path.read_bytes() + b"more")
        return whole(source)

    monkeypatch.setattr(reading.images, "pixels", pixels_while_written)
    assert refusal(read_image, path).code == "changed"


def test_an_error_in_a_file_that_grows_is_put_down_to_the_change(tmp_path, monkeypatch):
    from encoder.media import reading

    path = tmp_path / "half written.jpg"
    path.write_bytes(encoded(noise_picture(), "JPEG")[:900])
    whole = reading.images.pixels

    def pixels_while_written(source):
        with path.open("ab") as file:
            file.write(b"more")
        return whole(source)

    monkeypatch.setattr(reading.images, "pixels", pixels_while_written)
    assert refusal(read_image, path).code == "changed"


@contextmanager
def nobody():
    """Act as an unprivileged user, where the tests run as root, whom no mode bit keeps out."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_named_so(tmp_path):
    path = tmp_path / "private.png"
    path.write_bytes(encoded(picture(), "PNG"))
    path.chmod(0)
    with nobody():
        error = refusal(read_image, path)
    assert error.code == "permission"
    assert error.remedy


def test_a_missing_file_and_an_impossible_name_are_missing(tmp_path):
    assert refusal(read_sound, tmp_path / "nowhere.wav").code == "missing"
    assert refusal(probe, tmp_path / "a\0b.wav").code == "missing"


def test_every_file_can_be_refused_by_limits(tmp_path):
    png, wav = tmp_path / "a.png", write_tone(tmp_path / "a.wav")
    png.write_bytes(encoded(picture(), "PNG"))
    clip = write_clip(tmp_path / "a.mp4")
    few_pixels = MediaLimits(max_pixels=64 * 48 - 1)
    assert refusal(read_image, png, limits=few_pixels).code == "too-large"
    assert refusal(read_frame, clip, 0.0, limits=few_pixels).code == "too-large"
    assert refusal(read_image, png, limits=MediaLimits(max_bytes=10)).code == "too-large"
    for path in (wav, clip):
        assert refusal(probe, path, limits=MediaLimits(max_seconds=0.4)).code == "too-large"
        assert refusal(read_sound, path, limits=MediaLimits(max_seconds=0.4)).code == "too-large"
    assert read_image(png, limits=MediaLimits(max_pixels=64 * 48)).shape == (48, 64, 3)


SMALL = {
    **{
        f"image{suffix}": encoded(noise_picture(), fmt)
        for suffix, fmt in ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP"), (".gif", "GIF"))
    },
    "grey.tif": encoded(noise_picture().convert("F"), "TIFF"),
    "image.bmp": encoded(noise_picture(), "BMP"),
    "cmyk.jpg": encoded(noise_picture().convert("CMYK"), "JPEG"),
    "palette.png": encoded(noise_picture().convert("P"), "PNG", transparency=3),
}


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    files = dict(SMALL)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.w64"):
        files[name] = write_tone(folder / name).read_bytes()
    files["a.opus"] = write_tone(folder / "a.opus", rate_hz=48_000).read_bytes()
    for name, how in CLIPS.items():
        files[name] = write_clip(folder / name, n_frames=6, **how).read_bytes()
    return folder / "damaged", files


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # what Pillow says of damaged metadata
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(random=st.data())
def test_damage_never_raises_anything_but_a_media_error(small_files, random):
    path, files = small_files
    content = bytearray(files[random.draw(st.sampled_from(sorted(files)))])
    region = random.draw(st.sampled_from((64, 512, len(content))))
    flips = st.tuples(st.integers(0, min(region, len(content)) - 1), st.integers(0, 255))
    for at, value in random.draw(st.lists(flips, min_size=1, max_size=8)):
        content[at] = value
    if random.draw(st.booleans()):
        del content[random.draw(st.integers(0, len(content))) :]
    path.write_bytes(content)
    for read in (probe, read_image, read_sound, lambda p: read_frame(p, 0.3)):
        with suppress(MediaError):
            read(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", "image"),
        ("a b/ü.tiff", "image"),
        ("x.opus", "audio"),
        ("x.m4a", "audio"),
        ("x.WebM", "video"),
        ("x.tar.gz", None),
        ("x", None),
        (".mp4", None),
    ],
)
def test_kind_is_told_by_the_suffix(name, kind):
    assert kind_of(Path(name)) == kind


def test_probe_tells_what_is_inside(tmp_path):
    clip = probe(write_clip(tmp_path / "a.mp4"))
    assert (clip.kind, clip.width_px, clip.height_px) == ("video", 64, 48)
    assert (clip.has_sound, clip.has_frames) == (True, True)
    assert clip.duration_s == pytest.approx(2.0, abs=0.05)
    sound_only = probe(write_clip(tmp_path / "b.mp4", video=None))
    assert (sound_only.kind, sound_only.has_sound, sound_only.has_frames) == ("video", True, False)
    assert probe(write_clip(tmp_path / "b.m4a", video=None)).kind == "audio"
    mute = probe(write_clip(tmp_path / "c.mkv", audio=None))
    assert (mute.has_sound, mute.has_frames) == (False, True)


def test_content_decides_and_not_the_suffix(tmp_path):
    mp4 = write_clip(tmp_path / "a.mp4")
    for wrong in ("a.jpg", "a.wav", "a"):
        path = mp4.rename(tmp_path / wrong)
        assert probe(path).kind == "video"
        assert_tone(read_sound(path))
        mp4 = path


NAMES = ["plain", "with space", "Größe – 音", "line\nbreak", os.fsdecode(b"latin-1 \xe4\xf6")]


@pytest.mark.parametrize("name", NAMES, ids=["ascii", "space", "unicode", "newline", "surrogate"])
def test_any_name_will_do(tmp_path, name):
    for written, read in (
        (write_tone(tmp_path / "a.flac"), read_sound),
        (write_tone(tmp_path / "a.opus", rate_hz=48_000), read_sound),
        (write_clip(tmp_path / "a.mp4"), lambda path: read_frame(path, 0.0)),
    ):
        assert len(read(written.rename(tmp_path / f"{name}{written.suffix}"))) > 0


def test_formats_are_known_by_their_first_bytes(tmp_path):
    utf16 = tmp_path / "notes.mp3"
    utf16.write_text("a text whose byte order mark looks like an MPEG frame", "utf-16")
    assert refusal(read_sound, utf16).code == "unsupported"
    tagged = write_tone(tmp_path / "a.flac")
    tagged.write_bytes(b"ID3\x04\0\0\0\0\0\x05extra" + tagged.read_bytes())
    with tagged.open("rb") as file:
        found = identify(file)
        assert found is not None
        assert found.name == "FLAC"


def test_a_box_may_be_longer_than_32_bits_say():
    content = b"\0\0\0\x0cftypisom" + b"\0\0\0\x01mdat" + (1 << 40).to_bytes(8, "big") + bytes(64)
    file = io.BytesIO(content)
    found = identify(file)
    assert found is not None
    assert declared_end(file, found, len(content)) == 12 + (1 << 40)


def test_a_live_recording_declares_no_end_and_is_read(tmp_path):
    path = write_clip(tmp_path / "a.webm", video="libvpx", audio="libopus", options={"live": "1"})
    with path.open("rb") as file:
        found = identify(file)
        assert found is not None
        assert declared_end(file, found, path.stat().st_size) == 0
    assert_tone(read_sound(path))
    assert shown(path, 1.23) == pytest.approx(12, abs=0.45)


def test_a_refused_format_is_named_with_the_way_out(tmp_path):
    error = refusal(read_image, write_broken_file(tmp_path, "phone.jpg").path)
    assert "HEIC" in error.reason
    assert "convert" in error.remedy


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.ogg", "a.opus", "a.mp3"])
def test_whole_files_end_where_they_say(tmp_path, name):
    assert_ends_within(write_tone(tmp_path / name, rate_hz=48_000))


@pytest.mark.parametrize("name", CLIPS)
def test_whole_clips_end_where_they_say(tmp_path, name):
    assert_ends_within(write_clip(tmp_path / name, **CLIPS[name]))


def assert_ends_within(path: Path):
    with path.open("rb") as file:
        found = identify(file)
        assert found is not None
        end = declared_end(file, found, path.stat().st_size)
    assert end <= path.stat().st_size
    assert end >= 0.95 * path.stat().st_size or path.suffix == ".mts"


def test_threads_do_not_disturb_each_other(tmp_path):
    paths = write_good(tmp_path) * 3

    def read(path):
        return read_sound(path) if probe(path).has_sound else read_image(path)

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(read, paths))
    for path, result in zip(paths, together, strict=True):
        np.testing.assert_allclose(result, read(path), atol=1e-6)


def test_importing_media_does_not_import_torch():
    code = "import sys, encoder.media; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not OPEN_SET.is_dir(), reason=f"{OPEN_SET} is not here")
def test_real_files_are_read():
    sounds = sorted((OPEN_SET / "audio").glob("*.opus"))[:4]
    assert {len(read_sound(path)) for path in sounds} == {5 * RATE_HZ}
    for path in sorted((OPEN_SET / "images").glob("*.jpg"))[:4]:
        with Image.open(path) as image:
            assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))
    for path in sorted((OPEN_SET / "videos").glob("*.mp4"))[:2]:
        assert read_frame(path, 5.0).std() > 5
        assert len(read_sound(path, t0_s=2.0, t1_s=4.0)) == 2 * RATE_HZ
