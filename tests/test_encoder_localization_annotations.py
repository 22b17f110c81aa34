"""Published layouts of boxes: Flickr-SoundNet XML and VGG-SS JSON, sound and broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encoder.localization import AnnotatedBox, ground_truth, read_annotations
from encoder.localization.annotations import read_flickr_xml, read_vggss_json
from encoder.localization.errors import AnnotationError

PUBLISHED = Path(__file__).parents[2] / "shared/dataset/metadata/vgg-ss_flickr_hche11/vggss.json"


def flickr(*annotators: str, head: str = "") -> str:
    """The published layout: each annotator holds boxes whose first child is the tag."""
    return f"<annotation>{head}{''.join(annotators)}</annotation>"


def annotator(*corners: int | str, tag: str = "object", name: str = "annotator") -> str:
    values = "".join(
        f"<{side}>{corner}</{side}>"
        for side, corner in zip(("x0", "y0", "x1", "y1"), corners, strict=False)
    )
    return f"<{name}><bbox><type>{tag}</type>{values}</bbox></{name}>"


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.removeprefix('f')}.xml").write_text(text, encoding="utf-8")
    return folder


def test_each_child_of_the_root_is_an_annotator(tmp_path: Path) -> None:
    boxes = [annotator(0, 64, 128, 256), annotator(8, 64, 128, 256), annotator(0, 0, 256, 256)]
    found = read_flickr_xml(written(tmp_path, f10000130166=flickr(*boxes)))
    assert found.excluded == ()
    drawn = found.boxes["10000130166"]
    assert drawn[0] == AnnotatedBox(x0=0, y0=0.25, x1=0.5, y1=1, annotator="1")
    assert [box.annotator for box in drawn] == ["1", "2", "3"]
    assert ground_truth(drawn).n_agree == 2


def test_corners_by_name_in_any_order_and_the_frames_own_size(tmp_path: Path) -> None:
    box = "<bbox><ymax>50</ymax><xmin>20</xmin><ymin>10</ymin><xmax>40</xmax><tag>dog</tag></bbox>"
    head = "<size><width>80</width><height>50</height></size>"
    text = flickr(f'<worker id="w7">{box}{box}</worker>', head=head)
    drawn = read_flickr_xml(written(tmp_path, fa=text)).boxes["a"]
    assert drawn[0] == AnnotatedBox(x0=0.25, y0=0.2, x1=0.5, y1=1, annotator="w7", tag="dog")
    assert len(drawn) == 2


def test_boxes_right_below_the_root_are_one_annotators(tmp_path: Path) -> None:
    box = "<bbox><t>object</t><a>0</a><b>0</b><c>128</c><d>128</d></bbox>"
    drawn = read_flickr_xml(written(tmp_path, fa=f"<annotation>{box}{box}</annotation>")).boxes["a"]
    assert {one.annotator for one in drawn} == {"1"}


@pytest.mark.parametrize("tag", ["ambient", "Ambient/Not Object", "not object"])
def test_ambient_boxes_are_told_apart(tmp_path: Path, tag: str) -> None:
    text = flickr(annotator(0, 0, 128, 128, tag=tag), annotator(0, 0, 128, 128))
    kinds = [box.kind for box in read_flickr_xml(written(tmp_path, fa=text)).boxes["a"]]
    assert kinds == ["ambient", "object"]


def test_broken_files_are_counted_and_do_not_stop_the_others(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        fgood=flickr(annotator(0, 0, 128, 128)),
        fcut="<annotation><annotator><bbox>",
        fempty="",
        fnone=flickr("<annotator/>"),
        fthree=flickr(annotator(0, 0, 128)),
        fwords=flickr(annotator(0, 0, "wide", 128)),
        fbeyond=flickr(annotator(0, 0, 300, 128)),
        fflat=flickr(annotator(10, 10, 10, 128)),
        fsizeless=flickr(
            annotator(0, 0, 9, 9), head="<size><width>0</width><height>9</height></size>"
        ),
    )
    (folder / "notes.txt").write_text("no annotation")
    found = read_annotations(folder)
    assert list(found.boxes) == ["good"]
    assert found.counts == {
        "a box outside its frame": 1,
        "a box that is not four numbers": 2,
        "a box without area": 1,
        "a frame without a size": 1,
        "an entry without boxes": 1,
        "not XML": 2,
    }
    assert {entry.name for entry in found.excluded} >= {"cut", "beyond"}


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    """A billion laughs, and a file of the machine: both need a DTD, which is refused."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><a><b><bbox><t>&l9;</t></bbox></b></a>'
    outside = (
        '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a><b><bbox>&f;</bbox></b></a>'
    )
    found = read_flickr_xml(written(tmp_path, fbomb=bomb, foutside=outside))
    assert found.boxes == {}
    assert found.counts == {"a document with a DTD": 2}


def test_a_folder_that_holds_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no XML file"):
        read_annotations(tmp_path)
    with pytest.raises(AnnotationError, match="no such folder"):
        read_flickr_xml(tmp_path / "absent")
    with pytest.raises(AnnotationError, match="give a folder"):
        read_annotations(tmp_path / "boxes.mat")


def vggss(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_vggss_boxes_are_fractions_of_one_annotator(tmp_path: Path) -> None:
    entry = {
        "file": "a_000030",
        "class": "elk bugling",
        "bbox": [[0, 0.25, 0.5, 1], [0.5, 0, 1, 1]],
    }
    found = read_annotations(vggss(tmp_path / "vggss.json", [entry]))
    drawn = found.boxes["a_000030"]
    assert drawn[0] == AnnotatedBox(x0=0, y0=0.25, x1=0.5, y1=1, tag="elk bugling")
    truth = ground_truth(drawn)
    assert truth.annotators == ("",)
    assert truth.score_map((4, 4)).sum() == 14


def test_broken_vggss_entries_are_counted(tmp_path: Path) -> None:
    entries = [
        {"file": "good", "class": "x", "bbox": [[0, 0, 1, 1]]},
        {"file": "far", "class": "x", "bbox": [[0, 0, 1, 1], [0.1, 0.1, 0.5, -2.88e16]]},
        {"file": "flat", "class": "x", "bbox": [[0.2, 1.0, 0.7, 1.0]]},
        {"file": "none", "class": "x", "bbox": []},
        {"file": "short", "class": "x", "bbox": [[0, 1, 1]]},
        {"file": "twice", "class": "x", "bbox": [[0, 0, 1, 1]]},
        {"file": "twice", "class": "x", "bbox": [[0, 0, 0.5, 1]]},
        {"class": "nameless", "bbox": [[0, 0, 1, 1]]},
        "text",
    ]
    found = read_vggss_json(vggss(tmp_path / "v.json", entries))
    assert list(found.boxes) == ["good"]
    assert found.counts == {
        "a box outside its frame": 1,
        "a box that is not four numbers": 1,
        "a box without area": 1,
        "an entry without a file name": 2,
        "an entry without boxes": 1,
        "several entries of one name": 2,
    }


@pytest.mark.parametrize("text", ["", "[", '{"file": 1}', "\x00", "[" * 100_000])
def test_what_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"v\.json"):
        read_vggss_json(path)
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_vggss_json(tmp_path / "absent.json")


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"no published boxes at {PUBLISHED}")
def test_the_published_file_reads_whole() -> None:
    """5 158 clips, 18 of them with a box that cannot be; counted by hand from the file."""
    found = read_annotations(PUBLISHED)
    assert len(found.boxes) == 5140
    assert found.counts == {"a box outside its frame": 12, "a box without area": 6}
