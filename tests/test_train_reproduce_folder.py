"""A folder of data: the documented layout, what is left out of it, and rows computed from it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_picture, write_sound, write_video
from reproduce_fixtures import LEFT, RIGHT, TINY, write_boxes, write_data, write_pair

from encoder.config import tiny
from encoder.media import read_sound
from encoder.two_stream import TwoStreamEncoder
from train.errors import DataAbsent, PairsError
from train.reproduce.entries import read_entries, read_interactive
from train.reproduce.folder import folder_material, labellers_of, visual_weights
from train.reproduce.material import Material
from train.reproduce.run import Task, reproduce


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def network() -> TwoStreamEncoder:
    return TwoStreamEncoder(tiny(), seed=0)


def material_of(folder: Path, network: TwoStreamEncoder, seed: int = 0) -> Material:
    size = replace(TINY, n_test=6)
    return folder_material(folder, network, size, seed=seed)


@pytest.fixture(scope="module")
def material(data: Path, network: TwoStreamEncoder) -> Material:
    return material_of(data, network)


def test_rows_are_told_apart(material: Material) -> None:
    assert len(material.annotated) == 22
    assert len(material.unlabelled) == 8  # as many as the size asks for, of nine
    assert len(material.ambient) == 2
    assert [len(duet) for duet in material.duets] == [2, 3]
    kinds = [material.annotated, material.unlabelled, material.ambient]
    every = np.concatenate([*kinds, np.concatenate(material.duets)])
    assert sorted(every) == list(range(len(material.bank)))


def test_the_listed_test_set_comes_first_and_the_sets_are_disjoint(material: Material) -> None:
    assert [len(rows) for rows in material.tests] == [6, 6, 6]
    assert len(set(np.concatenate(material.tests).tolist())) == 18
    listed = {path.stem for path in pictures_of(material, material.tests[0])}
    assert listed == {f"100{n}" for n in range(6)}


def pictures_of(material: Material, rows: np.ndarray) -> list[Path]:
    files = material.bank.picture_files  # type: ignore[attr-defined]
    return [files[place].path for place in material.bank.picture_of[rows]]


def test_no_training_sees_its_test_set(material: Material) -> None:
    for number, test in enumerate(material.tests):
        seen = material.labelled_for(number)
        assert len(seen) == 16
        assert not set(seen.tolist()) & set(test.tolist())
    assert material.n_labelled == 16


def test_unlabelled_pairs_come_in_the_order_of_their_list(material: Material) -> None:
    names = [path.stem for path in pictures_of(material, material.unlabelled)]
    assert names == [f"200{n}" for n in range(8, 0, -1)]


def test_boxes_become_what_is_to_be_found(material: Material) -> None:
    for row in material.annotated:
        (picture,) = pictures_of(material, np.array([row]))
        agreement = material.truths[row].score_map((8, 8))
        on_left = int(picture.stem) % 2 == 0
        expected = np.zeros((8, 8))
        expected[2:6, slice(0, 4) if on_left else slice(4, 8)] = 1
        assert np.array_equal(agreement, expected)
        assert len(material.truths[row].annotators) == 3


def test_annotations_reach_the_bank_and_only_of_annotated_rows(material: Material) -> None:
    regions = material.bank.regions
    assert regions is not None
    for row in range(len(material.bank)):
        assert (regions.of[row] >= 0) == (row in material.truths)
    row = int(material.annotated[0])
    kept = regions.maps[regions.of[row], 0].numpy() / 255
    assert np.array_equal(kept, material.truths[row].score_map(kept.shape))


def test_the_sound_is_the_recording_at_the_labellers_rate(data: Path, material: Material) -> None:
    row = int(material.unlabelled[0])
    expected = read_sound(data / "sounds" / "2008.wav", rate_hz=22_050)
    assert np.array_equal(material.waveform(row), expected)


def test_clips_are_frames_with_times_and_a_whole_sound(material: Material) -> None:
    (film,) = material.clips()
    assert film.name == "clip"
    assert film.frames.shape == (8, 320, 432, 3)  # 64 × 48 scaled to 320 high, width to 16
    assert film.times_s == pytest.approx([(n + 0.5) / 4 for n in range(8)], rel=0.05)
    assert len(film.waveform) == pytest.approx(2 * film.rate_hz, rel=0.1)
    assert material.panoramas() == ()


def test_a_size_takes_no_more_than_it_uses(data: Path, network: TwoStreamEncoder) -> None:
    size = replace(TINY, n_test=2, n_labelled=(1, 3), n_unlabelled=(2, 5))
    found = folder_material(data, network, size, seed=0)
    assert (len(found.annotated), len(found.unlabelled)) == (3 * 2 + 3, 5)


def test_another_seed_deals_other_sets(data: Path, network: TwoStreamEncoder) -> None:
    first, second = (material_of(data, network, seed) for seed in (0, 1))
    names = [
        [{p.stem for p in pictures_of(one, rows)} for rows in one.tests] for one in (first, second)
    ]
    assert names[0][0] == names[1][0]  # the listed set
    assert names[0][1:] != names[1][1:]


def test_the_key_follows_the_files_and_not_the_place(
    data: Path, network: TwoStreamEncoder, tmp_path: Path
) -> None:
    moved = shutil.copytree(data, tmp_path / "moved")
    assert material_of(moved, network).key == material_of(data, network).key
    write_boxes(moved, "1003", [(RIGHT, "object")])
    changed = material_of(moved, network).key
    assert changed != material_of(data, network).key
    write_sound(moved / "sounds" / "2003.wav", 77, seconds=0.9)
    assert material_of(moved, network).key != changed


def test_what_cannot_be_used_is_left_out_and_counted(
    data: Path, network: TwoStreamEncoder, tmp_path: Path
) -> None:
    folder = shutil.copytree(data, tmp_path / "data")
    (folder / "frames" / "1010.jpg").write_bytes(b"no picture")
    (folder / "sounds" / "1011.wav").unlink()
    (folder / "annotations" / "1012.xml").write_text("<annotation>", encoding="utf-8")
    write_boxes(folder, "1013", [(LEFT, "object"), (LEFT, "ambient")])
    found = material_of(folder, network)
    assert len(found.annotated) == 18
    names = {path.stem for path in pictures_of(found, np.arange(len(found.bank)))}
    assert not names & {"1010", "1011", "1012", "1013"}
    counted, left_out = found.remarks
    assert counted == "18 annotated and 8 unlabelled pairs."
    for reason in (
        "a file that cannot be decoded (1)",
        "a file that is not there (1)",
        "not XML (1)",
        "annotators disagree on object or ambient (1)",
    ):
        assert reason in left_out


def test_a_test_pair_without_boxes_is_not_trained_on(tmp_path: Path) -> None:
    for number in range(3):
        write_pair(tmp_path, f"{number}", number)
    (tmp_path / "test_list.txt").write_text("1.jpg\n")
    assert [entry.name for entry in read_entries(tmp_path).entries] == ["0", "2"]


def test_a_list_may_begin_with_a_byte_order_mark_but_must_be_text(tmp_path: Path) -> None:
    for number in range(3):
        write_pair(tmp_path, f"{number}", number)
    listed = tmp_path / "test.txt"
    listed.write_text("1.jpg\n", encoding="utf-8-sig")
    assert [entry.name for entry in read_entries(tmp_path).entries] == ["0", "2"]
    listed.write_bytes(b"\xff1.jpg\n")
    with pytest.raises(PairsError, match=r"test\.txt: not UTF-8"):
        read_entries(tmp_path)


def test_a_video_is_a_frame_and_a_sound(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v.mp4", 1)
    (entry,) = read_entries(tmp_path).entries
    assert entry.pair.picture is not None
    assert entry.pair.sound is not None
    assert entry.pair.picture.path == entry.pair.sound.path
    assert entry.pair.picture.time_s == 5.0


ROWS = [
    {"image": "a.png", "audio": "a.wav", "boxes": "[[0, 0, 32, 48]]", "split": "test"},
    {"image": "a.png", "audio": "a.wav", "boxes": "[[0.5, 0, 1, 1]]", "label": "dog"},
    {"image": "a.png", "audio": "a.wav", "split": "train"},
    {"image": "a.png", "audio": "a.wav", "split": "test"},
    {"image": "a.png"},
    {"image": "gone.png", "audio": "a.wav", "boxes": "[[0, 0, 9, 9]]"},
    {"image": "broken.png", "audio": "a.wav", "boxes": "[[0, 0, 9, 9]]"},
]


def write_rows(folder: Path, rows: list[dict[str, str]]) -> Path:
    write_picture(folder / "a.png", 1)
    write_sound(folder / "a.wav", 1)
    (folder / "broken.png").write_bytes(b"no picture")
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", "audio", "video", "boxes", "label", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_a_manifest_says_it_all(tmp_path: Path) -> None:
    found = read_entries(write_rows(tmp_path, ROWS))
    first, second, third = found.entries  # a held-back row without boxes is no entry
    assert (first.boxes[0].x1, first.boxes[0].y1) == (0.5, 1.0)  # pixels of 64 × 48
    assert (second.boxes[0].x0, second.boxes[0].x1) == (0.5, 1.0)
    assert (first.is_test, second.is_test, third.is_test) == (True, False, False)
    assert second.pair.label == "dog"
    assert not third.boxes
    assert found.left_out == {
        "no picture or no sound": 1,
        "a file that is not there": 1,
        "a picture whose size cannot be read": 1,
    }


def test_a_box_outside_its_picture_names_the_row(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"image": "a.png", "audio": "a.wav", "boxes": "[[0, 0, 99, 9]]"}])
    with pytest.raises(PairsError, match=r"row 2.*outside its frame"):
        read_entries(tmp_path)


def test_a_row_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"image": "a.png", "audio": "a.wav", "boxes": "left"}])
    with pytest.raises(PairsError, match=r"row 2.*mend or remove it"):
        read_entries(tmp_path)


def test_frames_with_several_sounds(data: Path, tmp_path: Path) -> None:
    found = read_interactive(data).entries
    assert len(found) == 5
    assert len({entry.frame_of_duet for entry in found}) == 2
    assert len({entry.name for entry in found}) == 5
    assert read_interactive(tmp_path).entries == ()


def test_weights_are_found_where_they_belong(tmp_path: Path) -> None:
    assert visual_weights(None) is None
    assert visual_weights(tmp_path) is None
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "vgg16.pth").touch()
    assert visual_weights(tmp_path) == tmp_path / "weights" / "vgg16.pth"
    (tmp_path / "weights" / "vgg16.safetensors").touch()
    assert visual_weights(tmp_path) == tmp_path / "weights" / "vgg16.safetensors"
    assert labellers_of(tmp_path, "cpu").name == labellers_of(None, "cpu").name  # one of two


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_nothing_there_is_data_absent(
    tmp_path: Path, network: TwoStreamEncoder, folder: str
) -> None:
    with pytest.raises(DataAbsent):
        material_of(tmp_path / folder, network)


def test_rows_are_computed_from_a_folder(data: Path, tmp_path: Path) -> None:
    rows = ("S19-table-1", "S19-table-2", "S19-figure-5", "S19-figure-6", "S19-figure-10")
    rows += ("S19-figure-13", "S19-figure-14", "S19-table-7")
    task = Task(
        rows=rows,
        data=data,
        size=replace(TINY, n_test=6, n_runs=1),
        out=tmp_path / "out",
        device="cpu",
    )
    found = {one.row: one for one in reproduce(task)}
    assert set(found) == set(rows)
    absent = found.pop("S19-figure-14")
    assert absent.state == "not reproduced"
    assert "panoramas/" in absent.reason
    assert all(one.state != "not reproduced" for one in found.values())
    (first,) = found["S19-table-1"].findings.tables
    names = [row[0] for row in first.rows]
    assert names[:2] == ["Unsup. 4", "Unsup. 8 (eq. 6)"]
    assert "Sup. 4 + Unsup. 8" in names
    assert "22 annotated and 8 unlabelled pairs." in found["S19-table-1"].findings.notes
    (duets,) = found["S19-figure-6"].findings.tables
    assert duets.rows[0][1].n == 2  # type: ignore[union-attr]
    assert found["S19-table-7"].state == "reproduced"
    for row in ("S19-figure-5", "S19-figure-6", "S19-figure-10", "S19-figure-13"):
        assert (tmp_path / "out" / f"{row}.png").is_file()
