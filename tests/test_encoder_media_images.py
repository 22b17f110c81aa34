"""Pictures: every format gives the same upright RGB."""

from __future__ import annotations

import numpy as np
import pytest
from media_files import (
    assert_two_halves,
    encoded,
    noise_picture,
    picture,
)
from PIL import ExifTags, Image

from encoder.media import probe, read_frame, read_image


@pytest.mark.parametrize(
    ("fmt", "mode", "tolerance"),
    [
        ("JPEG", "RGB", 4),
        ("JPEG", "CMYK", 4),
        ("PNG", "RGB", 0),
        ("PNG", "RGBA", 0),
        ("PNG", "P", 30),  # the web palette's steps
        ("WEBP", "RGB", 8),
        ("WEBP", "RGBA", 8),
        ("GIF", "RGB", 0),
        ("BMP", "RGB", 0),
        ("TIFF", "RGB", 0),
        ("TIFF", "CMYK", 1),
        ("AVIF", "RGB", 8),
    ],
)
def test_colours_survive_every_format(tmp_path, fmt, mode, tolerance):
    path = tmp_path / "picture.bin"
    path.write_bytes(encoded(picture().convert(mode), fmt))
    assert_two_halves(read_image(path), tolerance)
    assert_two_halves(read_frame(path, 99.0), tolerance)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, fmt, orientation):
    # The orientation says where the stored first row and column lie on the upright picture
    # (TIFF 6.0, Orientation): here each is written out as a permutation of axes and directions.
    upright = np.asarray(picture())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "turned.bin"
    path.write_bytes(encoded(Image.fromarray(stored), fmt, exif=exif))
    assert_two_halves(read_image(path), 8)
    found = probe(path)
    assert (found.width_px, found.height_px) == (64, 48)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_exif_does_not_spoil_the_picture(tmp_path):
    path = tmp_path / "odd.jpg"
    path.write_bytes(encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"))
    assert_two_halves(read_image(path), 4)


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, fmt):
    levels = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    path = tmp_path / "deep.bin"
    path.write_bytes(encoded(Image.fromarray(levels), fmt))
    rgb = read_image(path)
    assert np.array_equal(rgb[:, :, 0], np.rint(levels / 65_535 * 255))
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 2])


def test_32_bit_grey_is_stretched(tmp_path):
    levels = np.linspace(-3.0, 7.0, 256, dtype=np.float32).reshape(16, 16)
    levels[0, 5] = np.nan
    path = tmp_path / "measured.tif"
    path.write_bytes(encoded(Image.fromarray(levels), "TIFF"))
    grey = read_image(path)[:, :, 0]
    assert (grey[0, 0], grey[-1, -1], grey[0, 5]) == (0, 255, 0)


def test_transparency_lies_on_white(tmp_path):
    rgba = np.zeros((4, 3, 4), np.uint8)
    rgba[:, :, 0] = 100
    rgba[:, 1, 3], rgba[:, 2, 3] = 128, 255
    path = tmp_path / "glass.png"
    path.write_bytes(encoded(Image.fromarray(rgba), "PNG"))
    row = read_image(path)[0].tolist()
    assert row[0] == [255, 255, 255]
    assert row[1] == pytest.approx([177, 127, 127], abs=1)
    assert row[2] == [100, 0, 0]


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    path = tmp_path / "sprite.gif"
    path.write_bytes(encoded(image, "GIF", transparency=0))
    assert read_image(path).tolist() == [
        [[255, 255, 255], [200, 100, 50]],
        [[200, 100, 50], [255, 255, 255]],
    ]


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(tmp_path, fmt):
    path = tmp_path / "moving.bin"
    later = [Image.new("RGB", (64, 48), "green")]
    path.write_bytes(encoded(picture(), fmt, save_all=True, append_images=later))
    assert_two_halves(read_image(path), 8)


def test_a_plain_jpeg_is_what_pillow_makes_of_it(tmp_path):
    path = tmp_path / "noise.jpg"
    path.write_bytes(encoded(noise_picture(), "JPEG"))
    with Image.open(path) as image:
        assert np.array_equal(read_image(path), np.asarray(image))
