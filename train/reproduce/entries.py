"""What a folder of data says that there is: pairs by name, and what people drew into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from encoder.localization.annotations import read_annotations
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import GroundTruthError
from encoder.media import probe
from indexer.evaluation.localization_reading import fractions_of
from indexer.manifest import ManifestRow, read_manifest
from indexer.plan import Box
from train.errors import PairsError
from train.pairs import MIDDLE_S, Pair, Picture, Span

LAYOUT = """\
DIR/
  frames/ID.jpg  sounds/ID.wav   a pair of each ID, any format of picture and sound;
  videos/ID.mp4                  or one file with both
  annotations/ID.xml             boxes in the layout of Flickr-SoundNet,
  vggss.json                     or in that of VGG-SS
  unlabelled.txt                 IDs of pairs without boxes in the order of the taking, as
                                 Flickr_train_144k.txt (that name is read, too)
  test.txt                       IDs of the first test set, as test_list.txt (read, too)
  manifest.csv                   instead of all above: image, audio, video, boxes, label, split;
                                 rows of split test with boxes are the first test set
  interactive.csv                image, audio, boxes: several rows of one image (Figure 6)
  clips/  panoramas/             videos with their sound (Figures 13 and 14)
  user-study.csv                 video, choice: ours, other or similar (Table 7)
  weights/vgg16.safetensors      ImageNet weights, torchvision's layout (.pth is read, too)
  weights/soundnet.safetensors   with it the paper's labellers (Table 6); see
                                 python -m encoder.labellers.convert
"""
UNLABELLED, TEST = ("unlabelled.txt", "Flickr_train_144k.txt"), ("test.txt", "test_list.txt")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A pair and what is known of it.

    Attributes
    ----------
    boxes : empty where nobody annotated.
    is_test : whether it belongs to the listed test set.
    frame_of_duet : the frame that it shares with other entries, or None.
    """

    name: str
    pair: Pair
    boxes: tuple[AnnotatedBox, ...] = ()
    is_test: bool = False
    frame_of_duet: str | None = None

    @property
    def is_ambient(self) -> bool:
        """Whether all who looked said that nothing in the picture makes the sound."""
        return bool(self.boxes) and all(box.kind == "ambient" for box in self.boxes)


def read_entries(folder: Path) -> list[Entry]:
    """Read the pairs of a folder: of its manifest, or of the published layout.

    Raises
    ------
    PairsError : a row of the manifest that cannot be understood, or boxes outside their picture.
    AnnotationError : annotations that cannot be read.
    """
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return [entry for entry in _of_manifest(manifest) if _is_pair(entry.pair)]
    return list(_of_layout(folder))


def read_interactive(folder: Path) -> list[Entry]:
    """Read frames with several sounds, one entry per sound; empty where there is no such file."""
    manifest = folder / "interactive.csv"
    if not manifest.is_file():
        return []
    return [
        Entry(
            name=f"{entry.name} {number}",
            pair=entry.pair,
            boxes=entry.boxes,
            frame_of_duet=str(entry.pair.picture),
        )
        for number, entry in enumerate(_of_manifest(manifest))
        if _is_pair(entry.pair) and entry.boxes
    ]


def _of_manifest(manifest: Path) -> Iterator[Entry]:
    for row in read_manifest(manifest):
        if not isinstance(row, ManifestRow):
            raise PairsError(f"{manifest}: row {row.number}: {row.reason}; mend or remove it")
        seen, heard = row.image or row.video, row.audio or row.video
        held_back = not row.boxes and row.metadata.get("split") in ("val", "test")
        if seen is None or heard is None or held_back:
            continue
        start, end = row.start_s or 0.0, row.end_s
        middle = MIDDLE_S if end is None else (start + end) / 2
        picture = Picture(manifest.parent / seen, 0.0 if row.image else middle)
        yield Entry(
            name=f"{row.number}: {seen}",
            pair=Pair(
                picture=picture,
                sound=Span(manifest.parent / heard, start, end),
                label=row.label,
                split=None,
            ),
            boxes=_fractions(row.boxes, picture.path, row.number, manifest),
            is_test=row.metadata.get("split") == "test",
        )


def _fractions(
    boxes: tuple[Box, ...], picture: Path, number: int, manifest: Path
) -> tuple[AnnotatedBox, ...]:
    """Boxes of a row as fractions of its picture; those within 1 × 1 are fractions already."""
    if not boxes:
        return ()
    are_fractions = all(max(box.x0, box.y0, box.x1, box.y1) <= 1 for box in boxes)
    seen = probe(picture)
    size = (1.0, 1.0) if are_fractions else (float(seen.width_px or 1), float(seen.height_px or 1))
    try:
        return fractions_of(list(boxes), size)
    except GroundTruthError as error:
        raise PairsError(f"{manifest}: row {number}: {error}; mend or remove it") from None


def _of_layout(folder: Path) -> Iterator[Entry]:
    frames, sounds, videos = (_by_stem(folder / name) for name in ("frames", "sounds", "videos"))
    drawn = _annotations(folder)
    tests = set(_listed(folder, TEST))
    there = [name for name in (*frames, *videos) if name in sounds or name in videos]
    listed = _listed(folder, UNLABELLED)
    order = [*(name for name in there if name in drawn), *(listed or there)]
    for name in dict.fromkeys(order):
        seen, heard = frames.get(name, videos.get(name)), sounds.get(name, videos.get(name))
        if seen is None or heard is None:
            continue
        boxes = drawn.get(name, ())
        yield Entry(
            name=name,
            pair=Pair(
                picture=Picture(seen, MIDDLE_S if name in videos and name not in frames else 0.0),
                sound=Span(heard),
                label=next((box.tag for box in boxes if box.tag), None),
                split=None,
            ),
            boxes=boxes,
            is_test=name in tests,
        )


def _annotations(folder: Path) -> dict[str, tuple[AnnotatedBox, ...]]:
    sources = (folder / "annotations", folder / "vggss.json")
    there = [path for path in sources if path.exists()]
    return {name: boxes for path in there for name, boxes in read_annotations(path).boxes.items()}


def _listed(folder: Path, names: Iterable[str]) -> list[str]:
    """IDs of the first list that is there: the stem of each line, whatever stands around it."""
    for name in names:
        if (path := folder / name).is_file():
            lines = path.read_text(encoding="utf-8").split("\n")
            return [Path(line.strip()).stem for line in lines if line.strip()]
    return []


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*"))} if folder.is_dir() else {}


def _is_pair(pair: Pair) -> bool:
    files = [file.path for file in (pair.picture, pair.sound) if file is not None]
    return len(files) == 2 and all(path.is_file() for path in files)
