"""The files of a report, and the pictures inside: whole, bounded, and never over something else."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from retrieval_report_fixtures import EVIL, full_report

from retrieval.errors import OutputExists
from retrieval.report import (
    prepare_report_folder,
    render_html,
    render_json,
    render_markdown,
    thumbnail,
    write_report,
)
from retrieval.report.thumbnails import MAX_BYTES


def test_three_files_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "report"
    paths = write_report(full_report(EVIL), folder)
    assert sorted(os.listdir(folder)) == ["report.html", "report.json", "report.md"]
    assert paths.html.read_bytes() == render_html(full_report(EVIL)).encode("utf-8")
    assert paths.markdown.read_bytes() == render_markdown(full_report(EVIL)).encode("utf-8")
    assert paths.json.read_bytes() == render_json(full_report(EVIL)).encode("utf-8")


def test_files_have_the_permissions_that_the_person_set(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = write_report(full_report(), tmp_path).html
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_a_report_that_is_there_is_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    for write in (
        lambda: prepare_report_folder(tmp_path),
        lambda: write_report(full_report(), tmp_path),
    ):
        with pytest.raises(
            OutputExists, match=rf"{name}: is there already; give --report an empty"
        ):
            write()
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_report(full_report(), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_used_is_told_before_the_measuring(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OSError, match="file"):
        prepare_report_folder(file)
    prepare_report_folder(tmp_path / "new")
    assert os.listdir(tmp_path / "new") == []


def test_a_full_disk_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = 0

    def fail_at_the_second(descriptor: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        write_report(full_report(), tmp_path)
    assert os.listdir(tmp_path) == []


def noise(width: int, height: int, *, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255)


def test_a_thumbnail_is_small_and_never_enlarged() -> None:
    large = thumbnail(Image.new("RGB", (4000, 1000), "red"))
    assert (large.width_px, large.height_px) == (224, 56)
    assert thumbnail(np.zeros((3, 5), np.uint8)).width_px == 5
    assert thumbnail(Image.new("RGB", (3000, 1))).height_px == 1
    with Image.open(io.BytesIO(large.jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (224, 56))


def test_the_picture_that_compresses_worst_keeps_to_the_bound() -> None:
    whole = thumbnail(noise(224, 224))
    assert (whole.width_px, whole.height_px) == (224, 224)
    assert len(whole.jpeg) <= MAX_BYTES


@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from(["1", "L", "P", "RGB", "RGBA", "CMYK", "LA"]),
)
def test_pictures_of_every_mode_and_shape(width: int, height: int, mode: str) -> None:
    made = thumbnail(noise(width, height).convert(mode), longest_px=32)
    with Image.open(io.BytesIO(made.jpeg)) as image:
        assert image.size == (made.width_px, made.height_px)
    assert max(image.size) <= 32


def test_the_same_pixels_give_the_same_bytes_whatever_the_file_says(tmp_path: Path) -> None:
    plain, remarked = noise(40, 30), tmp_path / "remarked.png"
    note = PngInfo()
    note.add_text("comment", "taken at home")
    plain.save(remarked, pnginfo=note, icc_profile=b"profile", exif=Image.Exif())
    with Image.open(remarked) as image:
        assert image.info
        assert thumbnail(image).jpeg == thumbnail(np.asarray(plain)).jpeg


def test_what_is_transparent_becomes_white() -> None:
    made = thumbnail(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    with Image.open(io.BytesIO(made.jpeg)) as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)
