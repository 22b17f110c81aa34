"""What a folder of data says that there is: pairs by name, and what people drew into them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from encoder.errors import MediaError
from encoder.localization.annotations import read_annotations
from encoder.localization.boxes import AnnotatedBox
from encoder.localization.errors import GroundTruthError
from encoder.media import probe
from indexer.evaluation.localization.reading import fractions_of
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


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Entries of a folder, and how many were left out for which reason."""

    entries: tuple[Entry, ...]
    left_out: Mapping[str, int]


def read_entries(folder: Path) -> Listing:
    """Read the pairs of a folder: of its manifest, or of the published layout.

    Raises
    ------
    PairsError : a row of the manifest that cannot be understood, boxes outside their picture, or a
        list of IDs that is no text.
    AnnotationError : annotations that cannot be read at all.
    """
    left_out: Counter[str] = Counter()
    manifest = folder / "manifest.csv"
    read = _of_manifest(manifest, left_out) if manifest.is_file() else _of_layout(folder, left_out)
    return Listing(entries=tuple(read), left_out=left_out)


def read_interactive(folder: Path) -> Listing:
    """Read frames with several sounds, one entry per sound; empty where there is no such file."""
    left_out: Counter[str] = Counter()
    manifest = folder / "interactive.csv"
    found = _of_manifest(manifest, left_out) if manifest.is_file() else ()
    entries = [replace(one, frame_of_duet=str(one.pair.picture)) for one in found if one.boxes]
    return Listing(entries=tuple(entries), left_out=left_out)


NO_FILE = "a file that is not there"
NO_PAIR = "no picture or no sound"
NO_SIZE = "a picture whose size cannot be read"


def _of_manifest(manifest: Path, left_out: Counter[str]) -> Iterator[Entry]:
    for row in read_manifest(manifest):
        if not isinstance(row, ManifestRow):
            raise PairsError(f"{manifest}: row {row.number}: {row.reason}; mend or remove it")
        seen, heard = row.image or row.video, row.audio or row.video
        held_back = not row.boxes and row.metadata.get("split") in ("val", "test")
        if held_back:
            continue
        if seen is None or heard is None:
            left_out[NO_PAIR] += 1
            continue
        pair = _pair(row, manifest.parent / seen, manifest.parent / heard)
        if not _is_there(pair):
            left_out[NO_FILE] += 1
            continue
        try:
            boxes = _fractions(row.boxes, manifest.parent / seen, row.number, manifest)
        except MediaError:
            left_out[NO_SIZE] += 1
            continue
        yield Entry(
            name=f"{row.number}: {seen}",
            pair=pair,
            boxes=boxes,
            is_test=row.metadata.get("split") == "test",
        )


def _pair(row: ManifestRow, seen: Path, heard: Path) -> Pair:
    start, end = row.start_s or 0.0, row.end_s
    middle = MIDDLE_S if end is None else (start + end) / 2
    return Pair(
        picture=Picture(seen, 0.0 if row.image else middle),
        sound=Span(heard, start, end),
        label=row.label,
        split=None,
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


def _of_layout(folder: Path, left_out: Counter[str]) -> Iterator[Entry]:
    frames, sounds, videos = (_by_stem(folder / name) for name in ("frames", "sounds", "videos"))
    drawn = _annotations(folder, left_out)
    tests = set(_listed(folder, TEST))
    there = [name for name in (*frames, *videos) if name in sounds or name in videos]
    unlabelled = _listed(folder, UNLABELLED) or there
    # Pairs of the test list without boxes can neither be measured nor, being tests, trained on.
    order = [*drawn, *(name for name in unlabelled if name not in tests)]
    for name in dict.fromkeys(order):
        seen, heard = frames.get(name, videos.get(name)), sounds.get(name, videos.get(name))
        boxes = drawn.get(name, ())
        if boxes is None:
            continue
        if seen is None or heard is None:
            left_out[NO_FILE] += 1
            continue
        is_video = name in videos and name not in frames
        yield Entry(
            name=name,
            pair=Pair(
                picture=Picture(seen, MIDDLE_S if is_video else 0.0),
                sound=Span(heard),
                label=next((box.tag for box in boxes if box.tag), None),
                split=None,
            ),
            boxes=boxes,
            is_test=name in tests,
        )


def _annotations(
    folder: Path, left_out: Counter[str]
) -> dict[str, tuple[AnnotatedBox, ...] | None]:
    """What people drew by name; None where it cannot be used, which is counted."""
    drawn: dict[str, tuple[AnnotatedBox, ...] | None] = {}
    for path in (folder / "annotations", folder / "vggss.json"):
        if path.exists():
            read = read_annotations(path)
            drawn |= dict.fromkeys(one.name for one in read.excluded)
            drawn |= read.boxes
            left_out.update(read.counts)
    return drawn


def _listed(folder: Path, names: Iterable[str]) -> list[str]:
    """IDs of the first list that is there: the stem of each line, whatever stands around it.

    Raises PairsError for a list that is no text.
    """
    for name in names:
        if (path := folder / name).is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").split("\n")
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 ({error.reason}); save it as UTF-8"
                raise PairsError(f"{path}: {reason}") from None
            return [Path(line.strip()).stem for line in lines if line.strip()]
    return []


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*"))} if folder.is_dir() else {}


def _is_there(pair: Pair) -> bool:
    return all(file is not None and file.path.is_file() for file in (pair.picture, pair.sound))
